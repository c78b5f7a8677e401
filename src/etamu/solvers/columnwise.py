"""Proximal Newton along a path of penalties, over columns: for designs with more columns than a full information matrix could hold.

Only columns that may matter are taken; their exact Gram makes the steps, and is kept while the row weights change little, since the score is exact in
any case.  At each alpha the columns left out are shown to be zero: the last inner product of each with the residuals, and how far the
residuals have moved since, bound what it can be now; where that does not suffice the column is scanned again.

References: Tibshirani et al. (2012), J. R. Statist. Soc. B 74, doi:10.1111/j.1467-9868.2011.01004.x (which columns to expect next); Fercoq, Gramfort & Salmon
(2015), ICML (bounds that are safe).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.descent import Bounds, Descender, Groups, distances

__all__ = ["ColumnAccess", "Columnwise", "Point"]

Array = np.ndarray[Any, Any]
_LEFT = (1e-14, 1e-11)  # share of the objective that may be left above its minimum: for few numbers, for many
_MANY = 1_000_000
_STALLED = 0.1  # ratio of decreases at which the Gram is made anew
_INEXACT = 0.003  # accuracy of a step but the last, in units of the one before
_IDLE = 1.2  # columns of the model over those that it needs, beyond which it is made of these alone
_TALL = 20  # rows per column from which reading the rows is what costs
_SOON = 0.75  # share of its threshold from which a column of a tall design is expected in the model
_NOW = 0.95  # the same where no smaller alpha follows
_SOME = 2_000  # rows that tell how stale row weights are
_STALE = 0.1  # relative change of the row weights at which the Gram is made anew


class Lent(Protocol):
    """A model that another solver on the same columns has made: X' diag(weight) X of the columns ``index``."""

    weight: Array
    index: Array
    gram: Array


class ColumnAccess(Protocol):
    """What this solver may know of a design: products of its columns with vectors of one value per row."""

    rows: int
    sum_weight: float
    lengths: Array
    lost: Array
    taken: list[int]
    whole: bool  # whether all columns were taken at once
    noise: float  # share of the objective that its products cannot tell apart

    def empty(self) -> Array: ...
    def advance(
        self, base: Array, move: Array, information: str, eta: Array, v: Array, h: Array, index: Array | None = None
    ) -> tuple[float, Array]: ...
    def scan(self, v: Array, wanted: Array) -> Array: ...
    def exact(self, v: Array, wanted: Array) -> Array: ...
    def take(self, wanted: Array) -> None: ...
    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None: ...
    def lend(self, weight: Array, index: Array, gram: Array) -> bool: ...
    def lent(self) -> Sequence[Lent]: ...


@dataclass(frozen=True)
class Point:
    """The solution at one alpha: the coefficients of the columns ``index``, all others being 0, and how exactly it is one.

    ``residual`` is the largest distance of the score from the penalty's subdifferential, over alpha's largest weight.
    """

    alpha: float
    index: Array
    values: Array
    deviance: float
    residual: float
    steps: int
    converged: bool


class Seen:
    """What is known of every column: its inner product with the residuals v_k of when it was last scanned.

    With v = c v_k + r, |x_j'v| is at most |c| |x_j'v_k| + |r| |x_j|; along a path c falls much as alpha does, and r is short.
    """

    def __init__(self, lengths: Array, lost: Array, rows: int) -> None:
        self.lengths, self.lost = lengths, lost
        self.most = int(min(max(1, len(lengths) // 32), max(1, 4_000_000 // rows), 32))  # vectors remembered: reading them must cost less than a scan
        self.vectors: list[tuple[Array, float]] = []  # with their squared lengths
        self.known, self.of = np.full(len(lengths), np.inf), np.zeros(len(lengths), dtype=np.int64)

    def reach(self, v: Array) -> Array:
        """A bound on each column's inner product with v."""
        if not self.vectors:
            return self.known
        products, own = np.array([_product(u, v) for u, _ in self.vectors]), _product(v, v)
        c = products / np.array([max(square, 1e-300) for _, square in self.vectors])
        r = np.sqrt(np.maximum(own - c * products, 0.0)) + 1e-7 * math.sqrt(own)
        return np.asarray(np.abs(c)[self.of] * self.known + r[self.of] * self.lengths)

    def now(self, v: Array, index: Array, products: Array) -> None:
        """The columns ``index`` have those inner products with v, to within what 16 bits lose."""
        square = _product(v, v)
        self.known[index] = np.abs(products) + self.lost[index] * math.sqrt(square)
        self.of[index] = len(self.vectors)
        self.vectors.append((v.copy(), square))
        used = np.flatnonzero(np.bincount(self.of, minlength=len(self.vectors)))[-self.most :]
        place = np.full(len(self.vectors), -1)
        place[used] = np.arange(len(used))
        self.of = place[self.of]
        self.vectors = [self.vectors[k] for k in used]
        self.forget(np.flatnonzero(self.of < 0))

    def forget(self, index: Array) -> None:
        """Nothing is known of those columns."""
        self.known[index], self.of[index] = np.inf, max(len(self.vectors) - 1, 0)


class Columnwise:
    """The state of a path: coefficients, predictors, and what is known of every column."""

    def __init__(self, access: ColumnAccess, pieces: Pieces, bounds: Bounds, information: str, max_iter: int, constant: bool = False) -> None:
        self.access, self.pieces, self.bounds, self.information, self.max_iter = access, pieces, bounds, information, max_iter
        self.weight_sum = access.sum_weight
        self.constant = constant  # the row weights are the same everywhere, so the model is exact
        self.size = len(pieces.l1)
        self.eta, self.v, self.h = access.empty(), access.empty(), access.empty()
        self.trial = tuple(access.empty() for _ in range(3))
        self.b, self.score = np.zeros(0), np.zeros(0)
        self.model, self.gram, self.gram_weight = np.zeros(0, dtype=np.int32), np.empty((0, 0), dtype=np.float32), access.empty()
        self.tall = access.rows > _TALL * self.size
        self.descender, self.version, self.first = Descender(), 0, 1.0
        self.seen = Seen(access.lengths / self.weight_sum, access.lost / self.weight_sum, access.rows)
        self.out = np.ones(self.size, dtype=bool)
        self.scanned = 0
        self.drift: float | None = None
        self.seeing: Array | None = None  # of the columns taken, those whose score is of now: all, or these
        self.borrowed = False  # whether others use the model too
        self.factor, self.fresh = 1.0, False  # by which the row weights have swollen, and whether they are those of the model
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

    def _room(self, size: int, have: int) -> None:
        if size > len(self.gram) or self.borrowed:
            larger = np.zeros((size + size // 2 + 16,) * 2, dtype=np.float32)
            larger[:have, :have] = self.gram[:have, :have]
            self.gram, self.borrowed = larger, False

    def _renew(self, needed: Array, stale: float) -> None:
        """A model of the columns needed, at the weights of now."""
        if stale > 0 and self._borrow(needed, stale):
            return
        more = np.setdiff1d(needed, self.model)
        if len(self.model) + len(more) <= _IDLE * len(needed) + 16:  # the order of the old ones stays, and what the descender keeps helps on
            self.model = np.concatenate([self.model, more.astype(np.int32)])
        else:
            self.model, self.version = needed.astype(np.int32), self.version + 1
        self.gram_weight = self.h / self.weight_sum
        self._room(len(self.model), 0)
        self.access.gram(self.gram_weight, self.model, 0, self.gram)
        self.drift, self.factor, self.fresh = 0.0, 1.0, True
        self._lend()

    def _borrow(self, needed: Array, stale: float) -> bool:
        """Use a model that others have made, if one of them will do."""
        fitting = [m for m in self.access.lent() if m.gram is not self.gram and len(m.index) >= len(needed) and np.isin(needed, m.index).all()]
        found = [(*self._staleness(m.weight), m) for m in fitting]
        drift, factor, model = min(found, key=lambda f: f[0], default=(math.inf, 1.0, None))
        if model is None or drift > stale:
            return False
        if not np.array_equal(self.model, model.index[: len(self.model)]):
            self.version += 1
        self.gram_weight, self.model, self.gram, self.borrowed = model.weight, model.index, model.gram, True
        self.drift, self.factor, self.fresh = drift, factor, False
        return True

    def _lend(self) -> None:
        self.borrowed = self.access.lend(self.gram_weight, self.model, self.gram)

    def _model(self, q: Array, l1: Array, stale: float) -> None:
        """See to it that the model has every column that is not 0 or would not stay so, at row weights that are not stale."""
        size = np.abs(q)
        needed = (self.b != 0) | (size > l1) | (l1 == 0)
        if not len(self.model) or self._drift() > stale:
            return self._renew(np.flatnonzero(needed | (size > self.soon * l1) if self.tall else needed), stale)
        missing = needed.copy()
        missing[self.model] = False
        if not missing.any() or self._borrow(np.flatnonzero(needed), stale):
            return None
        if self.tall:  # one more column costs as much as reading all, so those that will be needed soon come too
            missing = needed | (size > self.soon * l1)
            missing[self.model] = False
        more = np.flatnonzero(missing).astype(np.int32)
        have = len(self.model)
        self._room(have + len(more), have)
        self.model = np.concatenate([self.model, more])
        self.access.gram(self.gram_weight, self.model, have, self.gram)
        self._lend()
        return None

    def _staleness(self, weight: Array) -> tuple[float, float]:
        """Relative change of the row weights from those of a model, apart from a factor common to all; and that factor."""
        some = slice(None, None, max(1, self.access.rows // _SOME))
        old, new = weight[some], self.h[some] / self.weight_sum
        used = new > 0  # rows that others have and this problem does not are no change
        then, now, both = float(np.add.reduce(old)), float(np.add.reduce(new)), float(np.add.reduce(old[used]))
        if not (both > 0 and now > 0):
            return math.inf, 1.0
        return float(np.add.reduce(np.abs(new[used] - (now / both) * old[used]))) / now, now / then

    def _drift(self) -> float:
        """How stale the model is."""
        if self.drift is None:
            self.drift, self.factor = self._staleness(self.gram_weight)
        return self.drift

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
            if len(self._look_at(self.model)):
                q = self.score / -self.weight_sum
            at = self.model
            tolerance = math.sqrt(floor / len(at))
            tight = self.constant or before <= 1e4 * floor or _INEXACT * math.sqrt(before) <= tolerance
            tolerance = tolerance if tight else _INEXACT * math.sqrt(before)
            by = self.factor
            trial, slope = self.b[at], q[at] / by
            ahead = None
            if self.ahead is not None:  # the model is as good there as here
                ahead, self.ahead = np.concatenate([self.ahead, np.zeros(len(self.b) - len(self.ahead))])[at], None
            self.descender(self.gram, trial, slope, l1[at] / by, l2[at] / by, self.box.keep(at), groups, tolerance / math.sqrt(by), self.version, ahead)
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
                if self.fresh:
                    return step, decrease <= 1e3 * floor
                stale = 0.0
                continue
            if tight and (decrease <= floor if step == 1 else decrease * min(decrease, before) <= floor * before):
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
            deviance, score = self._go(t * move)
            b = trial if t == 1.0 else self.b + t * move
            if self._objective(deviance, b, l1, l2) <= now + 1e-4 * t * linear + 32e-16 * abs(now):
                self._accept(b, deviance, score)
                return True
            t *= 0.5
        return False

    def _go(self, move: Array) -> tuple[float, Array]:
        """Evaluate the objective's parts after the move; the score is of the columns ``seeing``."""
        self.seeing = None
        if self.access.whole and self.settled:
            seeing = move != 0
            seeing[self.model] = True
            self.seeing = np.flatnonzero(seeing)
        return self.access.advance(self.eta, move, self.information, *self.trial, self.seeing)

    def _look_at(self, columns: Array) -> Array:
        """Make the score of those columns one of now; which of them it was not."""
        late = np.setdiff1d(columns, self.seeing) if self.seeing is not None else columns[:0]
        if len(late):
            _, self.score[late] = self.access.advance(self.eta, np.zeros(len(self.b)), self.information, *self.trial, late)
            self.seeing = np.union1d(late, self.seeing)
        return late

    def _overlooked(self, l1: Array) -> bool:
        """Whether a column that the last steps did not look at would not stay 0."""
        late = self._look_at(np.arange(len(self.b)))
        return bool((np.abs(self.score[late]) / self.weight_sum > l1[late]).any())

    def _accept(self, b: Array, deviance: float, score: Array) -> None:
        """The trial point is where we are."""
        eta, v, h = self.trial
        self.trial, (self.eta, self.v, self.h) = (self.eta, self.v, self.h), (eta, v, h)
        self.b, self.deviance, self.drift, self.fresh = b, deviance, None, False
        self.score[slice(None) if self.seeing is None else self.seeing] = score

    def possible(self, threshold: Array) -> Array:
        """Columns left out that could reach the threshold, scanned again where what is known does not exclude them."""
        suspects = np.flatnonzero(self.out & (self.seen.reach(self.v) > threshold))
        if len(suspects):
            self.seen.now(self.v, suspects, self.access.scan(self.v, suspects.astype(np.int32)) / self.weight_sum)
            self.scanned += len(suspects)
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
        self._accept(move, *self._go(move))
        self.model = np.asarray(sample.access.taken, dtype=np.int32)[sample.model]
        self.gram, self.gram_weight, self.soon = sample.gram, self.h / self.weight_sum, _NOW
        l1 = np.full(self.size, 1e250)
        l1[self.model] = point.alpha * self.l1[self.model]
        own = self.left, self.max_iter, self.stale
        self.left, self.max_iter, self.stale = 1e-6, 4, math.inf
        self.solve_working(l1, point.alpha * self.l2)
        self.left, self.max_iter, self.stale = own
        self.model, self.settled = self.model[:0], False

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

    def _go_ahead(self) -> None:
        """Make the move, so that the model is one of there."""
        deviance, score = self._go(self.ahead)
        if math.isfinite(deviance):
            self._accept(self.b + self.ahead, deviance, score)
        self.ahead = None

    def at(self, alpha: float, last: float | None = None, guide: tuple[Point, Point] | None = None) -> Point:
        """The solution at alpha, from that at the ``last`` one; ``guide`` are another problem's solutions there and here."""
        self.ahead = None if last is None else self._extrapolated(alpha, last, guide)
        if self.ahead is not None and not self.constant:
            self._go_ahead()
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
        return Point(alpha, np.asarray(self.access.taken)[used], self.b[used], self.deviance, float(away.max(initial=0.0)) / (scale or 1.0), steps, fine)

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


def _product(u: Array, v: Array) -> float:
    """u'v by one thread: those of a BLAS would linger into the next pass."""
    return float(np.einsum("i,i->", u, v))
