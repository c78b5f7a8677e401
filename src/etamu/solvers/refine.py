"""Iterative refinement of a least-squares fit: residuals, score and R factor in the machine's long double.

What is left of a solution's error is then the rounding of the data and of the coefficients themselves, not cond(X) times it.
(Where long double is double the corrections find nothing to correct, and the fit stays what it was.)

Reference: Bjorck (1996), *Numerical Methods for Least Squares Problems*, section 2.9 (corrected semi-normal equations).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from etamu.solvers.base import Solution
from etamu.sums import Objective, Request

__all__ = ["extended_inverse", "refine"]

Array = np.ndarray[Any, Any]
_ROUNDS = 8


def refine(objective: Objective, solution: Solution) -> Solution:
    """The solution after a few corrections, each kept only if it shortens the next; ``beta`` keeps its extra digits."""
    best = replace(solution, beta=solution.beta.astype(np.longdouble))
    last = np.inf
    for _ in range(_ROUNDS):
        sums = objective(Request(best.beta, 2, "expected", "extended", "factor"))
        if sums.score is None or sums.information is None or not np.isfinite(sums.information).all():
            return solution
        r = sums.information[:-1, :-1]
        if not (np.abs(np.diagonal(r)) > 0).all():
            return solution
        half = _solve_transposed(r, sums.score)
        length = float(np.sqrt(half @ half))
        if not length < 0.5 * last:
            break
        last = length
        best = replace(best, beta=best.beta + _solve(r, half), sums=sums, decrement=length, error=1e-3 * length)
        if length == 0.0:
            break
    return best


def _solve(r: Array, b: Array) -> Array:
    """R^-1 b, for one or several right-hand sides, in the precision of R."""
    x = np.array(b, dtype=r.dtype)
    for k in range(len(r) - 1, -1, -1):
        x[k] = (x[k] - r[k, k + 1 :] @ x[k + 1 :]) / r[k, k]
    return x


def _solve_transposed(r: Array, b: Array) -> Array:
    """R^-T b."""
    x = np.array(b, dtype=r.dtype)
    for k in range(len(r)):
        x[k] = (x[k] - r[:k, k] @ x[:k]) / r[k, k]
    return x


def extended_inverse(r: Array) -> Array:
    """(R'R)^-1 in the precision of R."""
    inverse = _solve(r, np.eye(len(r)))
    return np.asarray(inverse @ inverse.T)
