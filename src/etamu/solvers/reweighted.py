"""Local linear approximation of a concave penalty: lassos weighed by its slopes at the last solution, until that is their own.

Reference: Zou & Li (2008), Ann. Statist. 36, doi:10.1214/009053607000000802.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.points import Point

__all__ = ["Lassos", "Reweighted"]

Array = np.ndarray[Any, Any]
_MOST = 200  # lassos at one alpha
_SAME = 1e-10  # largest change, over the largest coefficient, between a solution and the next


class Lassos(Protocol):
    """A solver of convex penalties that can go on with another one."""

    left: float
    null: float

    def begin(self) -> None: ...
    def change(self, pieces: Pieces) -> None: ...
    def first_alpha(self) -> float: ...
    def at(self, alpha: float, last: float | None = None) -> Point: ...


class Reweighted:
    """Solutions along a path, each beginning with the slopes at the last one; ``scale`` turns the solver's coefficients into the user's."""

    def __init__(self, engine: Lassos, pieces: Pieces, scale: Array) -> None:
        self.engine, self.rule, self.scale = engine, pieces.concave, scale
        self.base = replace(pieces, concave=None)
        self.weight = pieces.l1 / scale  # of alpha, in the user's units
        self.b = np.zeros(len(pieces.l1))

    @property
    def left(self) -> float:
        return self.engine.left

    @left.setter
    def left(self, share: float) -> None:
        self.engine.left = share

    def begin(self) -> None:
        """The fit of what is not penalised, from where every slope is alpha's."""
        self.b[:] = 0.0
        self.engine.change(self.base)
        self.engine.begin()

    def first_alpha(self) -> float:
        """The least alpha at which every penalised coefficient is 0: the lasso's."""
        return self.engine.first_alpha()

    def steepest(self) -> float:
        """Nothing: the first alpha says where the path begins."""
        return 0.0

    def at(self, alpha: float, last: float | None = None) -> Point:
        """A stationary point at alpha, the one that the last solution leads to."""
        for _ in range(_MOST):
            slope = self.rule.slope(alpha * self.weight, self.b * self.scale) / alpha if alpha > 0 else self.weight
            self.engine.change(replace(self.base, l1=slope * self.scale))
            point = self.engine.at(alpha)
            before, self.b = self.b, np.zeros(len(self.b))
            self.b[point.index] = point.values
            if np.abs(self.b - before).max(initial=0.0) <= _SAME * np.abs(self.b).max(initial=1e-300):
                return point
        return replace(point, converged=False)

    def pass_by(self, alpha: float) -> None:
        """Nothing: an alpha passed by would leave its slopes behind."""

    def path(self, alphas: Array) -> Iterator[Point]:
        """Stationary points at falling alphas."""
        for alpha in alphas:
            yield self.at(float(alpha))
