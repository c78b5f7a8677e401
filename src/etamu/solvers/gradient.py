"""Plain gradient ascent on the log-likelihood: theta += rate * X'(y - mu), the lesson this project grew from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError
from etamu.solvers.base import Array, Control, Recorder, Solution, Status
from etamu.sums import Objective, Request

__all__ = ["GradientAscent", "gradient_ascent"]


@dataclass(frozen=True)
class GradientAscent:
    """Take ``steps`` steps of ``beta += rate * score(beta)``, with no scaling of columns and no stopping rule.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> fit = em.fit(X, [1.0, 3.0, 5.0], intercept=False, start=[0.0, 0.0], solver=em.solvers.GradientAscent(rate=0.1, steps=500))
    >>> fit.coef.round(6)
    array([1., 2.])
    """

    rate: float = 1e-3
    steps: int = 1000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise SpecificationError(f"`rate` is {self.rate}; pass a positive number, e.g. 1e-3.")
        if self.steps < 1:
            raise SpecificationError(f"`steps` is {self.steps}; take at least 1 step.")


def gradient_ascent(objective: Objective, start: Array, control: Control, method: GradientAscent) -> Solution:
    """Follow the score; a step that leaves the finite numbers ends the run with its status."""
    run = Recorder(objective, control.progress)
    beta = np.array(start, dtype=float)
    for _ in range(method.steps):
        sums = run(Request(beta, 1))
        run.note()
        assert sums.score is not None
        if not np.isfinite(sums.score).all():
            return Solution(beta, run(Request(beta, 2, control.information)), Status.NOT_FINITE, run.steps)
        beta = beta + method.rate * sums.score
    return Solution(beta, run(Request(beta, 2, control.information)), Status.FIXED_STEPS, run.steps)
