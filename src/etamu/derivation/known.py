"""Distributions that a log-partition is recognised as: its mean function is a multiple of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import sympy

from etamu.derivation.expression import THETA
from etamu.derivation.precise import Precise, workspace
from etamu.families import Binomial, Family, Gamma, Gaussian, InverseGaussian, NegativeBinomial, Poisson, Tweedie

__all__ = ["KNOWN", "Known", "Recognised", "recognise"]

_E = sympy.exp(THETA)
_SAME = 1e-18


def _none(scale: float) -> Family | None:
    """Not a family of the library."""
    return None


def _once(family: type[Family], scale: float) -> Family | None:
    return family() if scale == 1.0 else None


def _size(scale: float) -> Family | None:
    return NegativeBinomial(theta=scale)


@dataclass(frozen=True)
class Known:
    """A distribution by the mean function of its log-partition, what the function is called, and what a multiple of it means."""

    name: str
    function: str
    mean: sympy.Expr
    times: str = ""  # of {scale} such variables, in words
    family: Callable[[float], Family | None] = _none

    def __str__(self) -> str:
        return self.name


def _unscaled(family: type[Family]) -> Callable[[float], Family | None]:
    return partial(_once, family)


KNOWN = (
    Known("Gaussian", "the identity", THETA, "with variance {scale:g}", _unscaled(Gaussian)),
    Known("Bernoulli", "the sigmoid", _E / (1 + _E), "binomial with {scale:g} trials", _unscaled(Binomial)),
    Known("Poisson", "the exponential", _E, "with exposure {scale:g}", _unscaled(Poisson)),
    Known("gamma", "the negative reciprocal", -1 / THETA, "with shape {scale:g}", _unscaled(Gamma)),
    Known("inverse Gaussian", "the inverse square root", 1 / sympy.sqrt(-2 * THETA), "with root of the shape {scale:g}", _unscaled(InverseGaussian)),
    Known("geometric", "the odds of exp(theta)", _E / (1 - _E), "negative binomial with size {scale:g}", _size),
    Known("zero-truncated Poisson", "lambda/(1 - exp(-lambda)) with lambda = exp(theta)", _E / (1 - sympy.exp(-_E)), "sum of {scale:g}"),
    Known("logarithmic series", "Fisher's mean of a log series", -_E / ((1 - _E) * sympy.log(1 - _E)), "sum of {scale:g}"),
    Known("generalised hyperbolic secant", "the tangent", sympy.tan(THETA), "convolution of {scale:g}"),
    Known("Rademacher (-1 or 1)", "the hyperbolic tangent", sympy.tanh(THETA), "sum of {scale:g}"),
    Known("Skellam", "the hyperbolic sine", sympy.sinh(THETA), "with mean rate {scale:g}"),
    Known("continuous uniform, tilted", "the Langevin function", sympy.coth(THETA) - 1 / THETA, "sum of {scale:g}"),
)


@dataclass(frozen=True)
class Recognised:
    """What a log-partition is: the distribution, the multiple of its mean function, and the built-in family where they are one."""

    known: Known
    scale: float
    family: Family | None

    def __str__(self) -> str:
        words = self.known.times.format(scale=self.scale)
        whole = f"{self.known.name} {words}" if words.startswith(("with", "scaled")) else words or f"{self.scale:g} times {self.known.name}"
        return self.known.name if self.scale == 1.0 else whole


def recognise(a: sympy.Expr, points: list[float]) -> Recognised | None:
    """The distribution whose mean function A' is proportional to, at every one of the points."""
    ours = [Precise([sympy.diff(a, THETA)])(x)[0] for x in points]
    for known in KNOWN:
        theirs = [Precise([known.mean])(x)[0] for x in points]
        scale = _constant_ratio(ours, theirs)
        if scale is not None:
            return Recognised(known, scale, known.family(scale))
    return _tweedie(ours, points)


def _constant_ratio(ours: list[Any], theirs: list[Any]) -> float | None:
    ctx = workspace.context
    if any(not ctx.isfinite(v) or v == 0 for v in (*ours, *theirs)):
        return None
    ratios = [u / v for u, v in zip(ours, theirs, strict=True)]
    if any(abs(r - ratios[0]) > _SAME * abs(ratios[0]) for r in ratios) or ratios[0] <= 0:
        return None
    return _plain(float(ratios[0]))


def _plain(x: float) -> float:
    return float(f"{x:.14g}")


def _tweedie(ours: list[Any], points: list[float]) -> Recognised | None:
    """A' = ((1 - p) theta)^(1/(1 - p)) up to a multiple: a power of -theta."""
    ctx = workspace.context
    if any(x >= 0 for x in points) or any(not v > 0 for v in ours):
        return None
    logs = [(ctx.log(-x), ctx.log(m)) for x, m in zip(points, ours, strict=True)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(logs)]
    if any(abs(s - slopes[0]) > 1e-12 * abs(slopes[0]) for s in slopes) or slopes[0] >= 0:
        return None
    power = _plain(float(1 - 1 / slopes[0]))
    if power <= 1:
        return None
    scale = _plain(float(ours[0] / ((1 - power) * ctx.mpf(points[0])) ** (1 / (1 - ctx.mpf(power)))))
    kind = "compound Poisson of gammas" if power < 2 else "positive stable"
    known = Known(f"Tweedie of power {power:g} ({kind})", "a power", THETA, "scaled by {scale:g}")
    same = math.isclose(scale, 1.0, rel_tol=1e-10)
    return Recognised(known, 1.0 if same else scale, Tweedie(power=power) if same else None)
