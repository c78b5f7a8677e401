"""Links: how the mean mu and the linear predictor eta turn into each other.

A :class:`Link` is a record of functions.  From eta come, together and without cancellation, everything a family
needs in the tails: mu, 1 - mu, their logarithms, mu'(eta), mu'/mu, mu'/(1 - mu) and mu''/mu'.  Only ``eta``,
``mu`` and ``dmu`` must be given; the rest has defaults that are right wherever mu itself has not rounded to 0 or 1.

Adding a link: write its functions here and add one line to :data:`LINKS`.

Reference: McCullagh & Nelder, *Generalized Linear Models*, 2nd ed. (1989), sections 2.2 and 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from etamu.errors import SpecificationError, unknown

__all__ = ["LINKS", "Link", "Mean", "power", "resolve_link"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[[Array], Array]
quiet = np.errstate(all="ignore")


@dataclass(frozen=True)
class Link:
    """A link function g with eta = g(mu), and its inverse with derivatives.

    Parameters
    ----------
    name : the name that tables, summaries and model files show.
    eta : g, from mu to eta.
    mu : the inverse of g, from eta to mu.
    dmu : mu'(eta).
    curvature : mu''(eta) / mu'(eta); by central differences of ``dmu`` when absent.
    complement, log_mu, log_complement, dlog_mu, dlog_complement :
        1 - mu, log mu, log(1 - mu), mu'/mu, mu'/(1 - mu) as functions of eta, where they can be had more exactly than from mu.
    bend, bend_complement : mu'/mu - mu''/mu' and mu'/(1 - mu) + mu''/mu', the curvatures of -log mu and -log(1 - mu) over
        their slopes, where the difference would cancel.
    domain : open interval of admissible eta.
    parameter : the number in ``power(k)``.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> half = em.Link("half", eta=lambda mu: 2 * mu, mu=lambda eta: eta / 2, dmu=lambda eta: np.full_like(eta, 0.5))
    >>> half.mu(np.array([3.0]))
    array([1.5])
    """

    name: str
    eta: Function
    mu: Function
    dmu: Function
    curvature: Function | None = None
    complement: Function | None = None
    log_mu: Function | None = None
    log_complement: Function | None = None
    dlog_mu: Function | None = None
    dlog_complement: Function | None = None
    bend: Function | None = None
    bend_complement: Function | None = None
    domain: tuple[float, float] = (-math.inf, math.inf)
    parameter: float | None = None

    def __repr__(self) -> str:
        return self.name


class Mean:
    """What a link says of a vector eta, each part computed once when it is asked for."""

    def __init__(self, link: Link, eta: Array) -> None:
        self.link, self.eta = link, eta

    @cached_property
    def mu(self) -> Array:
        low, high = self.link.domain
        mu = self.link.mu(self.eta)
        return mu if math.isinf(low) and math.isinf(high) else np.where((self.eta > low) & (self.eta < high), mu, np.nan)

    @cached_property
    def dmu(self) -> Array:
        return self.link.dmu(self.eta)

    @cached_property
    def curvature(self) -> Array:
        if self.link.curvature is not None:
            return self.link.curvature(self.eta)
        h = 6e-6 * np.maximum(1.0, np.abs(self.eta))
        return (self.link.dmu(self.eta + h) - self.link.dmu(self.eta - h)) / (2 * h * self.dmu)

    @cached_property
    def complement(self) -> Array:
        return self.link.complement(self.eta) if self.link.complement else 1.0 - self.mu

    @cached_property
    def log_mu(self) -> Array:
        return self.link.log_mu(self.eta) if self.link.log_mu else np.log(self.mu)

    @cached_property
    def log_complement(self) -> Array:
        return self.link.log_complement(self.eta) if self.link.log_complement else np.log1p(-self.mu)

    @cached_property
    def dlog_mu(self) -> Array:
        return self.link.dlog_mu(self.eta) if self.link.dlog_mu else self.dmu / self.mu

    @cached_property
    def dlog_complement(self) -> Array:
        return self.link.dlog_complement(self.eta) if self.link.dlog_complement else self.dmu / self.complement

    @cached_property
    def bend(self) -> Array:
        return self.link.bend(self.eta) if self.link.bend else self.dlog_mu - self.curvature

    @cached_property
    def bend_complement(self) -> Array:
        return self.link.bend_complement(self.eta) if self.link.bend_complement else self.dlog_complement + self.curvature


# ---- identity, log, inverse, powers -----------------------------------------------------------------------------


def _copy(x: Array) -> Array:
    return np.array(x, dtype=float)


def _one(x: Array) -> Array:
    return np.ones_like(x, dtype=float)


def _zero(x: Array) -> Array:
    return np.zeros_like(x, dtype=float)


def _neg_expm1(eta: Array) -> Array:
    return -np.expm1(eta)


def _log1mexp_neg(eta: Array) -> Array:
    """log(1 - exp(eta)) for eta < 0 (Maechler 2012)."""
    return np.where(eta > -math.log(2), np.log(-np.expm1(eta)), np.log1p(-np.exp(eta)))


def _log_dlog_complement(eta: Array) -> Array:
    return np.exp(eta) / -np.expm1(eta)


def _reciprocal(x: Array) -> Array:
    return 1.0 / x


def _power_eta(k: float, mu: Array) -> Array:
    return np.power(mu, k)


def _power_mu(k: float, eta: Array) -> Array:
    return np.power(eta, 1.0 / k)


def _power_dmu(k: float, eta: Array) -> Array:
    return np.power(eta, 1.0 / k) / (k * eta)


def _power_curvature(k: float, eta: Array) -> Array:
    return (1.0 / k - 1.0) / eta


def _power_log_mu(k: float, eta: Array) -> Array:
    return np.log(eta) / k


def _power_dlog_mu(k: float, eta: Array) -> Array:
    return 1.0 / (k * eta)


def _inverse_dmu(eta: Array) -> Array:
    return -1.0 / eta**2


def _inverse_curvature(eta: Array) -> Array:
    return -2.0 / eta


def _inverse_dlog_mu(eta: Array) -> Array:
    return -1.0 / eta


def power(k: float) -> Link:
    """The power link eta = mu^k on mu > 0; ``power(0)`` is the log link and ``power(1)`` the identity, as in R.

    >>> import etamu as em
    >>> em.links.power(0.5)
    power(0.5)
    """
    if k == 0:
        return LOG
    if k == 1:
        return IDENTITY
    if not math.isfinite(k):
        raise SpecificationError(f"`power` got k={k}; k must be a finite number.")
    return _power_link(f"power({k:g})" if float(f"{k:g}") == k else f"power({k!r})", float(k))


def is_power(link: Link) -> bool:
    """Whether a link is one that :func:`power` makes."""
    return isinstance(link.mu, partial) and link.mu.func is _power_mu and link.parameter is not None


def _power_link(name: str, k: float) -> Link:
    return Link(
        name,
        eta=partial(_power_eta, k),
        mu=partial(_power_mu, k),
        dmu=partial(_power_dmu, k),
        curvature=partial(_power_curvature, k),
        log_mu=partial(_power_log_mu, k),
        dlog_mu=partial(_power_dlog_mu, k),
        domain=(0.0, math.inf),
        parameter=k,
    )


# ---- logit ------------------------------------------------------------------------------------------------------


def _logit(mu: Array) -> Array:
    return np.log(mu) - np.log1p(-mu)


def _sigmoid(eta: Array) -> Array:
    e = np.exp(-np.abs(eta))
    return np.where(eta >= 0, 1.0, e) / (1.0 + e)


def _sigmoid_complement(eta: Array) -> Array:
    return _sigmoid(-eta)


def _sigmoid_derivative(eta: Array) -> Array:
    e = np.exp(-np.abs(eta))
    s = 1.0 / (1.0 + e)
    return e * s * s


def _sigmoid_curvature(eta: Array) -> Array:
    return -np.tanh(0.5 * eta)


def _log_sigmoid(eta: Array) -> Array:
    return np.minimum(eta, 0.0) - np.log1p(np.exp(-np.abs(eta)))


def _log_sigmoid_complement(eta: Array) -> Array:
    return _log_sigmoid(-eta)


# ---- probit -----------------------------------------------------------------------------------------------------


def _probit(mu: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(mu))


def _normal_cdf(eta: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(eta))


def _normal_cdf_complement(eta: Array) -> Array:
    return _normal_cdf(-eta)


def _normal_pdf(eta: Array) -> Array:
    return np.exp(-0.5 * eta * eta) / math.sqrt(2 * math.pi)


def _log_normal_cdf(eta: Array) -> Array:
    """Log Phi(eta); the lower tail as log(erfcx(z)/2) - z^2, which never underflows."""
    from scipy.special import erfcx, ndtr

    lower = np.minimum(eta, 0.0)
    tail = np.log(0.5 * erfcx(-lower / math.sqrt(2))) - 0.5 * lower * lower
    return np.asarray(np.where(eta < 0, tail, np.log1p(-ndtr(-np.abs(eta)))))


def _log_normal_cdf_complement(eta: Array) -> Array:
    return _log_normal_cdf(-eta)


def _normal_hazard(eta: Array) -> Array:
    """phi(eta) / Phi(eta), the inverse Mills ratio."""
    from scipy.special import erfcx, ndtr

    lower = np.minimum(eta, 0.0)
    tail = math.sqrt(2 / math.pi) / erfcx(-lower / math.sqrt(2))
    return np.asarray(np.where(eta < 0, tail, _normal_pdf(eta) / ndtr(np.abs(eta))))


def _normal_hazard_complement(eta: Array) -> Array:
    return _normal_hazard(-eta)


def _negative(eta: Array) -> Array:
    return -eta


# ---- complementary log-log and its mirror -----------------------------------------------------------------------


def _cloglog(mu: Array) -> Array:
    return np.log(-np.log1p(-mu))


def _cloglog_mu(eta: Array) -> Array:
    return -np.expm1(-np.exp(eta))


def _cloglog_complement(eta: Array) -> Array:
    return np.exp(-np.exp(eta))


def _cloglog_dmu(eta: Array) -> Array:
    t = np.exp(np.minimum(eta, 7.0))  # exp(-exp(7)) is 0 already
    return t * np.exp(-t)


def _cloglog_log_mu(eta: Array) -> Array:
    t = np.exp(eta)
    return np.where(eta < -690.0, eta, np.where(t < math.log(2), np.log(-np.expm1(-t)), np.log1p(-np.exp(-t))))


def _cloglog_log_complement(eta: Array) -> Array:
    return -np.exp(eta)


def _cloglog_dlog_mu(eta: Array) -> Array:
    t = np.exp(np.minimum(eta, 7.0))
    return np.where(eta < -690.0, 1.0, t / np.expm1(t))


def _cloglog_bend(eta: Array) -> Array:
    """t/expm1(t) - 1 + t, by its series for small t = exp(eta)."""
    t = np.exp(eta)
    small = t * (0.5 + t * (1.0 / 12.0 - t * t / 720.0))
    return np.where(t < 0.01, small, _cloglog_dlog_mu(eta) - 1.0 + t)


def _cloglog_curvature(eta: Array) -> Array:
    return 1.0 - np.exp(eta)


def _mirrored(f: Function) -> Function:
    return partial(_at_minus, f)


def _at_minus(f: Function, eta: Array) -> Array:
    return f(-eta)


def _loglog(mu: Array) -> Array:
    return -np.log(-np.log(mu))


def _loglog_curvature(eta: Array) -> Array:
    return np.exp(-eta) - 1.0


# ---- cauchit ----------------------------------------------------------------------------------------------------


def _cauchit(mu: Array) -> Array:
    return np.where(mu < 0.25, -1.0 / np.tan(np.pi * mu), np.where(mu > 0.75, 1.0 / np.tan(np.pi * (1 - mu)), np.tan(np.pi * (mu - 0.5))))


def _cauchy_tail(eta: Array) -> Array:
    """P(X > |eta|) of a Cauchy variable."""
    return np.arctan2(1.0, np.abs(eta)) / np.pi


def _cauchy_cdf(eta: Array) -> Array:
    tail = _cauchy_tail(eta)
    return np.where(eta < 0, tail, 1.0 - tail)


def _cauchy_pdf(eta: Array) -> Array:
    return 1.0 / (np.pi * (1.0 + eta * eta))


def _log_cauchy_cdf(eta: Array) -> Array:
    tail = _cauchy_tail(eta)
    return np.where(eta < 0, np.log(tail), np.log1p(-tail))


def _cauchy_curvature(eta: Array) -> Array:
    return -2.0 * eta / (1.0 + eta * eta)


def _not_elementwise(eta: Array) -> Array:
    raise SpecificationError("`link` 'softmax' maps rows of predictors, not single numbers; use it with family='multinomial'.")


# ---- the table --------------------------------------------------------------------------------------------------

IDENTITY = Link("identity", _copy, _copy, _one, _zero)
LOG = Link(
    "log",
    np.log,
    np.exp,
    np.exp,
    _one,
    complement=_neg_expm1,
    log_mu=_copy,
    log_complement=_log1mexp_neg,
    dlog_mu=_one,
    dlog_complement=_log_dlog_complement,
)
LOGIT = Link(
    "logit",
    _logit,
    _sigmoid,
    _sigmoid_derivative,
    _sigmoid_curvature,
    _sigmoid_complement,
    _log_sigmoid,
    _log_sigmoid_complement,
    _sigmoid_complement,
    _sigmoid,
    bend=_sigmoid,
    bend_complement=_sigmoid_complement,
)
PROBIT = Link(
    "probit",
    _probit,
    _normal_cdf,
    _normal_pdf,
    _negative,
    _normal_cdf_complement,
    _log_normal_cdf,
    _log_normal_cdf_complement,
    _normal_hazard,
    _normal_hazard_complement,
)
CLOGLOG = Link(
    "cloglog",
    _cloglog,
    _cloglog_mu,
    _cloglog_dmu,
    _cloglog_curvature,
    _cloglog_complement,
    _cloglog_log_mu,
    _cloglog_log_complement,
    _cloglog_dlog_mu,
    np.exp,
    bend=_cloglog_bend,
    bend_complement=_one,
)
LOGLOG = Link(
    "loglog",
    _loglog,
    _mirrored(_cloglog_complement),
    _mirrored(_cloglog_dmu),
    _loglog_curvature,
    _mirrored(_cloglog_mu),
    _mirrored(_cloglog_log_complement),
    _mirrored(_cloglog_log_mu),
    _mirrored(np.exp),
    _mirrored(_cloglog_dlog_mu),
    bend=_one,
    bend_complement=_mirrored(_cloglog_bend),
)
CAUCHIT = Link("cauchit", _cauchit, _cauchy_cdf, _cauchy_pdf, _cauchy_curvature, _mirrored(_cauchy_cdf), _log_cauchy_cdf, _mirrored(_log_cauchy_cdf))
INVERSE = Link("inverse", _reciprocal, _reciprocal, _inverse_dmu, _inverse_curvature, dlog_mu=_inverse_dlog_mu)
INVERSE_SQUARED = _power_link("inverse_squared", -2.0)
SQRT = _power_link("sqrt", 0.5)
SOFTMAX = Link("softmax", _not_elementwise, _not_elementwise, _not_elementwise)

LINKS: dict[str, Link] = {link.name: link for link in (IDENTITY, LOG, LOGIT, PROBIT, CLOGLOG, LOGLOG, CAUCHIT, INVERSE, INVERSE_SQUARED, SQRT, SOFTMAX)}


def resolve_link(link: str | Link) -> Link:
    """The Link a name stands for (``"power(0.5)"`` included), or the object itself."""
    if isinstance(link, Link):
        return link
    if not isinstance(link, str):
        raise SpecificationError(f"`link` is a {type(link).__name__}; pass a name or an em.Link.")
    if link in LINKS:
        return LINKS[link]
    if link.startswith("power(") and link.endswith(")"):
        try:
            return power(float(link[6:-1]))
        except ValueError:
            pass
    raise unknown("link", link, [*LINKS, "power(k)"])
