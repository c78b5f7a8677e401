"""Conditions on the slope or the bend of a curve that is a polynomial between knots: its Bernstein coefficients there.

On an interval a polynomial lies within the hull of its Bernstein coefficients, so it is not negative where none of them is.  Its
derivatives have the scaled differences of those coefficients for their own.

Reference: Farouki (2012), Comput. Aided Geom. Des. 29, doi:10.1016/j.cagd.2012.03.001.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import Any

import numpy as np

from etamu.design.basis import Basis
from etamu.errors import SpecificationError

__all__ = ["Curve", "bernstein", "curve_of"]

Array = np.ndarray[Any, Any]
_PARTS = 8  # of an interval between knots, where a condition is only sufficient
_ZERO = 1e-11  # of a row's largest entry, that is rounding


@dataclass(frozen=True)
class Curve:
    """A basis with what it learnt: polynomials of ``degree`` between ``breaks``."""

    basis: Any
    state: Any
    label: str
    degree: int
    breaks: tuple[float, ...]

    def conditions(self, order: int, sign: float, between: Any, word: str) -> list[tuple[Array, str]]:
        """(row, words) for every Bernstein coefficient of the derivative of that order, none twice."""
        if self.degree < order:
            return []
        edges = self.edges(between)
        parts = 1 if self.degree - order <= 1 else _PARTS  # ends are all there is to a line
        found: list[tuple[Array, str]] = []
        seen: set[bytes] = set()
        for low, high in pairwise(edges):
            cuts = np.linspace(low, high, parts + 1)
            for a, b in pairwise(cuts):
                for row, (left, right) in self._of(order, float(a), float(b)):
                    key = np.round(row, 9).tobytes()
                    if key not in seen and row.any():
                        seen.add(key)
                        found.append((row, f"{self.label} {word} {f'at {left:.6g}' if left == right else f'between {left:.6g} and {right:.6g}'}"))
        return found

    def edges(self, between: Any) -> list[float]:
        """The ends of the polynomial pieces within the range asked for."""
        if between is None and len(self.breaks) < 2:
            raise SpecificationError(f"`{self.label}` has learnt no range; say over which it is to hold with between=(low, high).")
        low, high = (self.breaks[0], self.breaks[-1]) if between is None else map(float, between)
        return [low, *(b for b in self.breaks if low < b < high), high]

    def _of(self, order: int, a: float, b: float) -> list[tuple[Array, tuple[float, float]]]:
        """Rows of largest entry 1 for one piece, each with the stretch that it speaks for."""
        d = self.degree
        t = 0.5 - 0.5 * np.cos(np.pi * (np.arange(d + 1) + 0.5) / (d + 1))  # inside, where no other piece is met
        values = np.asarray(self.basis.columns(a + (b - a) * t, self.state), dtype=float)
        rows = np.diff(np.linalg.solve(bernstein(d, t), values), n=order, axis=0)
        noise = _ZERO * np.abs(values).max(initial=0.0) * 4**d
        largest = np.abs(rows).max(axis=1, keepdims=True)
        rows = np.where(np.abs(rows) > np.maximum(_ZERO * largest, 0.0), rows, 0.0)
        rows = np.where(largest > noise, rows / np.where(largest > 0, largest, 1.0), 0.0)
        left = len(rows) - 1
        return [(rows[k] + 0.0, (a if k < left or not left else b, b if k > 0 or not left else a)) for k in range(len(rows))]


def bernstein(degree: int, t: Array) -> Array:
    """Bernstein polynomials at t in [0, 1], shape (len(t), degree + 1).

    >>> import numpy as np
    >>> from etamu.constraints.curves import bernstein
    >>> bernstein(2, np.array([0.0, 0.5]))
    array([[1.  , 0.  , 0.  ],
           [0.25, 0.5 , 0.25]])
    """
    k = np.arange(degree + 1)
    choose = np.array([comb(degree, j) for j in k], dtype=float)
    return np.asarray(choose * t[:, None] ** k * (1 - t[:, None]) ** (degree - k))


def curve_of(basis: Basis, state: Any, label: str) -> Curve:
    """The pieces of a basis, from what it learnt: knots within bounds, or the range of a polynomial."""
    degree = int(getattr(basis, "degree", 3))
    if "centre" in state and "half" in state:
        centre, half = state["centre"][0], state["half"][0]
        return Curve(basis, state, label, degree, (centre - half, centre + half))
    if "knots" in state:
        return Curve(basis, state, label, degree, tuple(sorted({*state.get("bounds", ()), *state["knots"]})))
    return Curve(basis, state, label, degree, ())
