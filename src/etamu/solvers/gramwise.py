"""Proximal Newton along a path of penalties, over sums: a model of score and information, and passes over the rows.

The score decides where a solution is, so the information that makes the steps may be of float32 products, or of an earlier point: a pass without
it costs half as much.  It is summed where the first step of an alpha leads, or where it is dear at an earlier alpha alone, and anew when steps no
longer shrink.  For least squares the first pass says everything, and no other is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from etamu.penalties.pieces import Pieces
from etamu.solvers.descent import Bounds, Descender, Groups, distances
from etamu.solvers.linalg import effective_df
from etamu.solvers.points import Point, relative
from etamu.sums import Arrow, Objective, Request, Sums

__all__ = ["Gramwise"]

Array = np.ndarray[Any, Any]
_LEFT = 1e-14  # share of the objective that may be left above its minimum
_CLOSER = 1e-17  # the same after a step by an old information: what such steps leave shrinks by a ratio, what others leave by its square
_FREEDOM_MOST = 500  # coefficients of a ridge penalty whose degrees of freedom are told
_SLOW = 0.05  # ratio of decreases at which an old information is summed anew


class Gramwise:
    """The state of a path: coefficients, the sums there, and the information that makes steps.

    Several equations are one long vector of coefficients, equation after equation.
    """

    def __init__(
        self, objective: Objective, start: Array, pieces: Pieces, bounds: Bounds, information: str, max_iter: int, unit: Array,
        *, quadratic: bool, wide: bool, cheap: str,
    ) -> None:  # fmt: skip
        self.objective, self.information, self.max_iter = objective, information, max_iter
        self.quadratic, self.wide, self.cheap = quadratic, wide, cheap
        self.shape, self.unit = start.shape, unit
        self.pieces, self.bounds, self.null = pieces, bounds, math.inf
        d = pieces.differences(_flat(start))
        self.b = pieces.levels(bounds.nearest(d)) if bounds.any else _flat(start)
        self.descender = Descender()
        self.h: Array = np.empty((0, 0))
        self._fresh = True  # whether the information is that of here
        self.left = _LEFT
        self._look(self.b)

    @property
    def finite(self) -> bool:
        """Whether score and information are, here."""
        return bool(np.isfinite(self.slope).all() and np.isfinite(np.diagonal(self.h)).all())

    def change(self, pieces: Pieces) -> None:
        """Go on with another penalty of the same columns."""
        self.pieces = pieces

    # ---- passes ----------------------------------------------------------------------------------------------------

    def _sums(self, b: Array, order: int) -> Sums:
        arithmetic = self.cheap if order == 2 and not self.quadratic else "double"
        return self.objective(Request(_shaped(b, self.shape), order, self.information, arithmetic))

    def _look(self, b: Array) -> None:
        """Go to b: the sums there, with their information."""
        self._accept(b, self._sums(b, 2))

    def _accept(self, b: Array, sums: Sums) -> None:
        self.b, self.sum_weight, self.deviance = b, sums.sum_weight, sums.deviance
        assert sums.score is not None
        self.slope = self.pieces.slopes_of_differences(_flat(sums.score) / -sums.sum_weight)
        self._fresh = sums.information is not None
        if sums.information is not None:
            h = sums.information.dense() if isinstance(sums.information, Arrow) else sums.information
            h = self.pieces.slopes_of_differences(h)
            self.h = np.ascontiguousarray(self.pieces.slopes_of_differences(h.T)) / sums.sum_weight

    def _move(self, d: Array, by: Array, image: Array) -> None:
        """Least squares: the sums at d + by, without a pass."""
        self.deviance += 2 * self.sum_weight * float(by @ (self.slope + 0.5 * image))
        self.slope = self.slope + image
        self.b = self.pieces.levels(d + by)

    # ---- one alpha -------------------------------------------------------------------------------------------------

    def loss(self) -> float:
        return 0.5 * self.deviance / self.sum_weight

    def solve(self, pieces: Pieces) -> tuple[int, bool]:
        """The minimum at this penalty, from where we are; Newton steps made, and whether it was reached."""
        groups = Groups.of(pieces.groups, pieces.group_weight)
        before = math.inf
        model, l2 = self._with_quadratic(pieces)
        for step in range(1, self.max_iter + 1):
            d = pieces.differences(self.b)
            q = self._slope_with_quadratic(pieces)
            now = self.loss() + pieces.value(self.b)
            floor = max(self.left * abs(now), 1e-300)
            trial, slope = d.copy(), q.copy()
            tolerance = math.sqrt(0.1 * floor / len(d))
            self.descender(model, trial, slope, pieces.l1, l2, self.bounds, groups, tolerance)
            by = trial - d
            image = slope - q
            penalty = self._change(pieces, l2, d, trial, groups)
            linear = float(q @ by) + penalty
            decrease = -(linear + 0.5 * float(image @ by))
            if not decrease > 0:
                return step, True
            if self.quadratic:
                own = image if pieces.quadratic is None else image - self._quadratic_of(pieces) @ by
                self._move(d, by, own)
                if decrease <= floor:
                    return step, True
                continue
            renew = decrease > _SLOW * before if step > 1 else not self.wide
            left = floor if self._fresh else min(floor, max(_CLOSER * abs(now), 1e-300))
            if not self._advance(pieces, d, by, linear, now, renew and decrease > floor):
                if self._fresh:
                    return step, decrease <= 1e3 * floor
                self._look(self.b)
                model, l2 = self._with_quadratic(pieces)
                before = math.inf
                continue
            if self._fresh:
                model, l2 = self._with_quadratic(pieces)
            if decrease <= left if step == 1 else decrease * decrease <= left * max(before - decrease, 0.0):
                return step, True
            before = decrease
        return self.max_iter, False

    def _quadratic_of(self, pieces: Pieces) -> Array:
        assert pieces.quadratic is not None
        half = pieces.slopes_of_differences(pieces.quadratic)
        return pieces.slopes_of_differences(half.T)

    def _with_quadratic(self, pieces: Pieces) -> tuple[Array, Array]:
        """The information, with what is quadratic of the penalty and no diagonal; and the diagonal that is left."""
        model, l2 = self.h, pieces.l2
        if pieces.quadratic is not None:
            model = model + self._quadratic_of(pieces)
        chained = [j for chain in pieces.chains for j in chain]
        if chained and l2[chained].any():
            own = np.where(np.isin(np.arange(len(l2)), chained), l2, 0.0)
            half = pieces.slopes_of_differences(np.diag(own))
            model, l2 = model + pieces.slopes_of_differences(half.T), l2 - own
        return np.ascontiguousarray(model), l2

    def _slope_with_quadratic(self, pieces: Pieces) -> Array:
        q = self.slope
        if pieces.quadratic is not None:
            q = q + pieces.slopes_of_differences(pieces.quadratic @ self.b)
        chained = [j for chain in pieces.chains for j in chain]
        if chained and pieces.l2[chained].any():
            own = np.where(np.isin(np.arange(len(q)), chained), pieces.l2, 0.0)
            q = q + pieces.slopes_of_differences(own * self.b)
        return q

    def _change(self, pieces: Pieces, l2: Array, d: Array, trial: Array, groups: Groups) -> float:
        """By how much the penalty that is no part of the model rises."""
        total = float((pieces.l1 * (np.abs(trial) - np.abs(d))).sum() + 0.5 * (l2 * (trial - d) * (trial + d)).sum())
        for g, w in groups.each():
            total += w * float(np.sqrt((trial[g] ** 2).sum()) - np.sqrt((d[g] ** 2).sum()))
        return total

    def _advance(self, pieces: Pieces, d: Array, by: Array, linear: float, now: float, renew: bool) -> bool:
        """Step towards the trial point as far as the objective falls; whether it did."""
        t = 1.0
        for k in range(40):
            b = pieces.levels(d + t * by)
            sums = self._sums(b, 2 if renew and k == 0 else 1)
            objective = 0.5 * sums.deviance / sums.sum_weight + pieces.value(b)
            if objective <= now + 1e-4 * t * linear + 32e-16 * abs(now):
                self._accept(b, sums)
                if t < 1 and not self._fresh:  # the model promised too much
                    self._look(b)
                return True
            t *= 0.5
        return False

    # ---- the path --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The fit of what has no l1 or group penalty, everything else being 0: where the path begins."""
        selected = self._selected() & (self.bounds.nearest(np.zeros(len(self.b))) == 0)
        held = np.where(selected, 1e250, 0.0)  # so dear that nothing moves
        pieces = self.pieces if self.pieces.bends else self.pieces.times(0.0)
        self.b = np.where(selected, 0.0, self.b)
        left, self.left = self.left, 1e-20
        self.solve(Pieces(held, pieces.l2, chains=self.pieces.chains, quadratic=pieces.quadratic))
        self.left = left

    def _selected(self) -> Array:
        """Coordinates that a strong penalty sets to 0."""
        out = self.pieces.l1 > 0
        for group, weight in zip(self.pieces.groups, self.pieces.group_weight if self.pieces.group_weight is not None else ()):
            if weight > 0:
                out[list(group)] = True
        return np.asarray(out)

    def first_alpha(self) -> float:
        """The least alpha at which every penalised coefficient is 0."""
        out = 0.0
        grouped = {j for g in self.pieces.groups for j in g}
        for j in np.flatnonzero(self.pieces.l1 > 0):
            if j not in grouped:
                out = max(out, abs(self.slope[j]) / self.pieces.l1[j])
        for group, weight in zip(self.pieces.groups, self.pieces.group_weight if self.pieces.group_weight is not None else ()):
            out = max(out, _group_alpha(np.abs(self.slope[list(group)]), self.pieces.l1[list(group)], float(weight)))
        return float(out)

    def steepest(self) -> float:
        """Where the fit begins, the largest slope over the weight of its quadratic penalty; 0 where there is none."""
        curved = self.pieces.l2 > 0
        return float((np.abs(self.slope[curved]) / self.pieces.l2[curved]).max(initial=0.0))

    def _freedom(self, pieces: Pieces) -> float | None:
        """Tr (H + P)^-1 H of a quadratic penalty alone; nan where that would take longer than the fit."""
        if pieces.l1.any() or pieces.groups or not pieces.bends:
            return None
        if len(pieces.l1) > _FREEDOM_MOST or not len(self.h):
            return math.nan
        if not self._fresh:
            self._look(self.b)
        model, l2 = self._with_quadratic(pieces)
        return effective_df(self.h, model - self.h + np.diag(l2))

    def at(self, alpha: float, last: float | None = None) -> Point:
        """The solution at alpha."""
        pieces = self.pieces.times(alpha)
        steps, fine = self.solve(pieces)
        groups = Groups.of(pieces.groups, pieces.group_weight)
        _, l2 = self._with_quadratic(pieces)
        away = distances(pieces.differences(self.b), self._slope_with_quadratic(pieces), pieces.l1, l2, self.bounds, groups)
        thresholds = pieces.l1 / self.unit
        if pieces.group_weight is not None:  # the columns of groups are not rescaled
            thresholds = np.concatenate([thresholds, pieces.group_weight])
        used = np.flatnonzero(self.b != 0)
        return Point(alpha, used, self.b[used], self.deviance, relative(away / self.unit, thresholds), steps, fine, self._freedom(pieces))

    def pass_by(self, alpha: float) -> None:
        """Nothing: steps over sums go straight to where they are sent."""

    def path(self, alphas: Array) -> Iterator[Point]:
        """Solutions at falling alphas."""
        for alpha in alphas:
            yield self.at(float(alpha))


def _group_alpha(slope: Array, l1: Array, weight: float) -> float:
    """The least alpha with |soft(slope, alpha l1)| <= alpha weight."""
    if not l1.any():
        return float(np.sqrt((slope**2).sum())) / weight if weight > 0 else 0.0
    low, high = 0.0, float((slope / np.where(l1 > 0, l1, 1e-300)).max(initial=0.0)) if weight == 0 else float(np.sqrt((slope**2).sum())) / weight
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.sqrt((np.maximum(slope - middle * l1, 0.0) ** 2).sum()) <= middle * weight:
            high = middle
        else:
            low = middle
    return high


def _flat(beta: Array) -> Array:
    return np.ascontiguousarray(beta if beta.ndim == 1 else beta.T.ravel(), dtype=float)


def _shaped(b: Array, shape: tuple[int, ...]) -> Array:
    return b if len(shape) == 1 else np.ascontiguousarray(b.reshape(shape[1], shape[0]).T)
