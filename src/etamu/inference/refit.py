"""The fit again on other rows, other columns or under restrictions: a few Newton steps from where it already is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.solvers.base import Control, Solution
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Arrow, Objective, Request, Sums
from etamu.traits import traits

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["again", "restricted", "within"]

Array = np.ndarray[Any, Any]


def again(problem: Problem | Streamed, start: Array, control: Control) -> Solution:
    """The solution of a problem close to one that was solved at ``start``."""
    quiet = replace(control, progress=None, compress=False)
    return newton(open_source(problem, control.threads).sum, start, quiet, problem=replace(traits(problem), damped=True))


def restricted(fit: Fit, origin: Array, basis: Array, start: Array | None = None) -> tuple[Array, Solution]:
    """The best coefficients among ``origin + basis z``: (p,) and the solution in z; ``basis`` is (p, k), of full rank.

    For a multinomial fit coefficients lie flat, equations outermost.
    """
    problem = fit._problem()
    source = open_source(problem, fit.control.threads)
    quiet = replace(fit.control, progress=None, compress=False)
    z = np.zeros(basis.shape[1]) if start is None else start
    if basis.shape[1] == 0:
        sums = source.sum(Request(_shaped(origin, problem.shape), 2, fit.control.information))
        from etamu.solvers.base import Status

        return origin, Solution(z, sums, Status.CONVERGED)
    found = newton(within(source.sum, origin, basis, problem.shape), z, quiet, problem=replace(traits(problem), damped=True, constant=False, wide=False))
    return origin + basis @ found.beta, found


def within(objective: Objective, origin: Array, basis: Array, shape: tuple[int, ...]) -> Objective:
    """The objective as a function of z, where beta = origin + basis z."""

    def sums_at(request: Request) -> Sums:
        sums = objective(replace(request, beta=_shaped(origin + basis @ request.beta, shape)))
        score, information = sums.score, sums.information
        if score is not None:
            score = basis.T @ (score if score.ndim == 1 else score.T.ravel())
        if information is not None:
            dense = information.dense() if isinstance(information, Arrow) else information
            information = np.ascontiguousarray(basis.T @ dense @ basis)
        return replace(sums, score=score, information=information)

    return sums_at


def _shaped(beta: Array, shape: tuple[int, ...]) -> Array:
    """Flat coefficients as the sources take them."""
    return beta if len(shape) == 1 else np.ascontiguousarray(beta.reshape(shape[1], shape[0]).T)
