"""The normal distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.families.base import REAL, Family
from etamu.links import Array

__all__ = ["Gaussian"]


@dataclass(frozen=True, repr=False)
class Gaussian(Family):
    """Normal errors: V(mu) = 1, A(theta) = theta^2/2, d(y, mu) = (y - mu)^2.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Gaussian().unit_deviance(np.array([3.0]), np.array([1.0]))
    array([4.])
    """

    name = "gaussian"
    support = mean_space = REAL
    canonical = default_link = "identity"
    kernel = "gaussian"

    def variance(self, mu: Array) -> Array:
        return np.ones_like(mu)

    def variance_derivative(self, mu: Array) -> Array:
        return np.zeros_like(mu)

    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return (y - mu) ** 2

    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        return -0.5 * (w * (y - mu) ** 2 / phi + math.log(2 * math.pi * phi) - np.log(w))

    def likelihood_dispersion(self, deviance: float, n: int, sum_weight: float) -> float:
        return deviance / n  # R divides by the number of rows here and by the weights elsewhere

    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        from scipy.special import ndtr

        z = (y - mu) * np.sqrt(w / phi)
        return ndtr(z), np.zeros_like(z), ndtr(-z)

    def quantile(self, u: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import ndtri

        return np.asarray(mu + ndtri(u) * np.sqrt(phi / w))

    def normalised(self, y: Array, mu: Array) -> Array:
        return y - mu

    def log_partition(self, theta: Array) -> Array:
        return 0.5 * theta**2

    def mean(self, theta: Array) -> Array:
        return np.array(theta, dtype=float)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        return np.asarray(rng.normal(mu, np.sqrt(phi / w)))

    def starting_mean(self, y: Array, w: Array) -> Array:
        return y
