"""Linear hypotheses as text: "x1 = x2", "area[B] = area[C] = 0", "2*x1 + x2 = 0.5" -> L beta = r; constraints/relations.py cuts it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.constraints.relations import LONGEST, combination, cut_parts, cut_sides, cut_tokens
from etamu.errors import FormulaError, LengthError, SpecificationError

__all__ = ["Hypothesis", "read_hypothesis"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Hypothesis:
    """``matrix`` (m, P) times the coefficients is ``value`` (m,)."""

    matrix: Array
    value: Array
    text: str

    def __len__(self) -> int:
        return len(self.value)


def read_hypothesis(given: Any, labels: Sequence[str], terms: Mapping[str, Sequence[int]], independent: bool = True) -> Hypothesis:
    """A hypothesis from text, several texts, or a matrix; a bare name or term says that it is zero.

    Equations of a test must be ``independent`` of each other; combinations that only get intervals need not.
    """
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiub" and given.ndim in (1, 2):
        return _of_matrix(given, np.zeros(1 if given.ndim == 1 else len(given)), labels, independent)
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(v, np.ndarray) and v.dtype.kind in "fiub" for v in given):
        return _of_matrix(given[0], np.atleast_1d(given[1].astype(float)), labels, independent)
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else None
    if texts is None or not all(isinstance(t, str) for t in texts) or not texts:
        raise SpecificationError(f"`hypothesis` is a {type(given).__name__}; pass text such as 'x1 = x2', a list of texts, or a matrix.")
    rows, values = [], []
    for text in texts:
        if len(text) > LONGEST:
            raise FormulaError(f"`hypothesis` has {len(text):,} characters; the limit is {LONGEST:,}.")
        for equation in re.split(r"[,;]", text) if not _has_comma([*labels, *terms], text) else cut_parts(text, labels, terms):
            if equation.strip() or len(texts) == 1:
                for row, value in _equation(equation, labels, terms):
                    rows.append(row)
                    values.append(value)
    return _checked(Hypothesis(np.array(rows), np.array(values), "; ".join(texts)), independent)


def _of_matrix(matrix: Array, value: Array, labels: Sequence[str], independent: bool) -> Hypothesis:
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    if matrix.ndim != 2 or matrix.shape[1] != len(labels):
        raise LengthError(f"`hypothesis` has shape {matrix.shape} but the model has {len(labels)} coefficients; pass one column per coefficient.")
    if value.shape != (len(matrix),):
        raise LengthError(f"`hypothesis` has {len(matrix)} rows but {value.size} values; pass one value per row.")
    return _checked(Hypothesis(matrix, value, f"{len(matrix)} linear restrictions"), independent)


def _checked(found: Hypothesis, independent: bool) -> Hypothesis:
    if not (np.isfinite(found.matrix).all() and np.isfinite(found.value).all()):
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} holds a number that is not finite; pass finite ones.")
    zero = ~found.matrix.any(axis=1) if len(found) else np.zeros(0, dtype=bool)
    if len(found) == 0 or zero.any():
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} restricts no coefficient; name at least one in each equation.")
    if independent and not independent_rows(found.matrix):
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} says the same twice, or contradicts itself; give linearly independent equations.")
    return found


def independent_rows(matrix: Array) -> bool:
    """Whether no row is a combination of the others; rows that name one column each are quickly told."""
    single = (matrix != 0).sum(axis=1) == 1
    if single.all():
        return len(set(np.argmax(matrix != 0, axis=1).tolist())) == len(matrix)
    return bool(np.linalg.matrix_rank(matrix / np.abs(matrix).max(axis=1, keepdims=True)) == len(matrix))


def _has_comma(labels: Sequence[str], text: str) -> bool:
    """Whether a name in the text holds a comma itself, as poly(x, 2)[1] does."""
    return any(("," in label or ";" in label) and label in text for label in labels)


def _equation(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[tuple[Array, float]]:
    """A = b = c as a - b = 0, b - c = 0; a side alone is zero."""
    tokens = cut_tokens(text, labels, terms)
    if len(tokens) == 1 and tokens[0][0] == "name" and tokens[0][1] not in labels and tokens[0][1] in terms:
        return [(_unit(j, len(labels)), 0.0) for j in terms[tokens[0][1]]]
    sides, relations = cut_sides(tokens)
    if any(relation != "=" for relation in relations):
        raise FormulaError(f"`hypothesis` {text[:80]!r} has an inequality, which these tests have not; write '=', or give a fit em.Linear in constraints=.")
    found = [combination(side, labels, text) for side in sides]
    if len(found) == 1:
        found.append((np.zeros(len(labels)), 0.0))
    return [(a[0] - b[0], b[1] - a[1]) for a, b in itertools.pairwise(found)]


def _unit(j: int, size: int) -> Array:
    out = np.zeros(size)
    out[j] = 1.0
    return out
