"""What smoothing parameters are chosen by: the marginal likelihood (REML), generalised cross-validation, or an estimate of risk (UBRE).

    reml   (D + b'Sb)/(2 phi) - l_s(phi) + (log|H + S| - log|S|_+)/2 - M/2 log(2 pi phi)      Laplace's approximation, phi at its best
    gcv    n D / (n - tau)^2                  where phi is estimated
    ubre   D/n + 2 tau phi/n - phi            where it is known

D the deviance, H the observed information, M the coefficients without penalty, tau = tr (H + S)^-1 H of the information that is reported.
The search sees ``value``, which is on the scale of a log-likelihood for all of them; ``score`` is what is reported, as mgcv's.

References: Wood (2011), J. R. Statist. Soc. B 73, doi:10.1111/j.1467-9868.2010.00749.x; Craven & Wahba (1979), Numer. Math. 31,
doi:10.1007/BF01404567.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.covariance import Scaling
from etamu.inference.saturated import Saturated, saturated, saturated_loglik
from etamu.inference.smoothed import At, Task

__all__ = ["Gcv", "Reml"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reml:
    """The negative log marginal likelihood; ``first`` is a fit to begin from, n the number of observations."""

    task: Task
    first: At
    n: float

    @cached_property
    def ranks(self) -> Array:
        return np.array([block.rank for block in self.task.blocks], dtype=float)

    @cached_property
    def known(self) -> bool:
        return self.task.problem.family.dispersion_known

    @cached_property
    def likelihood(self) -> Saturated:
        return saturated(self.task.problem, self.first.beta, self.n, self._guess(self.first), self.task.control)

    def _guess(self, at: At) -> float:
        left = self.n - self.task.unpenalised
        total = at.sums.deviance + float(at.bending.sum())
        if not (left > 0 and total > 0):
            raise UndefinedStatisticError(
                f"REML needs a residual: {self.n:g} observations for {self.task.unpenalised} unpenalised coefficients leave a deviance of {total:.3g}; "
                "take a smaller model, or smoothing='gcv'."
            )
        return total / left

    def phi(self, at: At) -> float:
        """The best dispersion at a fit."""
        if self.known:
            return 1.0
        total, free = at.sums.deviance + float(at.bending.sum()), self.task.unpenalised
        log_phi = math.log(self._guess(at))
        for _ in range(100):
            _, slope, bend = self.likelihood.at(log_phi)
            half = 0.5 * total * math.exp(-log_phi)
            gradient, curvature = -half - slope - 0.5 * free, half - bend
            step = -gradient / curvature if curvature > 0 else -math.copysign(1.0, gradient)
            step = min(max(step, -1.0), 1.0)
            log_phi += step
            if abs(step) <= 1e-12:
                break
        return math.exp(log_phi)

    def value(self, at: At) -> float:
        """The criterion up to constants of the data."""
        phi = self.phi(at)
        total = at.sums.deviance + float(at.bending.sum())
        likelihood = 0.0 if self.known else self.likelihood.at(math.log(phi))[0]
        log_ratio = at.log_determinant - float(self.ranks @ at.rho)
        return 0.5 * (total / phi + log_ratio - self.task.unpenalised * math.log(phi)) - likelihood

    def slope(self, at: At) -> Array:
        """Its derivatives with respect to log lambda; phi moves too, but at its best that changes nothing."""
        out = at.bending / (2 * self.phi(at)) + 0.5 * (at.shares - self.ranks)
        for j, moved in enumerate(at.moved("observed")):
            if moved is not None:
                out[j] += 0.5 * float((at.inverse * moved).sum())
        return np.asarray(out)

    def score(self, at: At, scaling: Scaling) -> float:
        """The criterion itself, in the user's units."""
        phi, free = self.phi(at), self.task.unpenalised
        units = 0.0 if scaling.scale is None else -2 * float(np.log(scaling.scale).sum())
        total = at.sums.deviance + float(at.bending.sum())
        log_ratio = at.log_determinant + units - float(self.ranks @ at.rho)
        likelihood = saturated_loglik(self.task.problem, at.beta, at.sums.deviance, self.n, phi, self.task.control)
        return 0.5 * (total / phi + log_ratio - free * math.log(2 * math.pi * phi)) - likelihood


@dataclass(frozen=True)
class Gcv:
    """Generalised cross-validation, or UBRE where the dispersion is known to be 1."""

    task: Task
    n: float

    @property
    def known(self) -> bool:
        return self.task.problem.family.dispersion_known

    def value(self, at: At) -> float:
        """N/2 log GCV, or n/2 UBRE."""
        if at.reported is None:
            return math.inf
        tau, deviance = float((at.reported * at.expected).sum()), at.sums.deviance
        if self.known:
            return 0.5 * deviance + tau
        left = self.n - tau
        return 0.5 * self.n * math.log(max(deviance, 1e-300)) - self.n * math.log(left) if left > 0 else math.inf

    def slope(self, at: At) -> Array:
        """Its derivatives with respect to log lambda."""
        inverse, information = at.reported, at.expected
        assert inverse is not None
        hat = inverse @ information
        twice = hat @ inverse
        pull = self.task.penalty(at.rho) * at.beta
        out = np.empty(len(self.task.blocks))
        falls = -2 * at.directions @ pull
        for j, (block, moved) in enumerate(zip(self.task.blocks, at.moved(self.task.control.information), strict=True)):
            changed = np.zeros_like(information) if moved is None else moved
            tau = float((inverse * changed).sum()) - float((twice * changed).sum())
            own = math.exp(at.rho[j]) * block.diagonal
            tau -= float(own @ np.diagonal(twice)[block.columns])
            out[j] = self._together(at, falls[j], tau, float(np.trace(hat)))
        return out

    def _together(self, at: At, falls: float, tau: float, total: float) -> float:
        if self.known:
            return 0.5 * falls + tau
        return 0.5 * self.n * falls / max(at.sums.deviance, 1e-300) + self.n * tau / (self.n - total)

    def score(self, at: At, scaling: Scaling) -> float:
        """GCV or UBRE, per observation; no unit of a column changes it."""
        assert at.reported is not None
        tau, deviance = float((at.reported * at.expected).sum()), at.sums.deviance
        return deviance / self.n + 2 * tau / self.n - 1.0 if self.known else self.n * deviance / (self.n - tau) ** 2
