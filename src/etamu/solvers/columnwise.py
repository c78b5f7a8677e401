"""Proximal Newton along a path of penalties, over columns: for designs with more columns than a full information matrix could hold.

Only columns that may matter are taken; their Gram makes the steps, and is kept while the row weights change little, since the score is exact in
any case.  At each alpha the columns left out are shown to be zero by what is known of them, or by scanning them again.

References: Tibshirani et al. (2012), J. R. Statist. Soc. B 74, doi:10.1111/j.1467-9868.2011.01004.x (which columns to expect next).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.column_model import ColumnModel, Grams
from etamu.solvers.descent import Bounds, Descender, Groups, distances
from etamu.solvers.seen import Seen

__all__ = ["ColumnAccess", "Columnwise", "Point", "relative", "remaining"]

Array = np.ndarray[Any, Any]
_LEFT = (1e-14, 1e-11)  # share of the objective that may be left above its minimum: for few numbers, for many
_MANY = 1_000_000
_STALLED = 0.1  # ratio of decreases at which the Gram is made anew
_INEXACT = 0.003  # accuracy of a step but the last, in units of the one before
_TALL = 20  # rows per column from which reading the rows is what costs
_COARSE = 1e-5  # share of a column's own length, left by others, below which a model of floats is not one
_SOON = 0.75  # share of its threshold from which a column of a tall design is expected in the model
_NOW = 0.95  # the same where no smaller alpha follows
_STALE = 0.1  # relative change of the row weights at which the Gram is made anew


def relative(away: Array, l1: Array) -> float:
    """The largest of the distances, over the largest threshold."""
    return float(away.max(initial=0.0)) / (float(l1.max(initial=0.0)) or 1.0)


class ColumnAccess(Grams, Protocol):
    """What this solver may know of a design: products of its columns with vectors of one value per row."""

    lengths: Array
    lost: Array
    taken: list[int]
    whole: bool  # whether all columns were taken at once
    noise: float  # share of the objective that its products cannot tell apart: 0 for doubles

    def empty(self) -> Array: ...
    def advance(self, base: Array, move: Array, information: str, eta: Array, v: Array, h: Array, *, index: Array | None = None) -> tuple[float, Array]: ...
    def products(self, v: Array, index: Array) -> Array: ...
    def scan(self, v: Array, wanted: Array) -> Array: ...
    def exact(self, v: Array, wanted: Array) -> Array: ...
    def take(self, wanted: Array) -> None: ...
    def widen(self) -> None: ...


@dataclass(frozen=True)
class Point:
    """The solution at one alpha: the coefficients of the columns ``index``, all others being 0, and how exactly it is one.

    ``residual`` is the largest distance of the score from the penalty's subdifferential, over alpha's largest weight, in the user's units.
    """

    alpha: float
    index: Array
    values: Array
    deviance: float
    residual: float
    steps: int
    converged: bool
    freedom: float | None = None  # degrees of freedom, where they are not the number of coefficients


@dataclass(frozen=True)
class _There:
    """A point that was evaluated: its deviance, and the score of the columns ``seen``, or of all that were taken."""

    deviance: float
    score: Array
    seen: Array | None


class Columnwise:
    """The state of a path: coefficients, predictors, and what is known of every column."""

    def __init__(self, access: ColumnAccess, pieces: Pieces, bounds: Bounds, information: str, max_iter: int, unit: Array, constant: bool = False) -> None:
        self.access, self.pieces, self.bounds, self.information, self.max_iter = access, pieces, bounds, information, max_iter
        self.weight_sum, self.unit = access.sum_weight, unit
        self.constant = constant  # the row weights are the same everywhere, so the model is exact
        self.size = len(pieces.l1)
        self.eta, self.v, self.h = access.empty(), access.empty(), access.empty()
        self.trial = (access.empty(), access.empty(), access.empty())
        self.b, self.score = np.zeros(0), np.zeros(0)
        self.model = ColumnModel(access)
        self.tall = access.rows > _TALL * self.size
        self.descender, self.first = Descender(), 1.0
        self.seen = Seen(access.lengths / self.weight_sum, access.lost / self.weight_sum, access.rows)
        self.out = np.ones(self.size, dtype=bool)
        self.late: Array | None = None  # of the columns taken, those whose score is not of now
        self.left = _LEFT[access.rows * self.size > _MANY]
        self.soon, self.stale, self.settled = _SOON, _STALE, True
        self.previous = np.zeros(0)
        self.before_last: float | None = None
        self.ahead: Array | None = None
        self.null = math.inf
        taken = np.asarray(access.taken, dtype=np.int64)  # by now: all, or none
        self.b, self.out[taken] = np.zeros(len(taken)), False
        self.l1, self.l2, self.box = pieces.l1[taken], pieces.l2[taken], bounds.keep(taken)
        self.deviance, self.score = access.advance(access.empty(), self.b, information, self.eta, self.v, self.h)
        self.take(np.flatnonzero(self.out & (pieces.l1 == 0)))

    def change(self, pieces: Pieces) -> None:
        """Go on with another penalty of the same columns."""
        self.pieces = pieces
        taken = np.asarray(self.access.taken, dtype=np.int64)
        self.l1, self.l2 = pieces.l1[taken], pieces.l2[taken]
        self.take(np.flatnonzero(self.out & (pieces.l1 == 0)))

    # ---- rows and columns ------------------------------------------------------------------------------------------

    def take(self, wanted: Array) -> None:
        """More columns into the working set."""
        if not len(wanted):
            return
        self.access.take(wanted)
        self.score = np.concatenate([self.score, self.access.exact(self.v, wanted.astype(np.int32))])
        self.out[wanted] = False
        self.seen.forget(wanted)
        self.b = np.concatenate([self.b, np.zeros(len(wanted))])
        taken = np.asarray(self.access.taken)
        self.l1, self.l2, self.box = self.pieces.l1[taken], self.pieces.l2[taken], self.bounds.keep(taken)

    def _model(self, q: Array, l1: Array, stale: float) -> None:
        """See to it that the model has every column that is not 0 or would not stay so, at row weights that are not stale."""
        size, model = np.abs(q), self.model
        needed = (self.b != 0) | (size > l1) | (l1 == 0)
        soon = needed | (size > self.soon * l1) if self.tall else needed  # one more column costs as much as reading all
        if not len(model) or model.staleness(self.h) > stale:
            return model.renew(self.h, np.flatnonzero(soon), stale)
        missing = needed.copy()
        missing[model.index] = False
        if missing.any() and not model.borrow(self.h, np.flatnonzero(needed), stale):
            soon[model.index] = False
            model.grow(self.h, np.flatnonzero(soon))
        return None

    # ---- one alpha -------------------------------------------------------------------------------------------------

    def _objective(self, deviance: float, b: Array, l1: Array, l2: Array) -> float:
        return 0.5 * deviance / self.weight_sum + float((l1 * np.abs(b)).sum() + 0.5 * (l2 * b * b).sum())

    def solve_working(self, l1: Array, l2: Array) -> tuple[int, bool]:
        """The minimum over the columns taken; Newton steps made, and whether it was reached."""
        groups = Groups()
        floor = max(self.left * min(self.null, self._objective(self.deviance, self.b, l1, l2)), 1e-300)
        before, stale = self.first, self.stale
        for step in range(1, self.max_iter + 1):
            q = self.score / -self.weight_sum
            self._model(q, l1, stale)
            if self.model.exact and self.access.noise:
                self._widen()
                continue
            at, by = self.model.index, self.model.factor
            if len(self._look_at(at)):
                q = self.score / -self.weight_sum
            if not len(at):  # all are 0 and stay so
                return step, True
            tolerance = math.sqrt(floor / len(at))
            tight = self.constant or before <= 1e4 * floor or _INEXACT * math.sqrt(before) <= tolerance
            tolerance = tolerance if tight else _INEXACT * math.sqrt(before)
            trial, slope = self.b[at], q[at] / by
            ahead = None
            if self.ahead is not None:  # the model is as good there as here
                ahead, self.ahead = np.concatenate([self.ahead, np.zeros(len(self.b) - len(self.ahead))])[at], None
            self.descender(
                self.model.gram, trial, slope, l1[at] / by, l2[at] / by, self.box.keep(at), groups, tolerance / math.sqrt(by), self.model.version, ahead
            )
            if self.descender.least() < _COARSE and self.model.exactly():
                continue  # floats cannot tell some columns apart
            slope *= by
            part, old = trial - self.b[at], self.b[at]
            penalty = float((l1[at] * (np.abs(trial) - np.abs(old))).sum() + 0.5 * (l2[at] * part * (trial + old)).sum())
            linear = float(q[at] @ part) + penalty
            decrease = -(linear + 0.5 * float((slope - q[at]) @ part))
            if tight and not decrease > floor:
                return step, True
            move = np.zeros(len(self.b))
            move[at] = part
            end = self.b.copy()
            end[at] = trial
            if not self._advance(end, move, linear, l1, l2):
                if self.model.fresh:
                    return step, decrease <= 1e3 * floor
                stale = 0.0
                continue
            if tight and (decrease <= floor if step == 1 else remaining(decrease, before) <= floor):
                return step, True
            if step == 1:
                self.first = max(decrease, floor)
            stale, self.settled = min(self.stale, 1e-3) if decrease > _STALLED * before and step > 2 else self.stale, True
            before = max(decrease, floor)
        return self.max_iter, False

    def _advance(self, trial: Array, move: Array, linear: float, l1: Array, l2: Array) -> bool:
        """Step towards the trial point as far as the objective falls; whether it did."""
        now, t = self._objective(self.deviance, self.b, l1, l2), 1.0
        for _ in range(40):
            found = self._go(t * move)
            b = trial if t == 1.0 else self.b + t * move
            if self._objective(found.deviance, b, l1, l2) <= now + 1e-4 * t * linear + 32e-16 * abs(now):
                self._accept(b, found)
                return True
            t *= 0.5
        return False

    def _widen(self) -> None:
        """Columns that floats cannot tell apart: go on by doubles, from the same coefficients."""
        self.access.widen()
        found = self.access.advance(self.access.empty(), self.b, self.information, *self.trial)
        self._accept(self.b, _There(*found, None))
        self.model.clear()

    def _go(self, move: Array) -> _There:
        """The objective's parts after the move."""
        seen = None
        if self.access.whole and self.settled:
            looked = move != 0
            looked[self.model.index] = True
            seen = np.flatnonzero(looked)
        return _There(*self.access.advance(self.eta, move, self.information, *self.trial, index=seen), seen)

    def _look_at(self, columns: Array) -> Array:
        """Make the score of those columns one of now; which of them it was not."""
        if self.late is None:
            return columns[:0]
        late = columns[self.late[columns]]
        if len(late):
            self.score[late] = self.access.products([self.v], late)[0]
            self.late[late] = False
        return late

    def _overlooked(self, l1: Array) -> bool:
        """Whether a column that the last steps did not look at would not stay 0."""
        late = self._look_at(np.arange(len(self.b)))
        return bool((np.abs(self.score[late]) / self.weight_sum > l1[late]).any())

    def _accept(self, b: Array, found: _There) -> None:
        """The point just evaluated is where we are."""
        here, there = (self.eta, self.v, self.h), self.trial
        self.trial, (self.eta, self.v, self.h) = here, there
        self.b, self.deviance, self.late = b, found.deviance, None
        self.score[slice(None) if found.seen is None else found.seen] = found.score
        if found.seen is not None:
            self.late = np.ones(len(b), dtype=bool)
            self.late[found.seen] = False
        self.model.moved()

    def possible(self, threshold: Array) -> Array:
        """Columns left out that could reach the threshold, scanned again where what is known does not exclude them."""
        suspects = np.flatnonzero(self.out & (self.seen.reach(self.v) > threshold))
        if len(suspects):
            self.seen.now(self.v, suspects, self.access.scan(self.v, suspects.astype(np.int32)) / self.weight_sum)
        return suspects[self.seen.known[suspects] > threshold[suspects]]

    def begin(self) -> None:
        """The fit of the columns without an l1 penalty, and with it where the path begins."""
        left, self.left = self.left, max(1e-20, self.access.noise)
        self.solve_working(np.where(self.l1 > 0, 1e250, 0.0), self.l2)  # so dear that nothing moves
        self.left = left
        self._overlooked(self.l1)
        self.null = 0.5 * self.deviance / self.weight_sum

    def start(self, sample: Columnwise, point: Point) -> None:
        """Begin at a sample's solution, and go from there as far as its model leads; all columns are taken."""
        move, self.null = np.zeros(self.size), sample.null
        move[point.index] = point.values
        self._accept(move, self._go(move))
        index, self.soon = np.asarray(sample.access.taken, dtype=np.int32)[sample.model.index], _NOW
        self.model.adopt(index, sample.model.gram, self.h / self.weight_sum, self.model.few(self.h))
        l1 = np.full(self.size, 1e250)
        l1[index] = point.alpha * self.l1[index]
        own = self.left, self.max_iter, self.stale
        self.left, self.max_iter, self.stale = 1e-6, 4, math.inf
        self.solve_working(l1, point.alpha * self.l2)
        self.left, self.max_iter, self.stale = own
        self.model.clear()
        self.settled = False

    def first_alpha(self) -> float:
        """The least alpha at which every penalised coefficient is 0."""
        held = self.l1 > 0
        first = float((np.abs(self.score[held]) / self.weight_sum / self.l1[held]).max(initial=0.0))
        index = np.flatnonzero(self.out & (self.pieces.l1 > 0))
        if not len(index):
            return first
        ratio = self.access.scan(self.v, index.astype(np.int32)) / self.pieces.l1[index]
        top = index[np.argsort(-np.abs(ratio))[:32]]
        exact = self.access.exact(self.v, top.astype(np.int32)) / self.weight_sum / self.pieces.l1[top]
        return max(first, float(np.abs(exact).max()))

    def steepest(self) -> float:
        """Nothing: of these penalties the first alpha says where a path begins."""
        return 0.0

    def _extrapolated(self, alpha: float, last: float, guide: tuple[Point, Point] | None) -> Array | None:
        """A move towards the solution at alpha from that at the last: as another problem's solutions moved, else as the last ones did.

        Coefficients are nearly linear in log(alpha), those of least squares in alpha.
        """
        if guide is None:
            earlier = np.zeros(len(self.b))
            earlier[: len(self.previous)] = self.previous
            move = self.b - earlier
            if self.constant and self.before_last is not None:
                move *= (last - alpha) / (self.before_last - last)
            move[(self.b == 0) | (earlier == 0)] = 0.0
        else:
            whole = np.zeros(self.size)
            whole[guide[1].index] = guide[1].values
            whole[guide[0].index] -= guide[0].values
            move = whole[self.access.taken]
        self.previous, self.before_last = self.b, last
        move[(self.b + move) * self.b < 0] = 0.0
        np.clip(self.b + move, self.box.low, self.box.high, out=move)
        move -= self.b
        return move if move.any() else None

    def _go_ahead(self, move: Array) -> None:
        """Make the move, so that the model is one of there."""
        found = self._go(move)
        if math.isfinite(found.deviance):
            self._accept(self.b + move, found)

    def at(self, alpha: float, last: float | None = None, guide: tuple[Point, Point] | None = None) -> Point:
        """The solution at alpha, from that at the ``last`` one; ``guide`` are another problem's solutions there and here."""
        self.ahead = None if last is None else self._extrapolated(alpha, last, guide)
        if self.ahead is not None and not self.constant:
            self._go_ahead(self.ahead)
            self.ahead = None
        threshold = alpha * self.pieces.l1
        expected = threshold if last is None else np.maximum(2 * alpha - last, 0.5 * alpha) * self.pieces.l1
        if self.tall:
            expected = self.soon * threshold
        known = self.seen.known  # as of when they were last scanned: below they are looked at again
        self.take(np.flatnonzero(self.out & (known > expected) & (known < math.inf)))
        steps, fine = 0, True
        while True:
            made, fine = self.solve_working(alpha * self.l1, alpha * self.l2)
            steps += made
            if self._overlooked(alpha * self.l1):
                continue
            more = self.possible(threshold)
            if not len(more):
                break
            self.take(more)
        q = self.score / -self.weight_sum
        away = distances(self.b, q, alpha * self.l1, alpha * self.l2, self.box, Groups())
        used = np.flatnonzero((self.b != 0) | (self.l1 == 0))
        scale = alpha * float(self.pieces.l1.max(initial=0.0))
        return Point(
            alpha, np.asarray(self.access.taken, dtype=np.int64)[used], self.b[used], self.deviance, float(away.max(initial=0.0)) / (scale or 1.0), steps, fine
        )

    def pass_by(self, alpha: float) -> None:
        """One step towards the solution at alpha, on the way to a smaller one."""
        self.take(self.possible(alpha * self.pieces.l1))
        most, self.max_iter = self.max_iter, 1
        self.solve_working(alpha * self.l1, alpha * self.l2)
        self.max_iter = most

    def path(self, alphas: Array, guide: Sequence[Point] | None = None) -> Iterator[Point]:
        """Solutions at falling alphas; ``guide`` are those of a problem much like this one."""
        last: float | None = None
        for k, alpha in enumerate(alphas):
            yield self.at(float(alpha), last, (guide[k - 1], guide[k]) if guide is not None and k else None)
            last = float(alpha)


def remaining(decrease: float, before: float) -> float:
    """What is left of a decrease by its last step, from the step before: they fall off geometrically, or faster."""
    return decrease * decrease / (before - decrease) if decrease < before else math.inf
