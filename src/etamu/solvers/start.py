"""A start from a subsample: a few rough Newton steps on some of the rows, and their information for the steps to come."""

from __future__ import annotations

import math

import numpy as np

from etamu.solvers.base import Array, Recorder, Step
from etamu.solvers.linalg import Factorised, factorise
from etamu.solvers.secant import flat, shaped
from etamu.sums import Objective, Request

__all__ = ["rough_newton"]

_STEPS = 12


def rough_newton(objective: Objective, start: Array, curvature: str, wide: bool) -> tuple[Array, Factorised | None, float, tuple[Step, ...]]:
    """(beta, factor, sum of weights, steps), good to a fraction of the sampling error; the start itself if it fails."""
    run = Recorder(objective)
    beta, best, factor, weight = start, math.inf, None, 0.0
    step = np.zeros_like(start)
    good = start
    for _ in range(_STEPS):
        request = Request(beta, 2, curvature, "single" if wide else "double")
        sums = run(request)
        if not (math.isfinite(sums.deviance) and sums.deviance <= best * (1 + 1e-9)):
            if best == math.inf or float(np.max(np.abs(step))) < 1e-4:
                break
            step = 0.5 * step
            beta = good + step
            continue
        found = factorise(sums, wide)
        if found is None and curvature == "observed":
            found = factorise(run(Request(beta, 2, "expected", request.arithmetic)), wide)
        if found is None or sums.score is None:
            return start, None, 0.0, run.steps
        factor, weight, good, best = found, sums.sum_weight, beta, sums.deviance
        direction = found.solve(flat(sums.score))
        squared = float(flat(sums.score) @ direction)
        step = shaped(direction, start)
        beta = good + step
        scale = max(sums.deviance / max(sums.n, 1.0), 1e-300)
        if squared <= 0.02 * min(1.0, scale) * len(direction):
            return beta, factor, weight, run.steps
        if float(np.max(np.abs(beta))) > 50:  # drifting: the sample is separated, the whole need not be
            return start, None, 0.0, run.steps
    return good, factor, weight, run.steps
