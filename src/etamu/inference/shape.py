"""Shape parameters estimated with the coefficients: theta of the negative binomial, the power of a Tweedie, the dispersion.

    theta   root of sum w [psi(theta + y) - psi(theta) + log theta + 1 - log(theta + mu) - (y + theta)/(theta + mu)], in turn with beta
    power   maximum of the profile log-likelihood max over beta and phi, beta depending on the power through the weights only
    phi     root of sum w d = sum w a'(-w/phi), a the normaliser of the density (gaussian, gamma, inverse Gaussian); else by search

References: Venables & Ripley (2002), 7.4; Dunn & Smyth (2005), doi:10.1007/s11222-005-4070-y; Jorgensen (1997).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.families import Family
from etamu.families.negative_binomial import NegativeBinomial
from etamu.families.tweedie import Tweedie
from etamu.inference.bias import normaliser
from etamu.inference.refit import again
from etamu.inference.wald import quantile
from etamu.solvers.base import Control
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Found", "Shape", "dispersion_by", "fit_shape", "loglik_at"]

Array = np.ndarray[Any, Any]
_LARGEST = 1e7  # theta beyond which counts vary no more than Poisson ones
_POWERS = (1.005, 1.995)


@dataclass(frozen=True)
class Shape:
    """An estimated shape parameter.

    ``profile(value)`` is the log-likelihood at its maximum over everything else; :meth:`confint` follows it.

    Examples
    --------
    >>> import etamu as em
    >>> data = em.datasets.make_negative_binomial(500, shape=2.0, seed=1)
    >>> fit = em.fit(data.X, data.y, family=em.families.NegativeBinomial(theta=None))
    >>> fit.shape.name, fit.shape.stderror < 0.5
    ('theta', True)
    """

    name: str
    estimate: float
    stderror: float
    loglik: float
    profile: Callable[[float], float] = field(repr=False, compare=False)
    bounds: tuple[float, float] = field(default=(0.0, math.inf), repr=False)

    def confint(self, level: float = 0.95, method: str = "profile") -> tuple[float, float]:
        """Lower and upper limit: "profile" (likelihood ratio) or "wald"."""
        chosen("method", method, ["profile", "wald"])
        q = quantile(level, None)
        if method == "wald":
            return self.estimate - q * self.stderror, self.estimate + q * self.stderror
        return self._limit(-1, q), self._limit(1, q)

    def _limit(self, side: int, q: float) -> float:
        from scipy.optimize import brentq

        def beyond(value: float) -> float:
            return 2 * (self.loglik - self.profile(value)) - q * q

        low, high = self.bounds
        inside, step = self.estimate, q * self.stderror
        for _ in range(60):
            far = min(inside + step, 0.5 * (inside + high)) if side > 0 else max(inside - step, 0.5 * (inside + low))
            if beyond(far) > 0:
                return float(brentq(beyond, min(inside, far), max(inside, far), xtol=1e-10 * max(1.0, abs(far)), rtol=1e-10))
            inside, step = far, 2 * step
            if abs(inside - (high if side > 0 else low)) < 1e-6 or inside > _LARGEST:
                break
        return high if side > 0 else low


@dataclass(frozen=True)
class Found:
    """The family with its estimated parameter, the coefficients to begin from, and what is known of the parameter."""

    family: Family
    gamma: Array
    shape: Shape
    dispersion: float | None = None


def fit_shape(problem: Problem | Streamed, gamma: Array, control: Control) -> Found:
    """Estimate the shape of the problem's family, starting at coefficients on the fit's scale."""
    if isinstance(problem.family, NegativeBinomial):
        return _negative_binomial(problem, gamma, control)
    if isinstance(problem.family, Tweedie):
        return _tweedie(problem, gamma, control)
    raise SpecificationError(f"family {problem.family.name!r} has no shape parameter that is estimated.")


def _sum(problem: Problem | Streamed, gamma: Array, of: Callable[[Array, Array, Array], tuple[Array, ...]], control: Control) -> list[float]:
    """Sums over the observations of functions of (y, mu, w), w the prior weight of one; rows without weight add nothing."""

    def kernel(part: Problem, rows: slice, eta: Array) -> Array:
        y, w, _ = part.vectors(rows)
        f = np.ones_like(w) if part.frequency is None else np.asarray(part.frequency[rows], dtype=float)
        used = w > 0
        f = f[used]
        with np.errstate(all="ignore"):
            return np.array([[float(np.sum(f * v)) for v in of(y[used], part.link.mu(eta[used]), w[used] / f)]])

    found = open_source(problem, control.threads).map(kernel, gamma)
    return [math.fsum(column) for column in found.T]


# ---- theta --------------------------------------------------------------------------------------------------------


def _theta_terms(theta: float) -> Callable[[Array, Array, Array], tuple[Array, ...]]:
    def of(y: Array, mu: Array, w: Array) -> tuple[Array, ...]:
        from scipy.special import polygamma, psi

        score = psi(theta + y) - psi(theta) + np.log(theta) + 1 - np.log(theta + mu) - (y + theta) / (mu + theta)
        information = -polygamma(1, theta + y) + polygamma(1, theta) - 1 / theta + 2 / (mu + theta) - (y + theta) / (mu + theta) ** 2
        return w * score, w * information

    return of


def _best_theta(problem: Problem | Streamed, gamma: Array, theta: float, control: Control) -> tuple[float, float]:
    """Theta at given means, and its information."""
    for _ in range(100):
        score, information = _sum(problem, gamma, _theta_terms(theta), control)
        step = score / information if information > 0 else math.copysign(theta, score)
        new = theta + step if theta + step > 0.1 * theta else 0.1 * theta
        new = min(new, 10 * theta)
        if abs(new - theta) <= 1e-11 * theta:
            return new, information
        theta = new
        if theta > _LARGEST:
            raise UndefinedStatisticError("`theta` has no finite estimate: the counts vary no more than Poisson ones; fit family='poisson'.")
    return theta, information


def _negative_binomial(problem: Problem | Streamed, gamma: Array, control: Control) -> Found:
    n, moment = _sum(problem, gamma, lambda y, mu, w: (w, w * (y / mu - 1) ** 2), control)
    theta = max(n / max(moment, 1e-300), 1e-3)
    information = math.nan
    for _ in range(200):
        theta_before, gamma_before = theta, gamma
        theta, information = _best_theta(problem, gamma, theta, control)
        gamma = np.asarray(again(problem.change(family=NegativeBinomial(theta)), gamma, control).beta, dtype=float)
        if abs(theta - theta_before) <= 1e-10 * theta and np.abs(gamma - gamma_before).max(initial=0.0) <= 1e-10:
            break
    start = gamma

    def profile(value: float) -> float:
        own = problem.change(family=NegativeBinomial(value))
        return loglik_at(own, np.asarray(again(own, start, control).beta, dtype=float), 1.0, control)

    family = NegativeBinomial(theta)
    loglik = loglik_at(problem.change(family=family), gamma, 1.0, control)
    return Found(family, gamma, Shape("theta", theta, 1 / math.sqrt(information), loglik, profile, (0.0, math.inf)))


def loglik_at(problem: Problem | Streamed, gamma: Array, phi: float, control: Control) -> float:
    """Log-likelihood at given phi, with weights that divide it and frequencies that count."""

    def kernel(part: Problem, rows: slice, eta: Array) -> Array:
        y, w, _ = part.vectors(rows)
        f = np.ones_like(w) if part.frequency is None else np.asarray(part.frequency[rows], dtype=float)
        used = w > 0
        prior = w[used] / f[used]
        with np.errstate(all="ignore"):
            return np.array([float(np.sum(f[used] * part.family.log_density(y[used], part.link.mu(eta[used]), prior, phi)))])

    return math.fsum(open_source(problem, control.threads).map(kernel, gamma))


# ---- power --------------------------------------------------------------------------------------------------------


def _tweedie(problem: Problem | Streamed, gamma: Array, control: Control) -> Found:
    from scipy.optimize import minimize_scalar

    known: dict[float, tuple[float, Array, float]] = {}  # power: log-likelihood, coefficients, phi

    def at(power: float) -> tuple[float, Array, float]:
        if power not in known:
            near = min(known, key=lambda p: abs(p - power), default=None)
            own = problem.change(family=Tweedie(power))
            beta = np.asarray(again(own, gamma if near is None else known[near][1], control).beta, dtype=float)
            phi, loglik = _best_phi(own, beta, None if near is None else known[near][2], control)
            known[power] = (loglik, beta, phi)
        return known[power]

    found = minimize_scalar(lambda p: -at(p)[0], bounds=_POWERS, method="bounded", options={"xatol": 1e-7})
    power = float(found.x)
    if min(power - _POWERS[0], _POWERS[1] - power) < 1e-4:
        raise UndefinedStatisticError(f"`power` has no estimate between 1 and 2 (the search ended at {power:.4g}); y looks like counts or like a gamma.")
    power, stderror = _top(lambda p: at(p)[0], power)
    loglik, beta, phi = at(power)
    return Found(Tweedie(power), beta, Shape("power", power, stderror, loglik, lambda p: at(p)[0], (1.0, 2.0)), phi)


def _top(f: Callable[[float], float], x: float) -> tuple[float, float]:
    """A maximum polished by a parabola, and 1 / sqrt of its curvature."""
    h = 2e-3 * min(x - 1, 2 - x)
    for _ in range(2):
        low, mid, high = f(x - h), f(x), f(x + h)
        curvature = (low - 2 * mid + high) / h**2
        if not curvature < 0:
            return x, math.nan
        x -= (high - low) / (2 * h) / curvature
    return x, 1 / math.sqrt(-curvature)


def _best_phi(problem: Problem | Streamed, gamma: Array, near: float | None, control: Control) -> tuple[float, float]:
    """Phi of the largest log-likelihood at given means, and that."""
    from scipy.optimize import minimize_scalar

    if near is None:
        sums = open_source(problem, control.threads).sum(Request(gamma, 1))
        near = sums.pearson / sums.n
    middle = math.log(near)
    found = minimize_scalar(lambda t: -loglik_at(problem, gamma, math.exp(t), control), bracket=(middle - 0.05, middle + 0.05), method="brent", tol=1e-6)
    return math.exp(float(found.x)), -float(found.fun)


# ---- dispersion ---------------------------------------------------------------------------------------------------


def dispersion_by(fit: Fit, method: str) -> float:
    """Dispersion by Pearson's sum, by the deviance (both over the residual degrees of freedom), or by maximum likelihood."""
    chosen("method", method, ["pearson", "deviance", "ml"])
    if method != "ml":
        total = fit.pearson if method == "pearson" else fit.deviance
        return total / fit.df_residual if fit.df_residual > 0 else math.nan
    if not fit.family.likelihood:
        raise UndefinedStatisticError(f"family {fit.family.name!r} is a quasi-likelihood, so its dispersion has no maximum-likelihood estimate; use 'pearson'.")
    e, problem, control = fit._estimate(), fit._problem(), fit.control
    if fit.family.name not in ("gaussian", "gamma", "inverse_gaussian"):
        if fit.family.dispersion_known:
            return 1.0
        return _best_phi(problem, e.gamma, fit.dispersion, control)[0]
    phi = fit.deviance / fit.nobs
    if not phi > 0:
        return 0.0  # every row is fitted exactly
    for _ in range(100):
        first, second = _sum(problem, e.gamma, _phi_terms(fit.family, phi), control)
        gradient, information = (fit.deviance - first) / (2 * phi**2), second / (2 * phi**4)
        step = gradient / information
        new = min(max(phi + step, 0.1 * phi), 10 * phi)
        if abs(new - phi) <= 1e-13 * phi:
            return new
        phi = new
    return phi


def _phi_terms(family: Family, phi: float) -> Callable[[Array, Array, Array], tuple[Array, ...]]:
    def of(y: Array, mu: Array, w: Array) -> tuple[Array, ...]:
        first, second, _ = normaliser(family, -w / phi)
        return w * first, w**2 * second

    return of
