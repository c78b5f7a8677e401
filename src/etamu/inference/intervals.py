"""Confidence intervals of coefficients and their combinations: Wald, profile, score; one at a time or together.

References: Hothorn, Bretz & Westfall (2008), Biom. J. 50, doi:10.1002/bimj.200810425 (max-t).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.inference.profile import limits
from etamu.inference.rowwise import factor_of
from etamu.inference.tests import hypothesis_of, refuse_constrained, require_converged
from etamu.inference.wald import check_level, quantile

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["confint"]

Array = np.ndarray[Any, Any]
_METHODS = ("wald", "profile", "score")
_ADJUST = ("bonferroni", "sidak", "max-t")


def confint(fit: Fit, level: float, method: str, which: Any, vcov: Any, adjust: str | None, distribution: str | None) -> Array:
    """Limits of each coefficient (nan where aliased), or of each combination in ``which``; shape (k, 2)."""
    check_level(level)
    chosen("method", method, _METHODS)
    if adjust is not None:
        chosen("adjust", adjust, _ADJUST)
    if distribution is not None:
        chosen("distribution", distribution, ["z", "t"])
    if method != "wald" and not (isinstance(vcov, str) and vcov == "model"):
        raise SpecificationError("`vcov` belongs to Wald intervals; profile and score intervals follow the likelihood itself. Drop it, or use method='wald'.")
    if method != "wald" and adjust == "max-t":
        raise SpecificationError("`adjust` 'max-t' is for Wald intervals; use 'bonferroni' or 'sidak' with profile and score intervals.")
    found = None if which is None else hypothesis_of(fit, which, independent=False)
    if found is not None and found.value.any():
        raise SpecificationError("`which` names combinations of coefficients, such as 'x1 - x2', without '= value'.")
    rows = _all(fit) if found is None else found.matrix
    known = np.ones(len(rows), dtype=bool) if found is not None else ~np.isnan(fit._flat(fit.coef))
    df = _df(fit, method, distribution)
    level = _adjusted(level, int(known.sum()), adjust)
    if method == "wald":
        return _wald(fit, rows, known, level, vcov, df, adjust, found is None)
    require_converged(fit, f"a {method} interval")
    if method == "score":
        refuse_constrained(fit, "a score interval")
    cutoff, factor = quantile(level, df), factor_of(fit)
    out = np.full((len(rows), 2), np.nan)
    for k in np.flatnonzero(known):
        out[k] = limits(fit, rows[k], cutoff, method, factor)
    return out


def _all(fit: Fit) -> Array:
    return np.eye(len(fit.labels))


def _df(fit: Fit, method: str, distribution: str | None) -> float | None:
    """Degrees of freedom of t, or None for the normal: R's choice for each method where nothing is said."""
    if distribution == "t":
        return fit.df_residual
    return fit._df if distribution is None and method == "wald" else None


def _adjusted(level: float, count: int, adjust: str | None) -> float:
    if adjust == "bonferroni":
        return 1 - (1 - level) / max(count, 1)
    return float(level ** (1 / max(count, 1))) if adjust == "sidak" else level


def _wald(fit: Fit, rows: Array, known: Array, level: float, vcov: Any, df: float | None, adjust: str | None, all_of_them: bool) -> Array:
    used = rows.any(axis=0)
    lost = np.isnan(fit._flat(fit.coef)) & used & (not all_of_them)
    if lost.any():
        name = fit.labels[int(np.argmax(lost))]
        raise UndefinedStatisticError(f"coefficient {name!r} is aliased (its column is a combination of others), so it has no interval; drop it from `which`.")
    estimate = np.where(np.isnan(fit._flat(fit.coef)), 0.0, fit._flat(fit.coef))
    if all_of_them and adjust != "max-t":
        stderror = fit._flat(fit.stderror(vcov))
    else:
        covariance = np.nan_to_num(fit.vcov(vcov))
        spread = rows @ covariance @ rows.T
        stderror = np.sqrt(np.maximum(np.diagonal(spread), 0.0))
    half = quantile(level, df) if adjust != "max-t" else _joint_quantile(spread[np.ix_(known, known)], level, df)
    center = rows @ estimate
    out = np.stack([center - half * stderror, center + half * stderror], axis=-1)
    out[~known] = np.nan
    return np.asarray(out)


def _joint_quantile(spread: Array, level: float, df: float | None) -> float:
    """The q with P(max |T_j| <= q) = level, by Genz's integral of the multivariate normal or t."""
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal, multivariate_t

    root = np.sqrt(np.diagonal(spread))
    correlation = spread / np.multiply.outer(root, root)
    k = len(root)

    def inside(q: float) -> float:
        ends = np.full(k, q)
        rng = np.random.default_rng(0)
        if df is None:
            return float(multivariate_normal.cdf(ends, cov=correlation, allow_singular=True, lower_limit=-ends, abseps=1e-5, maxpts=20_000 * k, rng=rng))
        return float(multivariate_t.cdf(ends, shape=correlation, df=df, allow_singular=True, lower_limit=-ends, maxpts=5_000 * k, random_state=rng))

    low, high = quantile(level, df), quantile(1 - (1 - level) / k, df)
    return low if k == 1 else float(brentq(lambda q: inside(q) - level, 0.999 * low, 1.001 * high, xtol=1e-4))
