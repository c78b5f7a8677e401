"""Smooth functions as tables: Chebyshev polynomials on panels that shrink towards the ends of an interval, made when first visited.

A log-partition and its slopes are known to any number of digits, but not in a form that survives cancellation and overflow
in double precision.  So each panel is interpolated from precise values at its Chebyshev points; sixteen of them give a
function that changes by a factor of a few over the panel to the last bits of a double, and a panel on which they do not is halved.

Reference: Trefethen, *Approximation Theory and Approximation Practice* (2013), chapters 2 to 8.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from etamu.core import core, cores
from etamu.derivation.precise import workspace
from etamu.links import Array

__all__ = ["Panels", "edges"]

_POINTS = 16
_NODES = np.cos((np.arange(_POINTS) + 0.5) * np.pi / _POINTS)
_PRECISE = 5e-17  # what the last two Chebyshev coefficients may weigh
_REACH = 1.1  # how far beyond a panel its polynomial may be used
_SPREAD = 30.0  # most by which a function may change over a panel and keep its relative accuracy
_NARROWEST = 1e-4  # of 1, or of the distance from an end if that is less: a function still rough there has left the range of doubles
_TINY = 1e-305


def edges(low: float, high: float) -> Array:
    """The ends of panels of an open interval: doubling away from each finite end, or from 0."""
    with np.errstate(over="ignore"):
        powers = np.exp2(np.arange(-1074.0, 1024.0))
    if math.isinf(low) and math.isinf(high):
        out = np.concatenate([-powers[1073:][::-1], [0.0], powers[1073:]])
    elif math.isinf(high):
        out = low + powers
    elif math.isinf(low):
        out = high - powers
    else:
        half = powers[powers < 0.5 * (high - low)]
        out = np.concatenate([low + half, [0.5 * (low + high)], high - half])
    out = np.unique(out[np.isfinite(out) & (out > low) & (out < high)])
    first = -np.finfo(float).max if math.isinf(low) else low
    last = np.finfo(float).max if math.isinf(high) else high
    return np.concatenate([[first], out, [last]])


class Panels:
    """A function on an open interval, from ``precise(x)`` that gives it to more digits than a double holds.

    ``nearby`` is a quicker one for points between the last two; ``beyond(x)`` gives what the function tends to where both give up.
    """

    def __init__(
        self, precise: Callable[[Any], Any], nearby: Callable[[Any], Any], low: float, high: float, beyond: Callable[[float], float] | None = None
    ) -> None:
        self.precise, self.nearby, self.low, self.high, self.beyond = precise, nearby, low, high, beyond
        self.edges = edges(low, high)
        self.table = np.full((len(self.edges) - 1, _POINTS), np.nan)  # nan: not made yet
        self.made = _without_gaps(self.edges, self.table)
        self.lock = threading.Lock()

    def __call__(self, x: Array) -> Array:
        """The function at each x; nan outside of the interval."""
        x = np.ascontiguousarray(x, dtype=float)
        out = np.empty_like(x)
        while not _values(*self.made, self.low, self.high, x, out):
            self._visit(x)
        return out

    def areas(self, x: Array, start: Array, out: Array) -> None:
        """The integral of f(z) (x - z) dz from ``start`` to x into ``out``, where they lie in or next to one panel."""
        while not _areas(*self.made, x, start, out):
            self._visit(x)

    def _visit(self, x: Array) -> None:
        """Make the panels that hold an x, or halve them."""
        with self.lock:
            inside = x[(x > self.low) & (x < self.high)]
            places = np.unique(_place(self.edges, inside))
            self._make(places[np.isnan(self.table[places, 0])])

    def _make(self, places: np.ndarray[Any, Any]) -> None:
        table, halved = self.table.copy(), []
        for i in places:
            found = self._panel(self.edges[i], self.edges[i + 1])
            if found is None:
                halved.append(int(i))
            else:
                table[i] = found
        middles = [0.5 * self.edges[i] + 0.5 * self.edges[i + 1] for i in halved]
        after = np.array(halved, dtype=int) + 1
        self.edges, self.table = np.insert(self.edges, after, middles), np.insert(table, after, np.nan, axis=0)
        self.made = _without_gaps(self.edges, self.table)

    def _panel(self, left: float, right: float) -> Array | None:
        """The coefficients, or None where the panel is to be halved."""
        middle, half = _halves(left, right)
        last = not _wide(left, right, self.low, self.high)
        ends = [self.precise(middle + half * t) for t in _NODES[[0, -1]]]
        if np.isnan(_doubles(ends)).all():  # no digits suffice
            return self._constant(left, right, np.nan)
        if not (last or _even(_doubles(ends))):
            return None
        exact = [ends[0], *(self.nearby(middle + half * t) for t in _NODES[1:-1]), ends[1]]
        values = _doubles(exact)
        if last and not np.isfinite(values).all():  # it leaves the range of doubles here
            return self._constant(left, right, float(values[_POINTS // 2]))
        coefficients = [workspace.context.fdot(row, exact) for row in _to_powers()]
        rest = max(abs(coefficients[-1]), 2 * abs(coefficients[-2])) / 2 ** (_POINTS - 2)  # those of Chebyshev's polynomials
        return _doubles(coefficients) if last or (_even(values) and rest <= _PRECISE * np.abs(values).max() + _TINY * 1e-12) else None

    def _constant(self, left: float, right: float, value: float) -> Array:
        """One value for a panel at the edge of doubles: what the function tends to, where no digits give any."""
        if math.isnan(value):
            value = math.inf if self.beyond is None else self.beyond(0.5 * left + 0.5 * right)
        return np.array([value, *[0.0] * (_POINTS - 1)])


def _without_gaps(edges: Array, table: Array) -> tuple[Array, Array]:
    """The same with neighbouring panels that have not been made as one, so that a look-up is short."""
    known = ~np.isnan(table[:, 0])
    kept = known | np.concatenate([[True], known[:-1]])
    return np.append(edges[:-1][kept], edges[-1]), np.ascontiguousarray(table[kept])


def _place(edges: Array, x: Array) -> np.ndarray[Any, Any]:
    return np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)


def _at(edges: Array, place: Array, x: Array) -> Array:
    """Where in its panel, from -1 to 1."""
    left, right = edges[place], edges[place + 1]
    return np.asarray(((x - left) - (right - x)) / (right - left))


@np.errstate(all="ignore")
def _values(edges: Array, table: Array, low: float, high: float, x: Array, out: Array) -> bool:
    """The polynomials at each x, and whether all of them were there; ``_core/panels.hpp`` where it was built."""
    if core is not None:
        return bool(core.panel_values(edges, table, low, high, x, out, cores()))
    inside = (x > low) & (x < high)
    place = _place(edges, np.where(inside, x, edges[0]))
    t = _at(edges, place, x)
    value = table[place, -1]
    for k in range(_POINTS - 2, -1, -1):
        value = value * t + table[place, k]
    out[...] = np.where(inside, value, np.nan)
    return not np.isnan(table[place[inside], 0]).any()


@np.errstate(all="ignore")
def _areas(edges: Array, table: Array, x: Array, start: Array, out: Array) -> bool:
    """Double integrals, where both ends lie in or next to one panel, by dividing the double antiderivative twice by (z - start), which cancels nothing."""
    if core is not None:
        return bool(core.panel_areas(edges, table, x, start, out, cores()))
    finite = (x > edges[0]) & (x < edges[-1]) & np.isfinite(start)
    place = _place(edges, np.where(finite, x, edges[0]))
    t, u = _at(edges, place, x), _at(edges, place, start)
    near = finite & (np.abs(t) <= _REACH) & (np.abs(u) <= _REACH)
    made = ~np.isnan(table[place, 0])
    whole = not (near & ~made).any()
    near &= made
    place, t, u = place[near], t[near], u[near]
    first = second = value = np.zeros_like(t)
    for k in range(_POINTS - 1, -1, -1):
        first = first * u + table[place, k] / ((k + 1) * (k + 2))
        second = second * u + first
        value = value * t + second
    out[near] = (x[near] - start[near]) ** 2 * value
    return whole


def _halves(left: float, right: float) -> tuple[Any, Any]:
    """Middle and half width, exactly."""
    ctx = workspace.context
    with ctx.workdps(400):
        return (ctx.mpf(left) + ctx.mpf(right)) / 2, (ctx.mpf(right) - ctx.mpf(left)) / 2


def _doubles(values: list[Any]) -> Array:
    return np.array([float(v) for v in values])


@cache
def _to_powers() -> list[list[Any]]:
    """From values at the points to coefficients of powers, exactly: on a short panel those of a smooth function fall fast, and
    Horner's rule adds them with less rounding than Chebyshev's recurrence.
    """
    ctx = workspace.context
    with ctx.workdps(60):
        inverse = ctx.matrix([[ctx.mpf(t) ** k for k in range(_POINTS)] for t in _NODES]) ** -1
        return [[inverse[i, j] for j in range(_POINTS)] for i in range(_POINTS)]


def _even(values: Array) -> bool:
    """Whether no value is so much smaller than another that it would lose its relative accuracy to it."""
    size = np.abs(values)
    crosses = values.max() > 0 > values.min()
    return bool(np.isfinite(size).all() and (size.min() * _SPREAD >= size.max() or crosses or size.max() < _TINY))


def _wide(left: float, right: float, low: float, high: float) -> bool:
    middle = 0.5 * left + 0.5 * right
    distance = min([1.0, *(abs(middle - end) for end in (low, high) if math.isfinite(end))])
    return right - left > max(_NARROWEST * distance, 1e-7 * abs(middle))
