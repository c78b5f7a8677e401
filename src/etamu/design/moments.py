"""Mean, spread and orthogonal polynomials of a numeric column from one mergeable value, at the accuracy of QR.

Instead of power sums, whose equations square the condition, this keeps the triangular factor R of the Chebyshev
polynomials of x on [low, high].  Two factors merge by stacking; when the interval widens, R moves to the wider one,
where the old polynomials are bounded, so nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebvander

__all__ = ["Moments"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Moments:
    """n values between low and high, and the factor of their Chebyshev polynomials up to a degree."""

    n: int
    total: float
    low: float
    high: float
    factor: Array

    @staticmethod
    @np.errstate(over="ignore")
    def of(x: Array, degree: int) -> Moments:
        if len(x) == 0:
            return Moments(0, 0.0, np.inf, -np.inf, np.zeros((0, degree + 1)))
        low, high = float(x.min()), float(x.max())
        factor: Array = np.zeros((0, degree + 1))
        if degree == 0:  # only the range is asked for
            return Moments(len(x), float(x.sum()), low, high, np.full((1, 1), np.sqrt(len(x))))
        for at in range(0, len(x), _BLOCK):
            factor = _triangle([factor, _rows(x[at : at + _BLOCK], low, high, degree)])
        return Moments(len(x), float(x.sum()), low, high, factor)

    @property
    def degree(self) -> int:
        return int(self.factor.shape[1]) - 1

    @property
    def centre(self) -> float:
        return _interval(self.low, self.high)[0]

    @property
    def half(self) -> float:
        return _interval(self.low, self.high)[1]

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def deviation(self) -> float:
        """The standard deviation, over n - 1; 0 for fewer than two values."""
        if self.n < 2 or self.low == self.high:
            return 0.0
        return self.half * abs(float(self.factor[1, 1])) / float(np.sqrt(self.n - 1))

    @property
    def mean_square(self) -> float:
        """The mean of x squared, times n, over n - 1: R's scale without centring."""
        return self.deviation**2 + self.mean**2 * self.n / max(self.n - 1, 1)

    def merge(self, other: Moments) -> Moments:
        if not (self.n and other.n):
            return self if self.n else other
        low, high = min(self.low, other.low), max(self.high, other.high)
        factor = _triangle([m._moved(low, high) for m in (self, other)])
        return Moments(self.n + other.n, self.total + other.total, low, high, factor)

    def _moved(self, low: float, high: float) -> Array:
        """The factor on a wider interval: its polynomials written in those of the narrow one."""
        if (low, high) == (self.low, self.high):
            return self.factor
        if self.low == self.high:  # one value, n times
            return float(np.sqrt(self.n)) * _rows(np.array([self.low]), low, high, self.degree)
        nodes = chebpts1(self.degree + 1)
        wide = _rows(self.centre + self.half * nodes, low, high, self.degree)
        return np.asarray(self.factor @ np.linalg.solve(chebvander(nodes, self.degree), wide))

    def orthonormal(self) -> Array | None:
        """Shape (degree + 1, degree): Chebyshev values times this are orthonormal over the data; None if x has too few values."""
        scale = np.linalg.norm(self.factor, axis=0)
        diagonal = np.diag(self.factor)
        if len(self.factor) <= self.degree or (np.abs(diagonal) <= 1e-12 * scale).any():
            return None
        return np.asarray(np.linalg.inv(self.factor * np.sign(diagonal)[:, None])[:, 1:])


def _rows(x: Array, low: float, high: float, degree: int) -> Array:
    centre, half = _interval(low, high)
    return np.asarray(chebvander((x - centre) / half, degree))


def _triangle(stacked: list[Array]) -> Array:
    return np.asarray(np.linalg.qr(np.vstack(stacked), mode="r"))


def _interval(low: float, high: float) -> tuple[float, float]:
    """Centre and half width; a single point is given width 1."""
    half = high / 2 - low / 2
    return low + half, half if half > 0 else 1.0
