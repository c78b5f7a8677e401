"""Limited-memory BFGS: only scores are asked for, so a pass costs a multiple of p and not of p^2.

Reference: Liu & Nocedal (1989), Math. Programming 45, doi:10.1007/BF01589116.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError
from etamu.solvers.base import Array, Control, Recorder, Solution, Status
from etamu.solvers.secant import Pairs, flat, shaped
from etamu.sums import Objective, Request

__all__ = ["LBFGS", "lbfgs"]


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton steps from the last ``memory`` score differences, for designs too wide to form an information matrix often.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> fit = em.fit(np.arange(6.0), [1.0, 2, 2, 5, 8, 20], family="poisson", solver=em.solvers.LBFGS())
    >>> fit.coef.round(4)
    array([-0.316 ,  0.6465])
    """

    memory: int = 12
    max_steps: int = 2000

    def __post_init__(self) -> None:
        if self.memory < 1 or self.max_steps < 1:
            raise SpecificationError(f"`memory` is {self.memory} and `max_steps` {self.max_steps}; both must be at least 1.")


def lbfgs(
    objective: Objective,
    start: Array,
    control: Control,
    method: LBFGS,
    precondition: Callable[[Array], Array] | None = None,
    dispersion_known: bool = True,
) -> Solution:
    """Minimise the deviance; ``precondition`` applies an approximate inverse information to a score."""
    run = Recorder(objective, control.progress)
    beta = np.array(start, dtype=float)
    sums = run(Request(beta, 1))
    pairs = Pairs(memory=method.memory)
    best = math.inf
    idle = 0
    for _ in range(method.max_steps):
        if not _usable(sums.deviance, sums.score):
            return Solution(beta, run(Request(beta, 2, control.information)), Status.NOT_FINITE, run.steps)
        score = flat(sums.score)  # type: ignore[arg-type]
        step = pairs.solve(score, precondition)
        decrement = math.sqrt(max(float(score @ step), 0.0))
        run.note(decrement)
        sigma = 1.0 if dispersion_known else math.sqrt(sums.deviance / max(sums.n, 1.0)) or 1e-300
        idle = 0 if decrement < 0.5 * best else idle + 1
        best = min(best, decrement)
        if decrement <= control.tol * sigma or (idle >= 12 and decrement <= 1e-5 * sigma):
            return Solution(beta, run(Request(beta, 2, control.information)), Status.CONVERGED, run.steps, decrement, decrement)
        length = 1.0 if pairs.kept or precondition else min(1.0, 1.0 / max(float(np.abs(step).sum()), 1e-300))
        for _ in range(40):
            trial = beta + shaped(length * step, beta)
            after = run(Request(trial, 1))
            if _usable(after.deviance, after.score) and after.deviance <= sums.deviance * (1 + 1e-13) - 1e-4 * length * decrement**2 + 1e-12 * abs(
                sums.deviance
            ):
                break
            run.note(text="shortened")
            length *= 0.5
        else:
            return Solution(beta, run(Request(beta, 2, control.information)), Status.NOT_FINITE, run.steps, decrement)
        pairs = pairs.add(length * step, score - flat(after.score))  # type: ignore[arg-type, operator]
        beta, sums = trial, after
    return Solution(beta, run(Request(beta, 2, control.information)), Status.MAX_ITERATIONS, run.steps, decrement)


def _usable(deviance: float, score: Array | None) -> bool:
    return math.isfinite(deviance) and score is not None and bool(np.isfinite(score).all())
