"""Predictions with their uncertainty: standard errors, confidence intervals of the mean, intervals for a new observation.

    se of eta   sqrt(x' V x)            confidence   g^-1(eta -+ q se)
    new y       quantiles of the mixture of F(y; g^-1(eta + se z), phi) over z ~ N(0, 1) and, where phi is estimated, phi ~ phi^ df / chi2(df)

so that the coefficients' and the dispersion's uncertainty widen the interval; for the normal with identity link it is the exact
t interval.  Reference: Geisser (1993), *Predictive Inference*; Wilson & Hilferty (1931), doi:10.1073/pnas.17.12.684 (nodes for chi2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.columns import Design
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.families.search import invert
from etamu.inference.predict import Rows, response
from etamu.inference.residuals import column_means, partial_columns
from etamu.inference.wald import quantile
from etamu.links import Mean

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Prediction", "predict_terms", "predict_with"]

Array = np.ndarray[Any, Any]
_NUMBERS = 2_000_000
_ETA_NODES, _PHI_NODES = 7, 5
_RELATIVE = 1e-9  # of an interval's end


@dataclass(frozen=True)
class Prediction:
    """Predicted values with standard errors and limits, each of the shape of ``fit``; limits are None where none were asked for."""

    fit: Array
    stderror: Array
    lower: Array | None = None
    upper: Array | None = None
    kind: str = "response"
    interval: str | None = None
    level: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Columns by name (one prediction per row)."""
        columns = {"fit": self.fit, "stderror": self.stderror, "lower": self.lower, "upper": self.upper}
        return {name: values.tolist() for name, values in columns.items() if values is not None}

    def to_pandas(self) -> Any:
        """A pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.to_dict())

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self.to_dict())


def predict_with(fit: Fit, rows: Rows, kind: str, interval: str | None, level: float, vcov: Any, weights: Any) -> Prediction:
    """Predictions of some rows with what is asked for beside them."""
    if interval is not None:
        chosen("interval", interval, ["confidence", "prediction"])
    if interval == "prediction" and kind != "response":
        raise SpecificationError("`interval` 'prediction' is for a new observation, on the response scale; use kind='response'.")
    if not fit.converged:
        raise UndefinedStatisticError(f"standard errors of predictions need a maximum, and this fit ended {fit.status.name}. {fit.status.value}")
    covariance = _of_columns(fit, np.nan_to_num(fit.vcov(vcov)), rows.design.width)
    if fit.class_names is not None:
        return _of_classes(fit, rows, kind, interval, level, covariance)
    eta = rows.eta
    stderror = np.sqrt(_forms(rows.design, covariance))
    q = quantile(level, fit._df)
    if kind == "link":
        low, high = (None, None) if interval is None else (eta - q * stderror, eta + q * stderror)
        return Prediction(eta, stderror, low, high, kind, interval, level)
    with np.errstate(all="ignore"):
        mean = Mean(fit.link, eta)
        mu, own = np.asarray(mean.mu), np.asarray(stderror * np.abs(mean.dmu))
        if interval is None:
            return Prediction(mu, own, None, None, kind, interval, level)
        if interval == "confidence":
            ends = _sorted(*(_mean_at(fit, eta + side * q * stderror) for side in (-1, 1)))
        else:
            ends = _new_observation(fit, eta, stderror, level, _weights(rows.weights if weights is None else weights, len(eta)))
    return Prediction(mu, own, *ends, kind, interval, level)


def _of_columns(fit: Fit, covariance: Array, width: int) -> Array:
    """The covariance of the columns that the rows have: all, or those that are not aliased."""
    if width == len(fit.names):
        return covariance
    kept = np.asarray(fit._estimate().kept)
    index = np.concatenate([kept + a * len(fit.names) for a in range(len(covariance) // len(fit.names))])
    return np.asarray(covariance[np.ix_(index, index)])


def _weights(weights: Any, rows: int) -> Array:
    try:
        w = np.ones(rows) if weights is None else np.broadcast_to(np.asarray(weights, dtype=float), (rows,))
    except (TypeError, ValueError):
        raise SpecificationError(f"`weights` must be one positive number, or one for each of the {rows} new observations.") from None
    if not (np.isfinite(w).all() and (w > 0).all()):
        raise SpecificationError("`weights` of new observations must be positive: numbers of trials, exposures or precisions.")
    return np.array(w)


def _mean_at(fit: Fit, eta: Array) -> Array:
    """g^-1(eta), with eta kept inside the link's domain."""
    low, high = fit.link.domain
    inside = np.clip(eta, np.nextafter(low, math.inf) if math.isfinite(low) else low, np.nextafter(high, -math.inf) if math.isfinite(high) else high)
    return np.asarray(fit.link.mu(inside))


def _sorted(a: Array, b: Array) -> tuple[Array, Array]:
    return np.minimum(a, b), np.maximum(a, b)


def _forms(design: Design, covariance: Array) -> Array:
    """The form x' V x of each row."""
    out = np.empty(design.rows)
    step = max(64, _NUMBERS // max(design.width, 1))
    for a in range(0, design.rows, step):
        rows = slice(a, min(a + step, design.rows))
        x = design.block(rows)
        out[rows] = np.einsum("ij,ij->i", x @ covariance, x)
    return np.maximum(out, 0.0)


def _new_observation(fit: Fit, eta: Array, stderror: Array, level: float, w: Array) -> tuple[Array, Array]:
    family, phi = fit.family, fit.dispersion
    if not (math.isfinite(phi) and phi > 0):
        raise UndefinedStatisticError("the dispersion is 0 or not defined, as the fit leaves no residual, so a new observation has no interval.")
    if family.name == "inverse_gaussian":  # whose deviance is phi chi2(df), Pearson's sum much more variable
        phi = fit.deviance / fit.df_residual if fit.df_residual > 0 else math.nan
    if family.name == "gaussian" and fit.link.name == "identity":
        half = quantile(level, fit._df) * np.sqrt(phi / w + stderror**2)
        return eta - half, eta + half
    nodes, shares = _eta_nodes()
    phis, parts = _phi_nodes(phi, fit._df)
    mus = [_mean_at(fit, eta + stderror * z) for z in nodes]

    def tails(y: Array) -> tuple[Array, Array, Array]:
        total = [np.zeros(len(eta)) for _ in range(3)]
        for mu, share in zip(mus, shares, strict=True):
            for one, part in zip(phis, parts, strict=True):
                for k, tail in enumerate(family.tails(y, mu, w, one)):
                    total[k] += share * part * tail
        return total[0], total[1], total[2]

    if not math.isfinite(family.support.low):
        return _on_the_line(tails, eta, fit, stderror, level, w)
    step = 1.0 / w if family.lattice and family.name != "negative_binomial" else np.ones(len(eta)) if family.lattice else None
    ends = []
    for u in ((1 - level) / 2, (1 + level) / 2):
        near = family.quantile(np.full(len(eta), u), _mean_at(fit, eta), w, phi)  # of the mean as if it were known
        ends.append(invert(tails, np.full(len(eta), u), np.maximum(near, 1e-3 * _mean_at(fit, eta)), family.support.high, step, _RELATIVE))
    return ends[0], ends[1]


def _on_the_line(tails: Any, eta: Array, fit: Fit, stderror: Array, level: float, w: Array) -> tuple[Array, Array]:
    """Quantiles of a response on the whole line: those of y less a bound that lies far below."""
    mu = _mean_at(fit, eta)
    slope = np.abs(Mean(fit.link, eta).dmu)
    far = 60 * np.sqrt(fit.dispersion / w) + 60 * stderror * np.maximum(slope, 1e-300)
    base = np.minimum(mu - far, _mean_at(fit, eta - 12 * stderror) - far)
    ends = (
        invert(lambda y: tails(y + base), np.full(len(eta), u), mu - base, math.inf, None, 1e-3 * _RELATIVE) + base for u in ((1 - level) / 2, (1 + level) / 2)
    )
    low, high = ends
    return low, high


def _eta_nodes() -> tuple[Array, Array]:
    x, w = np.polynomial.hermite_e.hermegauss(_ETA_NODES)
    return x, w / w.sum()


def _phi_nodes(phi: float, df: float | None) -> tuple[Array, Array]:
    """The dispersion's values and their shares: one where it is known."""
    if df is None:
        return np.array([phi]), np.ones(1)
    if not df > 0 or not math.isfinite(phi):
        raise UndefinedStatisticError("the dispersion is not defined (no residual degrees of freedom), so a new observation has no interval.")
    z, w = np.polynomial.hermite_e.hermegauss(_PHI_NODES)
    spread = 2 / (9 * df)
    return phi / np.maximum(1 - spread + z * math.sqrt(spread), 0.05) ** 3, w / w.sum()


def _of_classes(fit: Fit, rows: Rows, kind: str, interval: str | None, level: float, covariance: Array) -> Prediction:
    """Class probabilities by the delta method; limits on the logit scale."""
    if interval == "prediction":
        raise UndefinedStatisticError("a new observation of a multinomial response is a class; its distribution is `predict(new)` itself.")
    eta, x = rows.eta, rows.design
    reported, p = eta.shape[1], x.width
    blocks = covariance.reshape(reported, p, reported, p)
    spread = np.empty((x.rows, reported, reported))
    step = max(64, _NUMBERS // max(p, 1))
    for a in range(0, x.rows, step):
        part = slice(a, min(a + step, x.rows))
        block = x.block(part)
        for i in range(reported):
            for j in range(reported):
                spread[part, i, j] = np.einsum("ij,ij->i", block @ blocks[i, :, j], block)
    q = quantile(level, None)
    if kind == "link":
        own = np.sqrt(np.maximum(np.einsum("nii->ni", spread), 0.0))
        low, high = (None, None) if interval is None else (eta - q * own, eta + q * own)
        return Prediction(eta, own, low, high, kind, interval, level)
    mu = response(fit, eta)
    slots = _slots(fit, reported, mu.shape[1])
    jacobian = -mu[:, :, None] * mu[:, None, slots]
    jacobian[:, slots, np.arange(reported)] += mu[:, slots]
    own = np.sqrt(np.maximum(np.einsum("nki,nij,nkj->nk", jacobian, spread, jacobian), 0.0))
    if interval is None:
        return Prediction(mu, own, None, None, kind, interval, level)
    with np.errstate(all="ignore"):
        logit, half = np.log(mu) - np.log1p(-mu), q * own / (mu * (1 - mu))
    ends = (1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half))))
    return Prediction(mu, own, *ends, kind, interval, level)


def _slots(fit: Fit, reported: int, classes: int) -> Array:
    """The class of each reported predictor."""
    if reported == classes:
        return np.arange(classes)
    levels = [str(level) for level in fit.response_levels or ()]
    return np.array([levels.index(name) for name in fit.class_names or ()])


def predict_terms(fit: Fit, rows: Rows, with_se: bool, vcov: Any) -> Array | Prediction:
    """Each term's share of eta less its mean over the rows of the fit, (rows, terms), in the order of ``fit.terms``."""
    if fit.class_names is not None:
        raise UndefinedStatisticError("contributions of terms are for one equation; a multinomial fit has one predictor per class.")
    columns, beta = partial_columns(fit), np.nan_to_num(fit.coef)
    means = column_means(fit) if fit.intercept else np.zeros(len(fit.names))
    covariance = np.nan_to_num(fit.vcov(vcov)) if with_se else None
    shares, spread = np.empty((rows.design.rows, len(columns))), np.empty((rows.design.rows, len(columns)))
    step = max(64, _NUMBERS // max(len(fit.names), 1))
    for a in range(0, rows.design.rows, step):
        part = slice(a, min(a + step, rows.design.rows))
        x = _whole(fit, rows.design.block(part)) - means
        for k, own in enumerate(map(list, columns.values())):
            shares[part, k] = x[:, own] @ beta[own]
            if covariance is not None:
                spread[part, k] = np.einsum("ij,ij->i", x[:, own] @ covariance[np.ix_(own, own)], x[:, own])
    return shares if covariance is None else Prediction(shares, np.sqrt(np.maximum(spread, 0.0)), kind="terms")


def _whole(fit: Fit, x: Array) -> Array:
    """A block of the kept columns as one of all, aliased ones 0."""
    if x.shape[1] == len(fit.names):
        return x
    out = np.zeros((len(x), len(fit.names)))
    out[:, list(fit._estimate().kept)] = x
    return out
