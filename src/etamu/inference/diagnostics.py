"""Tests of the model itself: overdispersion, the link, calibration of probabilities, and two fits that are not nested.

References: Cameron & Trivedi (1990), J. Econometrics 46, doi:10.1016/0304-4076(90)90014-K; Pregibon (1980), Appl. Statist. 29,
doi:10.2307/2346405; Hosmer & Lemeshow (1980), doi:10.1080/03610928008827941; Vuong (1989), Econometrica 57, doi:10.2307/1912557.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.columns import Column, Design
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.inference.anova import refuse_other_rows
from etamu.inference.refit import again
from etamu.inference.residuals import rows_of
from etamu.inference.tails import log_chi2, log_normal, log_t
from etamu.inference.tests import Test, refuse_reduced, require_converged
from etamu.solvers.linalg import Factorised, factorise
from etamu.sources.problem import Problem

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["hosmer_lemeshow", "link_test", "overdispersion", "row_loglik", "vuong"]

Array = np.ndarray[Any, Any]


def overdispersion(fit: Fit, power: float) -> Test:
    """Poisson against variance mu + alpha mu^power (2: negative binomial, 1: quasi-Poisson): the t of a regression through the origin."""
    if isinstance(power, bool) or not isinstance(power, (int, float, np.number)) or not math.isfinite(power):
        raise SpecificationError(f"`power` is {power!r}; pass a number, such as 1 or 2.")
    if fit.family.name != "poisson":
        raise SpecificationError(f"the overdispersion test is of a Poisson fit, and this one is {fit.family!r}; fit family='poisson' first.")
    require_converged(fit, "a test of overdispersion")
    y, mu, f = _training(fit)
    x, z = mu ** (power - 1), ((y - mu) ** 2 - y) / mu
    n, below = float(f.sum()), float(f @ x**2)
    alpha = float(f @ (x * z)) / below
    sigma2 = float(f @ (z - alpha * x) ** 2) / (n - 1)
    statistic = alpha / math.sqrt(sigma2 / below)
    from scipy.special import log_ndtr

    return Test("overdispersion", statistic, 1, None, float(log_ndtr(-statistic)), f"variance mu + alpha mu^{power:g}, alpha > 0", alpha, True)


def _training(fit: Fit) -> tuple[Array, Array, Array]:
    """y, means and frequencies of the rows that count."""
    parts = [(rows.y, rows.mean.mu, np.where(rows.slab.vectors[1] > 0, rows.slab.frequency, 0.0)) for rows in rows_of(fit, False)]
    y, mu, f = (np.concatenate(column) for column in zip(*parts, strict=True))
    return y[f > 0], mu[f > 0], f[f > 0]


def link_test(fit: Fit) -> Test:
    """Pregibon's: whether eta^2 as one more column explains anything; z, or t where phi is estimated."""
    require_converged(fit, "a link test")
    refuse_reduced(fit, "a link test")
    problem = fit._problem()
    if not isinstance(problem, Problem) or fit.class_names is not None:
        raise SpecificationError("the link test adds a column to a fit of one equation in memory; this fit has several, or reads files.")
    square = fit.predict(kind="link") ** 2
    spread = float(np.std(square)) or 1.0
    middle = float(np.mean(square)) if fit.intercept else 0.0
    design, e = problem.design, fit._estimate()
    center = None if design.center is None else np.append(design.center, middle)
    scale = None if design.scale is None else np.append(design.scale, 1 / spread)
    wider = problem.change(design=Design((*design.parts, Column("eta^2", square)), design.rows, center, scale))
    solution = again(wider, np.append(e.gamma, 0.0), fit.control)
    factor = factorise(solution.sums)
    if not solution.status.ok or factor is None:
        raise UndefinedStatisticError("eta^2 is a combination of the columns already (as in a saturated model), so the link cannot be tested.")
    df = fit.df_residual - 1
    phi = 1.0 if fit.family.dispersion_known else solution.sums.pearson / df
    factor = replace(factor, target=None) if isinstance(factor, Factorised) else factor
    unit = np.append(np.zeros(len(e.gamma)), 1.0)
    statistic = float(solution.beta[-1]) / math.sqrt(phi * factor.quadratic_form(unit))
    log_p = log_normal(statistic) if fit.family.dispersion_known else log_t(statistic, df)
    return Test("link", statistic, 1, None if fit.family.dispersion_known else df, log_p, "eta^2 = 0", float(solution.beta[-1]) / spread, True)


def hosmer_lemeshow(fit: Fit, groups: int) -> Test:
    """Observed against expected successes in groups by quantiles of the fitted probability; chi-squared with groups - 2 df."""
    if fit.family.name != "binomial":
        raise SpecificationError(f"the Hosmer-Lemeshow test is of a binomial fit, and this one is {fit.family!r}.")
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 3:
        raise SpecificationError(f"`groups` is {groups!r}; pass at least 3.")
    require_converged(fit, "a Hosmer-Lemeshow test")
    parts = [(rows.y, rows.mean.mu, rows.slab.vectors[1], rows.slab.frequency) for rows in rows_of(fit, False)]
    y, mu, w, f = (np.concatenate(column) for column in zip(*parts, strict=True))
    y, mu, f, trials = y[w > 0], mu[w > 0], f[w > 0], (w * f)[w > 0]
    cuts = np.unique(_quantiles(mu, f, np.linspace(0, 1, groups + 1)))
    if len(cuts) < 4:
        raise UndefinedStatisticError("the fitted probabilities take too few values to form groups; compare the model with the saturated one instead.")
    own = np.clip(np.searchsorted(cuts, mu, side="left") - 1, 0, len(cuts) - 2)
    n, seen, wanted = (np.bincount(own, weights=v, minlength=len(cuts) - 1) for v in (trials, trials * y, trials * mu))
    statistic = float(np.sum((seen - wanted) ** 2 / (wanted * (1 - wanted / n))))
    df = len(cuts) - 3
    return Test("hosmer-lemeshow", statistic, df, None, log_chi2(statistic, df), f"{len(cuts) - 1} groups")


def _quantiles(x: Array, f: Array, shares: Array) -> Array:
    """R's quantiles (type 7) of values that occur f times."""
    order = np.argsort(x, kind="stable")
    ends = np.cumsum(f[order])
    at = shares * (ends[-1] - 1)
    low, high = (np.minimum(np.searchsorted(ends, k, side="right"), len(x) - 1) for k in (np.floor(at), np.ceil(at)))
    return np.asarray(x[order][low] + (at - np.floor(at)) * (x[order][high] - x[order][low]))


def row_loglik(fit: Fit) -> Array:
    """Log-likelihood of each row, of all its observations."""
    phi = 1.0 if fit.family.dispersion_known else fit.family.likelihood_dispersion(fit.deviance, int(fit.nobs), fit._estimate().sums.sum_weight)
    parts = []
    for rows in rows_of(fit, False):
        w = rows.slab.vectors[1]
        with np.errstate(all="ignore"):
            value = fit.family.log_density(rows.y, rows.mean.mu, rows.weight, phi)
        parts.append(np.where(w > 0, rows.slab.frequency * value, 0.0))
    return np.concatenate(parts)


def vuong(first: Fit, second: Fit, correction: str | None) -> Test:
    """Mean log-likelihood ratio of two fits over its standard error; positive speaks for the first.  "aic" and "bic" correct for size."""
    if correction is not None:
        chosen("correction", correction, ["aic", "bic"])
    refuse_other_rows(first, second)
    for fit in (first, second):
        require_converged(fit, "Vuong's test")
    if first.nobs != second.nobs:
        raise SpecificationError(f"the fits have {first.nobs} and {second.nobs} observations; Vuong's test compares fits of the same rows.")
    f = np.concatenate([rows.slab.frequency * (rows.slab.vectors[1] > 0) for rows in rows_of(first, False)])
    gain = (row_loglik(first) - row_loglik(second)) / np.where(f > 0, f, 1.0)
    n = first.nobs
    more = first._parameters - second._parameters
    shift = {None: 0.0, "aic": more, "bic": more * math.log(n) / 2}[correction]
    mean = float(f @ gain) / n
    spread = math.sqrt(float(f @ (gain - mean) ** 2) / (n - 1)) if n > 1 else 0.0
    if not spread > 0:
        raise UndefinedStatisticError("the two fits give every row the same likelihood, so there is nothing to compare.")
    statistic = (n * mean - shift) / (spread * math.sqrt(n))
    return Test("vuong", statistic, 1, None, log_normal(statistic), f"{first.family!r} against {second.family!r}", signed=True)
