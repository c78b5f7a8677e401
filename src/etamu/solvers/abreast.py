"""Proximal Newton at several alphas of a path at once, for designs of so many rows that reading them is what costs.

Every reading of the columns serves a step at each alpha under way.  The next alpha sets out from where the one before it has come so far: the
score there is exact, and Newton's step from it leads about as near as one from the solution itself would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.column_model import ColumnModel, Grams
from etamu.solvers.column_step import COARSE, SOON, STALE, STALLED, Step, accuracy, lengthened, remaining, step_by
from etamu.solvers.descent import Begins, Bounds, Descender, Groups, distances
from etamu.solvers.points import Point
from etamu.solvers.sites import Move, Place, Rows, Site, Trial

__all__ = ["Abreast", "TallAccess"]

Array = np.ndarray[Any, Any]
_ABREAST = 4  # alphas under way at once, at most
_AT_ONCE = 12  # the same of least squares, whose models lead to the solution from wherever they were made
_LEFT = 5e-12  # share of the objective that may seem to be left above its minimum: twice as much may be, after steps made longer
_NOW = 0.9  # share of its threshold from which a column is expected in the model where no smaller alpha follows
_DEAR = 1e250  # a threshold that keeps a coefficient 0
_START_LEFT, _START_STEPS = 1e-4, 4  # share of the objective that steps by a sample's model may leave, and how many there are at most
_PER_COLUMN, _WORTH, _PART = 100, 48, 8  # rows in a part of them per column of the model, columns from which that many parts are worth it, and how many at most
_SHOWS = 1e-6  # share of the deviance that rounding of the columns may change
_FAILURES = 3  # searches along a step that find nothing lower, after which a site ends


class TallAccess(Grams, Protocol):
    """What this solver may know of a design, whose columns are all held."""

    rounding: Array  # of each column, relative to itself, as a float

    @property
    def noise(self) -> float:
        """Share of the objective that its products cannot tell apart: 0 for doubles."""
        ...

    def empty(self) -> Array: ...
    def exact(self, v: Array, wanted: Array) -> Array: ...
    def widen(self) -> None: ...
    def together(self, moves: Sequence[Move], information: str, index: Array) -> list[tuple[float, Array]]: ...
    def products(self, vectors: Sequence[Array], index: Array) -> list[Array]: ...


class Sample(Protocol):
    """A solver at the solution of fewer rows."""

    null: float
    model: ColumnModel

    @property
    def modelled(self) -> Array: ...


class Abreast:
    """The state of a path whose columns are all held: the sites under way, and the model that all of them step by."""

    def __init__(self, access: TallAccess, pieces: Pieces, bounds: Bounds, information: str, max_iter: int, constant: bool, begins: Begins) -> None:
        self.access, self.pieces, self.bounds, self.information, self.max_iter = access, pieces, bounds, information, max_iter
        self.weight_sum, self.constant = access.sum_weight, constant
        self.model, self.descender = ColumnModel(access), Descender()
        self.made_at: Rows | None = None  # where the row weights of the model are from, if it is our own
        self.abreast = _AT_ONCE if constant else _ABREAST
        self.left, self.stale, self.first, self.null = _LEFT, STALE, 1.0, math.inf
        self.alone = False  # whether no smaller alpha follows
        self.spare: list[Rows] = []
        self.every, self.origin, self.begins = np.arange(len(pieces.l1)), bounds.nearest(np.zeros(len(pieces.l1))), begins
        self.least = np.abs(self.origin)  # of the penalty this share is left out, which no coefficient can avoid
        self.here: Site  # where the next search sets out from: begin or start find the first such place

    def change(self, pieces: Pieces) -> None:
        """Go on with another penalty of the same columns."""
        self.pieces = pieces

    # ---- sites -----------------------------------------------------------------------------------------------------

    def _site(self, alpha: float, place: Place, l1: Array | None = None, l2: Array | None = None) -> Site:
        l1, l2 = alpha * self.pieces.l1 if l1 is None else l1, alpha * self.pieces.l2 if l2 is None else l2
        value = self._objective(l1, l2, place.deviance, place.b)
        return Site(alpha, l1, l2, place, value, self.left, self.max_iter, self.stale, self.first)

    def _next(self, alpha: float) -> Site:
        """A search that sets out from where the last one is."""
        self.here = self._site(alpha, self.here.place)
        return self.here

    def _room(self) -> Rows:
        return self.spare.pop() if self.spare else Rows(self.access.empty(), self.access.empty(), self.access.empty())

    def _evaluated(self, b: Array, look: Array | None = None) -> Place:
        """The place of those coefficients, and of nothing that was known before; ``look`` says at which columns beside those that are not 0, or at all."""
        rows, empty = self._room(), self.access.empty()
        seen = np.ones(len(b), dtype=bool) if look is None else look | (b != 0)
        index, score = np.flatnonzero(seen), np.zeros(len(b))
        deviance, score[index] = self.access.together([Move(Rows(empty, empty, empty), b, rows)], self.information, index)[0]
        return Place(b, score, seen, deviance, rows, self._few(rows))

    def _few(self, rows: Rows) -> Array:
        self.model.moved()
        return self.model.few(rows.h)

    def _objective(self, l1: Array, l2: Array, deviance: float, b: Array) -> float:
        return 0.5 * deviance / self.weight_sum + float(l1 @ (np.abs(b) - self.least) + 0.5 * (l2 @ (b * b)))

    def _slope(self, site: Site) -> Array:
        return site.place.score / -self.weight_sum

    # ---- the model -------------------------------------------------------------------------------------------------

    def _model(self, sites: Sequence[Site]) -> None:
        """See to it that the model has every column that is not 0 or would not stay so, at row weights that are not stale."""
        model = self.model
        needed = np.zeros(len(self.pieces.l1), dtype=bool)
        soon = needed.copy()
        for site in sites:
            size = np.abs(self._slope(site))
            needed |= (site.place.b != 0) | (size > site.l1) | (site.l1 == 0)
            soon |= size > (_NOW if self.alone else SOON) * site.l1
        soon |= needed
        for site in sorted(sites, key=lambda s: s.stale):  # those that need it newer than others come first
            if model.part > 1 and site.stale < self.stale:  # steps by a part of the rows have stalled
                model.finer()
            if not len(model) or self._staleness(site) > site.stale:
                wanted = np.flatnonzero(soon)
                model.renew(site.place.rows.h, wanted, site.stale, self._part(len(wanted)))
                self.made_at = site.place.rows if model.fresh else None
                return
        missing = needed.copy()
        missing[model.index] = False
        if not missing.any():
            return
        self._staleness(sites[-1])
        if model.borrow(sites[-1].place.rows.h, np.flatnonzero(needed), self.stale):
            self.made_at = None
            return
        soon[model.index] = False
        model.grow(sites[-1].place.rows.h, np.flatnonzero(soon))
        if model.fresh:  # it did not suit those columns, and was made anew
            self.made_at = sites[-1].place.rows

    def _part(self, size: int) -> int:
        """Of one run of rows in how many a model of so many columns is made: a few steps more by it cost less than what it saves."""
        if not self.alone or self.constant or size == 0:
            return 1
        return max(1, min(self.access.rows // (_PER_COLUMN * size), size // _WORTH, _PART))

    def _modelled(self) -> Array:
        """Which columns the model has."""
        out = np.zeros(len(self.every), dtype=bool)
        out[self.model.index] = True
        return out

    def _staleness(self, site: Site) -> float:
        """Of the model, for a step of that site; and what the site's row weights are to those of the model from now on."""
        model = self.model
        model.moved(site.place.few)
        if site.compared[0] is model.some:
            model.drift, model.factor = site.compared[1:]
        drift = model.staleness(site.place.rows.h)
        site.compared = (model.some, drift, model.factor)
        return drift

    # ---- steps -----------------------------------------------------------------------------------------------------

    def _round(self, sites: Sequence[Site]) -> None:
        """A step of every site that is not at its solution, by one reading of the columns of the model."""
        self._propose(sites)
        moving = [site for site in sites if site.open]
        if not moving:
            return
        trials = [site.trial for site in moving if site.trial is not None]
        moves = [Move(site.place.rows, trial.t * trial.by, self._room()) for site, trial in zip(moving, trials)]
        seen = self._modelled()
        for trial in trials:  # whose model may have been another one
            seen[trial.step.at] = True
        if self.alone and any(trial.fresh for trial in trials):
            seen[:] = True  # near enough for what the model lacks to show
        index = np.flatnonzero(seen)
        for site, trial, move, (deviance, found) in zip(moving, trials, moves, self.access.together(moves, self.information, index)):
            old, score = site.place.rows, site.place.score.copy()
            score[index] = found
            b = trial.b if trial.t == 1.0 else site.place.b + trial.t * trial.by
            self._judge(site, trial, Place(b, score, seen, deviance, move.to, self._few(move.to)))
            self._release(old if site.place.rows is move.to else move.to, sites)

    def _release(self, rows: Rows, sites: Sequence[Site]) -> None:
        """Rows that a place was left by, or not taken by: others may be written there if no site needs them."""
        if not any(rows is site.place.rows for site in (*sites, self.here)):
            self.spare.append(rows)
            self.made_at = None if self.made_at is rows else self.made_at

    def _look_at(self, sites: Sequence[Site], wanted: Array) -> None:
        """Make the score of those columns one of now at each of the sites."""
        late = np.zeros(len(self.every), dtype=bool)
        for site in sites:
            late |= wanted & ~site.place.seen
        index = np.flatnonzero(late)
        if not len(index):
            return
        for site, found in zip(sites, self.access.products([site.place.rows.v for site in sites], index)):
            site.place = site.place.seeing(index, found, late)
            if (np.abs(found) > self.weight_sum * site.l1[index]).any():
                site.since, site.before = 0, self.first

    def _check(self, sites: Sequence[Site]) -> None:
        """Whether the columns that the last steps did not look at stay 0 where they have led: a site where one does not goes on."""
        ended = [site for site in sites if not site.open and not site.checked]
        if not ended or (len(ended) < self.abreast and any(site.open for site in sites)):
            return
        unseen = [~site.place.seen for site in ended]
        self._look_at(ended, np.ones(len(self.every), dtype=bool))
        for site, late in zip(ended, unseen):
            site.checked = bool((np.abs(self._slope(site)) <= site.l1)[late].all())
            if not site.checked:
                site.fine = None
        for site in (*sites, self.here):
            site.place = site.place.told(ended[-1].place.score)

    def _propose(self, sites: Sequence[Site]) -> None:
        """A trial for each site, or its end."""
        while any(site.trial is None for site in sites if site.open):
            still = [site for site in sites if site.open]
            self._model(still)
            if self.model.exact and self.access.noise:
                self._widen(sites)
                continue
            self._look_at(still, self._modelled())
            for site in still:
                if site.trial is None and not self._try(site):  # floats cannot tell some columns apart
                    for other in still:
                        other.trial = None
                    break

    def _try(self, site: Site) -> bool:
        """The minimum of the site's own model: a trial, or where it stays; False where the model was not one."""
        if not len(self.model) or site.steps >= site.most or not math.isfinite(site.value):
            site.fine = not len(self.model) and math.isfinite(site.value)  # all are 0 and stay so
            return True
        floor = self._floor(site)
        self._staleness(site)
        tolerance, tight = accuracy(floor, len(self.model), site.before, self.constant)
        step = step_by(self.model, self.descender, site.place.b, self._slope(site), site.l1, site.l2, self.bounds, tolerance)
        if (self.descender.least() < COARSE and self.model.finer()) or (self._shows(site, step) and self.model.exactly()):
            return False
        if tight and not step.decrease > floor:
            site.fine = math.isfinite(step.decrease)
        else:
            if site.last is not None:
                step = lengthened(step, site.place.b, site.last, self.model, self.bounds)
            site.trial = Trial(step, step.whole(site.place.b), step.move(len(self.every)), tight, self.made_at is site.place.rows)
        return True

    def _shows(self, site: Site, step: Step) -> bool:
        """Whether rounding of the columns would be seen in the deviance where the step ends: if it leads the same way in all rows, twice its length there
        over that of the residuals.
        """
        if not self.access.noise:
            return False
        moved = self.access.rounding[step.at] * step.end
        length = self.model.factor * float((np.diagonal(self.model.gram)[: len(moved)] * moved) @ moved)
        return 4 * length > _SHOWS**2 * site.place.deviance / self.weight_sum

    def _floor(self, site: Site) -> float:
        return max(max(site.left, self.access.noise) * min(self.null, site.value), 1e-300)

    def _judge(self, site: Site, trial: Trial, place: Place) -> None:
        """Stay where the trial has led, or try less of it, until the objective falls."""
        floor, value = self._floor(site), self._objective(site.l1, site.l2, place.deviance, place.b)
        if not value <= site.value + 1e-4 * trial.t * trial.step.linear + 32e-16 * abs(site.value):
            trial.t *= 0.5
            if trial.t < 1e-12:
                site.trial, site.stale, site.failed = None, 0.0, site.failed + 1
                if (trial.fresh and self.model.part == 1) or self.constant or site.failed > _FAILURES:
                    site.fine = trial.step.decrease <= 1e3 * floor
            return
        site.place, site.value, site.trial, site.compared = place, value, None, (None, 0.0, 1.0)
        site.last = trial.by if trial.t == 1.0 and not self.constant else None
        site.steps, site.since = site.steps + 1, site.since + 1
        decrease, before, first = trial.step.decrease, site.before, site.since == 1
        if trial.tight and (decrease <= floor if first else remaining(decrease, before) <= floor):
            site.fine = True
        if first:
            self.first = max(decrease, floor)
        site.stale = min(self.stale, 1e-3) if decrease > STALLED * before and site.since > 2 else max(self.stale, site.stale)
        site.before = max(decrease, floor)

    def _widen(self, sites: Sequence[Site]) -> None:
        """Columns that floats cannot tell apart: go on by doubles, from the same coefficients."""
        self.access.widen()
        self.spare.clear()
        for site in {id(s): s for s in (*sites, self.here)}.values():
            place = self._evaluated(site.place.b)
            site.place, site.trial, site.compared = place, None, (None, 0.0, 1.0)
            site.value = self._objective(site.l1, site.l2, place.deviance, place.b)
        self.model.clear()

    def _solved(self, site: Site) -> Site:
        while not site.checked:
            self._round([site])
            self._check([site])
        return site

    # ---- the path --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The fit of the columns without an l1 penalty, and with it where the path begins."""
        free = self.pieces.l1 == 0
        place = self._evaluated(self.origin, free)
        if not math.isfinite(place.deviance):
            place = self._evaluated(self.bounds.nearest(self.begins()), free)
        site = self.here = self._site(0.0, place, np.where(self.pieces.l1 > 0, _DEAR, 0.0), self.pieces.l2)
        site.left = 1e-20
        self.null = 0.5 * self._solved(site).place.deviance / self.weight_sum

    @property
    def modelled(self) -> Array:
        """The columns of the model."""
        return self.model.index

    def start(self, sample: Sample, point: Point) -> None:
        """Begin at a sample's solution, and go from there as far as its model leads."""
        self.null, self.alone = sample.null, True
        b, l1, index = np.zeros(len(self.every)), np.full(len(self.every), _DEAR), sample.modelled.astype(np.int32)
        b[point.index], l1[index] = point.values, point.alpha * self.pieces.l1[index]
        site = self.here = self._site(point.alpha, self._evaluated(b), l1)
        self.model.adopt(index, sample.model.gram, site.place.rows.h / self.weight_sum, site.place.few)
        site.left, site.most, site.stale = _START_LEFT, _START_STEPS, math.inf
        self._solved(site)
        self.model.clear()

    def first_alpha(self) -> float:
        """The least alpha at which every penalised coefficient is 0, by the columns as they are held and as they are."""
        held = np.flatnonzero(self.pieces.l1 > 0)
        ratio = np.abs(self.here.place.score[held]) / self.pieces.l1[held]
        top = held[np.argsort(-ratio)[:32]].astype(np.int32)
        exact = np.abs(self.access.exact(self.here.place.rows.v, top)) / self.pieces.l1[top]
        return float(max(ratio.max(initial=0.0), exact.max(initial=0.0))) / self.weight_sum

    def steepest(self) -> float:
        """Nothing: of these penalties the first alpha says where a path begins."""
        return 0.0

    def _point(self, site: Site) -> Point:
        b = site.place.b
        away = distances(b, self._slope(site), site.l1, site.l2, self.bounds, Groups())
        used = np.flatnonzero((b != 0) | (self.pieces.l1 == 0))
        scale = site.alpha * float(self.pieces.l1.max(initial=0.0))
        return Point(site.alpha, used, b[used], site.place.deviance, float(away.max(initial=0.0)) / (scale or 1.0), site.steps, bool(site.fine))

    def at(self, alpha: float, last: float | None = None) -> Point:
        """The solution at alpha, from where the last one is."""
        return self._point(self._solved(self._next(alpha)))

    def pass_by(self, alpha: float) -> None:
        """One step towards the solution at alpha, on the way to a smaller one."""
        self._round([self._next(alpha)])

    def path(self, alphas: Array) -> Iterator[Point]:
        """Solutions at falling alphas."""
        ahead, sites = [float(alpha) for alpha in alphas], list[Site]()
        while ahead or sites:
            room = self.abreast - sum(site.open for site in sites)
            for _ in range(min(len(ahead), room if self.constant else min(room, 1))):
                sites.append(self._next(ahead.pop(0)))
            self._round(sites)
            self._check(sites)
            while sites and sites[0].checked:
                yield self._point(sites.pop(0))
