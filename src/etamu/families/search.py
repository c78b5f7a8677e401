"""Quantiles found from tail probabilities, for distributions whose quantile function has no closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from etamu.links import Array

__all__ = ["invert"]

_DOUBLINGS = 1100  # the range of doubles, and a little more
_BISECTIONS = 64

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Tails = Callable[[Array], tuple[Array, Array, Array]]


@np.errstate(all="ignore")
def invert(tails: Tails, u: Array, near: Array, most: float, step: Array | None = None) -> Array:
    """The smallest y >= 0 with P(Y <= y) >= u; ``tails(y)`` gives P(Y < y), P(Y = y), P(Y > y).

    ``near`` is a place to begin (the mean), ``most`` the end of the support; values are multiples of ``step`` for a lattice.
    The comparison is made in whichever tail is the smaller, so that quantiles near 1 are as good as those near 0.
    """
    u, near = np.broadcast_arrays(np.asarray(u, dtype=float), np.asarray(near, dtype=float))

    def reached(y: Array) -> Bools:
        below, at, above = tails(y)
        return np.where(u < 0.5, below + at >= u, above <= 1.0 - u)

    low, high = np.zeros_like(near), _up(near, step)
    for _ in range(_DOUBLINGS):
        short = ~reached(high) & (high < most)
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, np.minimum(2.0 * high, most), high)
    at_zero = reached(np.zeros_like(near))
    if step is not None:
        return np.where(at_zero, 0.0, _on_lattice(reached, low, high, step))
    for _ in range(_DOUBLINGS):  # within a factor of two
        far = (low == 0) & ~at_zero & reached(0.5 * high) & (high > 0)
        if not far.any():
            break
        high = np.where(far, 0.5 * high, high)
    low = np.where(low == 0, 0.5 * high, low)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        done = reached(middle)
        low, high = np.where(done, low, middle), np.where(done, middle, high)
    return np.where(at_zero, 0.0, high)


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
