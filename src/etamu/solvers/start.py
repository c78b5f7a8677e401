"""A start from a subsample: a few rough Newton steps on some of the rows, and their information for the steps to come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.solvers.base import Array, Recorder, Step
from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise, ridged
from etamu.solvers.secant import flat, shaped
from etamu.sums import Objective, Request, Sums

__all__ = ["Rough", "rough_newton"]

_STEPS = 12


@dataclass(frozen=True)
class Rough:
    """Where a rough solve of a sample ended: at ``beta`` with ``sums`` and their factor, a small step short of ``beyond``."""

    beta: Array
    beyond: Array
    steps: tuple[Step, ...]
    factor: Factorised | FactorisedArrow | None = None
    sums: Sums | None = None

    @property
    def weight(self) -> float:
        """Sum of the sample's weights."""
        return 0.0 if self.sums is None else self.sums.sum_weight


def rough_newton(objective: Objective, start: Array, curvature: str, wide: bool, close: float = 0.02) -> Rough:
    """Newton steps until their squared length is below ``close`` per coefficient; the start itself if they fail."""
    run = Recorder(objective)
    beta, best = start, math.inf
    step = np.zeros_like(start)
    good, at, factor = start, None, None
    for _ in range(_STEPS):
        request = Request(beta, 2, curvature, "single" if wide else "double")
        sums = run(request)
        if not (math.isfinite(sums.deviance) and sums.deviance <= best * (1 + 1e-9)):
            if best == math.inf or float(np.max(np.abs(step))) < 1e-4:
                break
            step = 0.5 * step
            beta = good + step
            continue
        found = factorise(_propped(sums), wide)
        if found is None and curvature == "observed":
            found = factorise(_propped(run(Request(beta, 2, "expected", request.arithmetic))), wide)
        if found is None or sums.score is None:
            return Rough(start, start, run.steps)
        factor, at, good, best = found, sums, beta, sums.deviance
        direction = found.solve(flat(sums.score))
        squared = float(flat(sums.score) @ direction)
        step = shaped(direction, start)
        beta = good + step
        scale = max(sums.deviance / max(sums.n, 1.0), 1e-300)
        if squared <= close * min(1.0, scale) * len(direction):
            break
        if float(np.max(np.abs(beta))) > 50:  # drifting: the sample is separated, the whole need not be
            return Rough(start, start, run.steps)
    return Rough(good, beta if at is not None else good, run.steps, factor, at)


def _propped(sums: Sums) -> Sums:
    """The sums with a little added where a column hardly occurs: a sample may lack levels that all rows have."""
    if sums.information is None:
        return sums
    diagonal = sums.information.diagonal()
    weak = diagonal < 5e-3 * diagonal.max(initial=0.0)
    return ridged(sums, np.where(weak, 1e-3 * diagonal.max(initial=0.0), 0.0)) if weak.any() else sums
