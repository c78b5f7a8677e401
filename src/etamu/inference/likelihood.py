"""Deviance of the null model, log-likelihood and what follows from it, on R's scale."""

from __future__ import annotations

import math

import numpy as np

from etamu.design.columns import Column, Design
from etamu.errors import UndefinedStatisticError
from etamu.families.multinomial import Multinomial
from etamu.rows import row_terms
from etamu.solvers.base import Control
from etamu.solvers.newton import Problem as NewtonProblem
from etamu.solvers.newton import newton
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sums import Request

__all__ = ["log_likelihood", "null_deviance", "weighted_mean"]

_SLAB = 1 << 16


def weighted_mean(problem: Problem) -> float:
    """Sum w y / sum w, in slabs so that no second vector of the data's length is made."""
    if problem.weight is None and problem.y.dtype == np.float64:
        return float(np.add.reduce(problem.y)) / problem.rows
    top = bottom = 0.0
    for a in range(0, problem.rows, _SLAB):
        y, w, _ = problem.vectors(slice(a, a + _SLAB))
        top += float(np.add.reduce(w * y))
        bottom += float(w.sum())
    return top / bottom


def null_deviance(problem: Problem, intercept: bool, control: Control) -> float:
    """Deviance of the model with the intercept only (or with no column at all), keeping the offset.

    With an offset the intercept is fitted; without one the mean is the weighted mean of y.
    """
    if isinstance(problem.family, Multinomial):
        return _multinomial_null(problem, intercept)
    if not intercept:
        return _deviance_at(problem, 0.0)
    mean = weighted_mean(problem)
    with np.errstate(all="ignore"):
        eta = float(problem.link.eta(np.array([mean]))[0])
    if problem.offset is None:
        return _deviance_at(problem, eta)
    design = Design((Column("Intercept"),), problem.rows)
    source = Memory(Problem(design, problem.y, problem.family, problem.link, problem.weight, problem.offset), control.threads)
    known = problem.family.dispersion_known
    center = float(np.mean(problem.offset))
    starts = [np.array([eta - center]), np.array([eta])]
    for start in starts:
        if math.isfinite(source.sum(Request(start, 0)).deviance):
            solution = newton(source.sum, start, Control(threads=control.threads), problem=NewtonProblem(dispersion_known=known))
            return solution.sums.deviance
    return math.nan


def _deviance_at(problem: Problem, constant: float) -> float:
    total = 0.0
    for a in range(0, problem.rows, _SLAB):
        y, w, offset = problem.vectors(slice(a, a + _SLAB))
        total += float(row_terms(problem.family, problem.link, y, offset + constant, w).deviance.sum())
    return total


def _multinomial_null(problem: Problem, intercept: bool) -> float:
    classes = (problem.equations or 1) + (problem.reference is not None)
    counts = np.zeros(classes)
    for a in range(0, problem.rows, _SLAB):
        y, w, _ = problem.vectors(slice(a, a + _SLAB))
        counts += np.bincount(y.astype(int), weights=w, minlength=classes)
    share = counts / counts.sum() if intercept else np.full(classes, 1 / classes)
    present = counts > 0
    return float(-2 * (counts[present] * np.log(share[present])).sum())


def log_likelihood(problem: Problem, beta: np.ndarray, deviance: float, n: float, sum_weight: float, frequency: np.ndarray | None) -> float:
    """Sum of the log-density at the fitted means; the dispersion is R's (deviance over n or over the weights)."""
    family = problem.family
    if not family.likelihood:
        raise UndefinedStatisticError(f"family {family.name!r} is a quasi-likelihood and has no log-likelihood, AIC or BIC; compare deviances instead.")
    if isinstance(family, Multinomial):
        return -0.5 * deviance
    phi = family.likelihood_dispersion(deviance, int(n), sum_weight)
    if phi <= 0 or not math.isfinite(phi):
        return math.inf if phi == 0 else math.nan

    def density(rows: slice, eta: np.ndarray) -> np.ndarray:
        y, w, _ = problem.vectors(rows)
        used = w > 0
        f = np.ones_like(w) if frequency is None else np.asarray(frequency[rows], dtype=float)
        prior = np.where(used, w / np.where(f > 0, f, 1.0), 1.0)
        with np.errstate(all="ignore"):
            values = family.log_density(y, problem.link.mu(eta), prior, phi)
        return np.where(used, f * values, 0.0)

    source = Memory(problem, 1)
    return float(source.map(density, beta).sum())
