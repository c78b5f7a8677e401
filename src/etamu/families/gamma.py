"""The gamma distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.families.base import POSITIVE
from etamu.families.power import PowerFamily, gamma_half_deviance
from etamu.links import Array, Mean

__all__ = ["Gamma"]


@dataclass(frozen=True, repr=False)
class Gamma(PowerFamily):
    """Positive amounts of constant coefficient of variation: V(mu) = mu^2, A(theta) = -log(-theta), theta = -1/mu.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Gamma().unit_deviance(np.array([2.0]), np.array([2.0]))
    array([0.])
    """

    name = "gamma"
    support = mean_space = POSITIVE
    canonical = default_link = "inverse"
    kernel = "gamma"

    def exponent(self) -> float:
        return 2.0

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return 2.0 * gamma_half_deviance(y, y / mu, np.log(mu))

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return 2.0 * gamma_half_deviance(y, y * np.exp(-mean.log_mu), mean.log_mu)

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        return (y * np.exp(-mean.log_mu) - 1.0) ** 2

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import gammaln

        k = 1.0 / phi
        return np.asarray(w * ((k - 1) * np.log(y) - k * y / mu + k * np.log(k / mu) - gammaln(k)))

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        from scipy.special import gammainc, gammaincc

        k = np.asarray(w) / phi
        below = np.asarray(gammainc(k, np.maximum(k * y / mu, 0.0)))
        return below, np.zeros_like(below), gammaincc(k, np.maximum(k * y / mu, 0.0))

    def quantile(self, u: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import gammaincinv

        k = np.asarray(w) / phi
        return np.asarray(gammaincinv(k, u) * mu / k)

    def log_partition(self, theta: Array) -> Array:
        return -np.log(-theta)

    def mean(self, theta: Array) -> Array:
        return -1.0 / theta

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        return np.asarray(rng.gamma(np.asarray(w) / phi, mu * phi / w))

    def starting_mean(self, y: Array, w: Array) -> Array:
        return y
