"""The fit again on other rows, other columns or under restrictions: a few Newton steps from where it already is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.hypotheses import Hypothesis
from etamu.solvers.base import Control, Solution, Status
from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Arrow, Objective, Request, Sums
from etamu.traits import traits

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Restriction", "again", "aliased_error", "flat", "on_fit_scale", "restricted", "score_statistic", "shaped"]

Array = np.ndarray[Any, Any]


def again(problem: Problem | Streamed, start: Array, control: Control) -> Solution:
    """The solution of a problem close to one that was solved at ``start``."""
    quiet = replace(control, progress=None, compress=False)
    return newton(open_source(problem, control.threads).sum, start, quiet, problem=replace(traits(problem), damped=True))


def flat(gamma: Array) -> Array:
    """Coefficients in one row, equations outermost."""
    return gamma if gamma.ndim == 1 else gamma.T.ravel()


def shaped(beta: Array, shape: tuple[int, ...]) -> Array:
    """Flat coefficients as the sources take them."""
    return beta if len(shape) == 1 else np.ascontiguousarray(beta.reshape(shape[1], shape[0]).T)


@dataclass(frozen=True)
class Restriction:
    """L gamma = r on the fit's scale: the coefficients in ``pivots`` follow from the others."""

    matrix: Array
    value: Array

    @cached_property
    def pivots(self) -> Array:
        from scipy.linalg import qr

        return np.asarray(qr(self.matrix, mode="r", pivoting=True)[1][: len(self.value)])

    @cached_property
    def others(self) -> Array:
        return np.setdiff1d(np.arange(self.matrix.shape[1]), self.pivots)

    @cached_property
    def coupling(self) -> Array:
        """How the pivots move with the others, (m, k - m)."""
        return np.asarray(-np.linalg.solve(self.matrix[:, self.pivots], self.matrix[:, self.others]))

    def complete(self, others: Array) -> Array:
        """All coefficients from those that are not pivots."""
        out = np.empty(self.matrix.shape[1])
        out[self.others] = others
        out[self.pivots] = np.linalg.solve(self.matrix[:, self.pivots], self.value - self.matrix[:, self.others] @ others)
        return out

    def nearest(self, gamma: Array, factor: Factorised | FactorisedArrow) -> Array:
        """The best coefficients under the restriction where the deviance is a parabola around ``gamma``."""
        solved = np.array([factor.solve(row) for row in self.matrix])
        return np.asarray(gamma + solved.T @ np.linalg.solve(self.matrix @ solved.T, self.value - self.matrix @ gamma))

    def within(self, objective: Objective, shape: tuple[int, ...]) -> Objective:
        """The objective as a function of the coefficients that are not pivots."""
        free, bound, c = self.others, self.pivots, self.coupling

        def sums_at(request: Request) -> Sums:
            sums = objective(replace(request, beta=shaped(self.complete(request.beta), shape)))
            score, information = sums.score, sums.information
            if score is not None:
                whole = flat(score)
                score = whole[free] + c.T @ whole[bound]
            if information is not None:
                dense = information.dense() if isinstance(information, Arrow) else information
                cross = c.T @ dense[np.ix_(bound, free)]
                information = dense[np.ix_(free, free)] + cross + cross.T + c.T @ dense[np.ix_(bound, bound)] @ c
            return replace(sums, score=score, information=information)

        return sums_at


def aliased_error(label: str) -> UndefinedStatisticError:
    """What to say of a coefficient that is not identified."""
    return UndefinedStatisticError(
        f"coefficient {label!r} is aliased (its column is a combination of others), so nothing can be said about it; drop it from the hypothesis."
    )


def on_fit_scale(fit: Fit, hypothesis: Hypothesis) -> Restriction:
    """A hypothesis on the reported coefficients as one on those that were solved for."""
    e = fit._estimate()
    p, reported = len(fit.names), len(fit.labels) // len(fit.names)
    lost = [label for k, label in enumerate(fit.labels) if k % p not in e.kept and hypothesis.matrix[:, k].any()]
    if lost:
        raise aliased_error(lost[0])
    index = np.concatenate([np.asarray(e.kept) + a * p for a in range(reported)])
    given = hypothesis.matrix[:, index]
    if e.expansion is not None:
        given = given @ np.kron(e.expansion, np.eye(len(e.kept)))
    matrix = np.concatenate([e.scaling.rows(block) for block in np.split(given, given.shape[1] // len(e.kept), axis=1)], axis=1)
    if e.expansion is not None and np.linalg.matrix_rank(matrix / np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-300)) < len(matrix):
        raise UndefinedStatisticError("the hypothesis restricts a combination of coefficients that is fixed already (the classes' coefficients sum to zero).")
    return Restriction(matrix, hypothesis.value)


def score_statistic(problem: Problem | Streamed, beta: Array, control: Control) -> float:
    """Rao's statistic s' H^-1 s (times phi) at coefficients on the problem's scale, flat."""
    sums = open_source(problem, control.threads).sum(Request(shaped(beta, problem.shape), 2, "expected"))
    factor = factorise(sums)
    if factor is None or sums.score is None:
        raise UndefinedStatisticError("the information under the hypothesis is singular, so no score test exists.")
    score = flat(sums.score)
    return max(float(score @ factor.solve(score)), 0.0)


def restricted(fit: Fit, restriction: Restriction, factor: Factorised | FactorisedArrow, start: Array | None = None) -> tuple[Array, Solution]:
    """The maximum under the restriction: all coefficients on the fit's scale (flat), and how the solve ended."""
    problem = fit._problem()
    source = open_source(problem, fit.control.threads)
    quiet = replace(fit.control, progress=None, compress=False)
    begin = restriction.nearest(flat(fit._estimate().gamma), factor) if start is None else start
    if not len(restriction.others):
        sums = source.sum(Request(shaped(restriction.complete(np.empty(0)), problem.shape), 2, fit.control.information))
        return restriction.complete(np.empty(0)), Solution(np.empty(0), sums, Status.CONVERGED)
    known = replace(traits(problem), damped=True, constant=False, wide=False)
    found = newton(restriction.within(source.sum, problem.shape), begin[restriction.others], quiet, problem=known)
    return restriction.complete(np.asarray(found.beta, dtype=float)), found
