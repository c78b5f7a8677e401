"""The inverse of a mean function, in as many digits as it needs: Newton's method inside a bracket."""

from __future__ import annotations

import math
from typing import Any

import sympy

from etamu.derivation.expression import THETA
from etamu.derivation.precise import Precise, workspace

__all__ = ["Inverse"]

_WIDEST = 70  # steps of a bracket that grows ever faster; then it has left the range of doubles


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
        return third / second if second else workspace.context.nan

    def conjugate(self, mu: Any) -> Any:
        theta, (a, *_) = self._at(mu)
        with workspace.context.workdps(60):
            return theta * mu - a

    def _at(self, mu: Any) -> tuple[Any, list[Any]]:
        """Theta, and A with three derivatives there; each mean is solved for once."""
        if mu not in self.known:
            theta = self._solve(mu)
            unknown = workspace.context.nan
            self.known[mu] = theta, [unknown] * 4 if workspace.context.isnan(theta) else self.precise(theta)
        return self.known[mu]

    def _solve(self, mu: Any) -> Any:
        """Newton's method to twenty-five digits, from the last answer; inside a bracket where that leads astray."""
        with workspace.context.workdps(60):
            found = None if self.last is None else self._newton(mu, self.last, *self.space, 12)
            if found is None:
                bracket = self._bracket(mu)
                found = None if bracket is None else self._newton(mu, sum(bracket) / 2, *bracket, 600)
            if found is None:
                return workspace.context.nan
            self.last = found
            return found

    def _newton(self, mu: Any, x: Any, low: Any, high: Any, most: int) -> Any:
        """The root, or None after ``most`` steps; bisection where a step would leave the bracket.  A root is where the mean is mu."""
        ctx = workspace.context
        for _ in range(most):
            first, second = self.slopes(x)
            if not (ctx.isfinite(first) and ctx.isnormal(second) and second > 0):
                if most < 100 or not ctx.isfinite(low + high):
                    return None
                low, high = (low, x) if not first <= mu else (x, high)
                x = (low + high) / 2
                continue
            low, high = (low, x) if first > mu else (x, high)
            step = (mu - first) / second
            new = x + step
            small = step == 0 or ctx.mag(step) < max(ctx.mag(x) if x != 0 else -9999, -1300) - 83
            if small and abs(first - mu) <= abs(step) * second * 2:
                spread = max(abs(mu), ctx.sqrt(second))
                if abs(first - mu) <= spread * ctx.mpf("1e-18"):
                    return new if low <= new <= high else x
            inside = low < new < high
            if not inside and not ctx.isfinite(low + high):
                return None
            x = new if inside else (low + high) / 2
        return None

    def _bracket(self, mu: Any) -> tuple[Any, Any] | None:
        """Two thetas, in growing steps towards the ends, whose means enclose ``mu``; None where that takes more than doubles hold."""
        low, high = self.space
        start = workspace.context.mpf(_inside(low, high))
        up = bool(self.slopes(start)[0] <= mu)
        a = b = start
        for k in range(_WIDEST):
            b = self._further(b, up, k)
            first = self.slopes(b)[0]
            if not workspace.context.isfinite(first):
                return None
            if bool(first > mu) == up:
                return (a, b) if up else (b, a)
            a = b
        return None

    def _further(self, x: Any, up: bool, k: int) -> Any:
        """Nearer to a finite end, or farther towards an infinite one, ever faster."""
        end = self.space[1] if up else self.space[0]
        if math.isfinite(end):
            return end + (x - end) * workspace.context.mpf(2) ** -(1 + k // 4)
        step = workspace.context.mpf(2) ** (k * k // 4 - 2)
        return x + step if up else x - step


def _inside(low: float, high: float) -> float:
    if math.isinf(low) and math.isinf(high):
        return 0.1
    if math.isinf(high):
        return low + 1.0
    return high - 1.0 if math.isinf(low) else 0.5 * (low + high)
