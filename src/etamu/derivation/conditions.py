"""What makes a function the log-partition of an exponential family, and where a given one fails.

A(theta) = log of the integral of exp(theta y) h(y) dy, so: A is a real number on an interval, the natural parameter space; it
is convex there, since A'' is the variance of y; and exp(A) is the moment generating function of something that is
nowhere negative, so that the moments it implies fit together (their Hankel matrices are positive definite).

Reference: Barndorff-Nielsen, *Information and Exponential Families* (1978), chapters 7 to 9; Widder, *The Laplace Transform* (1941), chapter VI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy

from etamu.derivation.expression import THETA
from etamu.derivation.precise import Precise, Tape, workspace
from etamu.errors import DerivationError

__all__ = ["End", "Ends", "check", "ends", "natural_space", "places"]

_FARTHEST = 700.0
_PER_SIDE = 120
_UNBOUNDED = 1e10
_ROUNDING = 1e-18
_ORDER = 6  # of the largest Hankel matrix of moments
_NEGATIVE = 1e-12  # below minus this, relative, a pivot is not rounding


@dataclass(frozen=True)
class End:
    """One end of the natural parameter space: where it is, the mean there, and A - theta mean there (-inf: no atom)."""

    theta: float
    mean: float
    atom: float

    @property
    def steep(self) -> bool:
        """Whether the mean can go no farther: it is infinite, or theta is."""
        return math.isinf(self.theta) or math.isinf(self.mean)


@dataclass(frozen=True)
class Ends:
    low: End
    high: End


def natural_space(a: sympy.Expr, text: str) -> tuple[float, float]:
    """The open interval of theta on which A is a real number; of several, the one that holds 0, or else the one on which A is convex."""
    pieces = _pieces(a)
    if not pieces:
        raise DerivationError(
            f"`log_partition` {text!r} has no domain: A(theta) is not a real number for any theta from -700 to 700, so no density integrates "
            "to a finite number. Check signs and brackets; log and sqrt need positive arguments."
        )
    around = [piece for piece in pieces if piece[0] < 0.0 < piece[1]]
    chosen = around or (pieces if len(pieces) == 1 else [piece for piece in pieces if _seems_convex(a, piece)])
    if len(chosen) > 1:  # a function and its mirror image: y is meant to be positive
        chosen = [piece for piece in chosen if Precise([sympy.diff(a, THETA)])(places(*piece)[0])[0] > 0]
    if len(chosen) != 1:
        shown = " and ".join(f"({low:.4g}, {high:.4g})" for low, high in pieces[:3])
        raise DerivationError(
            f"`log_partition` {text!r}: the domain is not one interval: A is real on {shown}, but the natural parameter space of an exponential "
            "family is convex. Write the branch that is meant."
        )
    return chosen[0]


def _pieces(a: sympy.Expr) -> list[tuple[float, float]]:
    """The open intervals on which A is real, between the points where it stops being so and its poles."""
    evaluate = Precise([a])
    points = _grid(far=True)
    valid = [_is_real(evaluate, x) for x in points]
    cuts = _poles(a, points)
    out: list[tuple[float, float]] = []
    low: float | None = None
    for i, x in enumerate(points):
        if valid[i] and low is None:
            low = -math.inf if i == 0 else _boundary(evaluate, x, points[i - 1])
        if low is None:
            continue
        last = i == len(points) - 1
        if last or not valid[i + 1]:
            out.append((low, math.inf if last else _boundary(evaluate, x, points[i + 1])))
            low = None
        elif i in cuts:
            out.append((low, cuts[i]))
            low = cuts[i]
    return out


def _poles(a: sympy.Expr, points: list[float]) -> dict[int, float]:
    """Where A jumps through infinity between two grid points: zeros of its denominators and logarithms that do not cancel."""
    ctx, out = workspace.context, {}
    evaluate = Precise([a])
    for part in a.atoms(sympy.Pow, sympy.log):
        if isinstance(part, sympy.Pow) and not part.exp.is_negative:
            continue
        inner = Precise([part.args[0]])
        values = [inner(x)[0] for x in points]
        for i in range(len(points) - 1):
            if not values[i] * values[i + 1] < 0:
                continue
            left, right = ctx.mpf(points[i]), ctx.mpf(points[i + 1])
            for _ in range(100):
                middle = (left + right) / 2
                left, right = (middle, right) if inner(middle)[0] * values[i] > 0 else (left, middle)
            at = 0.0 if abs(left) < 1e-22 else _round(float(left))
            gap = 1e-9 * max(1.0, abs(at))
            sides = [abs(evaluate(at + s * gap)[0] - evaluate(at + 1e3 * s * gap)[0]) for s in (-1, 1)]
            if not max(sides) < 1e-3 * max(1, abs(evaluate(at + gap)[0])):
                out[i] = at
    return out


def _seems_convex(a: sympy.Expr, piece: tuple[float, float]) -> bool:
    second = Precise([sympy.diff(a, THETA, 2)])
    return all(second(x)[0] > 0 for x in places(*piece))


def _grid(far: bool = False) -> list[float]:
    """Points on both sides of 0, dense near it, each a little off any round number."""
    near = np.sinh(np.linspace(0.0, np.arcsinh(_FARTHEST * 1e4), _PER_SIDE))[1:] / 1e4 * 1.0000123
    half = np.concatenate([near, [2e3, 3e4, 4e5, 5e6] if far else []])
    return [*(-half[::-1]).tolist(), 1e-7, *half.tolist()]


def _is_real(evaluate: Precise, x: Any) -> bool:
    value = evaluate(x)[0]
    if evaluate.lost or workspace.context.isinf(value):  # beyond the arithmetic, far out; near 0 a singularity
        return bool(abs(x) > _FARTHEST)
    return not workspace.context.isnan(value)


def _boundary(evaluate: Precise, inside: float, outside: float) -> float:
    """Where A stops being real, by bisection far below the spacing of doubles; 0 is found as 0."""
    ctx = workspace.context
    a, b = ctx.mpf(inside), ctx.mpf(outside)
    for _ in range(100):
        ctx.dps = 45
        middle = (a + b) / 2
        if _is_real(evaluate, middle):
            a = middle
        else:
            b = middle
    found = float((a + b) / 2)
    return 0.0 if abs(found) < 1e-22 else _round(found)


def _round(x: float) -> float:
    """The short decimal next to a number, if it is within rounding of one."""
    short = float(f"{x:.12g}")
    return short if abs(short - x) <= 4 * np.spacing(abs(x)) else x


def sample(low: float, high: float) -> list[float]:
    """Points of the domain, crowded towards finite ends."""
    if math.isinf(low) and math.isinf(high):
        return _grid()
    steps = [float(v) for v in np.geomspace(1e-6, _FARTHEST, _PER_SIDE)]
    if math.isinf(high):
        return [low + d for d in steps]
    if math.isinf(low):
        return [high - d for d in steps[::-1]]
    half = [float(v) * (high - low) for v in np.geomspace(1e-6, 0.5, _PER_SIDE)]
    return [*(low + d for d in half), *(high - d for d in half[-2::-1])]


def check(a: sympy.Expr, low: float, high: float, text: str) -> None:
    """Refuse what is not convex, and what no distribution can have."""
    slopes, second = Precise([sympy.diff(a, THETA)]), Precise([sympy.diff(a, THETA, 2)])
    points = sample(low, high)
    values = [second(x)[0] for x in points]
    lowest = min(range(len(points)), key=lambda i: float(values[i]) if not workspace.context.isnan(values[i]) else math.inf)
    where, least = _dip(second, points, values, lowest)
    felt = [i for i, v in enumerate(values) if _felt(v)]  # elsewhere A'' has left the range of doubles
    wrong = [(x, v) for x, v in [*((points[i], values[i]) for i in felt), (where, least)] if v < 0 and _felt(v)]
    wrong = wrong if felt else [(points[len(points) // 2], workspace.context.zero)]
    bad = min(wrong, key=lambda pair: _oddness(pair[0], low, high), default=None)
    if bad is not None:
        x, v = bad
        kind = "is not strictly convex" if v == 0 else "is not convex"
        raise DerivationError(
            f"`log_partition` {text!r} {kind}: A''({x:.6g}) = {float(v):.6g}, but A'' is the variance of y and must be positive on the whole "
            f"domain ({low:g}, {high:g}). Check signs{'' if v == 0 else '; perhaps -A was meant'}."
        )
    if a.is_polynomial(THETA) and sympy.degree(a, THETA) > 2:
        raise DerivationError(
            f"`log_partition` {text!r} is convex, but no distribution has it: a polynomial of degree above 2 is no log-partition (Marcinkiewicz's theorem). "
            "For its mean and variance alone, use em.families.Quasi(variance=...)."
        )
    means = [slopes(x)[0] for x in points]
    for i in range(1, len(points)):
        if means[i] < means[i - 1] - _ROUNDING * abs(means[i]):
            raise DerivationError(
                f"`log_partition` {text!r} is not convex between theta = {points[i - 1]:.6g} and {points[i]:.6g}: its slope A', the mean of y, falls from "
                f"{float(means[i - 1]):.6g} to {float(means[i]):.6g}, but it must rise on the whole domain. Write the branch that is meant."
            )
    _check_moments(a, low, high, text)


def _felt(value: Any) -> bool:
    """Whether a double could hold it."""
    ctx = workspace.context
    return bool(ctx.isnormal(value) and ctx.mag(value) > -1000)


def _oddness(x: float, low: float, high: float) -> float:
    """How far from 1 a point is from the ends or from 0, in powers: of several failures the plainest is told."""
    distance = min([abs(x - end) for end in (low, high) if math.isfinite(end)] or [abs(x)])
    return abs(math.log(distance)) if distance > 0 else math.inf


def _dip(second: Precise, points: list[float], values: list[Any], i: int) -> tuple[float, Any]:
    """The lowest A'' near a grid point, by golden section between its neighbours."""
    if not 0 < i < len(points) - 1:
        return points[i], values[i]
    a, b = points[i - 1], points[i + 1]
    ratio = 0.5 * (math.sqrt(5.0) - 1.0)
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    f, g = second(c)[0], second(d)[0]
    for _ in range(40):
        if f < g:
            b, d, g = d, c, f
            c = b - ratio * (b - a)
            f = second(c)[0]
        else:
            a, c, f = c, d, g
            d = a + ratio * (b - a)
            g = second(d)[0]
    return min(((points[i], values[i]), (c, f), (d, g)), key=lambda pair: pair[1])


def _check_moments(a: sympy.Expr, low: float, high: float, text: str) -> None:
    """Moments that a probability distribution can have: a positive semidefinite Hankel matrix at several theta."""
    for x in places(low, high):
        t = _too_large(a, x)
        if t is not None:
            raise DerivationError(
                f"`log_partition` {text!r} is convex, but no distribution has it: exp(A({x:.4g} + {t:g}i)) is larger than exp(A({x:.4g})), while the mean of "
                "exp(ity) is at most 1. For its mean and variance alone, use em.families.Quasi(variance=...)."
            )
        cumulants = _cumulants(a, x)
        if cumulants is None:
            continue
        order = _impossible(cumulants)
        if order is not None:
            raise DerivationError(
                f"`log_partition` {text!r} is convex, but no distribution has it: the moments of y up to order {2 * order} that it implies at "
                f"theta = {x:.4g} contradict each other (their Hankel matrix is not positive semidefinite), so exp(A) is not a moment generating "
                f"function. For its mean and variance alone, use em.families.Quasi(variance=...)."
            )


def _too_large(a: sympy.Expr, x: float) -> float | None:
    """A t at which the characteristic function would be larger than 1."""
    ctx = workspace.context
    tape = Precise([a]).tape
    with ctx.workdps(60):
        for t in (0.7, 1.9, 4.3, 11.0, 31.0):
            try:
                here, there = (tape.run(ctx.mpc(x, v), workspace.functions, workspace.constant)[0] for v in (0, t))
            except (ZeroDivisionError, ValueError, OverflowError):
                continue
            if ctx.re(there) > ctx.re(here) + 1e-15 * max(1, abs(ctx.re(here))):
                return t
    return None


def places(low: float, high: float) -> list[float]:
    if math.isinf(low) and math.isinf(high):
        return [-2.0, -0.4, 0.1, 0.7, 2.3]
    if math.isinf(high):
        return [low + d for d in (0.3, 1.0, 3.0)]
    if math.isinf(low):
        return [high - d for d in (0.3, 1.0, 3.0)]
    return [low + share * (high - low) for share in (0.2, 0.45, 0.7)]


def _cumulants(a: sympy.Expr, x: float) -> list[Any] | None:
    """A', A'', ... at x, by Cauchy's integral over a circle small enough to hold no singularity: two radii agree."""
    ctx = workspace.context
    tape = Precise([a]).tape
    with ctx.workdps(160):
        for radius in (ctx.mpf("0.05"), ctx.mpf("0.008"), ctx.mpf("0.001")):
            here, there = (_around(tape, x, r) for r in (radius, radius / 2))
            if here is not None and there is not None and all(abs(u - v) <= ctx.mpf("1e-15") * abs(v) for u, v in zip(here[:4], there[:4], strict=True)):
                return there
    return None


def _around(tape: Tape, x: float, radius: Any, count: int = 64) -> list[Any] | None:
    ctx = workspace.context
    try:
        circle = [radius * ctx.expjpi(ctx.mpf(2 * k) / count) for k in range(count)]
        values = [tape.run(x + z, workspace.functions, workspace.constant)[0] for z in circle]
        return [(ctx.fsum(v / z**n for v, z in zip(values, circle, strict=True)) / count).real * ctx.factorial(n) for n in range(1, 2 * _ORDER + 1)]
    except (ZeroDivisionError, ValueError, OverflowError):
        return None


def _impossible(cumulants: list[Any]) -> int | None:
    """The order at which the Hankel matrix of the standardised central moments stops being positive semidefinite, if it does."""
    ctx = workspace.context
    with ctx.workdps(160):
        scale = ctx.sqrt(cumulants[1])
        k = [ctx.zero, ctx.zero, *(c / scale ** (n + 2) for n, c in enumerate(cumulants[1:]))]
        moments = [ctx.one]
        for n in range(1, 2 * _ORDER + 1):
            moments.append(ctx.fsum(ctx.binomial(n - 1, i - 1) * k[i] * moments[n - i] for i in range(2, n + 1)))
        m = [[moments[i + j] for j in range(_ORDER + 1)] for i in range(_ORDER + 1)]
        for i in range(_ORDER + 1):  # elimination: the pivots are ratios of the leading minors
            if m[i][i] < -_NEGATIVE * moments[2 * i]:
                return i
            if m[i][i] <= _NEGATIVE * moments[2 * i]:
                return None  # a distribution on so many points: the rest is 0
            for r in range(i + 1, _ORDER + 1):
                factor = m[r][i] / m[i][i]
                m[r] = [u - factor * v for u, v in zip(m[r], m[i], strict=True)]
    return None


def ends(a: sympy.Expr, low: float, high: float) -> Ends:
    """What happens at the two ends of the natural parameter space."""
    return Ends(_end(a, low, -1), _end(a, high, 1))


def _end(a: sympy.Expr, end: float, side: int) -> End:
    ctx = workspace.context
    slope = Precise([sympy.diff(a, THETA)])
    mean = _limit(lambda x: slope(x)[0], end, side)
    if math.isinf(mean) or not math.isinf(end):
        return End(end, mean, -math.inf)
    exact = sympy.Rational(repr(mean))
    rest = Precise([a - exact * THETA])
    atom = _limit(lambda x: rest(x)[0], end, side)
    ctx.dps = 30
    return End(end, mean, atom)


def _limit(f: Any, end: float, side: int) -> float:
    """The limit of a monotone function at an end of the domain: a short number, or an infinity."""
    ctx = workspace.context
    ctx.dps = 60
    steps = [ctx.mpf(10) ** k for k in range(1, 41)]
    if math.isinf(end):
        path = [side * s for s in steps]
    else:  # no nearer to the end than it is known
        path = [ctx.mpf(end) - side / s for s in steps if end == 0 or 1 / s > 64 * np.spacing(abs(end))]
    values: list[Any] = []
    for x in path:
        ctx.dps = 60
        value = f(x)
        if ctx.isnan(value) or (math.isinf(end) and abs(value) < 1e-300):
            break
        values.append(value)
        if ctx.isinf(value):
            break
    if len(values) < len(path) and not ctx.isnan(value) and abs(value) < 1e-300:
        return 0.0
    if not values:
        return math.nan
    last, before = values[-1], values[-2] if len(values) > 1 else values[-1]
    if ctx.isinf(last) or abs(last) > _UNBOUNDED or abs(last - before) > 1e-12 * max(1, abs(last)):
        return math.inf if last > before or (last == before and last > 0) else -math.inf
    return _round(float(last)) if abs(last) > 1e-12 else 0.0
