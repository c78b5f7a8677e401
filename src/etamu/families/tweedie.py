"""The Tweedie distributions: V(mu) = mu^power, with a point mass at zero for 1 < power < 2."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError
from etamu.families.base import NONNEGATIVE, POSITIVE, Interval
from etamu.families.power import PowerFamily
from etamu.links import Array, Mean

__all__ = ["Tweedie"]

_SERIES_TERMS = 12
_TERMS = 64  # of a sum over numbers of claims that are held at a time


def _small_log_ratio(a: float, u: Array) -> Array:
    """(expm1(a u) - a expm1(u)) / (a (a - 1)) for small u: sum over k of u^k (1 + a + ... + a^(k-2)) / k!."""
    partial, power, factorial = 1.0, 1.0, 2.0
    coefficients = []
    for k in range(_SERIES_TERMS):
        coefficients.append(partial / factorial)
        power *= a
        partial += power
        factorial *= k + 3
    return np.asarray(u * u * np.polynomial.polynomial.polyval(u, coefficients))


@dataclass(frozen=True, repr=False)
class Tweedie(PowerFamily):
    """Compound Poisson-gamma amounts (1 < power < 2): exact zeros beside positive amounts, V(mu) = mu^power.

    Powers 2 and above (positive y) are accepted too; 0, 1, 2 and 3 are the gaussian, Poisson, gamma and inverse
    Gaussian families under their own names.  The density for 1 < power < 2 is the infinite series of Dunn & Smyth
    (2005, Statistics and Computing 15, doi:10.1007/s11222-005-4070-y), summed around its largest term until the rest
    is below 1e-16 of it.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Tweedie(1.5).unit_deviance(np.array([0.0]), np.array([4.0]))
    array([8.])
    """

    power: float | None = 1.5

    name = "tweedie"
    mean_space = POSITIVE
    default_link = "log"
    kernel = "tweedie"

    def __post_init__(self) -> None:
        if self.power is not None and not (math.isfinite(self.power) and self.power > 1):
            raise SpecificationError(f"`power` is {self.power}; a Tweedie power lies above 1 (gaussian is 0, poisson 1); None estimates it.")

    def __repr__(self) -> str:
        return "tweedie" if self.power is None else f"tweedie({self.power:g})"

    @property
    def unknown_shape(self) -> bool:
        return self.power is None

    def with_shape(self) -> Tweedie:
        return Tweedie(1.5)

    @property
    def _p(self) -> float:
        if self.power is None:
            raise SpecificationError("`power` is not known before the fit; ask the family of the fit, `fit.family`.")
        return self.power

    @property
    def parameter(self) -> float:  # type: ignore[override]
        return self._p

    @property
    def support(self) -> Interval:  # type: ignore[override]
        return NONNEGATIVE if self._p < 2 else POSITIVE

    @property
    def canonical(self) -> str:  # type: ignore[override]
        return f"power({1 - self._p!r})"

    @property
    def likelihood(self) -> bool:  # type: ignore[override]
        return 1 < self._p <= 2 or self._p == 3

    def exponent(self) -> float:
        return self._p

    @np.errstate(all="ignore")
    def _half_deviance(self, y: Array, mu: Array, log_mu: Array) -> Array:
        p = self._p
        if p == 2.0:
            from etamu.families.power import gamma_half_deviance

            return gamma_half_deviance(y, y * np.exp(-log_mu), log_mu)
        a, q = 2.0 - p, 1.0 - p
        far = np.log(y) - log_mu
        u = np.where(np.abs(far) < 0.5, np.log1p((y - mu) / mu), far)
        scale = np.exp(a * log_mu)
        near = scale * _small_log_ratio(a, u)
        direct = np.exp(a * np.log(y)) / (q * a) - y * np.exp(q * log_mu) / q + scale / a
        return np.where(y == 0, scale / a, np.where(np.abs(u) < 0.3, near, direct))

    @np.errstate(all="ignore")
    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return 2.0 * self._half_deviance(y, mu, np.log(mu))

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return 2.0 * self._half_deviance(y, mean.mu, mean.log_mu)

    @np.errstate(all="ignore")
    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        y, mu, w = np.broadcast_arrays(np.asarray(y, float), mu, w)
        p = self._p
        if p in (2.0, 3.0):
            from etamu.families.gamma import Gamma
            from etamu.families.inverse_gaussian import InverseGaussian

            return (Gamma() if p == 2.0 else InverseGaussian()).log_density(y, mu, w, phi)
        if p > 2:
            raise UndefinedStatisticError(f"the density of tweedie({p:g}) has no series here; use a power in (1, 2], or 3.")
        kappa = mu ** (2 - p) / (2 - p)
        linear = y * mu ** (1 - p) / (1 - p)
        own = phi / np.where(w > 0, w, 1.0)  # a weight divides the dispersion
        out = (linear - kappa) / own
        positive = y > 0
        many = positive & (y ** (2 - p) > 1e7 * phi * (2 - p))  # terms that matter: there the saddlepoint errs by under 1e-8
        out[many] = -0.5 * (np.log(2 * math.pi * own[many]) + p * np.log(y[many]) + self.unit_deviance(y[many], mu[many]) / own[many])
        few = positive & ~many
        out[few] += _log_series(y[few], own[few], p) - np.log(y[few])
        return np.asarray(out)

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        p = self._p
        if p >= 2:
            raise UndefinedStatisticError(f"`sample` of tweedie({p:g}) is not defined; use a power in (1, 2).")
        phi_row = phi / np.asarray(w, float)
        claims = rng.poisson(mu ** (2 - p) / ((2 - p) * phi_row))
        shape = claims * (2 - p) / (p - 1)
        size = phi_row * (p - 1) * mu ** (p - 1)
        return np.where(claims > 0, rng.gamma(np.maximum(shape, 1e-300)) * size, 0.0)

    @np.errstate(all="ignore")
    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """Of a Poisson number of gamma amounts: sum over the number of claims, as many as matter."""
        from scipy.special import gammainc, gammaincc, gammaln, xlogy

        p = self._p
        y, mu, w = np.broadcast_arrays(np.asarray(y, dtype=float), mu, w)
        if p in (2.0, 3.0):
            from etamu.families.gamma import Gamma
            from etamu.families.inverse_gaussian import InverseGaussian

            return (Gamma() if p == 2.0 else InverseGaussian()).tails(y, mu, w, phi)
        if p > 2:
            raise UndefinedStatisticError(f"the distribution function of tweedie({p:g}) has no series here; use a power in (1, 2], or 3.")
        claims, size = mu ** (2 - p) * w / ((2 - p) * phi), phi / w * (p - 1) * mu ** (p - 1)
        none, ratio, alpha = np.exp(-claims), np.maximum(y, 0.0) / size, (2 - p) / (p - 1)
        below, above = np.where(y > 0, none, 0.0), np.where(y < 0, 1.0, 0.0)
        likely = np.maximum(y, 0.0) ** (2 - p) * w / (phi * (2 - p))  # numbers of claims that make y, far out in a tail
        for n in _windows(claims, likely):
            chance = np.exp(xlogy(n, claims) - claims - gammaln(n + 1)) * (n > 0)
            lower = gammainc(np.maximum(n, 1.0) * alpha, ratio)
            upper = np.where(lower < 0.5, 1.0 - lower, gammaincc(np.maximum(n, 1.0) * alpha, ratio))
            below, above = below + (chance * lower).sum(axis=0), above + (chance * upper).sum(axis=0)
        return below, np.where(y == 0, none, 0.0), above

    def log_partition(self, theta: Array) -> Array:
        alpha = (self._p - 2) / (self._p - 1)
        return (alpha - 1) / alpha * (theta / (alpha - 1)) ** alpha

    def mean(self, theta: Array) -> Array:
        alpha = (self._p - 2) / (self._p - 1)
        return np.asarray((theta / (alpha - 1)) ** (alpha - 1))

    def starting_mean(self, y: Array, w: Array) -> Array:
        return np.asarray(y + 0.1 * (y == 0))


def _windows(first: Array, second: Array) -> Iterator[Array]:
    """Whole numbers around two centres of each row, each once and as many as matter, a few at a time; 0 stands for none."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    ends = [(np.floor(c - 7.0 * np.sqrt(c) - 12.0), np.ceil(c + 7.0 * np.sqrt(c) + 12.0)) for c in (low, high)]
    start = np.maximum(ends[0][0], 1.0)
    after = np.maximum(ends[1][0], ends[0][1] + 1)  # what the first window has not
    for begin, end in ((start, ends[0][1]), (after, ends[1][1])):
        count = int(np.maximum(end - begin, 0.0).max(initial=0.0)) + 1
        for a in range(0, count, _TERMS):
            n = begin + np.arange(a, min(a + _TERMS, count)).reshape(-1, *(1,) * begin.ndim)
            yield np.where(n <= end, n, 0.0)


def _log_series(y: Array, phi: Array, p: float) -> Array:
    """Log sum_j W_j(y, phi, p), summed over the window of j that matters; rows go in slabs so memory stays small."""
    from scipy.special import gammaln

    alpha = (2 - p) / (1 - p)
    log_z = -alpha * np.log(y) + alpha * math.log(p - 1) - (1 - alpha) * np.log(phi) - math.log(2 - p)
    top = np.maximum(1.0, np.round(y ** (2 - p) / (phi * (2 - p))))
    # log W_j falls like (1 - alpha)(j - top)^2 / (2 top); 37 nats is 1e-16
    half = np.ceil(np.sqrt(2 * 45.0 * top / (1 - alpha)) + 45.0 / (1 - alpha) + 5)
    out = np.empty_like(y)
    order = np.argsort(half)
    start = 0
    while start < len(y):
        width = int(2 * half[order[start]] + 1)
        stop = start + 1
        budget = max(1, 2_000_000 // width)
        stop = min(len(y), start + budget)
        rows = order[start:stop]
        width = int(2 * half[rows[-1]] + 1)
        first = np.maximum(1.0, top[rows] - half[rows[-1]])
        j = first[:, None] + np.arange(width)
        terms = j * log_z[rows, None] - gammaln(1 + j) - gammaln(-alpha * j)
        peak = terms.max(axis=1)
        out[rows] = peak + np.log(np.exp(terms - peak[:, None]).sum(axis=1))
        start = stop
    return out
