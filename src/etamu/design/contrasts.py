"""Contrast matrices: one row per level, one column per coefficient, as R's contr.* functions make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from etamu.design.parser import Call, Name, Node, Text, write
from etamu.errors import FormulaError, unknown

__all__ = ["CONTRASTS", "contrast_matrix", "contrast_name", "contrast_names"]

Array = np.ndarray[Any, np.dtype[np.float64]]


def _sum(n: int) -> Array:
    return np.vstack([np.eye(n - 1), -np.ones((1, n - 1))])


def _helmert(n: int) -> Array:
    """Column j compares level j + 1 with the mean of those before it."""
    matrix = np.zeros((n, n - 1))
    for j in range(n - 1):
        matrix[: j + 1, j] = -1.0
        matrix[j + 1, j] = j + 1.0
    return matrix


def _poly(n: int) -> Array:
    """Orthonormal polynomials on equally spaced scores."""
    t = np.linspace(-1.0, 1.0, n)
    q, r = np.linalg.qr(np.polynomial.chebyshev.chebvander(t, n - 1))
    return np.asarray((q * np.sign(np.diag(r)))[:, 1:])


CONTRASTS = {"sum": _sum, "helmert": _helmert, "poly": _poly}  # treatment needs no matrix: it is indicators
_MOST_POLY = 95  # where R stops, too


def contrast_name(node: Node) -> tuple[str, Node | None]:
    """The contrast a user means by ``sum``, ``"sum"``, ``contr.sum`` or ``Sum``; ``Treatment("b")`` also names its base."""
    base: Node | None = None
    match node:
        case Name(text) | Text(text):
            pass
        case Call(text, (), ()):
            pass
        case Call(text, (base,), ()) | Call(text, (), (("base" | "reference", base),)):
            pass
        case _:
            raise FormulaError(f"formula: `contrast` of C() is {write(node)}; write one of treatment, {', '.join(CONTRASTS)}.")
    name = text.lower().removeprefix("contr.")
    if name not in ("treatment", *CONTRASTS):
        raise unknown("contrast", text, ["treatment", *CONTRASTS])
    if base is not None and name != "treatment":
        raise FormulaError(f"formula: contrast {write(node)} takes no argument; write {name}.")
    return name, base


def contrast_matrix(contrast: str, levels: int) -> Array:
    """Shape (levels, levels - 1).

    >>> from etamu.design.contrasts import contrast_matrix
    >>> contrast_matrix("sum", 3)
    array([[ 1.,  0.],
           [ 0.,  1.],
           [-1., -1.]])
    """
    if contrast == "poly" and levels > _MOST_POLY:
        raise FormulaError(f"formula: polynomial contrasts of {levels} levels lose all digits; the limit is {_MOST_POLY}. Use poly(x, degree).")
    return CONTRASTS[contrast](levels)


def contrast_names(contrast: str, levels: Sequence[str]) -> list[str]:
    """A name per column: the level it stands for, or the degree of the polynomial."""
    match contrast:
        case "sum":
            return [f"sum {level}" for level in levels[:-1]]
        case "helmert":
            return [f"helmert {level}" for level in levels[1:]]
        case _:
            return [f"poly {degree}" for degree in range(1, len(levels))]
