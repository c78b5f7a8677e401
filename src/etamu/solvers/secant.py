"""Corrections of an approximate inverse information from the steps taken and the score changes they made (L-BFGS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Pairs", "flat", "shaped"]

Array = np.ndarray[Any, np.dtype[np.float64]]


def flat(x: Array) -> Array:
    """(p,) as it is, (p, q) with equations outermost, as the information is laid out."""
    return x if x.ndim == 1 else x.T.ravel()


def shaped(x: Array, like: Array) -> Array:
    """The inverse of ``flat``."""
    return x if like.ndim == 1 else x.reshape(like.shape[1], like.shape[0]).T


@dataclass(frozen=True)
class Pairs:
    """The last ``memory`` pairs (step, score before - score after), oldest first."""

    kept: tuple[tuple[Array, Array, float], ...] = ()
    memory: int = 12

    def add(self, step: Array, change: Array) -> Pairs:
        """With one more pair, unless it shows no curvature."""
        curvature = float(step @ change)
        if curvature <= 1e-14 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            return self
        return Pairs((*self.kept[-(self.memory - 1) :], (step, change, 1.0 / curvature)), self.memory)

    def weighted(self, times: float) -> Pairs:
        """Those of an objective that many times as large."""
        return Pairs(tuple((step, times * change, inverse / times) for step, change, inverse in self.kept), self.memory)

    def solve(self, score: Array, base: Callable[[Array], Array] | None = None) -> Array:
        """The corrected H^-1 score; ``base`` applies the inverse that is corrected, by default a multiple of one.

        The two-loop recursion of Nocedal (1980), Math. Comp. 35, doi:10.1090/S0025-5718-1980-0572855-7.
        """
        if not self.kept and base is not None:
            return base(score)
        q = score.copy()
        weights = []
        for step, change, inverse in reversed(self.kept):
            a = inverse * float(step @ q)
            weights.append(a)
            q -= a * change
        if base is not None:
            q = base(q)
        elif self.kept:
            step, change, _ = self.kept[-1]
            q *= float(step @ change) / float(change @ change)
        for (step, change, inverse), a in zip(self.kept, reversed(weights), strict=True):
            q += (a - inverse * float(change @ q)) * step
        return q
