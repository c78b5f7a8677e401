"""How a point stands under a penalty of each coordinate: what it costs, and how far it is from the minimum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from etamu.core import core
from etamu.solvers.descent import Bounds, Groups, distances

__all__ = ["Standing", "stand"]

Array = np.ndarray[Any, Any]


class Standing(NamedTuple):
    """Of b under sum l1 |b| + l2/2 b^2: the ``penalty``; how far ``away`` minus the gradient is from its subdifferential, at most; the ``square``
    of the slopes along the coordinates that are used (not 0, or without an l1 weight); and whether the others are ``idle``: stay 0.
    """

    penalty: float
    away: float
    square: float
    idle: bool


def stand(b: Array, score: Array, share: float, l1: Array, l2: Array, least: Array, box: Bounds) -> Standing:
    """Where the gradient of the smooth part is ``share`` times the score; of |b| ``least`` is left out of the penalty, which it cannot avoid."""
    if core is not None:
        return Standing(*core.standing(b, score, share, l1, l2, least, box.low, box.high))
    gradient, used = share * score, (b != 0) | (l1 == 0)
    penalty = float(np.vdot(l1, np.abs(b) - least) + 0.5 * np.vdot(l2, b * b))
    slope = (gradient + l2 * b + l1 * np.sign(b))[used]
    idle = not bool((np.abs(gradient) > l1)[~used].any())
    return Standing(penalty, float(distances(b, gradient, l1, l2, box, Groups()).max(initial=0.0)), float(slope @ slope), idle)
