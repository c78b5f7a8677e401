"""MCP and SCAD: lassos that stop penalising what is large.

Solved by local linear approximation (Zou & Li 2008, Ann. Statist. 36, doi:10.1214/009053607000000802): lassos whose weights are the slopes of the penalty at
the last solution, beginning with the lasso's.  The result is a stationary point, as of any method, and need not be the least of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.base import Array, Penalty, check_alpha, factors
from etamu.penalties.pieces import Columns, Pieces

__all__ = ["MCP", "SCAD"]


@dataclass(frozen=True)
class MinimaxConcave:
    """Slope, value and prox of MCP with its gamma."""

    gamma: float

    def slope(self, alpha: Array, b: Array) -> Array:
        """Alpha - |b|/gamma, down to 0."""
        return np.maximum(alpha - np.abs(b) / self.gamma, 0.0)

    def value(self, alpha: Array, b: Array) -> Array:
        size = np.abs(b)
        return np.where(size <= self.gamma * alpha, alpha * size - size**2 / (2 * self.gamma), 0.5 * self.gamma * alpha**2)

    def prox(self, alpha: Array, b: Array, step: float) -> Array:
        """Of 1/(2 step) (x - b)^2 + value, the least of the candidates."""
        if step < self.gamma:
            inner = np.sign(b) * np.maximum(np.abs(b) - step * alpha, 0.0) / (1 - step / self.gamma)
            return np.where(np.abs(b) <= self.gamma * alpha, inner, b)
        return _best(self, alpha, b, step, [np.zeros_like(b), np.where(np.abs(b) >= self.gamma * alpha, b, np.sign(b) * self.gamma * alpha)])


@dataclass(frozen=True)
class SmoothlyClipped:
    """Slope, value and prox of SCAD with its gamma."""

    gamma: float

    def slope(self, alpha: Array, b: Array) -> Array:
        size = np.abs(b)
        return np.where(size <= alpha, alpha, np.maximum(self.gamma * alpha - size, 0.0) / (self.gamma - 1))

    def value(self, alpha: Array, b: Array) -> Array:
        size, g = np.abs(b), self.gamma
        middle = (2 * g * alpha * size - size**2 - alpha**2) / (2 * (g - 1))
        return np.where(size <= alpha, alpha * size, np.where(size <= g * alpha, middle, alpha**2 * (g + 1) / 2))

    def prox(self, alpha: Array, b: Array, step: float) -> Array:
        near = np.sign(b) * np.minimum(np.maximum(np.abs(b) - step * alpha, 0.0), alpha)
        candidates = [np.zeros_like(b), near, np.where(np.abs(b) >= self.gamma * alpha, b, np.sign(b) * self.gamma * alpha)]
        if step < self.gamma - 1:
            middle = ((self.gamma - 1) * np.abs(b) - step * self.gamma * alpha) / (self.gamma - 1 - step)
            candidates.append(np.sign(b) * np.clip(middle, alpha, self.gamma * alpha))
        return _best(self, alpha, b, step, candidates)


def _best(rule: Any, alpha: Array, b: Array, step: float, candidates: list[Array]) -> Array:
    """The candidate of the least objective, coordinate by coordinate."""
    objective = np.array([(x - b) ** 2 / (2 * step) + rule.value(alpha, x) for x in candidates])
    return np.asarray(np.array(candidates)[objective.argmin(axis=0), np.arange(len(b))])


@dataclass(frozen=True)
class _Concave(Penalty):
    alpha: float = 1.0
    gamma: float = 3.0
    weights: Any = None

    def _pieces(self, columns: Columns, rule: Any) -> Pieces:
        return Pieces(self.alpha * factors(self.weights, columns), np.zeros(columns.width), concave=rule)


@dataclass(frozen=True)
class MCP(_Concave):
    """The minimax concave penalty: slope ``alpha - |b|/gamma``, and none beyond ``gamma alpha``.

    References
    ----------
    Zhang (2010), Ann. Statist. 38, doi:10.1214/09-AOS729.

    Examples
    --------
    >>> import etamu as em
    >>> em.MCP(1.0, gamma=3.0).value([1.0, 10.0])
    2.3333333333333335
    """

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not self.gamma > 1:
            raise SpecificationError(f"`gamma` is {self.gamma!r}; MCP needs more than 1 (3 is usual).")

    def pieces(self, columns: Columns) -> Pieces:
        return self._pieces(columns, MinimaxConcave(self.gamma))


@dataclass(frozen=True)
class SCAD(_Concave):
    """The smoothly clipped absolute deviation: slope ``alpha`` up to alpha, falling to none at ``gamma alpha``.

    References
    ----------
    Fan & Li (2001), J. Am. Statist. Assoc. 96, doi:10.1198/016214501753382273.

    Examples
    --------
    >>> import etamu as em
    >>> em.SCAD(1.0).value([0.5, 10.0])
    2.85
    """

    gamma: float = 3.7

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not self.gamma > 2:
            raise SpecificationError(f"`gamma` is {self.gamma!r}; SCAD needs more than 2 (3.7 is usual).")

    def pieces(self, columns: Columns) -> Pieces:
        return self._pieces(columns, SmoothlyClipped(self.gamma))
