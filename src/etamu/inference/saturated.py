"""The log-likelihood of the saturated model as a function of log phi, which a marginal likelihood needs where phi is estimated.

    gaussian, inverse Gaussian, quasi   -n/2 log phi            gamma   sum f [k log k - k - log Gamma(k)],  k = w/phi

up to constants of the data (of a quasi-likelihood: the extended one).  Any other density is read off at the fit, where the log-density
plus w d/(2 phi) is what it is at mu = y, and interpolated.

References: Nelder & Pregibon (1987), Biometrika 74, doi:10.1093/biomet/74.2.221; Wood (2011), doi:10.1111/j.1467-9868.2010.00749.x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.shape import loglik_at
from etamu.solvers.base import Control
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request

__all__ = ["Saturated", "saturated", "saturated_loglik"]

Array = np.ndarray[Any, Any]
_NODES = 24
_NORMAL = ("gaussian", "inverse_gaussian")  # families whose log-density is -log(phi)/2 less a deviance
_HALF = 2.0  # of the interval of log phi that is interpolated


class Saturated(Protocol):
    """Value, slope and curvature in log phi."""

    def at(self, log_phi: float) -> tuple[float, float, float]:
        """All three."""
        ...


@dataclass(frozen=True)
class _Normal:
    """-n/2 log phi."""

    n: float

    def at(self, log_phi: float) -> tuple[float, float, float]:
        return -0.5 * self.n * log_phi, -0.5 * self.n, 0.0


@dataclass(frozen=True)
class _Gamma:
    """The gamma's, of distinct prior weights and how many observations have each."""

    weight: Array
    count: Array

    def at(self, log_phi: float) -> tuple[float, float, float]:
        from scipy.special import gammaln, polygamma, psi

        k = self.weight * math.exp(-log_phi)
        gap = np.log(k) - psi(k)
        value = self.count @ (k * np.log(k) - k - gammaln(k))
        return float(value), float(-self.count @ (k * gap)), float(self.count @ (k * gap + k - k * k * polygamma(1, k)))


@dataclass(frozen=True)
class _Interpolated:
    """Of any density, from its sum over the rows at some phi around a first one."""

    problem: Problem | Streamed
    beta: Array
    control: Control
    centre: float

    @cached_property
    def polynomial(self) -> Any:
        from numpy.polynomial import Chebyshev

        deviance = open_source(self.problem, self.control.threads).sum(Request(self.beta, 0)).deviance

        def values(t: Array) -> Array:
            return np.array([loglik_at(self.problem, self.beta, math.exp(v), self.control) + 0.5 * deviance * math.exp(-v) for v in t])

        return Chebyshev.interpolate(values, _NODES, domain=[self.centre - _HALF, self.centre + _HALF])

    def at(self, log_phi: float) -> tuple[float, float, float]:
        if abs(log_phi - self.centre) > _HALF:
            return _Interpolated(self.problem, self.beta, self.control, log_phi).at(log_phi)
        p = self.polynomial
        return float(p(log_phi)), float(p.deriv()(log_phi)), float(p.deriv(2)(log_phi))


def saturated(problem: Problem | Streamed, beta: Array, n: float, phi: float, control: Control) -> Saturated:
    """The saturated log-likelihood of a problem whose dispersion is estimated, near a first phi."""
    if problem.family.name == "gamma":
        return _of_weights(problem)
    if problem.family.name in _NORMAL or not _has_density(problem, beta, phi, control):
        return _Normal(n)
    return _Interpolated(problem, beta, control, math.log(phi))


def _has_density(problem: Problem | Streamed, beta: Array, phi: float, control: Control) -> bool:
    if not problem.family.likelihood:
        return False
    try:
        return math.isfinite(loglik_at(problem, beta, phi, control))
    except UndefinedStatisticError:
        return False


def _parts(problem: Problem | Streamed) -> Iterator[tuple[Array, Array, Array]]:
    """Response, prior weight of one observation and frequency of the rows that count."""
    for part in problem.batches():
        w = np.ones(part.rows) if part.weight is None else np.asarray(part.weight, dtype=float)
        f = np.ones(part.rows) if part.frequency is None else np.asarray(part.frequency, dtype=float)
        used = w > 0
        yield np.asarray(part.y, dtype=float)[used], w[used] / f[used], f[used]


def _of_weights(problem: Problem | Streamed) -> _Gamma:
    counted: dict[float, float] = {}
    for _, w, f in _parts(problem):
        own, place = np.unique(w, return_inverse=True)
        for weight, count in zip(own.tolist(), np.bincount(place, weights=f, minlength=len(own)).tolist(), strict=True):
            counted[weight] = counted.get(weight, 0.0) + count
    return _Gamma(np.array(list(counted)), np.array(list(counted.values())))


def saturated_loglik(problem: Problem | Streamed, beta: Array, deviance: float, n: float, phi: float, control: Control) -> float:
    """The whole of it at one phi, constants of the data and all, as mgcv has them; nan where there is no density to tell it."""
    name = problem.family.name
    if problem.family.dispersion_known or (name not in (*_NORMAL, "gamma") and problem.family.likelihood):
        return loglik_at(problem, beta, phi, control) + 0.5 * deviance / phi if _has_density(problem, beta, phi, control) else math.nan
    sizes = [(float(f @ np.log(w)), float(f @ np.log(y)) if name in ("gamma", "inverse_gaussian") else 0.0) for y, w, f in _parts(problem)]
    log_w, log_y = (math.fsum(column) for column in zip(*sizes, strict=True))
    if name == "gamma":
        return _of_weights(problem).at(math.log(phi))[0] - log_y
    two_pi = math.log(2 * math.pi) if name in _NORMAL else 0.0
    return -0.5 * n * (two_pi + math.log(phi)) + 0.5 * log_w - (1.5 * log_y if name == "inverse_gaussian" else 0.0)
