"""The inverse of a mean function, in as many digits as it needs: Newton's method inside a bracket."""

from __future__ import annotations

import math
from typing import Any

import sympy

from etamu.derivation.expression import THETA
from etamu.derivation.precise import Precise, workspace

__all__ = ["Inverse"]


class Inverse:
    """Functions of the mean mu: theta, the variance A'', its slope dV/dmu, and the conjugate theta mu - A(theta)."""

    def __init__(self, a: sympy.Expr, space: tuple[float, float]) -> None:
        self.space = space
        self.slopes = Precise([sympy.diff(a, THETA, k) for k in (1, 2)])
        self.precise = Precise([a, *(sympy.diff(a, THETA, k) for k in (1, 2, 3))])
        self.known: dict[Any, tuple[Any, list[Any]]] = {}
        self.last: Any = None

    def theta(self, mu: Any) -> Any:
        return self._at(mu)[0]

    def variance(self, mu: Any) -> Any:
        return self._at(mu)[1][2]

    def slope(self, mu: Any) -> Any:
        _, _, second, third = self._at(mu)[1]
        return third / second

    def conjugate(self, mu: Any) -> Any:
        theta, (a, *_) = self._at(mu)
        with workspace.context.workdps(60):
            return theta * mu - a

    def _at(self, mu: Any) -> tuple[Any, list[Any]]:
        """Theta, and A with three derivatives there; each mean is solved for once."""
        if mu not in self.known:
            theta = self._solve(mu)
            self.known[mu] = theta, self.precise(theta)
        return self.known[mu]

    def _solve(self, mu: Any) -> Any:
        """Newton's method to twenty-five digits, from the last answer; inside a bracket where that leads astray."""
        with workspace.context.workdps(60):
            found = None if self.last is None else self._newton(mu, self.last, *self.space, 12)
            if found is None:
                low, high = self._bracket(mu)
                found = self._newton(mu, (low + high) / 2, low, high, 400)
            self.last = found
            return found

    def _newton(self, mu: Any, x: Any, low: Any, high: Any, most: int) -> Any:
        """The root, or None after ``most`` steps; bisection where a step would leave the bracket."""
        ctx = workspace.context
        for _ in range(most):
            first, second = self.slopes(x)
            low, high = (low, x) if first > mu else (x, high)
            step = (mu - first) / second
            new = x + step
            if step == 0 or ctx.mag(step) < max(ctx.mag(new) if new != 0 else -9999, -1300) - 83:
                return new if low <= new <= high else x
            x = new if low < new < high else (low + high) / 2
        return x if most > 100 else None

    def _bracket(self, mu: Any) -> tuple[Any, Any]:
        """Two thetas, in growing steps towards the ends, whose means enclose ``mu``."""
        low, high = self.space
        start = self.last if self.last is not None else workspace.context.mpf(_inside(low, high))
        up = bool(self.slopes(start)[0] <= mu)
        a = b = start
        for k in range(2000):
            b = self._further(b, up, k)
            if bool(self.slopes(b)[0] > mu) == up:
                break
            a = b
        return (a, b) if up else (b, a)

    def _further(self, x: Any, up: bool, k: int) -> Any:
        """Halfway to a finite end, or twice as far towards an infinite one."""
        end = self.space[1] if up else self.space[0]
        if math.isfinite(end):
            return (x + end) / 2
        step = workspace.context.mpf(2) ** (k - 2)
        return x + step if up else x - step


def _inside(low: float, high: float) -> float:
    if math.isinf(low) and math.isinf(high):
        return 0.1
    if math.isinf(high):
        return low + 1.0
    return high - 1.0 if math.isinf(low) else 0.5 * (low + high)
