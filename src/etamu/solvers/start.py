"""A start from a subsample: a few rough Newton steps on some of the rows, and their information for the steps to come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from etamu.solvers.base import Array, Recorder, Step
from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise, ridged
from etamu.solvers.secant import Pairs, flat, shaped
from etamu.sums import Objective, Request, Sums

__all__ = ["Rough", "rough_newton"]

_STEPS = 24
_CLOSE = 0.3  # squared length per coefficient, in standard errors of the sample
_SLOW = 0.5  # ratio of two steps from which a new information is worth its pass


@dataclass(frozen=True)
class Rough:
    """Where a rough solve of a sample ended: at ``beta`` with ``sums`` and their factor, a small step short of ``beyond``."""

    beta: Array
    beyond: Array
    steps: tuple[Step, ...]
    factor: Factorised | FactorisedArrow | None = None
    sums: Sums | None = None
    pairs: Pairs = field(default_factory=Pairs)

    @property
    def weight(self) -> float:
        """Sum of the sample's weights."""
        return 0.0 if self.sums is None else self.sums.sum_weight

    def on(self, times: float) -> Rough:
        """What it tells of a sample that many times as large."""
        return Rough(self.beta, self.beyond, (), None if self.factor is None else self.factor.weighted(times), None, self.pairs.weighted(times))


def rough_newton(objective: Objective, start: Array, curvature: str, cheap: str | None, before: Rough | None = None, last: bool = True) -> Rough:
    """Newton steps until they are shorter than the sampling error of what they lead to; the start itself if they fail.

    The first step is made with the information of a smaller sample ``before``, if there was one.  Where a pass with information
    costs many without (``cheap`` is its arithmetic then), all steps keep one, corrected by the scores seen since; only the ``last``
    sample's end with a new one.
    """
    run, wide = Recorder(objective), cheap is not None
    beta, best, length = start, math.inf, math.inf
    step = np.zeros_like(start)
    factor, pairs = (None, Pairs()) if before is None else (before.factor, before.pairs)
    good, at, score = start, None, None
    renew = factor is None
    for _ in range(_STEPS):
        request = Request(beta, 2 if renew else 1, curvature, cheap if cheap is not None and renew else "double")
        sums = run(request)
        if not (math.isfinite(sums.deviance) and sums.deviance <= best * (1 + 1e-9)):
            if best == math.inf or float(np.max(np.abs(step))) < 1e-4:
                break
            step, renew = 0.5 * step, True
            beta = good + step
            continue
        assert sums.score is not None
        if renew:
            found = factorise(_propped(sums), cheap == "single")
            if found is None and curvature == "observed":
                found = factorise(_propped(run(Request(beta, 2, "expected", request.arithmetic))), cheap == "single")
            if found is None:
                return Rough(start, start, run.steps)
            factor, pairs = found, Pairs()
        elif score is not None:
            pairs = pairs.add(flat(beta - good), score - flat(sums.score))
        assert factor is not None
        at, good, best, score = sums, beta, sums.deviance, flat(sums.score)
        direction = pairs.solve(score, factor.solve)
        squared = float(score @ direction)
        step = shaped(direction, start)
        beta = good + step
        scale = max(sums.deviance / max(sums.n, 1.0), 1e-300)
        near = squared <= _CLOSE * min(1.0, scale) * len(direction)
        if near and (renew or not last):
            break
        if float(np.max(np.abs(beta))) > 50:  # drifting: the sample is separated, the whole need not be
            return Rough(start, start, run.steps)
        renew = not wide or near or squared > _SLOW**2 * length
        length = squared
    return Rough(good, beta if at is not None else good, run.steps, factor, at, pairs)


def _propped(sums: Sums) -> Sums:
    """The sums with a little added where a column hardly occurs: a sample may lack levels that all rows have."""
    if sums.information is None:
        return sums
    diagonal = sums.information.diagonal()
    weak = diagonal < 5e-3 * diagonal.max(initial=0.0)
    return ridged(sums, np.where(weak, 1e-3 * diagonal.max(initial=0.0), 0.0)) if weak.any() else sums
