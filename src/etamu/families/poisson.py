"""The Poisson distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.families.base import NONNEGATIVE, POSITIVE
from etamu.families.power import PowerFamily, poisson_half_deviance
from etamu.links import Array, Mean

__all__ = ["Poisson"]


@dataclass(frozen=True, repr=False)
class Poisson(PowerFamily):
    """Counts: V(mu) = mu, A(theta) = exp(theta), d(y, mu) = 2(y log(y/mu) - (y - mu)).

    y need not be whole (a claim frequency with exposure as weight is not); its log-density then uses the gamma function.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Poisson().unit_deviance(np.array([0.0, 2.0]), np.array([1.5, 2.0]))
    array([3., 0.])
    """

    name = "poisson"
    support = NONNEGATIVE
    mean_space = POSITIVE
    canonical = default_link = "log"
    dispersion_known = True
    kernel = "poisson"
    lattice = True

    def exponent(self) -> float:
        return 1.0

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return 2.0 * poisson_half_deviance(y, mu, np.log(mu))

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return 2.0 * poisson_half_deviance(y, mean.mu, mean.log_mu)

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import gammaln, xlogy

        return np.asarray(w * (xlogy(y, mu) - mu - gammaln(y + 1)))

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """W y is a Poisson count of mean w mu."""
        from scipy.special import gammainc, gammaincc, gammaln, xlogy

        k, m = np.asarray(w * y), np.asarray(w * mu)
        at = np.exp(xlogy(k, m) - m - gammaln(k + 1))
        return np.where(k > 0, gammaincc(np.maximum(k, 1e-300), m), 0.0), at, gammainc(k + 1, m)

    def log_partition(self, theta: Array) -> Array:
        return np.exp(theta)

    def mean(self, theta: Array) -> Array:
        return np.exp(theta)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        return rng.poisson(np.asarray(w) * mu) / w

    def starting_mean(self, y: Array, w: Array) -> Array:
        return y + 0.1
