"""What the families with V(mu) = mu^p share: their row terms are exponentials of log mu.

Under the log link mu'/V = mu^(1-p), which exp((1-p) eta) gives even where mu itself has left the range of doubles.
"""

from __future__ import annotations

import numpy as np

from etamu.families.base import Family
from etamu.links import Array, Mean

__all__ = ["PowerFamily", "atanh_tail", "gamma_half_deviance", "poisson_half_deviance"]

_ODD = 1.0 / np.arange(3, 17, 2)  # 1/3, 1/5, ... of atanh


def atanh_tail(v: Array) -> Array:
    """(atanh(v) - v) / v^3 for |v| < 0.1, by its series."""
    return np.asarray(np.polynomial.polynomial.polyval(v * v, _ODD))


@np.errstate(all="ignore")
def poisson_half_deviance(y: Array, mu: Array, log_mu: Array) -> Array:
    """Y log(y/mu) - (y - mu), without cancellation near y = mu (Loader 2000, the `bd0` function)."""
    v = (y - mu) / (y + mu)
    near = (y - mu) * v + 2.0 * y * v**3 * atanh_tail(v)
    far = y * (np.log(y) - log_mu) - (y - mu)
    return np.where(y == 0, mu, np.where(np.abs(v) < 0.1, near, far))


@np.errstate(all="ignore")
def gamma_half_deviance(y: Array, ratio: Array, log_mu: Array) -> Array:
    """(y - mu)/mu - log(y/mu) with ratio = y/mu, without cancellation near y = mu."""
    v = (ratio - 1.0) / (ratio + 1.0)
    near = 2.0 * v * v / (1.0 - v) - 2.0 * v**3 * atanh_tail(v)
    far = (ratio - 1.0) - (np.log(y) - log_mu)
    return np.where(np.abs(v) < 0.1, near, far)


class PowerFamily(Family):
    """V(mu) = mu^p; the exponent is :meth:`exponent`."""

    def exponent(self) -> float:
        return self.parameter

    def variance(self, mu: Array) -> Array:
        return np.power(mu, self.exponent())

    def variance_derivative(self, mu: Array) -> Array:
        return self.exponent() * np.power(mu, self.exponent() - 1.0)

    @np.errstate(all="ignore")
    def normalised(self, y: Array, mu: Array) -> Array:
        p = self.exponent()
        if p == 3.0:
            return np.asarray(np.log(y / mu) / np.sqrt(mu))
        k = 1.0 - p / 3.0
        return np.asarray((np.power(y, k) - np.power(mu, k)) / k * np.power(mu, -p / 6.0))

    def score_factor(self, mean: Mean) -> Array:
        return mean.dlog_mu * np.exp((1.0 - self.exponent()) * mean.log_mu)

    def score_at(self, y: Array, mean: Mean) -> Array:
        """Mu' y mu^-p - mu' mu^(1-p), each product formed as one exponential."""
        p = self.exponent()
        return mean.dlog_mu * (y * np.exp((1.0 - p) * mean.log_mu) - np.exp((2.0 - p) * mean.log_mu))

    def information_weight(self, mean: Mean) -> Array:
        return mean.dlog_mu**2 * np.exp((2.0 - self.exponent()) * mean.log_mu)

    def variance_slope(self, mean: Mean) -> Array:
        return self.exponent() * mean.dlog_mu

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        p = self.exponent()
        half = np.exp(-0.5 * p * mean.log_mu)
        apart = y * half - np.exp((1.0 - 0.5 * p) * mean.log_mu)  # where mu itself leaves the range of doubles
        root = np.where(np.abs(mean.log_mu) > 300.0, apart, (y - mean.mu) * half)
        return np.where(y == 0, np.exp((2.0 - p) * mean.log_mu), root**2)
