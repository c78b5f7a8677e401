"""One step of proximal Newton by a model of some columns, and what steps tell of those that are left to make."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu.solvers.column_model import ColumnModel
from etamu.solvers.descent import Bounds, Descender, Groups

__all__ = ["COARSE", "SOON", "STALE", "STALLED", "Step", "accuracy", "lengthened", "remaining", "step_by"]

Array = np.ndarray[Any, Any]
STALE = 0.1  # relative change of the row weights at which a model is made anew
STALLED = 0.1  # ratio of decreases at which it is made anew whatever its weights
COARSE = 1e-5  # share of a column's own length, left by others, below which a model of floats is not one
SOON = 0.75  # share of its threshold from which a column of a tall design is expected in the model
_INEXACT = 0.03  # accuracy of a step but the last, in units of the one before
_SHARE, _SAME = 0.4, 0.5  # of the step before, beyond which one tells nothing of those to come; cosine of the angle between two that lead the same way


@dataclass(frozen=True)
class Step:
    """From the coefficients ``at``: to ``end``, by ``part``; the objective's change to first order, and the decrease that the model promises."""

    at: Array
    end: Array
    part: Array
    linear: float
    decrease: float

    def move(self, size: int) -> Array:
        """By how much each of so many coefficients changes."""
        out = np.zeros(size)
        out[self.at] = self.part
        return out

    def whole(self, b: Array) -> Array:
        """All coefficients after the step."""
        out = b.copy()
        out[self.at] = self.end
        return out


def step_by(model: ColumnModel, descender: Descender, b: Array, q: Array, l1: Array, l2: Array, box: Bounds, tolerance: float) -> Step:
    """The minimum of the model at b, where the loss has the gradient q, over the columns it has."""
    at, by = model.index, model.factor
    if descender.kept is not None:
        return Step(at, *descender.step(model.gram, at, b, q, l1, l2, box, tolerance, model.version, model.made, by))
    old, slope, l1, l2 = b[at], q[at] / by, l1[at], l2[at]
    end = old.copy()
    descender(model.gram, end, slope, l1 / by, l2 / by, box.keep(at), Groups(), tolerance / math.sqrt(by), model.version, model.made)
    slope *= by
    part = end - old
    penalty = float((l1 * (np.abs(end) - np.abs(old))).sum() + 0.5 * (l2 * part * (end + old)).sum())
    linear = float(q[at] @ part) + penalty
    return Step(at, end, part, linear, -(linear + 0.5 * float((slope - q[at]) @ part)))


def lengthened(step: Step, b: Array, last: Array, model: ColumnModel, box: Bounds) -> Step:
    """The step from b in one with those that would follow it, where it leads the same way as the ``last`` move: by a model that is a little old each step
    leaves the same share to the next one (Aitken 1926, Proc. R. Soc. Edinb. 46, doi:10.1017/S0370164600022070).  Coefficients keep their signs.
    """
    before, bend = last[step.at], np.diagonal(model.gram)[: len(step.at)]
    own = bend * step.part
    along, whole = float(own @ before), float((bend * before) @ before)
    if not 0 < along < _SHARE * whole or along * along < _SAME * _SAME * whole * float(own @ step.part):
        return step
    end = step.end + step.part * (along / (whole - along))
    end = np.where((step.end * end <= 0) | (end < box.low[step.at]) | (end > box.high[step.at]), step.end, end)
    return replace(step, end=end, part=end - b[step.at])


def accuracy(floor: float, size: int, before: float, constant: bool) -> tuple[float, bool]:
    """How exactly a step of so many coefficients is to be made, and whether that is enough for the last one."""
    last = math.sqrt(floor / size)
    tight = constant or before <= 1e4 * floor or _INEXACT * math.sqrt(before) <= last
    return (last if tight else _INEXACT * math.sqrt(before)), tight


def remaining(decrease: float, before: float) -> float:
    """What is left of a decrease by its last step, from the step before: they fall off geometrically, or faster."""
    return decrease * decrease / (before - decrease) if decrease < before else math.inf
