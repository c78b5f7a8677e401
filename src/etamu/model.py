"""Fit: the fitted model. Frozen numbers, and the statistician's verbs, each of which hands over to the file that knows how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from etamu.design.encode import DesignSpec
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.families import Family, Multinomial
from etamu.inference import after as _after
from etamu.inference import covariance as _covariance
from etamu.inference import likelihood as _likelihood
from etamu.inference import predict as _predict
from etamu.inference import selected as _selected
from etamu.inference import verbs as _verbs
from etamu.inference import wald as _wald
from etamu.inference.active import Active, confined
from etamu.inference.covariance import Scaling
from etamu.inference.smooth_terms import Smoothing
from etamu.inference.smooth_terms import table as smooth_table
from etamu.links import Link
from etamu.solvers.base import Control, Status, Trace
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed
from etamu.sums import Sums

__all__ = ["Estimate", "Fit"]

Array = np.ndarray[Any, Any]
_MOST_COVARIANCES = 20_000  # coefficients whose covariance matrix is still formed


@dataclass(frozen=True)
class Estimate:
    """The solution on the fit's own scale: what covariances and error bounds are computed from.

    ``kept`` are the columns that are not aliased; ``expansion`` (K, q), if any, turns the q free equations into K reported ones.
    """

    gamma: Array
    sums: Sums
    scaling: Scaling
    kept: tuple[int, ...]
    step_error: float
    expansion: Array | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted generalized linear model.

    ``coef`` has shape (p,), or (p, q) with one column per class of a multinomial response; ``names`` are the p columns.
    Aliased coefficients are nan, and listed in ``aliased``.  Deviances are sums over rows; the dispersion is R's,
    Pearson's sum over the residual degrees of freedom (1 when the family fixes it).

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("killed / n ~ dose", em.datasets.beetles(), family="binomial", weights="n")
    >>> fit.coef.round(3)
    array([-60.717,  34.27 ])
    >>> round(fit.deviance, 3), fit.df_residual
    (11.232, 6)
    """

    names: tuple[str, ...]
    coef: Array
    family: Family
    link: Link
    status: Status
    trace: Trace
    deviance: float
    nobs: float
    rank: int
    intercept: bool
    aliased: tuple[str, ...] = ()
    diverging: tuple[str, ...] = ()
    spec: DesignSpec | None = None
    offset_given: bool = False
    exposure: str | None = None
    offset: str | None = None
    bias: str | None = None  # the bias reduction, if there is one
    active: Active | None = field(default=None, compare=False)  # the constraints that hold with equality, where there were any
    smoothing: Smoothing | None = field(default=None, compare=False)  # of a formula with s(x)
    penalised: Any = field(default=None, compare=False)  # what is known of a penalised solution
    shape: Any = field(default=None, compare=False)  # of a family whose parameter was estimated
    response_levels: tuple[object, ...] | None = None
    class_names: tuple[str, ...] | None = None
    estimate: Estimate | None = field(default=None, repr=False, compare=False)
    problem: Problem | Streamed | None = field(default=None, repr=False, compare=False)
    control: Control = field(default_factory=Control, repr=False, compare=False)
    data: Any = field(default=None, repr=False, compare=False)  # the table the formula was read from, where it is in memory
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # numbers of a loaded model

    # ---- sizes --------------------------------------------------------------------------------------------------

    @property
    def equations(self) -> int:
        """Free linear predictors: 1, or classes less one for a multinomial response."""
        if self.class_names is None:
            return 1
        assert self.response_levels is not None
        return len(self.response_levels) - 1

    @property
    def df_residual(self) -> float:
        """Rows less estimated coefficients, less their effective degrees of freedom where smooths are penalised."""
        return _whole(self.nobs - self.edf)

    @property
    def edf(self) -> float:
        """Effective degrees of freedom: the number of estimated coefficients, of those that are not 0 after a selecting penalty, or
        tr (H + P)^-1 H where a penalty is quadratic.
        """
        if self.penalised is not None:
            return float(self.penalised.edf)
        return float(self.rank * self.equations) if self.smoothing is None else self.smoothing.total

    @property
    def smooths(self) -> Any:
        """A table of the smooth terms: effective and reference degrees of freedom, lambda, an approximate test that each is zero."""
        if self.smoothing is None:
            raise UndefinedStatisticError("this fit has no smooth terms; write s(x) in the formula for one.")
        return smooth_table(self.smoothing, self._df is not None)

    @property
    def df_null(self) -> float:
        return _whole(self.nobs - self.intercept * self.equations)

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per coefficient: the column's, or ``class:column``."""
        if self.class_names is None:
            return self.names
        return tuple(f"{c}:{n}" for c in self.class_names for n in self.names)

    # ---- deviance and likelihood --------------------------------------------------------------------------------

    @cached_property
    def pearson(self) -> float:
        """Pearson's chi-squared, sum of w (y - mu)^2 / V(mu)."""
        return float(self._number("pearson", lambda: self._estimate().sums.pearson))

    @property
    def dispersion(self) -> float:
        """phi: 1 where the family fixes it, else Pearson's sum over ``df_residual`` (nan when that is 0)."""
        if self.family.dispersion_known:
            return 1.0
        if "dispersion" in self.known:
            return float(self.known["dispersion"])
        return self.pearson / self.df_residual if self.df_residual > 0 else math.nan

    @cached_property
    def null_deviance(self) -> float:
        """Deviance with the intercept only (no column without one), the offset kept."""
        return float(self._number("null_deviance", lambda: _likelihood.null_deviance(self._problem(), self.intercept, self.control)))

    @cached_property
    def loglik(self) -> float:
        """Log-likelihood at the estimate, as R's ``logLik``."""
        if not self.family.likelihood:
            raise UndefinedStatisticError(
                f"family {self.family.name!r} is a quasi-likelihood and has no log-likelihood, AIC or BIC; compare deviances instead."
            )
        return float(self._number("loglik", self._loglik))

    def _loglik(self) -> float:
        e, problem = self._estimate(), self._problem()
        sum_weight = e.sums.sum_weight
        return _likelihood.log_likelihood(problem, e.gamma, self.deviance, self.nobs, sum_weight)

    @property
    def aic(self) -> float:
        """-2 loglik + 2 (``edf``, and one for the dispersion where it is estimated)."""
        return -2 * self.loglik + 2 * self._parameters

    @property
    def bic(self) -> float:
        """-2 loglik + log(nobs) times the number of parameters, ``edf`` of them coefficients."""
        return -2 * self.loglik + math.log(self.nobs) * self._parameters

    @property
    def aicc(self) -> float:
        """AIC with the correction for few observations, + 2k(k + 1)/(n - k - 1); inf where n <= k + 1."""
        k, left = self._parameters, self.nobs - self._parameters - 1
        return self.aic + 2 * k * (k + 1) / left if left > 0 else math.inf

    @property
    def _parameters(self) -> float:
        return self.edf + (not self.family.dispersion_known) + (self.shape is not None)

    # ---- coefficients -------------------------------------------------------------------------------------------

    def vcov(self, kind: Any = "model", **options: Any) -> Array:
        """Covariance of the coefficients; rows and columns in the order of ``labels``, aliased ones nan.

        ``kind`` is "model", phi (X'WX)^-1; "expected" or "observed" information; "HC0" to "HC3"; "cluster" with ``cluster=`` (one
        array of ids, or a list of several), "HAC" with ``lags=``; "jackknife"; "bootstrap" with ``draws=, seed=, method=``; an object
        of ``em.vcov``; or a matrix, which is checked and returned.  After a quadratic penalty P "model" is the posterior covariance
        phi (H + P)^-1, and "frequentist" the sampling covariance phi (H + P)^-1 H (H + P)^-1 of the biased estimate.
        """
        if len(self.labels) > _MOST_COVARIANCES:
            raise UndefinedStatisticError(
                f"the covariance of {len(self.labels):,} coefficients would take {8e-9 * len(self.labels) ** 2:.0f} GB; ask for `stderror()`, or join levels."
            )
        _selected.refuse_selected(self, "the covariance of the coefficients")
        if isinstance(kind, str) and kind == "model" and not options:
            return np.asarray(self.dispersion * self._unscaled)
        from etamu.inference.frequentist import Frequentist
        from etamu.inference.kinds import checked_matrix, resolve

        found = Frequentist() if isinstance(kind, str) and kind == "frequentist" and not options else resolve(kind, options)
        if isinstance(found, np.ndarray):
            return checked_matrix(found, self.labels)
        e = self._estimate()
        if e.gamma.ndim == 2 and e.gamma.shape[1] == len(self.response_levels or ()):
            raise UndefinedStatisticError(
                "with a predictor for every class (`reference=None`) and fixed steps only differences are identified; fit with a reference class."
            )
        return self._reported(_covariance.on_user_scale(found.matrix(_after.view(self, getattr(found, "information", None))), e.scaling, len(e.kept)))

    @cached_property
    def _unscaled(self) -> Array:
        def compute() -> Array:
            e = self._estimate()
            if self.active is not None and len(self.active.matrix):
                factor = confined(self, e.sums)
                own = np.full((len(e.kept),) * 2, np.nan) if factor is None else _covariance.on_user_scale(factor.inverse(), e.scaling, len(e.kept))
                return self._reported(own)
            q = 1 if e.gamma.ndim == 1 else e.gamma.shape[1]
            sums, expansion = e.sums, e.expansion
            if q == len(self.response_levels or ()) and self.is_multinomial:  # one predictor too many: fix the gauge
                sums, expansion, q = _covariance.without_first_class(sums, len(e.kept)), _covariance.sum_to_zero(q), q - 1
            return self._reported(_covariance.unscaled_covariance(sums, e.scaling, len(e.kept), q), expansion)

        return np.asarray(self._number("unscaled", compute))

    def _reported(self, kept: Array, expansion: Array | None = None) -> Array:
        """A covariance of the free coefficients as one of all that are reported."""
        e = self._estimate()
        expansion = e.expansion if expansion is None else expansion
        if expansion is not None:
            wide = np.kron(expansion, np.eye(len(e.kept)))
            kept = wide @ kept @ wide.T
        return self._spread(kept)

    def _spread(self, kept: Array) -> Array:
        """Put nan rows and columns where coefficients are aliased."""
        e = self._estimate()
        p = len(self.names)
        if len(e.kept) == p:
            return kept
        blocks = len(kept) // len(e.kept)
        index = np.concatenate([np.asarray(e.kept) + a * p for a in range(blocks)])
        out = np.full((blocks * p, blocks * p), np.nan)
        out[np.ix_(index, index)] = kept
        return out

    def stderror(self, vcov: Any = "model") -> Array:
        """Standard errors, shaped as ``coef``; ``vcov`` is any kind that :meth:`vcov` takes."""
        with np.errstate(invalid="ignore"):
            flat = np.sqrt(self._variances() if isinstance(vcov, str) and vcov == "model" else np.diagonal(self.vcov(vcov)))
        return np.asarray(flat if self.coef.ndim == 1 else flat.reshape(self.coef.shape[1], -1).T)

    def _variances(self) -> Array:
        """The diagonal of ``vcov()``, for one equation found without the rest of it."""
        _selected.refuse_selected(self, "a standard error")
        e = self.estimate
        if e is None or self.class_names is not None or (self.active is not None and len(self.active.matrix)):
            return np.diagonal(self.vcov())
        variances = self.dispersion * _covariance.unscaled_variances(e.sums, e.scaling, len(e.kept))
        if len(e.kept) == len(self.names):
            return np.asarray(variances)
        out = np.full(len(self.names), np.nan)
        out[list(e.kept)] = variances
        return out

    @property
    def _df(self) -> float | None:
        return None if self.family.dispersion_known else self.df_residual

    def coef_table(self, level: float = 0.95, vcov: Any = "model") -> _wald.CoefTable:
        """Estimates with standard errors, z or t statistics, p-values and Wald limits; ``vcov`` is any kind that :meth:`vcov` takes.

        A coefficient whose value active constraints give has an estimate only: at a bound no normal distribution describes it, so its
        standard error and p-value are nan.  Those of the others are within the active constraints.  After a penalty that selects
        there are estimates only, and ``note`` says why.
        """
        if self.penalised is not None and self.penalised.selects and isinstance(vcov, str) and vcov == "model":
            return _after.shrunk_table(self, level)
        if not (isinstance(vcov, str) and vcov == "model"):
            vcov = self.vcov(vcov)
        estimate, stderror = self._flat(self.coef), self._flat(self.stderror(vcov))
        if self.active is not None:
            stderror = np.where(self.active.pinned, np.nan, stderror)
        with np.errstate(all="ignore"):
            statistic = estimate / stderror
        limits = _wald.interval(estimate, stderror, level, self._df)
        p = _wald.p_values(statistic, self._df)
        return _wald.CoefTable(self.labels, estimate, stderror, statistic, p, limits[:, 0], limits[:, 1], "z" if self._df is None else "t", level)

    @staticmethod
    def _flat(x: Array) -> Array:
        return x if x.ndim == 1 else x.T.ravel()

    @cached_property
    def error_bound(self) -> Array:
        """Bound on the numerical error of each coefficient (not its standard error), shaped as ``coef``."""

        def compute() -> Array:
            e = self._estimate()
            kept = _covariance.error_bound(e.sums, e.scaling, e.gamma, e.step_error)
            if e.expansion is not None:
                kept = kept @ np.abs(e.expansion).T
            out = np.full(self.coef.shape, np.nan)
            out[list(e.kept)] = kept
            return out

        return np.asarray(self._number("error_bound", compute))

    @property
    def digits(self) -> float:
        """Decimal digits every coefficient is known to: -log10 of the largest relative error bound (0 when none is)."""
        with np.errstate(all="ignore"):
            ratio = self.error_bound / np.abs(self.coef)
        known = ratio[~np.isnan(ratio)]
        worst = float(known.max()) if known.size else 1.0
        return float(min(15.95, max(0.0, -math.log10(worst)))) if worst > 0 else 15.95

    # ---- prediction ---------------------------------------------------------------------------------------------

    def predict(
        self,
        new: Any = None,
        kind: str = "response",
        *,
        offset: Any = None,
        exposure: Any = None,
        unseen: str = "raise",
        se: bool = False,
        interval: str | None = None,
        level: float = 0.95,
        vcov: Any = "model",
        weights: Any = None,
    ) -> Any:
        """Means ("response"), linear predictors ("link") or each term's share ("terms") of new rows (a table, files), or of the fit's.

        An array; with ``se=True`` or an ``interval`` a :class:`Prediction` of ``fit``, ``stderror``, ``lower`` and ``upper``.
        ``interval="confidence"`` is of the mean, through the link; ``"prediction"`` of a new observation (of ``weights`` trials or
        precision; those of the fit's own rows, else 1), from the family's quantiles with the coefficients' and the dispersion's uncertainty.

        Offsets written in the formula are read from ``new``; one that was passed as an argument must be passed again.
        A level that the fit has not seen raises; ``unseen="base"`` reads it as the base level, ``"missing"`` as the level of
        missing values, if the model has one.
        """
        chosen("kind", kind, ["response", "link", "terms"])
        if not isinstance(se, (bool, np.bool_)):
            raise SpecificationError(f"`se` is {se!r}; pass True or False.")
        if weights is not None and interval != "prediction":
            raise SpecificationError("`weights` belong to a new observation; pass interval='prediction', or drop them.")
        if new is None and (offset is not None or exposure is not None):
            raise SpecificationError("`offset` and `exposure` go with new data; pass `new`.")
        if se or interval is not None or kind == "terms":
            from etamu.inference.prediction import predict_terms, predict_with

            rows = _predict.training_rows(self) if new is None else _predict.new_rows(self, new, offset, exposure, unseen)
            if kind == "terms":
                return predict_terms(self, rows, se, vcov)
            return predict_with(self, rows, kind, interval, level, vcov, weights)
        if new is None:
            eta = _predict.training_eta(self)
        else:
            eta = _predict.new_eta(self, new, offset, exposure, unseen)
        return eta if kind == "link" else _predict.response(self, eta)

    @cached_property
    def fitted(self) -> Array:
        """Fitted means of the rows of the fit."""
        return np.asarray(self.predict())

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of the formula as they are written; without a formula the columns."""
        from etamu.inference.residuals import partial_columns

        return tuple(partial_columns(self))

    # ---- verbs, each written where it can be read on its own: inference/verbs.py ---------------------------------

    confint = _after.guarded_confint(_verbs.confint)
    test = _after.guarded_test(_verbs.test)
    anova = _after.needs_maximum(_verbs.anova, "an analysis of deviance")
    drop1 = _after.needs_maximum(_verbs.drop1, "an analysis of deviance")
    overdispersion = _after.needs_maximum(_verbs.overdispersion, "the overdispersion test")
    link_test = _after.needs_maximum(_verbs.link_test, "the link test")
    hosmer_lemeshow = _after.needs_maximum(_verbs.hosmer_lemeshow, "the Hosmer-Lemeshow test")
    vuong = _after.needs_maximum(_verbs.vuong, "Vuong's test")
    measures = _verbs.measures
    dispersion_by = _verbs.dispersion_by
    residuals = _after.needs_hat(_verbs.residuals, "residuals")
    influence = _after.needs_hat(_verbs.influence, "influence")
    relaxed = _after.relaxed
    debiased = _after.debiased
    effects = _verbs.effects
    adjusted = _verbs.adjusted
    relativities = _verbs.relativities
    separation = _after.needs_maximum(_verbs.separation, "a certificate of separation")

    # ---- presentation -------------------------------------------------------------------------------------------

    def summary(self, level: float = 0.95, *, vcov: Any = "model", stars: bool = False, fold: int | None = 20) -> Any:
        """The regression table; prints as text, as HTML in a notebook, and has ``to_markdown()`` and ``to_latex()``.

        ``vcov`` is any kind that :meth:`vcov` takes; ``stars`` marks p-values; a term of more than ``fold`` coefficients is cut short
        (None shows all).
        """
        from etamu.present.summary import summarise

        return summarise(self, level, vcov, stars, fold)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary()._repr_html_())

    def save(self, path: Any) -> None:
        """Write the model as JSON: enough to predict and to report, without the data."""
        from etamu.export.json import save

        save(self, path)

    # ---- plumbing -----------------------------------------------------------------------------------------------

    def _number(self, name: str, compute: Any) -> Any:
        return self.known[name] if name in self.known else compute()

    def _estimate(self) -> Estimate:
        if self.estimate is None:
            raise UndefinedStatisticError("this model was loaded from a file and does not carry its data; refit it for that.")
        return self.estimate

    def _problem(self) -> Problem | Streamed:
        if self.problem is None:
            raise UndefinedStatisticError("this model was loaded from a file and does not carry its data; refit it for that.")
        return self.problem

    @property
    def is_multinomial(self) -> bool:
        return isinstance(self.family, Multinomial)


def _whole(x: float) -> float:
    return int(x) if float(x).is_integer() else x
