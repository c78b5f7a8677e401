"""Proximal Newton along a path of penalties, over columns: for designs with more columns than a full information matrix could hold.

Only columns that may matter are taken; their Gram makes the steps, and is kept while the row weights change little, since the score is exact in
any case.  At each alpha the columns left out are shown to be zero by what is known of them, or by scanning them again.

References: Tibshirani et al. (2012), J. R. Statist. Soc. B 74, doi:10.1111/j.1467-9868.2011.01004.x (which columns to expect next).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.column_model import ColumnModel, Grams
from etamu.solvers.column_step import COARSE, SOON, STALE, STALLED, Step, accuracy, remaining, step_by
from etamu.solvers.descent import Begins, Bounds, Descender
from etamu.solvers.points import Point
from etamu.solvers.seen import Seen
from etamu.solvers.standing import Standing, stand

__all__ = ["ColumnAccess", "Columnwise"]

Array = np.ndarray[Any, Any]
_LEFT = (1e-14, 1e-11)  # share of the objective that may be left above its minimum: for few numbers, for many
_MANY = 1_000_000
_GROWTH = 0.25  # of a column's inner product with the residuals, expected while alpha falls by 1; more than 1 is hardly possible, and this seldom


class ColumnAccess(Grams, Protocol):
    """What this solver may know of a design: products of its columns with vectors of one value per row."""

    taken: Array
    tall: bool  # whether there are so many rows of each column that reading them is what costs

    @property
    def lengths(self) -> Array: ...
    @property
    def lost(self) -> Array: ...
    def empty(self) -> Array: ...
    def advance(self, base: Array, move: Array, information: str, eta: Array, v: Array, h: Array) -> tuple[float, Array]: ...
    def scan(self, v: Array, wanted: Array) -> Array: ...
    def exact(self, v: Array, wanted: Array) -> Array: ...
    def take(self, wanted: Array) -> None: ...


class Columnwise:
    """The state of a path: coefficients, predictors, and what is known of every column."""

    def __init__(self, access: ColumnAccess, pieces: Pieces, bounds: Bounds, information: str, max_iter: int, constant: bool, begins: Begins) -> None:
        self.access, self.pieces, self.bounds, self.information, self.max_iter = access, pieces, bounds, information, max_iter
        self.weight_sum = access.sum_weight
        self.constant = constant  # the row weights are the same everywhere, so the model is exact
        self.bounded = bounds.any
        self.size = len(pieces.l1)
        self.eta, self.v, self.h = access.empty(), access.empty(), access.empty()
        self.trial = (access.empty(), access.empty(), access.empty())
        self.b, self.score = np.zeros(0), np.zeros(0)
        self.model = ColumnModel(access)
        self.descender, self.first = Descender(), 1.0
        self.seen = Seen(access.lengths / self.weight_sum, access.lost / self.weight_sum, len(self.v))
        self.out = np.ones(self.size, dtype=bool)
        self.left = _LEFT[access.rows * self.size > _MANY]
        self.previous = np.zeros(0)
        self.null = math.inf
        taken = access.taken  # by now: all, or none
        self.b, self.out[taken] = np.zeros(len(taken)), False
        self.l1, self.l2, self.box = pieces.l1[taken], pieces.l2[taken], bounds.keep(taken)
        self.deviance, self.score = access.advance(access.empty(), self.b, information, self.eta, self.v, self.h)
        self.origin = bounds.nearest(np.zeros(self.size))
        self.largest = float(pieces.l1.max(initial=0.0))
        self.least = np.abs(self.origin[taken])  # of the penalty this share is left out, which no coefficient can avoid
        self.take(np.flatnonzero(self.out & ((pieces.l1 == 0) | (self.origin != 0))))
        self._set_out(self.origin)
        if not math.isfinite(self.deviance):
            self._set_out(bounds.nearest(begins()))

    def _set_out(self, b: Array) -> None:
        """Begin at those coefficients, of which no column that is not taken has one."""
        move = b[self.access.taken] - self.b
        if move.any():
            self._accept(self.b + move, *self._go(move))

    def change(self, pieces: Pieces) -> None:
        """Go on with another penalty of the same columns."""
        self.pieces, self.largest = pieces, float(pieces.l1.max(initial=0.0))
        taken = self.access.taken
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
        self.l1, self.l2 = np.concatenate([self.l1, self.pieces.l1[wanted]]), np.concatenate([self.l2, self.pieces.l2[wanted]])
        self.box, self.least = self.box.and_of(self.bounds, wanted), np.concatenate([self.least, np.abs(self.origin[wanted])])

    def _model(self, q: Array, l1: Array, stale: float) -> None:
        """See to it that the model has every column that is not 0 or would not stay so, at row weights that are not stale."""
        size, model = np.abs(q), self.model
        needed = (self.b != 0) | (size > l1) | (l1 == 0)
        soon = needed | (size > SOON * l1) if self.access.tall else needed  # one more column costs as much as reading all
        if not len(model) or model.staleness(self.h) > stale:
            return model.renew(self.h, np.flatnonzero(soon), stale)
        missing = needed.copy()
        missing[model.index] = False
        if missing.any() and not model.borrow(self.h, np.flatnonzero(needed), stale):
            soon[model.index] = False
            model.grow(self.h, np.flatnonzero(soon))
        return None

    # ---- one alpha -------------------------------------------------------------------------------------------------

    def _stand(self, b: Array, score: Array, l1: Array, l2: Array) -> Standing:
        return stand(b, score, -1 / self.weight_sum, l1, l2, self.least, self.box)

    def _objective(self, deviance: float, standing: Standing) -> float:
        return 0.5 * deviance / self.weight_sum + standing.penalty

    def solve_working(self, l1: Array, l2: Array) -> tuple[int, bool]:
        """The minimum over the columns taken; Newton steps made, and whether it was reached."""
        self.standing = self._stand(self.b, self.score, l1, l2)
        floor = max(self.left * min(self.null, self._objective(self.deviance, self.standing)), 1e-300)
        before, stale = self.first, STALE
        for step in range(1, self.max_iter + 1):
            q = self.score / -self.weight_sum
            self._model(q, l1, stale)
            if not len(self.model):  # all are 0 and stay so
                return step, True
            tolerance, tight = accuracy(floor, len(self.model), before, self.constant)
            made = step_by(self.model, self.descender, self.b, q, l1, l2, self.box, tolerance)
            if self.descender.least() < COARSE and self.model.exactly():
                continue  # floats cannot tell some columns apart
            decrease = made.decrease
            if tight and not decrease > floor:
                return step, math.isfinite(decrease)
            if not self._advance(made, l1, l2):
                if self.model.fresh:
                    return step, decrease <= 1e3 * floor
                stale = 0.0
                continue
            if tight and (decrease <= floor if step == 1 else remaining(decrease, before) <= floor):
                return step, True
            if self.constant and self._rests(floor):
                return step, True
            if step == 1:
                self.first = max(decrease, floor)
            stale = 1e-3 if decrease > STALLED * before and step > 2 else STALE
            before = max(decrease, floor)
        return self.max_iter, False

    def _rests(self, floor: float) -> bool:
        """Whether a model that is the same everywhere shows that no more than the floor is left: half the square of the slopes times its inverse."""
        if self.bounded or not self.standing.idle:
            return False
        longest = self.descender.longest(int(np.count_nonzero((self.b != 0) | (self.l1 == 0)))) / self.model.factor
        return 0.5 * self.standing.square * longest <= floor

    def _advance(self, step: Step, l1: Array, l2: Array) -> bool:
        """Make as much of the step as lets the objective fall; whether it did."""
        trial, move = step.whole(self.b), step.move(len(self.b))
        now, t = self._objective(self.deviance, self.standing), 1.0
        for _ in range(40):
            deviance, score = self._go(t * move)
            b = trial if t == 1.0 else self.b + t * move
            standing = self._stand(b, score, l1, l2)
            if self._objective(deviance, standing) <= now + 1e-4 * t * step.linear + 32e-16 * abs(now):
                self._accept(b, deviance, score)
                self.standing = standing
                return True
            t *= 0.5
        return False

    def _go(self, move: Array) -> tuple[float, Array]:
        """Deviance and score after the move."""
        return self.access.advance(self.eta, move, self.information, *self.trial)

    def _accept(self, b: Array, deviance: float, score: Array) -> None:
        """The point just evaluated is where we are."""
        here, there = (self.eta, self.v, self.h), self.trial
        self.trial, (self.eta, self.v, self.h) = here, there
        self.b, self.deviance, self.score = b, deviance, score
        if not self.constant:
            self.model.moved()

    def possible(self, alpha: float) -> Array:
        """Columns left out that could have more than their threshold, scanned again where what is known does not exclude them."""
        suspects = self.seen.suspects(self.v, self.out, self.pieces.l1, alpha)
        if not len(suspects):
            return suspects
        return self.seen.now(self.v, suspects, self.access.scan(self.v, suspects), 1 / self.weight_sum, self.pieces.l1, alpha)

    def begin(self) -> None:
        """The fit of the columns without an l1 penalty, and with it where the path begins."""
        left, self.left = self.left, 1e-20
        self.solve_working(np.where(self.l1 > 0, 1e250, 0.0), self.l2)  # so dear that nothing moves
        self.left = left
        self.null = 0.5 * self.deviance / self.weight_sum

    @property
    def modelled(self) -> Array:
        """The columns of the model."""
        return self.access.taken[self.model.index]

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

    def _extrapolated(self) -> Array | None:
        """A move towards the next solution from the last, as the last ones moved: nearly linearly in log(alpha)."""
        earlier = np.zeros(len(self.b))
        earlier[: len(self.previous)] = self.previous
        move = self.b - earlier
        move[(self.b == 0) | (earlier == 0)] = 0.0
        self.previous = self.b
        move[(self.b + move) * self.b < 0] = 0.0
        np.clip(self.b + move, self.box.low, self.box.high, out=move)
        move -= self.b
        return move if move.any() else None

    def _go_ahead(self, move: Array) -> None:
        """Make the move, so that the model is one of there."""
        deviance, score = self._go(move)
        if math.isfinite(deviance):
            self._accept(self.b + move, deviance, score)

    def at(self, alpha: float, last: float | None = None) -> Point:
        """The solution at alpha, from that at the ``last`` one."""
        ahead = None if last is None or self.constant else self._extrapolated()  # one step suffices for least squares, wherever it begins
        if ahead is not None:
            self._go_ahead(ahead)
        expected = alpha if last is None else max(alpha - _GROWTH * (last - alpha), 0.5 * alpha)
        if self.access.tall:
            expected = SOON * alpha
        self.take(self.seen.promising(self.v, self.out, self.pieces.l1, expected))
        steps, fine = 0, True
        while True:
            made, fine = self.solve_working(alpha * self.l1, alpha * self.l2)
            steps += made
            more = self.possible(alpha)
            if not len(more):
                break
            self.take(more)
        used = np.flatnonzero((self.b != 0) | (self.l1 == 0))
        return Point(alpha, self.access.taken[used], self.b[used], self.deviance, self.standing.away / (alpha * self.largest or 1.0), steps, fine)

    def pass_by(self, alpha: float) -> None:
        """One step towards the solution at alpha, on the way to a smaller one."""
        self.take(self.possible(alpha))
        most, self.max_iter = self.max_iter, 1
        self.solve_working(alpha * self.l1, alpha * self.l2)
        self.max_iter = most

    def path(self, alphas: Array) -> Iterator[Point]:
        """Solutions at falling alphas."""
        last: float | None = None
        for alpha in alphas:
            yield self.at(float(alpha), last)
            last = float(alpha)
