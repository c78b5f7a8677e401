"""A sample that stands in for all rows between full passes: it sees the curvature of the score that one Newton step misses.

With the full score g and information H at beta, and s and h those of the sample scaled up to all rows, the score near beta is

    g - H d + [s(beta + d) - s(beta) + h d]

where the bracket, the remainder of the score beyond its tangent, comes from the sample.  One more solve with H makes the
error of the Newton step smaller by the sampling error of the remainder, about sqrt(p/m) for m rows; so two full passes do
what three or four would.  The same differences carry the information and the Pearson sum from beta to the end of the step.

Reference: Jordan, Lee & Yang (2019), J. Am. Statist. Assoc. 114, doi:10.1080/01621459.2018.1429274 (surrogate likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from etamu.solvers.base import Array, Recorder
from etamu.solvers.secant import flat, shaped
from etamu.sums import Objective, Request, Sums

__all__ = ["Improved", "StandIn"]

_CORRECTIONS = 3
_BESIDE = 1.0  # standard errors over which the curvature of the score is still the same


@dataclass(frozen=True)
class Improved:
    """A corrected step, the length of the correction in standard errors, and the sample's sums before and after the step."""

    step: Array
    correction: float
    before: Sums
    after: Sums


@dataclass
class StandIn:
    """``objective`` sums a sample of about ``rows`` informative rows; ``scale`` is the weight of all rows over the sample's.

    ``at`` and ``sums`` are where the sample was last summed with its information; the remainder of a step is the same from
    there as from a place beside it.
    """

    objective: Objective
    scale: float
    rows: float
    at: Array
    sums: Sums

    def noise(self, size: int) -> float:
        """Bound on the relative error of a remainder of that many entries."""
        return min(0.5, 3.0 * math.sqrt(size / self.rows))

    def moving_noise(self) -> float:
        """Bound on the relative error of a change of the information: that of the column with the fewest rows to tell it."""
        assert self.sums.information is not None
        diagonal = self.sums.information.diagonal()
        return min(0.5, 3.0 / math.sqrt(self.rows * float(diagonal.min() / diagonal.max())))

    def improve(self, run: Recorder, beta: Array, step: Array, solve: Callable[[Array], Array], curvature: str, informed: bool) -> Improved | None:
        """The corrected step; None where the sample leaves the range of numbers or the step is too long for it to tell.

        ``informed`` asks for the sample's information at the end of the step too, from where the next one is judged.
        """
        if self._apart(beta) > _BESIDE:
            self.at, self.sums = beta, run(Request(beta, 2, curvature), self.objective)
        assert self.sums.score is not None
        base = self.at
        length = math.sqrt(max(float(step @ self._times(step)), 0.0))
        corrected, before, correction, there = step, 0.0, 0.0, self.sums
        for made in range(_CORRECTIONS):
            there = run(Request(base + shaped(corrected, beta), 2 if informed and not made else 1, curvature), self.objective)
            if there.score is None or not math.isfinite(there.deviance):
                return None
            if made == 0:
                first = there
            remainder = self.scale * (flat(there.score) - flat(self.sums.score)) + self._times(corrected)
            more = solve(remainder)
            corrected = step + more
            correction = math.sqrt(max(float(remainder @ more), 0.0))
            if not correction <= 0.5 * length:
                return None
            change, before = abs(correction - before), correction
            if 2 * change <= 0.25 * self.noise(len(step)) * length:
                break  # what one more correction would change is below the sampling error of this one
        improved = Improved(corrected, correction, self.sums, first)
        if informed:
            self.at, self.sums = base + shaped(step, beta), first
        return improved

    def _apart(self, beta: Array) -> float:
        """How far from where the sample was summed, in standard errors of all rows."""
        step = flat(beta - self.at)
        return math.sqrt(max(float(step @ self._times(step)), 0.0)) if step.any() else 0.0

    def _times(self, step: Array) -> Array:
        """The sample's information, scaled up, times a step."""
        assert self.sums.information is not None
        return np.asarray(self.scale * (self.sums.information @ step))

    def moved(self, sums: Sums, improved: Improved) -> Sums:
        """Full sums at beta carried to the end of the step by what the sample's did."""
        before, after = improved.before, improved.after
        assert sums.information is not None
        assert before.information is not None
        assert after.information is not None
        return replace(
            sums,
            pearson=sums.pearson + self.scale * (after.pearson - before.pearson),
            information=sums.information + self.scale * (after.information - before.information),
        )
