"""Deviance of the null model, log-likelihood and what follows from it, on R's scale."""

from __future__ import annotations

import math

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.families.multinomial import Multinomial
from etamu.solvers.base import Control
from etamu.solvers.newton import Problem as NewtonProblem
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request

__all__ = ["log_likelihood", "null_deviance", "null_model", "weighted_mean"]

_SLAB = 1 << 16


def weighted_mean(problem: Problem | Streamed) -> float:
    """Sum w y / sum w, in slabs so that no second vector of the data's length is made."""
    top = bottom = 0.0
    for part in problem.batches():
        if part.weight is None and part.y.dtype == np.float64:
            top += float(np.add.reduce(part.y))
            bottom += part.rows
            continue
        for a in range(0, part.rows, _SLAB):
            y, w, _ = part.vectors(slice(a, a + _SLAB))
            top += float(np.add.reduce(w * y))
            bottom += float(w.sum())
    return top / bottom


def null_deviance(problem: Problem | Streamed, intercept: bool, control: Control) -> float:
    """Deviance of the model with the intercept only (or with no column at all), keeping the offset."""
    if isinstance(problem.family, Multinomial):
        return _multinomial_null(problem, intercept)
    return null_model(problem, intercept, control)[1]


def null_model(problem: Problem | Streamed, intercept: bool, control: Control) -> tuple[float, float]:
    """The null model's intercept and deviance: with an offset it is fitted, without one its mean is the weighted mean of y."""
    source = open_source(problem.constant(), control.threads)
    if not intercept:
        return 0.0, source.sum(Request(np.zeros(1), 0)).deviance
    mean = weighted_mean(problem)
    with np.errstate(all="ignore"):
        eta = float(problem.link.eta(np.array([mean]))[0])
    if problem.offset is None:
        return eta, source.sum(Request(np.array([eta]), 0)).deviance
    known = problem.family.dispersion_known
    center = float(np.mean(problem.offset))
    starts = [np.array([eta - center]), np.array([eta])]
    for start in starts:
        if math.isfinite(source.sum(Request(start, 0)).deviance):
            solution = newton(source.sum, start, Control(threads=control.threads), problem=NewtonProblem(dispersion_known=known))
            return float(solution.beta[0]), solution.sums.deviance
    return math.nan, math.nan


def _multinomial_null(problem: Problem | Streamed, intercept: bool) -> float:
    classes = (problem.equations or 1) + (problem.reference is not None)
    counts = np.zeros(classes)
    for part in problem.batches():
        for a in range(0, part.rows, _SLAB):
            y, w, _ = part.vectors(slice(a, a + _SLAB))
            counts += np.bincount(y.astype(int), weights=w, minlength=classes)
    share = counts / counts.sum() if intercept else np.full(classes, 1 / classes)
    present = counts > 0
    return float(-2 * (counts[present] * np.log(share[present])).sum())


def log_likelihood(problem: Problem | Streamed, beta: np.ndarray, deviance: float, n: float, sum_weight: float) -> float:
    """Sum of the log-density at the fitted means; the dispersion is R's (deviance over n or over the weights)."""
    family = problem.family
    if not family.likelihood:
        raise UndefinedStatisticError(f"family {family.name!r} is a quasi-likelihood and has no log-likelihood, AIC or BIC; compare deviances instead.")
    if isinstance(family, Multinomial):
        return -0.5 * deviance
    phi = family.likelihood_dispersion(deviance, int(n), sum_weight)
    if phi <= 0 or not math.isfinite(phi):
        return math.inf if phi == 0 else math.nan

    def density(part: Problem, rows: slice, eta: np.ndarray) -> np.ndarray:
        y, w, _ = part.vectors(rows)
        used = w > 0
        f = np.ones_like(w) if part.frequency is None else np.asarray(part.frequency[rows], dtype=float)
        prior = np.where(used, w / np.where(f > 0, f, 1.0), 1.0)
        with np.errstate(all="ignore"):
            values = family.log_density(y, problem.link.mu(eta), prior, phi)
        return np.array([np.where(used, f * values, 0.0).sum()])

    return float(open_source(problem, 1).map(density, beta).sum())
