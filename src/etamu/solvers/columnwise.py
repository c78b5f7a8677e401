"""Proximal Newton along a path of penalties, over columns: for designs with more columns than a full information matrix could hold.

Only columns that may matter are taken; their exact Gram makes the steps, and is kept while the row weights change little, since the score is exact in
any case.  At each alpha the columns left out are shown to be zero: the last inner product of each with the residuals, and how far the
residuals have moved since, bound what it can be now; where that does not suffice the column is scanned again.

References: Tibshirani et al. (2012), J. R. Statist. Soc. B 74, doi:10.1111/j.1467-9868.2011.01004.x (which columns to expect next); Fercoq, Gramfort & Salmon
(2015), ICML (bounds that are safe).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
_PATIENCE = 60  # sweeps before a step of Newton's
_TALL = 20  # rows per column from which reading the rows is what costs
_STALE = 0.1  # relative change of the row weights at which the Gram is made anew


class ColumnAccess(Protocol):
    """What this solver may know of a design: products of its columns with vectors of one value per row."""

    rows: int
    sum_weight: float
    lengths: Array
    lost: Array
    taken: list[int]

    def empty(self) -> Array: ...
    def advance(self, base: Array, move: Array, information: str, eta: Array, v: Array, h: Array) -> tuple[float, Array]: ...
    def scan(self, v: Array, wanted: Array) -> Array: ...
    def exact(self, v: Array, wanted: Array) -> Array: ...
    def take(self, wanted: Array) -> None: ...
    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None: ...


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
        self.known, self.when = np.zeros(self.size), np.full(self.size, -np.inf)  # |x_j'v| / W when last scanned, and how far v had moved by then
        self.moved, self.lengths, self.lost = 0.0, access.lengths / self.weight_sum, access.lost / self.weight_sum
        self.out = np.ones(self.size, dtype=bool)
        self.scanned = 0
        self.drift: float | None = None
        self.left = _LEFT[access.rows * self.size > _MANY]
        self.previous = np.zeros(0)
        self.before_last: float | None = None
        self.null = math.inf
        self.deviance, _ = access.advance(access.empty(), np.zeros(0), information, self.eta, self.v, self.h)
        self.take(np.flatnonzero(pieces.l1 == 0))

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
        self.b = np.concatenate([self.b, np.zeros(len(wanted))])
        taken = np.asarray(self.access.taken)
        self.l1, self.l2, self.box = self.pieces.l1[taken], self.pieces.l2[taken], self.bounds.keep(taken)

    def _room(self, size: int) -> None:
        if size > len(self.gram):
            larger, have = np.zeros((size + size // 2 + 16,) * 2, dtype=np.float32), len(self.model)
            larger[:have, :have] = self.gram[:have, :have]
            self.gram = larger

    def _renew(self, needed: Array) -> None:
        """A model of the columns needed, at the weights of now."""
        np.divide(self.h, self.weight_sum, out=self.gram_weight)
        self._room(len(needed))
        self.model = needed.astype(np.int32)
        self.access.gram(self.gram_weight, self.model, 0, self.gram)
        self.version, self.drift = self.version + 1, None

    def _model(self, q: Array, l1: Array, grow: bool, stale: float) -> None:
        """See to it that the model has every column that is not 0 or would not stay so, at row weights that are not stale."""
        needed = (self.b != 0) | (l1 == 0)
        if grow:
            needed |= np.abs(q) > l1
        if not len(self.model) or self._drift() > stale:
            return self._renew(np.flatnonzero(needed))
        if self.tall and (needed[np.setdiff1d(np.arange(len(needed)), self.model)]).any():
            needed[:] = True  # one more column costs as much as reading all, so all that were taken come at once
        needed[self.model] = False
        more = np.flatnonzero(needed).astype(np.int32)
        if len(more):
            have = len(self.model)
            self._room(have + len(more))
            self.model = np.concatenate([self.model, more])
            self.access.gram(self.gram_weight, self.model, have, self.gram)
            self.version += 1
        return None

    def _drift(self) -> float:
        """Relative change of the row weights since the Gram was made."""
        if self.drift is None:
            total = float(np.add.reduce(self.gram_weight)) * self.weight_sum
            change = self.h - self.weight_sum * self.gram_weight
            self.drift = float(np.add.reduce(np.abs(change, out=change))) / total if total > 0 else math.inf
        return self.drift

    # ---- one alpha -------------------------------------------------------------------------------------------------

    def _objective(self, deviance: float, b: Array, l1: Array, l2: Array) -> float:
        return 0.5 * deviance / self.weight_sum + float((l1 * np.abs(b)).sum() + 0.5 * (l2 * b * b).sum())

    def solve_working(self, alpha: float) -> tuple[int, bool]:
        """The minimum over the columns taken; Newton steps made, and whether it was reached."""
        l1, l2, groups = alpha * self.l1, alpha * self.l2, Groups()
        floor = max(self.left * min(self.null, self._objective(self.deviance, self.b, l1, l2)), 1e-300)
        before, stale = self.first, _STALE
        for step in range(1, self.max_iter + 1):
            q = self.score / -self.weight_sum
            self._model(q, l1, True, stale)
            at = self.model
            tolerance = math.sqrt(floor / len(at))
            tight = self.constant or before <= 1e4 * floor or _INEXACT * math.sqrt(before) <= tolerance
            tolerance = tolerance if tight else _INEXACT * math.sqrt(before)
            trial, slope = self.b[at], q[at]
            self.descender(self.gram, trial, slope, l1[at], l2[at], self.box.keep(at), groups, tolerance, _PATIENCE, self.version)
            part, old = trial - self.b[at], self.b[at]
            penalty = float((l1[at] * (np.abs(trial) - np.abs(old))).sum() + 0.5 * (l2[at] * part * (trial + old)).sum())
            linear = float(q[at] @ part) + penalty
            decrease = -(linear + 0.5 * float((slope - q[at]) @ part))
            if not decrease > 0 and tight:
                return step, True
            move = np.zeros(len(self.b))
            move[at] = part
            end = self.b.copy()
            end[at] = trial
            if not self._advance(end, move, linear, l1, l2):
                if self._drift() == 0.0:
                    return step, decrease <= 1e3 * floor
                stale = 0.0
                continue
            if tight and decrease * min(decrease / before if step > 1 else 1.0, 1.0) <= floor:
                return step, True
            if step == 1:
                self.first = decrease
            stale = 1e-3 if decrease > _STALLED * before and step > 2 else _STALE
            before = decrease
        return self.max_iter, False

    def _advance(self, trial: Array, move: Array, linear: float, l1: Array, l2: Array) -> bool:
        """Step towards the trial point as far as the objective falls; whether it did."""
        now, t = self._objective(self.deviance, self.b, l1, l2), 1.0
        for _ in range(40):
            deviance, score = self.access.advance(self.eta, t * move, self.information, *self.trial)
            b = trial if t == 1.0 else self.b + t * move
            if self._objective(deviance, b, l1, l2) <= now + 1e-4 * t * linear + 32e-16 * abs(now):
                self._accept(b, deviance, score)
                return True
            t *= 0.5
        return False

    def _accept(self, b: Array, deviance: float, score: Array) -> None:
        """The trial point is where we are."""
        eta, v, h = self.trial
        self.v -= v
        self.moved += math.sqrt(float(self.v @ self.v))
        self.trial, (self.eta, self.v, self.h) = (self.eta, self.v, self.h), (eta, v, h)
        self.b, self.deviance, self.score, self.drift = b, deviance, score, None

    def possible(self, threshold: Array) -> Array:
        """Columns left out that could reach the threshold, scanned again where what is known does not exclude them."""
        reach = self.known + (self.moved - self.when) * self.lengths
        suspects = np.flatnonzero(self.out & (reach > threshold))
        if not len(suspects):
            return suspects
        length = float(np.sqrt((self.v * self.v).sum()))
        self.known[suspects] = np.abs(self.access.scan(self.v, suspects.astype(np.int32))) / self.weight_sum + self.lost[suspects] * length
        self.when[suspects] = self.moved
        self.scanned += len(suspects)
        return suspects[self.known[suspects] > threshold[suspects]]

    def begin(self) -> None:
        """The fit of the columns without an l1 penalty, and with it where the path begins."""
        left, self.left = self.left, 1e-20
        self.solve_working(0.0 if not self.l2.any() else 1.0)
        self.left = left
        self.null = 0.5 * self.deviance / self.weight_sum

    def first_alpha(self) -> float:
        """The least alpha at which every penalised coefficient is 0."""
        index = np.flatnonzero(self.out & (self.pieces.l1 > 0))
        if not len(index):
            return 0.0
        ratio = self.access.scan(self.v, index.astype(np.int32)) / self.pieces.l1[index]
        top = index[np.argsort(-np.abs(ratio))[:32]]
        exact = self.access.exact(self.v, top.astype(np.int32)) / self.weight_sum / self.pieces.l1[top]
        return float(np.abs(exact).max())

    def _predict(self, alpha: float, last: float) -> None:
        """Go on as from the alpha before the last to the last: coefficients are nearly linear in log(alpha)."""
        earlier = np.zeros(len(self.b))
        earlier[: len(self.previous)] = self.previous
        self.previous = self.b
        move = self.b - earlier
        if self._drift() < 1e-9 and self.before_last is not None:
            move *= (last - alpha) / (self.before_last - last)
        self.before_last = last
        move[(self.b == 0) | (earlier == 0) | ((self.b + move) * self.b < 0)] = 0.0
        np.clip(self.b + move, self.box.low, self.box.high, out=move)
        move -= self.b
        if move.any():
            deviance, score = self.access.advance(self.eta, move, self.information, *self.trial)
            if math.isfinite(deviance):
                self._accept(self.b + move, deviance, score)

    def at(self, alpha: float, last: float | None = None) -> Point:
        """The solution at alpha, from that at the ``last`` one."""
        if last is not None:
            self._predict(alpha, last)
        threshold = alpha * self.pieces.l1
        expected = threshold if last is None else np.maximum(2 * alpha - last, 0.5 * alpha) * self.pieces.l1
        if self.tall:
            expected = 0.7 * threshold
        self.take(self.possible(expected))
        steps, fine = 0, True
        while True:
            made, fine = self.solve_working(alpha)
            steps += made
            more = self.possible(threshold)
            if not len(more):
                break
            self.take(more)
        q = self.score / -self.weight_sum
        away = distances(self.b, q, alpha * self.l1, alpha * self.l2, self.box, Groups())
        used = np.flatnonzero((self.b != 0) | (self.l1 == 0))
        scale = alpha * float(self.pieces.l1.max(initial=0.0))
        return Point(alpha, np.asarray(self.access.taken)[used], self.b[used], self.deviance, float(away.max(initial=0.0)) / (scale or 1.0), steps, fine)

    def path(self, alphas: Array) -> Iterator[Point]:
        """Solutions at falling alphas."""
        last: float | None = None
        for alpha in alphas:
            yield self.at(float(alpha), last)
            last = float(alpha)
