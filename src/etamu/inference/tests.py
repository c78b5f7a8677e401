"""Tests of linear hypotheses L beta = r, three ways.

    wald   (L b - r)' (L V L')^-1 (L b - r)            lr     (deviance under the hypothesis - deviance) / phi
    score  s' H^-1 s / phi at the estimate under the hypothesis (Rao)

each against chi-squared with m degrees of freedom, or over m against F where phi is estimated.

References: Rao (1948), doi:10.1017/S0305004100023987; Buse (1982), Am. Statistician 36, doi:10.2307/2683166.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError, chosen
from etamu.inference.hypotheses import Hypothesis, read_hypothesis
from etamu.inference.refit import aliased_error, on_fit_scale, score_statistic
from etamu.inference.residuals import partial_columns
from etamu.inference.rowwise import factor_of
from etamu.inference.tails import log_chi2, log_f, shown
from etamu.inference.under import criterion, under

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Test", "hypothesis_of", "refuse_constrained", "refuse_reduced", "require_converged", "test", "verdict"]

Array = np.ndarray[Any, Any]
METHODS = ("wald", "lr", "score")


@dataclass(frozen=True)
class Test:
    """A test statistic with its degrees of freedom; ``log_p`` is the logarithm of the p-value, which does not underflow."""

    __test__ = False  # not for pytest

    method: str
    statistic: float
    df: float
    df_residual: float | None
    log_p: float
    hypothesis: str = ""
    estimate: float | None = None
    signed: bool = False  # a z or t statistic, not its square

    @property
    def p_value(self) -> float:
        """The p-value; 0.0 where no double can hold it, see ``log_p``."""
        return math.exp(self.log_p)

    @property
    def distribution(self) -> str:
        """The reference distribution."""
        if self.signed:
            return "N(0, 1)" if self.df_residual is None else f"t({self.df_residual:g})"
        return f"chi2({self.df:g})" if self.df_residual is None else f"F({self.df:g}, {self.df_residual:g})"

    def to_dict(self) -> dict[str, Any]:
        """Everything, by name."""
        keys = ("method", "hypothesis", "statistic", "df", "df_residual")
        return {**{k: getattr(self, k) for k in keys}, "distribution": self.distribution, "p_value": self.p_value, "log_p": self.log_p}

    def __str__(self) -> str:
        what = f"{self.hypothesis}: " if self.hypothesis else ""
        return f"{what}{self.method} statistic {self.statistic:.5g} on {self.distribution}, p = {shown(self.log_p)}"


def verdict(method: str, chi2: float, df: float, residual: float | None, text: str = "") -> Test:
    """The test of a chi-squared statistic; over df and against F with ``residual`` degrees of freedom, if these are given."""
    if residual is None:
        return Test(method, chi2, df, None, log_chi2(chi2, df), text)
    return Test(method, chi2 / df, df, residual, log_f(chi2 / df, df, residual), text)


def require_converged(fit: Fit, what: str) -> None:
    if not fit.converged:
        raise UndefinedStatisticError(f"{what} needs a maximum, and this fit ended {fit.status.name}. {fit.status.value}")


def refuse_reduced(fit: Fit, what: str) -> None:
    if fit.bias == "smooth":
        raise UndefinedStatisticError(f"{what} compares maxima of the likelihood, and this fit penalises its smooths; see fit.smooths, or compare fits by AIC.")
    if fit.bias is not None:
        raise UndefinedStatisticError(f"{what} compares maxima of the likelihood, and this fit is bias-reduced ({fit.bias}); use fit.test.")
    refuse_constrained(fit, what)


def refuse_constrained(fit: Fit, what: str) -> None:
    """What fits again by itself would forget the constraints."""
    if fit.active is not None:
        raise UndefinedStatisticError(f"{what} fits the model again, without the constraints that this fit is under; fit both yourself and compare them.")


def hypothesis_of(fit: Fit, given: Any, independent: bool = True) -> Hypothesis:
    """The hypothesis on the fit's labels; names of terms stand for those of their columns that are not aliased."""
    terms: dict[str, list[int]] = {}
    if fit.class_names is None:
        known = ~np.isnan(fit.coef)
        terms = {name: [j for j in own if known[j]] for name, own in partial_columns(fit).items()}
    return read_hypothesis(given, fit.labels, {name: own for name, own in terms.items() if own}, independent)


def test(fit: Fit, given: Any, method: str, vcov: Any, distribution: str | None) -> Test:
    """One test of one hypothesis."""
    chosen("method", method, METHODS)
    if distribution is not None:
        chosen("distribution", distribution, ["chi2", "F"])
    found = hypothesis_of(fit, given)
    residual = fit._df if distribution is None else fit.df_residual if distribution == "F" else None
    if method != "wald" and not (isinstance(vcov, str) and vcov == "model"):
        raise UndefinedStatisticError("`vcov` belongs to the Wald test; likelihood ratio and score tests have none to choose.")
    chi2: float = {"wald": _wald, "lr": _ratio, "score": _score}[method](fit, found, vcov)
    return verdict(method, chi2, len(found), residual, found.text)


def _wald(fit: Fit, found: Hypothesis, vcov: Any) -> float:
    require_converged(fit, "a Wald test")
    _refuse_aliased(fit, found)
    used = found.matrix.any(axis=0)
    if fit.smoothing is not None and fit.smoothing.columns.intersection(np.flatnonzero(used).tolist()):
        raise UndefinedStatisticError(
            "a Wald test of penalised coefficients has no known level, as they are drawn towards zero; fit.smooths tests a smooth whole."
        )
    matrix = found.matrix[:, used]
    gap = matrix @ fit._flat(fit.coef)[used] - found.value
    spread = matrix @ fit.vcov(vcov)[np.ix_(used, used)] @ matrix.T
    size = np.sqrt(np.abs(np.diagonal(spread)))
    scaled = spread / np.multiply.outer(size, size) if (size > 0).all() else np.full_like(spread, np.nan)
    if not np.isfinite(scaled).all() or np.linalg.eigvalsh(scaled)[0] <= 1e-12:
        raise UndefinedStatisticError("the covariance of the tested combinations is singular (fewer clusters than restrictions?), so no Wald test exists.")
    return float(gap @ np.linalg.solve(spread, gap))


def _refuse_aliased(fit: Fit, found: Hypothesis) -> None:
    lost = np.isnan(fit._flat(fit.coef)) & found.matrix.any(axis=0)
    if lost.any():
        raise aliased_error(fit.labels[int(np.argmax(lost))])


def _ratio(fit: Fit, found: Hypothesis, vcov: Any) -> float:
    require_converged(fit, "a likelihood-ratio test")
    return max(_under(fit, found)[1] - criterion(fit), 0.0)


def _score(fit: Fit, found: Hypothesis, vcov: Any) -> float:
    if fit.bias == "smooth":
        raise UndefinedStatisticError("score tests are of the likelihood, and this fit penalises its smooths; use method='wald'.")
    if fit.bias is not None:
        raise UndefinedStatisticError("score tests are of the likelihood, and this fit solves an adjusted score; use method='lr' or 'wald'.")
    refuse_constrained(fit, "a score test")
    beta, _ = _under(fit, found)
    return score_statistic(fit._problem(), beta, fit.control) / fit.dispersion


def _under(fit: Fit, found: Hypothesis) -> tuple[Array, float]:
    beta, value, status = under(fit, on_fit_scale(fit, found), factor_of(fit))
    if not status.ok:
        raise UndefinedStatisticError(f"the fit under {found.text[:80]!r} ended {status.name}, so its deviance is no maximum. {status.value}")
    return beta, value
