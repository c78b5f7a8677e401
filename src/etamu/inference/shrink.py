"""Ridge: a quadratic penalty that keeps every coefficient finite, for data that leave some without an estimate.

Minimises (1/sum w) sum w d/2 + alpha/2 |b|^2 over the coefficients b in the user's units, the intercept free.  The covariance reported,
phi (H + P)^-1, is the posterior one under the normal prior that the penalty is; estimates are biased towards zero, so tests and
intervals have no exact level.

Reference: le Cessie & van Houwelingen (1992), Appl. Statist. 41, doi:10.2307/2347628.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.inference.covariance import Scaling
from etamu.inference.penalised import penalised, with_penalty
from etamu.solvers.base import Control, Solution
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request
from etamu.traits import traits

__all__ = ["read_alpha", "shrink"]

Array = np.ndarray[Any, Any]


def read_alpha(alpha: Any) -> float:
    """The penalty's size, checked."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)) or not (np.isfinite(alpha) and alpha > 0):
        raise SpecificationError(f"`ridge` is {alpha!r}; pass a positive number, the alpha of alpha/2 |b|^2 (0.01, say).")
    return float(alpha)


def shrink(problem: Problem | Streamed, start: Array, alpha: float, scaling: Scaling, intercept: bool, control: Control) -> Solution:
    """The penalised solution on the fit's scale; its information is penalised too, its deviance is not."""
    source = open_source(problem, control.threads)
    weight = source.sum(Request(start, 0)).sum_weight
    scale = np.ones(problem.design.width) if scaling.scale is None else scaling.scale
    penalty = alpha * weight * scale**2
    if intercept:
        penalty[0] = 0.0
    if start.ndim == 2:
        penalty = np.repeat(penalty[:, None], start.shape[1], axis=1)
    found = newton(penalised(source.sum, penalty), start, control, problem=replace(traits(problem), damped=True, wide=False, constant=False))
    plain = source.sum(Request(found.beta, 2, control.information))
    return replace(found, sums=with_penalty(plain, penalty))
