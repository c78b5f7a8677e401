"""Coordinate descent on a quadratic model with a penalty: the step of every proximal Newton method.

Minimises 1/2 (x - b)'H(x - b) + q'(x - b) + sum l1 |x| + l2/2 x^2 + sum_g w_g |x_g| within bounds, by sweeps that find which coordinates are
zero and Newton's steps on the others.

References: Friedman, Hastie & Tibshirani (2010), J. Stat. Softw. 33(1), doi:10.18637/jss.v033.i01 (the sweeps); Yuan, Ho & Lin (2012), JMLR 13
(proximal Newton).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etamu.core import core, cores

__all__ = ["Begins", "Bounds", "Descender", "Groups", "distances"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_SWEEPS = 20_000
_AGAIN = 10  # times that coordinates which a last sweep lets in are followed
Begins = Callable[[], Array]  # where to begin when the loss is not finite at 0


@dataclass(frozen=True)
class Groups:
    """Runs of positions, one after another, and a weight for each."""

    start: np.ndarray[Any, np.dtype[np.int32]] = field(default_factory=lambda: np.zeros(1, dtype=np.int32))
    member: np.ndarray[Any, np.dtype[np.int32]] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    weight: Array = field(default_factory=lambda: np.zeros(0))

    @staticmethod
    def of(groups: tuple[tuple[int, ...], ...], weight: Array | None) -> Groups:
        if not groups or weight is None:
            return Groups()
        start = np.concatenate([[0], np.cumsum([len(g) for g in groups])]).astype(np.int32)
        return Groups(start, np.array([j for g in groups for j in g], dtype=np.int32), np.ascontiguousarray(weight))

    def each(self) -> list[tuple[np.ndarray[Any, np.dtype[np.int32]], float]]:
        return [(self.member[a:b], float(w)) for a, b, w in zip(self.start[:-1], self.start[1:], self.weight)]


@dataclass(frozen=True)
class Bounds:
    """Lower and upper ends of each coordinate."""

    low: Array
    high: Array

    @staticmethod
    def none(size: int) -> Bounds:
        return Bounds(np.full(size, -np.inf), np.full(size, np.inf))

    @property
    def any(self) -> bool:
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def nearest(self, b: Array) -> Array:
        """The coefficients within the bounds that are nearest to b."""
        return np.clip(b, self.low, self.high)

    def and_of(self, others: Bounds, index: Any) -> Bounds:
        """These, and some of others after them."""
        return Bounds(np.concatenate([self.low, others.low[index]]), np.concatenate([self.high, others.high[index]]))

    def keep(self, index: Any) -> Bounds:
        return Bounds(self.low[index], self.high[index])


class Descender:
    """Descends on one model after another, and keeps the inverse of Newton's last step while ``version`` says the coordinates are the same."""

    def __init__(self) -> None:
        self.kept = None if core is None else core.Inverse()

    def least(self) -> float:
        """Since last asked: the least share of its own length that the others left a coordinate, in the model's metric; 1 where nobody looked.

        In NumPy nobody looks, and 0 asks for doubles, which cost nothing more there.
        """
        if self.kept is None:
            return 0.0
        found, self.kept.least = float(self.kept.least), 1.0
        return found

    def longest(self, size: int) -> float:
        """No less than the largest eigenvalue of the inverse that the last step has left, if it is one of so many coordinates; else infinity."""
        if self.kept is None:
            return np.inf
        members, trace = self.kept.spread()
        return float(trace) if members == size else np.inf

    def __call__(
        self,
        h: Any,
        b: Array,
        q: Array,
        l1: Array,
        l2: Array,
        bounds: Bounds,
        groups: Groups,
        tolerance: float,
        version: int = 0,
        made: int = -1,
    ) -> bool:
        """Move ``b`` to the minimum, and the gradient ``q`` with it; ``h`` may be larger than it.  Whether it was reached.

        ``tolerance`` bounds the last changes in units of the model: half its square is a decrease of the objective.  ``version`` tells models apart
        whose coordinates are others; where only the matrix has changed a little, what is kept of the last one still helps.
        """
        if self.kept is None:
            return _descend(h[: len(b), : len(b)], b, q, l1, l2, bounds, groups, tolerance)
        penalty = (np.ascontiguousarray(a) for a in (l1, l2, bounds.low, bounds.high))
        end = (groups.start, groups.member, groups.weight, tolerance, _SWEEPS, version, made, cores())
        return bool(core.descend(self.kept, h, len(b), b, q, *penalty, *end) > 0)

    def step(
        self,
        h: Any,
        at: Any,
        b: Array,
        q: Array,
        l1: Array,
        l2: Array,
        bounds: Bounds,
        tolerance: float,
        version: int,
        made: int,
        by: float,
    ) -> tuple[Array, Array, float, float]:
        """The same for the coordinates ``at``, of ``by`` times h, in the core: where they end and the way there, the objective's change to first order,
        and the decrease that the model promises.
        """
        end, part = np.empty(len(at)), np.empty(len(at))
        given = (np.ascontiguousarray(a) for a in (b, q, l1, l2, bounds.low, bounds.high))
        return end, part, *core.step(self.kept, h, at, *given, by, tolerance, _SWEEPS, version, made, cores(), end, part)


def _descend(h: Array, b: Array, q: Array, l1: Array, l2: Array, bounds: Bounds, groups: Groups, tolerance: float) -> bool:
    """The sweeps in NumPy, and Newton's steps where there are no groups."""
    grouped = set(groups.member.tolist())
    alone = [j for j in range(len(b)) if j not in grouped]
    blocks = [(g, w, float(np.abs(h[np.ix_(g, g)]).sum(axis=1).max() + l2[g].max())) for g, w in groups.each()]
    solved, again = bool(blocks), 0
    for _ in range(_SWEEPS):
        largest, out = 0.0, b == 0
        for j in alone:
            largest = max(largest, _along(j, h, b, q, l1, l2, bounds))
        for g, w, c in blocks:
            largest = max(largest, _along_group(g, w, c, h, b, q, l1, l2))
        if largest <= tolerance and solved:
            again += 1  # what has just come in may want to go far
            if blocks or again > _AGAIN or not (out & (b != 0)).any():
                return True
        solved = bool(blocks) or _newton(h, b, q, l1, l2, bounds)
    return False


def _newton(h: Array, b: Array, q: Array, l1: Array, l2: Array, bounds: Bounds) -> bool:
    """Newton's step over the support, as far as no coordinate changes its sign or leaves its bounds; whether it was made whole."""
    at = np.flatnonzero(((b != 0) | (l1 == 0)) & (b > bounds.low) & (b < bounds.high))
    if not len(at):
        return True
    steep = (q + l2 * b + l1 * np.sign(b))[at]
    d = np.linalg.lstsq(h[np.ix_(at, at)].astype(float) + np.diag(l2[at]), -steep, rcond=None)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        stops = np.where((l1[at] > 0) & ((b[at] > 0) != (b[at] + d > 0)), 0.0, np.clip(b[at] + d, bounds.low[at], bounds.high[at]))
        reach = np.where(stops == b[at] + d, 1.0, (stops - b[at]) / d)
    t = min(1.0, max(float(reach.min()), 0.0))
    to = np.where(reach <= t, stops, b[at] + t * d) if t < 1 else b[at] + d
    q += (to - b[at]) @ h[at]
    b[at] = to
    return t == 1.0


def _along(j: int, h: Array, b: Array, q: Array, l1: Array, l2: Array, bounds: Bounds) -> float:
    total = h[j, j] + l2[j]
    if not total > 0:  # a column of zeros, of which the objective has the penalty alone
        if abs(q[j]) <= l1[j] and l1[j] > 0:
            b[j] = min(max(0.0, bounds.low[j]), bounds.high[j])
        return 0.0
    z = h[j, j] * b[j] - q[j]
    x = min(max(float(np.sign(z) * max(abs(z) - l1[j], 0.0) / total), bounds.low[j]), bounds.high[j])
    by = x - b[j]
    if by != 0:
        b[j] = x
        q += by * h[j]
    return float(abs(by) * np.sqrt(total))


def _along_group(g: Any, w: float, c: float, h: Array, b: Array, q: Array, l1: Array, l2: Array) -> float:
    if not c > 0:
        return 0.0
    u = b[g] - (q[g] + l2[g] * b[g]) / c
    u = np.sign(u) * np.maximum(np.abs(u) - l1[g] / c, 0.0)
    length = float(np.sqrt((u * u).sum()))
    by = (max(1 - w / (c * length), 0.0) if length > 0 else 0.0) * u - b[g]
    b[g] += by
    q += by @ h[g]
    return float(np.abs(by).max() * np.sqrt(c))


def distances(b: Array, gradient: Array, l1: Array, l2: Array, bounds: Bounds, groups: Groups) -> Array:
    """How far minus the ``gradient`` of the smooth part is from the subdifferential of the penalty, for each coordinate: 0 at a minimum."""
    slope = gradient + l2 * b
    out = np.maximum(np.abs(slope) - l1, 0.0)
    used = np.flatnonzero(b)
    out[used] = np.abs(slope[used] + l1[used] * np.sign(b[used]))
    for g, w in groups.each():
        length = float(np.sqrt((b[g] ** 2).sum()))
        if length > 0:
            towards = slope[g] + w * b[g] / length
            out[g] = np.where(b[g] != 0, np.abs(towards + l1[g] * np.sign(b[g])), np.maximum(np.abs(towards) - l1[g], 0.0))
        else:
            rest = np.maximum(np.abs(slope[g]) - l1[g], 0.0)
            size = float(np.sqrt((rest * rest).sum()))
            out[g] = rest * max(1 - w / size, 0.0) if size > 0 else 0.0
    if bounds.any:
        edge = np.where(b != 0, slope + l1 * np.sign(b), 0.0)
        right, left = slope + l1, slope - l1  # slopes of the objective to either side of 0
        down = np.where(b == 0, left, edge)  # what a move down would meet, positive where it descends
        up = np.where(b == 0, right, edge)
        could_rise = np.where(b < bounds.high, np.maximum(-up, 0.0), 0.0)
        could_fall = np.where(b > bounds.low, np.maximum(down, 0.0), 0.0)
        bounded = np.isfinite(bounds.low) | np.isfinite(bounds.high)
        out = np.where(bounded, np.maximum(could_rise, could_fall), out)
    return out
