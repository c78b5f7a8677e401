"""Expressions in as many digits as they need: a tape of operations, run twice as precisely until the answers agree."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import sympy
from mpmath.ctx_mp import MPContext

from etamu.derivation.expression import THETA

__all__ = ["Precise", "Tape", "workspace"]

_SURE = 1e-20  # relative difference at which two precisions agree
_NOTHING = -1200  # powers of two below every double
_FEWEST, _MOST = 30, 3000  # decimal digits
_RESOLVED = 400  # digits after which a zero or an infinity is believed
_STEEPEST = 1100  # powers of two of an exponent beyond which exp is infinite or zero for every purpose here

Operation = tuple[str, tuple[int, ...], Any]


class Tape:
    """Expressions of theta as operations in order, each result computed once."""

    def __init__(self, expressions: Sequence[sympy.Expr]) -> None:
        self.operations: list[Operation] = []
        self._place: dict[sympy.Expr, int] = {}
        self.results = [self._add(e) for e in expressions]

    def _add(self, e: sympy.Expr) -> int:
        if e not in self._place:
            arguments = tuple(self._add(a) for a in e.args) if e.args and not e.is_Rational else ()
            self.operations.append((*self._kind(e, arguments), e) if not arguments else (e.func.__name__, arguments, None))
            self._place[e] = len(self.operations) - 1
        return self._place[e]

    @staticmethod
    def _kind(e: sympy.Expr, arguments: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        return ("theta" if e == THETA else "constant"), arguments

    def run(self, theta: Any, functions: dict[str, Any], constant: Any) -> list[Any]:
        """The values, by the arithmetic of ``functions``."""
        values: list[Any] = []
        for name, arguments, e in self.operations:
            if name == "theta":
                values.append(theta)
            elif name == "constant":
                values.append(constant(e))
            elif name == "Add":
                values.append(sum(values[i] for i in arguments))
            elif name == "Mul":
                out = values[arguments[0]]
                for i in arguments[1:]:
                    out = out * values[i]
                values.append(out)
            else:
                values.append(functions[name](*(values[i] for i in arguments)))
        return [values[i] for i in self.results]


class _Workspace(threading.local):
    """An arithmetic of its own for every thread."""

    def __init__(self) -> None:
        self.context = MPContext()
        self.context.dps = _FEWEST
        ctx = self.context

        def magnitude(x: Any) -> Any:
            return ctx.mag(x) if ctx.isnormal(x) else ctx.ninf if x == 0 else ctx.inf

        def exp(x: Any) -> Any:
            if magnitude(ctx.re(x)) > _STEEPEST:
                return ctx.inf if ctx.re(x) > 0 else ctx.zero
            return ctx.exp(x)

        def log(x: Any) -> Any:
            if x == 0:
                raise ZeroDivisionError  # more digits may tell it from 0
            return ctx.log(x)

        def power(x: Any, k: Any) -> Any:
            return x ** int(k) if ctx.isint(k) else ctx.power(x, k)

        self.functions: dict[str, Any] = {
            "Pow": power,
            "exp": exp,
            "log": log,
            "cosh": lambda x: (exp(x) + exp(-x)) / 2,
            "sinh": lambda x: (exp(x) - exp(-x)) / 2,
            "tanh": lambda x: ctx.sign(ctx.re(x)) if magnitude(x) > 64 else ctx.tanh(x),
            "coth": lambda x: ctx.sign(ctx.re(x)) if magnitude(x) > 64 else ctx.coth(x),
            "sin": ctx.sin,
            "cos": ctx.cos,
            "tan": ctx.tan,
            "cot": ctx.cot,
            "atan": ctx.atan,
            "asinh": ctx.asinh,
        }

    def constant(self, e: sympy.Expr) -> Any:
        ctx = self.context
        if e.is_Rational:
            return ctx.mpf(int(e.p)) / int(e.q)
        if e is sympy.pi:
            return +ctx.pi
        if e is sympy.E:
            return +ctx.e
        if e is sympy.I:
            return ctx.mpc(0, 1)
        return ctx.mpf(str(e.evalf(60)))


workspace = _Workspace()


class Precise:
    """Several expressions of theta at once, each to twenty digits; nan where they are not real numbers."""

    def __init__(self, expressions: Sequence[sympy.Expr]) -> None:
        self.tape = Tape(expressions)
        self.constant = [self.tape.operations[i][0] == "constant" for i in self.tape.results]
        self.digits = (_FEWEST, _FEWEST)  # that the last two points needed
        self.lost = False  # whether no number of digits sufficed for the last point

    def __call__(self, theta: Any) -> list[Any]:
        """The values, after as many digits as make two precisions agree."""
        digits, before = _FEWEST, None
        while True:
            here = self._once(theta, digits)
            if before is not None and here is not None and self._agree(before, here, digits):
                break
            if digits >= _MOST:
                break
            before, digits = here, 2 * digits
        self.digits, self.lost = (self.digits[1], digits), here is None
        return [workspace.context.nan] * len(self.tape.results) if here is None else here

    def nearby(self, theta: Any) -> list[Any]:
        """The values at a point between the last two, which needs no more digits than they did."""
        here = self._once(theta, max(self.digits))
        return self(theta) if here is None else here

    def _once(self, theta: Any, digits: int) -> list[Any] | None:
        """The values at a precision; None where it does not suffice to tell a number from 0."""
        ctx = workspace.context
        with ctx.workdps(digits):
            try:
                values = self.tape.run(ctx.mpf(theta), workspace.functions, workspace.constant)
            except (ZeroDivisionError, ValueError, OverflowError):
                return None
            return [self._real(v) for v in values]

    def _real(self, value: Any) -> Any:
        ctx = workspace.context
        if not isinstance(value, ctx.mpc):
            return ctx.mpf(value)
        return value.real if abs(value.imag) <= min(abs(value.real), 1) * ctx.mpf(10) ** (-ctx.dps // 2) else ctx.nan

    def _agree(self, before: list[Any], here: list[Any], digits: int) -> bool:
        return all(fixed or self._close(x, y, digits) for x, y, fixed in zip(before, here, self.constant, strict=True))

    @staticmethod
    def _close(x: Any, y: Any, digits: int) -> bool:
        ctx = workspace.context
        if ctx.isnan(x) or ctx.isnan(y):
            return bool(ctx.isnan(x) and ctx.isnan(y))
        if ctx.isinf(y) or y == 0 or ctx.mag(y) < _NOTHING:
            return digits >= _RESOLVED
        return bool(abs(x - y) <= _SURE * abs(y))
