"""Probabilities of whole numbers, from the log-partition alone: Fourier's inversion around the saddle point.

exp(A(theta + it) - A(theta)) is the characteristic function of y under theta, so

    P(y = k) = 1/(2 pi) int_(-pi)^pi exp(A(theta + it) - A(theta) - itk) dt,

which the trapezoidal rule gives to rounding, since the integrand is smooth and periodic.  It is taken at the theta whose
mean is k, where the probability is largest.

Reference: Trefethen & Weideman, SIAM Review 56 (2014), doi:10.1137/130932132; Daniels, Ann. Math. Statist. 25 (1954), doi:10.1214/aoms/1177728652.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from etamu.derivation.precise import Tape, workspace
from etamu.errors import UndefinedStatisticError
from etamu.links import Array

__all__ = ["Mass", "on_whole_numbers"]

_FEWEST, _MOST = 64, 1 << 22
_NOTHING = 1e-13  # a probability at its own best theta that is only rounding
_AGREE = 1e-13
_FUNCTIONS: dict[str, Any] = {
    "Pow": np.power,
    "exp": np.exp,
    "log": np.log,
    "cosh": np.cosh,
    "sinh": np.sinh,
    "tanh": np.tanh,
    "coth": lambda z: 1.0 / np.tanh(z),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "cot": lambda z: 1.0 / np.tan(z),
    "atan": np.arctan,
    "asinh": np.arcsinh,
}


def on_whole_numbers(a: sympy.Expr, points: list[float]) -> bool:
    """Whether exp(A) repeats itself along the imaginary axis after 2 pi, as a power series in exp(theta) does."""
    ctx = workspace.context
    tape = Tape([a])
    with ctx.workdps(40):
        for x in points:
            for t in (0, 1, 2):
                try:
                    here, there = (tape.run(ctx.mpc(x, v), workspace.functions, workspace.constant)[0] for v in (t, t + 2 * ctx.pi))
                except (ZeroDivisionError, ValueError, OverflowError):
                    return False
                if abs(ctx.re(there - here)) > 1e-20 or abs(ctx.exp(there - here) - 1) > 1e-25:
                    return False
    return True


class Mass:
    """Log-probabilities of whole numbers under the theta that fits each best; worked out once for every number."""

    def __init__(self, a: sympy.Expr, variance: Callable[[float], float]) -> None:
        self.tape, self.variance = Tape([a]), variance
        self.known: dict[tuple[float, float], float] = {}

    def __call__(self, y: Array, theta: Array) -> Array:
        pairs, place = np.unique(np.stack([np.ravel(y), np.ravel(theta)]), axis=1, return_inverse=True)
        values = np.array([self._one(k, t) for k, t in pairs.T])
        return values[place.ravel()].reshape(np.shape(y))

    def _one(self, k: float, theta: float) -> float:
        if math.isinf(theta):
            return 0.0  # an end of the support, which its best theta makes certain
        if k != round(k):
            return math.nan
        if (k, theta) not in self.known:
            self.known[k, theta] = self._inversion(k, theta)
        return self.known[k, theta]

    def _inversion(self, k: float, theta: float) -> float:
        before, count = math.nan, _FEWEST
        while count < 16.0 * math.sqrt(self.variance(theta)) and count < _MOST:  # several points on the width of the peak
            count *= 2
        while True:
            t = np.pi * (2.0 * np.arange(count) + 1.0) / count - np.pi
            here = float(self._relative(theta, t, k).real.mean())
            if abs(here - before) <= max(_AGREE * abs(here), _NOTHING):
                return math.log(here) if here > _NOTHING else -math.inf
            if count >= _MOST:
                raise UndefinedStatisticError(
                    f"the probability of y = {k:g} is spread over too many numbers to be found from the log-partition; compare deviances."
                )
            before, count = here, 2 * count

    @np.errstate(all="ignore")
    def _relative(self, theta: float, t: Array, k: float) -> np.ndarray[Any, Any]:
        """The integrand; in forty digits where doubles overflow."""
        z = theta + 1j * np.concatenate([[0.0], t])
        a = np.asarray(self.tape.run(z, _FUNCTIONS, lambda e: complex(e)), dtype=complex)[0]
        values = np.exp(a[1:] - a[0] - 1j * t * k)
        if np.isfinite(values).all():
            return np.asarray(values)
        ctx = workspace.context
        with ctx.workdps(40):
            run = self.tape.run
            first = run(ctx.mpf(theta), workspace.functions, workspace.constant)[0]
            exact = [run(ctx.mpc(theta, v), workspace.functions, workspace.constant)[0] - first - ctx.mpc(0, v * k) for v in t]
            return np.array([complex(ctx.exp(v)) for v in exact])
