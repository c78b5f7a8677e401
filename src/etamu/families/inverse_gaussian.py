"""The inverse Gaussian distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.families.base import POSITIVE
from etamu.families.power import PowerFamily
from etamu.links import Array, Mean

__all__ = ["InverseGaussian"]


@dataclass(frozen=True, repr=False)
class InverseGaussian(PowerFamily):
    """Skewed positive amounts: V(mu) = mu^3, A(theta) = -sqrt(-2 theta), theta = -1/(2 mu^2), d = (y - mu)^2/(y mu^2).

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.InverseGaussian().unit_deviance(np.array([2.0]), np.array([1.0]))
    array([0.5])
    """

    name = "inverse_gaussian"
    support = mean_space = POSITIVE
    canonical = default_link = "inverse_squared"
    kernel = "inverse_gaussian"

    def exponent(self) -> float:
        return 3.0

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return ((y - mu) / mu) ** 2 / y

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return (y * np.exp(-mean.log_mu) - 1.0) ** 2 / y

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        return np.asarray(-0.5 * w * (self.unit_deviance(y, mu) / phi + math.log(2 * math.pi * phi) + 3 * np.log(y)))

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """Phi(a) + exp(2 l/mu) Phi(-b), with both terms as multiples of exp(-a^2/2): b^2 - a^2 = 4 l/mu."""
        from scipy.special import erfcx, ndtr

        root = np.sqrt(np.asarray(w) / (phi * y))
        a, b = root * (y / mu - 1.0), root * (y / mu + 1.0)
        edge = 0.5 * np.exp(-0.5 * a * a)
        second = edge * erfcx(b / math.sqrt(2.0))
        above = np.where(a > 0, edge * erfcx(np.abs(a) / math.sqrt(2.0)) - second, ndtr(-a) - second)
        below = ndtr(a) + second
        return np.where(y > 0, below, 0.0), np.zeros_like(below), np.where(y > 0, above, 1.0)

    def log_partition(self, theta: Array) -> Array:
        return -np.sqrt(-2.0 * theta)

    def mean(self, theta: Array) -> Array:
        return 1.0 / np.sqrt(-2.0 * theta)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        return np.asarray(rng.wald(mu, np.asarray(w) / phi))

    def starting_mean(self, y: Array, w: Array) -> Array:
        return y
