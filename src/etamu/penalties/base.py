"""What every penalty can do, made of its pieces: value, prox, distance from the subdifferential; and how a penalty is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from etamu.errors import SpecificationError, unknown
from etamu.penalties.pieces import Columns, Pieces
from etamu.penalties.prox import distance, prox

__all__ = ["Both", "Penalty", "check_alpha", "check_share", "factors", "plain_columns"]

Array = np.ndarray[Any, np.dtype[np.float64]]


class Penalty:
    """A penalty of coefficients, alpha times as strong as its kind at 1.  Subclasses are frozen dataclasses with ``pieces``."""

    alpha: float

    def pieces(self, columns: Columns) -> Pieces:
        """What it is on the columns of a design."""
        raise NotImplementedError

    def at(self, alpha: float) -> Self:
        """The same penalty at another alpha."""
        return replace(self, alpha=alpha)  # type: ignore[type-var]

    def value(self, b: Any) -> float:
        """The penalty of the coefficients b, shape (p,)."""
        b = np.asarray(b, dtype=float)
        return self.pieces(plain_columns(len(b))).value(b)

    def prox(self, b: Any, step: float = 1.0) -> Array:
        """The x that minimises |x - b|^2 / (2 step) + penalty(x), shape (p,)."""
        b = np.asarray(b, dtype=float)
        return prox(self.pieces(plain_columns(len(b))), b, step)

    def distance(self, b: Any, gradient: Any) -> Array:
        """How far minus ``gradient``, of the loss at b, is from the penalty's subdifferential there; shape (p,), 0 at a solution."""
        b = np.asarray(b, dtype=float)
        return distance(self.pieces(plain_columns(len(b))), b, np.asarray(gradient, dtype=float))

    def __add__(self, other: Penalty) -> Both:
        if not isinstance(other, Penalty):
            return NotImplemented
        return Both((*_parts(self), *_parts(other)))


@dataclass(frozen=True)
class Both(Penalty):
    """Several penalties together, as ``a + b`` makes it; ``alpha`` multiplies all of them."""

    parts: tuple[Penalty, ...]
    alpha: float = 1.0

    def pieces(self, columns: Columns) -> Pieces:
        found = [part.pieces(columns) for part in self.parts]
        total = found[0]
        for more in found[1:]:
            _refuse_overlap(total, more, columns)
            total = total + more
        return total.times(self.alpha)


def _parts(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.parts if isinstance(penalty, Both) and penalty.alpha == 1.0 else (penalty,)


def _refuse_overlap(a: Pieces, b: Pieces, columns: Columns) -> None:
    """One l1 weight cannot act on a coefficient and on its difference from another at once."""
    for one, other in ((a, b), (b, a)):
        chained = [j for chain in one.chains for j in chain]
        clash = [j for j in chained if other.l1[j] > 0 or any(j in g for g in other.groups) or any(j in c for c in other.chains)]
        if clash:
            raise SpecificationError(
                f"`penalty`: the coefficient {columns.names[clash[0]]!r} is penalised by itself and for its difference from the level before; "
                f"leave its term out of one of them, e.g. with weights={{'term': 0}}."
            )
    grouped = {j for g in a.groups for j in g} & {j for g in b.groups for j in g}
    if grouped:
        raise SpecificationError(f"`penalty`: the coefficient {columns.names[min(grouped)]!r} is in two groups; groups must not overlap.")
    if a.concave is not None and b.concave is not None:
        raise SpecificationError("`penalty`: two concave penalties cannot be added; choose one.")
    if a.concave is not None or b.concave is not None:
        concave, convex = (a, b) if a.concave is not None else (b, a)
        if convex.l1.any() or convex.groups:
            raise SpecificationError(f"`penalty`: {type(concave.concave).__name__} goes together with quadratic penalties only.")


def plain_columns(width: int) -> Columns:
    """Columns x0, x1, ... of spread 1, none of them free."""
    names = tuple(f"x{j}" for j in range(width))
    return Columns(names, (), np.ones(width))


def check_alpha(alpha: Any) -> None:
    """Alpha is a finite number, 0 or more."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)) or not math.isfinite(alpha) or alpha < 0:
        raise SpecificationError(f"`alpha` is {alpha!r}; pass a number that is 0 or more, the strength of the penalty.")


def check_share(name: str, value: Any) -> None:
    """A share is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise SpecificationError(f"`{name}` is {value!r}; pass a number from 0 to 1.")


def factors(weights: Any, columns: Columns) -> Array:
    """The factor of each coefficient's penalty: 1 unless ``weights`` (an array, or a dict by coefficient or term) says otherwise; 0 where free."""
    out = np.ones(columns.width)
    if isinstance(weights, Mapping):
        for name, factor in weights.items():
            out[positions(name, columns)] = _factor(name, factor)
    elif weights is not None:
        given = np.asarray(weights, dtype=float)
        penalised = [j for j in range(columns.width) if j not in set(columns.free)]
        if given.shape == (columns.width,):
            out = given.copy()
        elif given.shape == (len(penalised),):
            out[penalised] = given
        else:
            raise SpecificationError(f"`weights` has shape {given.shape} but the penalty is of {len(penalised)} coefficients; pass one for each, or a dict.")
        if not (np.isfinite(out).all() and (out >= 0).all()):
            raise SpecificationError("`weights` holds negative or non-finite numbers; pass factors that are 0 or more.")
    out[list(columns.free)] = 0.0
    return out


def positions(name: Any, columns: Columns) -> list[int]:
    """The columns of a term or of one coefficient."""
    if name in columns.terms:
        return list(columns.terms[name])
    if name in columns.names:
        return [columns.names.index(name)]
    raise unknown("penalty", name, dict.fromkeys([*columns.terms, *columns.names]))


def _factor(name: Any, factor: Any) -> float:
    if isinstance(factor, bool) or not isinstance(factor, (int, float, np.number)) or not math.isfinite(factor) or factor < 0:
        raise SpecificationError(f"`weights` has {factor!r} for {name!r}; pass a factor that is 0 or more.")
    return float(factor)
