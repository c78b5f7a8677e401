"""A family that is nothing but its log-partition: every function that a fit needs, from A and its slopes.

In theta they are tables of A, A', A'', A'''/A'' and of what vanishes at the two ends (the mean's distance from them, and half the
deviance of an observation there), so that each is right to the last bits where the others have rounded away; in the mean,
tables of theta, the variance and the convex conjugate A*(mu) = theta mu - A(theta).  The unit deviance is Bregman's divergence

    d(y, mu) = 2 (A(theta) - y theta + A*(y)) = 2 D^2 int_0^1 (1 - s) A''(theta_y + s D) ds,    D = theta - theta_y.

Reference: Barndorff-Nielsen (1978), chapter 9; Jorgensen, *The Theory of Dispersion Models* (1997), chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import sympy

from etamu.core import core, cores
from etamu.derivation.conditions import Ends
from etamu.derivation.expression import THETA
from etamu.derivation.inverse import Inverse
from etamu.derivation.mass import Mass
from etamu.derivation.panels import Panels
from etamu.derivation.precise import Precise
from etamu.derivation.simplify import modest
from etamu.errors import UndefinedStatisticError
from etamu.families import FAMILIES
from etamu.families.base import Family, Interval
from etamu.links import Array, Link, Mean

__all__ = ["Derived"]


_AT_ENDS = ("low gap", "high gap", "low loss", "high loss")
_NONE = (np.empty(0), np.empty((0, 0)))


class Derived(Family):
    """The natural exponential family of a log-partition; made by :func:`etamu.derive`, not by hand.

    Parameters
    ----------
    text, parameters : what was typed, and the values of its parameters.
    expression : the log-partition.
    space : the natural parameter space, an open interval of theta.
    ends : the means at its ends, and whether a probability sits there.
    integer : whether y lies on whole numbers.
    dispersion : whether phi is 1 ("known") or estimated.
    """

    def __init__(
        self, text: str, parameters: dict[str, float], expression: sympy.Expr, space: tuple[float, float], ends: Ends, integer: bool, name: str, dispersion: str
    ) -> None:
        self.text, self.parameters, self.expression, self.space, self.ends = text, parameters, expression, space, ends
        self.name = name  # type: ignore[misc]
        self.lattice = integer  # type: ignore[misc]
        self.dispersion = dispersion
        self.dispersion_known = dispersion == "known"  # type: ignore[misc]
        self.likelihood = integer  # type: ignore[misc]
        self.canonical = self.default_link = f"canonical({text})"  # type: ignore[misc]
        low, high = ends.low, ends.high
        self.mean_space = Interval(low.mean, high.mean)  # type: ignore[misc]
        self.support = Interval(  # type: ignore[misc]
            low.mean if low.steep else -math.inf, high.mean if high.steep else math.inf, math.isfinite(low.atom), math.isfinite(high.atom)
        )

    def definition(self) -> dict[str, Any]:
        """What a model file keeps."""
        return {"name": self.name, "log_partition": self.text, "parameters": self.parameters, "dispersion": self.dispersion}

    def __reduce__(self) -> Any:
        return _again, (self.text, self.parameters, self.name, self.dispersion)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Derived) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.text, self.name, self.dispersion))

    # ---- tables -------------------------------------------------------------------------------------------------

    @cached_property
    def _in_theta(self) -> dict[str, Panels]:
        a, low, high = self.expression, self.ends.low, self.ends.high
        first, second, third = (_tidy(sympy.diff(a, THETA, k)) for k in (1, 2, 3))
        found = {"A": a, "mean": first, "variance": second, "curvature": _tidy(third / second)}
        tends = {"A": self._tangent, "mean": lambda x: self._nearest(x).mean}
        for name, end, sign in (("low", low, 1), ("high", high, -1)):
            if math.isfinite(end.mean):
                found[f"{name} gap"] = _tidy(sign * (first - _exact(end.mean)))
            if math.isfinite(end.atom):
                found[f"{name} loss"] = a - _exact(end.mean) * THETA - _exact(end.atom)
        return {name: _tabulated(e, self.space, tends.get(name, lambda x: 0.0)) for name, e in found.items()}

    def _nearest(self, theta: float) -> Any:
        """The end of the natural parameter space on whose side theta lies."""
        low, high = self.space
        middle = 0.0 if math.isinf(low) and math.isinf(high) else low + 1.0 if math.isinf(high) else high - 1.0 if math.isinf(low) else 0.5 * (low + high)
        return self.ends.low if theta < middle else self.ends.high

    def _tangent(self, theta: float) -> float:
        """A far out: the line that it approaches, or infinity."""
        end = self._nearest(theta)
        return end.mean * theta + end.atom if math.isfinite(end.atom) else math.inf

    @cached_property
    def _in_mean(self) -> dict[str, Panels]:
        inverse = Inverse(self.expression, self.space)
        ends = self.mean_space.low, self.mean_space.high
        return {name: Panels(getattr(inverse, name), getattr(inverse, name), *ends) for name in ("theta", "variance", "slope", "conjugate")}

    @cached_property
    def _mass(self) -> Mass:
        return Mass(self.expression, lambda theta: float(Precise([sympy.diff(self.expression, THETA, 2)])(theta)[0]))

    # ---- the distribution ---------------------------------------------------------------------------------------

    def log_partition(self, theta: Array) -> Array:
        return self._in_theta["A"](theta)

    def mean(self, theta: Array) -> Array:
        return np.clip(self._in_theta["mean"](theta), self.mean_space.low, self.mean_space.high)

    def _information(self, theta: Array) -> Array:
        return np.maximum(self._in_theta["variance"](theta), 0.0)

    def _bend(self, theta: Array) -> Array:
        return self._in_theta["curvature"](theta)

    def theta(self, mu: Array) -> Array:
        """The natural parameter of a mean: the inverse of A'."""
        mu = np.asarray(mu, dtype=float)
        theta = self._in_mean["theta"](mu)
        theta = np.where(mu <= self.mean_space.low, self.space[0], theta)
        return np.where(mu >= self.mean_space.high, self.space[1], theta)

    def variance(self, mu: Array) -> Array:
        return self._in_mean["variance"](mu)

    def variance_derivative(self, mu: Array) -> Array:
        return self._in_mean["slope"](mu)

    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return self._deviance(np.asarray(y, dtype=float), self.theta(mu))

    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        """Log-probabilities of whole numbers, from those at the mean that fits y best and the deviance from there."""
        if not self.lattice:
            raise UndefinedStatisticError(
                f"family {self.name!r} has a log-density only where y lies on whole numbers, as its probabilities follow from the log-partition; compare "
                "deviances or dispersions instead."
            )
        y = np.asarray(y, dtype=float)
        if (y != np.round(y)).any():
            raise UndefinedStatisticError(
                f"family {self.name!r} is of whole numbers, and y holds {float(y[y != np.round(y)][0]):g}, to which it gives no probability; so there is no "
                "log-likelihood, AIC or BIC. Deviances and standard errors are as for whole numbers."
            )
        return np.asarray(w * (self._mass(y, self.theta(y)) - 0.5 * self._deviance(y, self.theta(mu))))

    @np.errstate(all="ignore")
    def _deviance(self, y: Array, theta: Array) -> Array:
        """From the tables of A and A*; near the best theta, where they cancel, from the integral of A''."""
        y, theta = (np.ascontiguousarray(v) for v in np.broadcast_arrays(y, theta))
        tables, out = self._in_theta, np.empty(y.shape)
        inner = np.ones(y.shape, dtype=bool)
        for name, end in (("low", self.support.low), ("high", self.support.high)):
            at = y == end
            if math.isfinite(end) and at.any():
                certain = tables.get(f"{name} loss")
                out[at] = np.inf if certain is None else certain(theta[at])
                inner &= ~at
        if not inner.any():
            return 2.0 * out
        whole = bool(inner.all())
        here, there = (y, theta) if whole else (y[inner], theta[inner])
        best = self.theta(here)
        loss = tables["A"](there) - here * there + self._conjugate(here)
        tables["variance"].areas(there, best, loss)
        if whole:
            return 2.0 * loss
        out[inner] = loss
        return 2.0 * out

    def _conjugate(self, y: Array) -> Array:
        """A*(y), the largest value of theta y - A(theta)."""
        out = self._in_mean["conjugate"](y)
        for end, beyond in ((self.ends.low, y <= self.mean_space.low), (self.ends.high, y >= self.mean_space.high)):
            if not end.steep:  # the best theta is the end itself
                out = np.where(beyond, y * end.theta - float(Precise([self.expression])(end.theta)[0]), out)
        return out

    # ---- how a fit uses it --------------------------------------------------------------------------------------

    def starting_mean(self, y: Array, w: Array) -> Array:
        """Between y and the mean of all, inside the mean space."""
        center = float(np.average(y, weights=w))
        mu = 0.75 * y + 0.25 * center
        return np.where(self.mean_space.contains(mu), mu, center)

    def canonical_link(self) -> Link:
        """Eta is theta itself."""
        return Link(
            self.canonical,
            eta=self.theta,
            mu=self.mean,
            dmu=self._information,
            curvature=self._bend,
            log_mu=_nothing,
            log_complement=_nothing,
            domain=self.space,
        )

    def row_terms(self, link: Link, y: Array, eta: Array) -> tuple[Array, Array, Array, Array] | None:
        """All of them from the tables in the core, for the canonical link; None where a panel is still to be made."""
        if core is None or link.name != self.canonical or not (self.ends.low.steep and self.ends.high.steep):
            return None
        out = [np.empty(eta.shape) for _ in range(4)]
        mean, theta = self._in_mean, self._in_theta
        tables = [theta["A"], theta["mean"], theta["variance"], mean["theta"], mean["conjugate"], *(theta.get(name) for name in _AT_ENDS)]
        pairs = [_NONE if t is None else t.made for t in tables]
        ends = [*self.space, self.mean_space.low, self.mean_space.high]
        whole = core.derived_rows(pairs, ends, np.ascontiguousarray(y), np.ascontiguousarray(eta), out, cores())
        return tuple(out) if whole else None  # type: ignore[return-value]

    def _natural(self, mean: Mean) -> Array | None:
        """Theta, where the predictor is theta."""
        return mean.eta if mean.link.name == self.canonical else None

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        theta = self._natural(mean)
        return self.unit_deviance(y, mean.mu) if theta is None else self._deviance(y, theta)

    def score_factor(self, mean: Mean) -> Array:
        return super().score_factor(mean) if self._natural(mean) is None else np.ones_like(mean.eta)

    def information_weight(self, mean: Mean) -> Array:
        return super().information_weight(mean) if self._natural(mean) is None else mean.dmu

    def score_at(self, y: Array, mean: Mean) -> Array:
        """Y - mu, without loss for observations at an end that the mean approaches."""
        theta = self._natural(mean)
        if theta is None:
            return super().score_at(y, mean)
        return self._residual(y, mean.mu, theta)

    def _residual(self, y: Array, mu: Array, theta: Array) -> Array:
        out = y - mu
        for name, end, sign in (("low", self.ends.low.mean, -1.0), ("high", self.ends.high.mean, 1.0)):
            at = y == end
            if math.isfinite(end) and at.any():
                out[at] = sign * self._in_theta[f"{name} gap"](theta[at])
        return np.asarray(out)

    def observed_weight(self, y: Array, mean: Mean) -> Array:
        return super().observed_weight(y, mean) if self._natural(mean) is None else mean.dmu

    def variance_slope(self, mean: Mean) -> Array:
        return super().variance_slope(mean) if self._natural(mean) is None else mean.curvature

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        theta = self._natural(mean)
        return super().pearson_at(y, mean) if theta is None else self._squared(y, mean, theta)

    def _squared(self, y: Array, mean: Mean, theta: Array) -> Array:
        residual = self._residual(y, mean.mu, theta)
        return residual * (residual / mean.dmu)


def _exact(value: float) -> sympy.Expr:
    return sympy.Rational(repr(value))


def _nothing(eta: Array) -> Array:
    """Stands for logarithms that no function here asks for; that it is there says that the link keeps means off their edges."""
    return np.full_like(eta, np.nan)


def _again(text: str, parameters: dict[str, float], name: str, dispersion: str) -> Derived:
    from etamu.derivation import derive

    found: Any = derive(text, name=None if name in FAMILIES else name, dispersion=dispersion, **parameters)
    return found.generic  # type: ignore[no-any-return]


def _tidy(e: sympy.Expr) -> sympy.Expr:
    """Without the cancellation that calculus leaves: a quotient in lowest terms, which fewer digits evaluate."""
    try:
        return sympy.cancel(e) if modest(e) else e
    except (sympy.PolynomialError, NotImplementedError, TypeError, ValueError):
        return e


def _tabulated(e: sympy.Expr, space: tuple[float, float], beyond: Callable[[float], float]) -> Panels:
    precise = Precise([e])
    return Panels(lambda x: precise(x)[0], lambda x: precise.nearby(x)[0], *space, beyond)
