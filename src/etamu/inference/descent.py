"""A smooth function of a few variables in a box, minimised from its slopes: Newton's method whose curvature is kept by secants.

The first Hessian is one of differences of slopes; each step then corrects it by the symmetric rank-one formula, which forces no sign on
the curvature.  Variables at an end of the box where the slope points outwards are held there.

Reference: Nocedal & Wright, *Numerical Optimization*, 2nd ed. (2006), sections 6.2 and 16.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["minimise"]

Array = np.ndarray[Any, Any]
_ROUNDS = 60
_HALVINGS = 12
_APART = 1e-3  # over which the first Hessian is taken
_FURTHEST = 4.0  # in one step


def minimise(
    evaluate: Callable[[Array, Any], tuple[float, Any]],
    slope: Callable[[Any], Array],
    start: tuple[float, Any],
    x: Array,
    box: tuple[Array, Array],
    close: float = 1e-9,
) -> tuple[Array, Any, bool]:
    """The minimum, what was found there, and whether a further step would gain no more than ``close``.

    ``evaluate(x, near)`` gives the value (infinite where there is none) and what it found, starting from what was found ``near`` by.
    """
    value, found = start
    gradient = slope(found)
    curvature = _by_differences(evaluate, slope, found, x, gradient, box)
    for _ in range(_ROUNDS):
        held = ((x <= box[0]) & (gradient > 0)) | ((x >= box[1]) & (gradient < 0))
        step = _step(gradient, curvature, ~held, box, x)
        gain = -float(gradient @ step)
        if not step.any() or gain <= 0:
            return x, found, True
        last = 0.5 * gain <= close
        moved = _shortened(evaluate, found, x, step, value, gain, math.inf if last else value)
        if moved is None:
            return x, found, 0.5 * gain <= 1e3 * close
        new, value, found = moved
        if last:
            return new, found, True
        change, x = new - x, new
        before, gradient = gradient, slope(found)
        curvature = _corrected(curvature, change, gradient - before)
    return x, found, False


def _by_differences(evaluate: Any, slope: Any, found: Any, x: Array, gradient: Array, box: tuple[Array, Array]) -> Array:
    """The Hessian from slopes a small step inwards along each variable."""
    out = np.eye(len(x))
    for j in range(len(x)):
        apart = np.zeros(len(x))
        apart[j] = -_APART if x[j] + _APART > box[1][j] else _APART
        value, there = evaluate(x + apart, found)
        if math.isfinite(value):
            out[j] = (slope(there) - gradient) / apart[j]
    return np.asarray((out + out.T) / 2)


def _step(gradient: Array, curvature: Array, free: Array, box: tuple[Array, Array], x: Array) -> Array:
    """Newton's step within the box, downhill whatever the curvature's sign."""
    step = np.zeros(len(x))
    if not free.any():
        return step
    values, vectors = np.linalg.eigh(curvature[np.ix_(free, free)])
    size = np.maximum(np.abs(values), max(1e-7 * float(np.abs(values).max()), 1e-12))
    step[free] = -vectors @ ((vectors.T @ gradient[free]) / size)
    furthest = float(np.abs(step).max())
    if furthest > _FURTHEST:
        step *= _FURTHEST / furthest
    return np.asarray(np.clip(x + step, *box) - x)


def _shortened(evaluate: Any, found: Any, x: Array, step: Array, value: float, gain: float, most: float) -> tuple[Array, float, Any] | None:
    """The step, halved until it lowers the value; None where no length does."""
    for k in range(_HALVINGS):
        part = 0.5**k
        new, there = evaluate(x + part * step, found)
        if new <= most - 1e-4 * part * gain or (math.isinf(most) and math.isfinite(new)):
            return x + part * step, new, there
    return None


def _corrected(curvature: Array, change: Array, turned: Array) -> Array:
    """The symmetric rank-one correction, left out where it would divide by next to nothing."""
    rest = turned - curvature @ change
    below = float(rest @ change)
    if abs(below) <= 1e-8 * float(np.linalg.norm(rest) * np.linalg.norm(change)):
        return curvature
    return np.asarray(curvature + np.multiply.outer(rest, rest) / below)
