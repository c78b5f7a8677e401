"""Quantiles found from tail probabilities, for distributions whose quantile function has no closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etamu.links import Array

__all__ = ["invert"]

_DOUBLINGS = 1100  # the range of doubles, and a little more
_REFINEMENTS = 200

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Tails = Callable[[Array], tuple[Array, Array, Array]]


@np.errstate(all="ignore")
def invert(tails: Tails, u: Array, near: Array, most: float, step: Array | None = None, tolerance: float = 2e-15) -> Array:
    """The smallest y >= 0 with P(Y <= y) >= u; ``tails(y)`` gives P(Y < y), P(Y = y), P(Y > y).

    ``near`` is a place to begin (the mean), ``tolerance`` relative, ``most`` the end of the support; values are multiples of ``step`` for a lattice.
    The comparison is made in whichever tail is the smaller, so that quantiles near 1 are as good as those near 0.
    """
    u, near = np.broadcast_arrays(np.asarray(u, dtype=float), np.asarray(near, dtype=float))

    def excess(y: Array) -> Array:
        below, at, above = tails(y)
        return np.where(u < 0.5, below + at - u, 1.0 - u - above)

    low, high = np.zeros_like(near), np.minimum(_up(near, step), most)
    for _ in range(_DOUBLINGS):
        short = (excess(high) < 0) & (high < most)
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, np.minimum(2.0 * high, most), high)
    at_zero = excess(np.zeros_like(near)) >= 0
    if step is not None:
        return np.where(at_zero, 0.0, _on_lattice(lambda y: excess(y) >= 0, low, high, step))
    for _ in range(_DOUBLINGS):  # within a factor of two
        far = (low == 0) & ~at_zero & (excess(0.5 * high) >= 0) & (high > 0)
        if not far.any():
            break
        high = np.where(far, 0.5 * high, high)
    return np.where(at_zero, 0.0, _crossing(excess, np.where(low == 0, 0.5 * high, low), high, tolerance))


def _crossing(excess: Callable[[Array], Array], low: Array, high: Array, tolerance: float) -> Array:
    """Where the excess turns positive: regula falsi with the Illinois rule, bisection where it does not halve the bracket."""
    f_low, f_high = excess(low), excess(high)
    side = np.zeros(low.shape, dtype=int)  # which end moved last
    for k in range(_REFINEMENTS):
        if (high - low <= tolerance * high).all():
            break
        middle = low - f_low * (high - low) / (f_high - f_low)
        ends = 0.25 * tolerance * high  # a root at one end is passed, so that the bracket closes from both sides
        middle = np.where(middle - low < high - middle, middle + ends, middle - ends)
        middle = np.where((middle > low) & (middle < high) & (k % 4 < 3), middle, 0.5 * (low + high))
        f = excess(middle)
        up = f >= 0
        f_low = np.where(up, np.where(side == 1, 0.5 * f_low, f_low), f)
        f_high = np.where(up, f, np.where(side == -1, 0.5 * f_high, f_high))
        side = np.where(up, 1, -1)
        low, high = np.where(up, low, middle), np.where(up, middle, high)
    return high


def _up(y: Array, step: Array | None) -> Array:
    """Up to the lattice, and at least one step."""
    return np.maximum(y, 1e-300) if step is None else step * np.maximum(np.ceil(y / step), 1.0)


def _on_lattice(reached: Callable[[Array], Bools], low: Array, high: Array, step: Array) -> Array:
    k_low, k_high = np.round(low / step), np.round(high / step)
    while (k_high - k_low > 1).any():
        middle = np.floor(0.5 * (k_low + k_high))
        done = reached(middle * step)
        inside = k_high - k_low > 1
        k_low, k_high = np.where(inside & ~done, middle, k_low), np.where(inside & done, middle, k_high)
    return np.asarray(k_high * step)
