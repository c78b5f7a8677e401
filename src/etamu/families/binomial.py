"""The binomial distribution, of proportions with a number of trials as weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.families.base import UNIT, UNIT_OPEN, Family
from etamu.families.power import poisson_half_deviance
from etamu.links import Array, Mean

__all__ = ["Binomial"]


def _times(factor: Array, term: Array) -> Array:
    """Factor * term, and 0 where the factor is 0 even if the term is infinite."""
    return np.where(factor == 0, 0.0, factor * term)


@dataclass(frozen=True, repr=False)
class Binomial(Family):
    """Successes out of w trials: y is the proportion, V(mu) = mu(1 - mu), A(theta) = log(1 + exp(theta)).

    All row terms are written in log mu, log(1 - mu), mu'/mu and mu'/(1 - mu), which the link gives in eta space;
    so a probability that rounds to 0 or 1 loses nothing.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Binomial().variance(np.array([0.25]))
    array([0.1875])
    """

    name = "binomial"
    support = UNIT
    mean_space = UNIT_OPEN
    canonical = default_link = "logit"
    dispersion_known = True
    kernel = "binomial"
    lattice = True

    def variance(self, mu: Array) -> Array:
        return mu * (1.0 - mu)

    def variance_derivative(self, mu: Array) -> Array:
        return 1.0 - 2.0 * mu

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        lost = poisson_half_deviance(y, mu, np.log(mu))
        return 2.0 * (lost + poisson_half_deviance(1.0 - y, 1.0 - mu, np.log1p(-mu)))

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        from scipy.special import gammaln, xlog1py, xlogy

        choose = gammaln(w + 1) - gammaln(w * y + 1) - gammaln(w * (1 - y) + 1)
        return np.asarray(choose + xlogy(w * y, mu) + xlog1py(w * (1 - y), -mu))

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """W y is the number of successes in w trials."""
        from scipy.special import betainc

        k, n = np.asarray(w * y), np.asarray(w, dtype=float)
        below = np.where(k > 0, betainc(n - k + 1, np.maximum(k, 1e-300), 1 - mu), 0.0)
        above = np.where(k < n, betainc(k + 1, np.maximum(n - k, 1e-300), mu), 0.0)
        return below, np.exp(self.log_density(y, mu, w, phi)), above

    @np.errstate(all="ignore")
    def normalised(self, y: Array, mu: Array) -> Array:
        """The integral of (t(1 - t))^(-1/3) is an incomplete beta function (Cox & Snell 1968)."""
        from scipy.special import beta, betainc

        whole = beta(2 / 3, 2 / 3)
        return np.asarray(whole * (betainc(2 / 3, 2 / 3, y) - betainc(2 / 3, 2 / 3, mu)) * (mu * (1 - mu)) ** (-1 / 6))

    def log_partition(self, theta: Array) -> Array:
        return np.maximum(theta, 0.0) + np.log1p(np.exp(-np.abs(theta)))

    def mean(self, theta: Array) -> Array:
        e = np.exp(-np.abs(theta))
        return np.where(theta >= 0, 1.0, e) / (1.0 + e)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        trials = np.asarray(w).astype(np.int64)
        return rng.binomial(trials, mu) / np.maximum(trials, 1)

    def starting_mean(self, y: Array, w: Array) -> Array:
        return (w * y + 0.5) / (w + 1.0)

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        z = 1.0 - y
        inside = (y > 0) & (y < 1)
        near = np.abs(y - mean.mu) < 0.1 * np.minimum(y, z)
        direct = _times(y, np.log(y) - mean.log_mu) + _times(z, np.log(z) - mean.log_complement)
        stable = poisson_half_deviance(y, mean.mu, mean.log_mu) + poisson_half_deviance(z, mean.complement, mean.log_complement)
        return 2.0 * np.where(inside & near, stable, direct)

    def score_at(self, y: Array, mean: Mean) -> Array:
        return _times(y, mean.dlog_mu) - _times(1.0 - y, mean.dlog_complement)

    def score_factor(self, mean: Mean) -> Array:
        return mean.dlog_mu + mean.dlog_complement  # 1/(mu(1-mu)) = 1/mu + 1/(1-mu)

    def information_weight(self, mean: Mean) -> Array:
        return mean.dlog_mu * mean.dlog_complement

    def observed_weight(self, y: Array, mean: Mean) -> Array:
        return _times(y, mean.dlog_mu * mean.bend) + _times(1.0 - y, mean.dlog_complement * mean.bend_complement)

    def variance_slope(self, mean: Mean) -> Array:
        return mean.dlog_mu - mean.dlog_complement

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        odds = np.exp(mean.log_complement - mean.log_mu)
        general = (y - mean.mu) ** 2 / (mean.mu * mean.complement)
        return np.where(y == 1, odds, np.where(y == 0, 1.0 / odds, general))
