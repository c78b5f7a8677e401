"""The negative binomial distribution with its shape theta given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError
from etamu.families.base import NONNEGATIVE, POSITIVE, Family
from etamu.families.power import atanh_tail, poisson_half_deviance
from etamu.links import Array, Link, Mean

__all__ = ["NegativeBinomial"]


@dataclass(frozen=True, repr=False)
class NegativeBinomial(Family):
    """Overdispersed counts: V(mu) = mu + mu^2/theta (MASS's parametrisation; theta -> infinity is Poisson).

    The dispersion is 1: theta already says how much counts vary beyond Poisson.  R's ``summary`` of a ``glm`` with MASS's
    ``negative.binomial(theta)`` scales standard errors by sqrt(pearson / df) on top of that, because ``summary.glm`` knows
    only the Poisson and binomial families by name; MASS's own ``summary`` of ``glm.nb`` does not, and neither does this.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.NegativeBinomial(theta=2.0).variance(np.array([4.0]))
    array([12.])
    """

    theta: float | None = 1.0

    name = "negative_binomial"
    support = NONNEGATIVE
    mean_space = POSITIVE
    default_link = "log"
    canonical = "nb"
    dispersion_known = True
    kernel = "negative_binomial"
    lattice = True

    def __post_init__(self) -> None:
        if self.theta is not None and not (math.isfinite(self.theta) and self.theta > 0):
            raise SpecificationError(f"`theta` is {self.theta}; pass a positive number (a large theta approaches Poisson), or None to estimate it.")

    def __repr__(self) -> str:
        return "negative_binomial" if self.theta is None else f"negative_binomial({self.theta:g})"

    @property
    def unknown_shape(self) -> bool:
        return self.theta is None

    def with_shape(self) -> NegativeBinomial:
        return NegativeBinomial(1.0)

    @property
    def parameter(self) -> float:  # type: ignore[override]
        return self._k

    @property
    def _k(self) -> float:
        if self.theta is None:
            raise SpecificationError("`theta` is not known before the fit; ask the family of the fit, `fit.family`.")
        return self.theta

    def variance(self, mu: Array) -> Array:
        return mu + mu * mu / self._k

    def variance_derivative(self, mu: Array) -> Array:
        return 1.0 + 2.0 * mu / self._k

    @np.errstate(all="ignore")
    def _half_deviance(self, y: Array, mu: Array, log_mu: Array) -> Array:
        k = self._k
        v = (y - mu) / (y + mu + 2.0 * k)
        stable = poisson_half_deviance(y, mu, log_mu) - ((y - mu) * v + 2.0 * (y + k) * v**3 * atanh_tail(v))
        near = np.abs(y - mu) < 0.1 * (y + mu)
        u = log_mu - math.log(k)  # log(1 + mu/k) must survive a mean that overflows, and a k that dwarfs it
        grown = np.where(u > 30.0, u, np.log1p(mu / k))
        far = y * (np.log(y) - log_mu) - (y + k) * (np.log1p(y / k) - grown)
        return np.where(y == 0, k * grown, np.where(near, stable, far))

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return 2.0 * self._half_deviance(y, mu, np.log(mu))

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return 2.0 * self._half_deviance(y, mean.mu, mean.log_mu)

    def _shrink(self, mean: Mean) -> Array:
        return 1.0 / (1.0 + mean.mu / self._k)  # mu / V

    def score_factor(self, mean: Mean) -> Array:
        return mean.dlog_mu * self._shrink(mean)

    def score_at(self, y: Array, mean: Mean) -> Array:
        """mu'/mu (y s - mu s) with s = mu/V; mu s = 1/(1/mu + 1/theta) stays finite when mu overflows."""
        return mean.dlog_mu * (y * self._shrink(mean) - 1.0 / (np.exp(-mean.log_mu) + 1.0 / self._k))

    def information_weight(self, mean: Mean) -> Array:
        return mean.dlog_mu**2 / (np.exp(-mean.log_mu) + 1.0 / self._k)

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        """(y - mu)^2/V; above mean 1 as (y/mu - 1)^2 / (1/mu + 1/theta), which does not overflow."""
        inverse = np.exp(-mean.log_mu)
        large = (y * inverse - 1.0) ** 2 / (inverse + 1.0 / self._k)
        return np.where(mean.log_mu > 0, large, (y - mean.mu) ** 2 / self.variance(mean.mu))

    def variance_slope(self, mean: Mean) -> Array:
        return mean.dlog_mu * (1.0 + 1.0 / (1.0 + self._k * np.exp(-mean.log_mu)))

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import betaln, xlogy

        k = self._k
        choose = np.where(y > 0, -np.log(np.where(y > 0, y, 1.0)) - betaln(np.where(y > 0, y, 1.0), k), 0.0)
        return np.asarray(w * (choose + xlogy(y, mu / (mu + k)) - k * np.log1p(mu / k)))

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """Of one count; weights do not change its distribution."""
        from scipy.special import betainc

        k, y = self._k, np.asarray(y, dtype=float)
        share = k / (k + mu)
        below = np.where(y > 0, betainc(k, np.maximum(y, 1e-300), share), 0.0)
        return below, np.exp(self.log_density(y, mu, np.ones_like(mu), phi)), betainc(y + 1, k, mu / (k + mu))

    def quantile(self, u: Array, mu: Array, w: Array, phi: float) -> Array:
        return super().quantile(u, mu, np.ones_like(mu), phi)

    def log_partition(self, theta: Array) -> Array:
        return -self._k * np.log(-np.expm1(theta))

    def mean(self, theta: Array) -> Array:
        return self._k / np.expm1(-theta)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        return np.asarray(rng.poisson(rng.gamma(self._k, np.asarray(mu) / self._k)), dtype=float)

    def starting_mean(self, y: Array, w: Array) -> Array:
        return np.asarray(y + (y == 0) / 6.0)

    def canonical_link(self) -> Link:
        """Eta = log(mu / (mu + theta)), defined on eta < 0."""
        k = self._k
        return Link(
            "nb",
            eta=lambda mu: -np.log1p(k / mu),
            mu=lambda eta: k / np.expm1(-eta),
            dmu=lambda eta: k / np.expm1(-eta) / -np.expm1(eta),
            curvature=lambda eta: -1.0 / np.tanh(0.5 * eta),
            domain=(-math.inf, 0.0),
        )
