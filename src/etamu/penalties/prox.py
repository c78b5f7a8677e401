"""Prox and subgradient distance of a penalty given by its pieces.

The prox of sums over neighbours (total variation) follows Condat (2013), IEEE Signal Process. Lett. 20, doi:10.1109/LSP.2013.2278339, in the form of
a dual that is solved exactly by its taut string.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.penalties.pieces import Pieces

__all__ = ["distance", "prox", "soft"]

Array = np.ndarray[Any, np.dtype[np.float64]]


def soft(z: Array, t: Array) -> Array:
    """Sign(z) max(|z| - t, 0)."""
    return np.asarray(np.sign(z) * np.maximum(np.abs(z) - t, 0.0))


def prox(pieces: Pieces, b: Array, step: float) -> Array:
    """Argmin over x of |x - b|^2 / (2 step) + pen(x)."""
    if pieces.quadratic is not None:
        if pieces.l1.any() or pieces.groups:
            raise UndefinedStatisticError("the prox of a full quadratic penalty together with an l1 or group penalty has no closed form.")
        system = np.eye(len(b)) + step * (pieces.quadratic + np.diag(pieces.l2))
        return np.asarray(np.linalg.solve(system, b))
    shrink = 1 + step * pieces.l2
    if pieces.concave is not None:
        return np.asarray(pieces.concave.prox(pieces.l1, b, step))
    x = soft(b, step * pieces.l1)
    for chain in pieces.chains:
        at = list(chain)
        x[at] = _chain_prox(b[at], step * pieces.l1[at])
    for weight, group in zip(pieces.group_weight if pieces.group_weight is not None else (), pieces.groups):
        at = list(group)
        length = float(np.sqrt((x[at] ** 2).sum()))
        x[at] *= max(1 - step * weight / length, 0.0) if length > 0 else 0.0
    return np.asarray(x / shrink)


def _chain_prox(b: Array, t: Array) -> Array:
    """Argmin of |x - b|^2 / 2 + t_1 |x_1| + sum t_k |x_k - x_(k-1)|, by its dual.

    x = b - D'u with |u_k| <= t_k for the best u; what D' does makes s = cumulative sums from the end of b - x the dual itself, so the
    string is pulled from the free end (where s = 0) to within t_1 of the sum of b.
    """
    n = len(b)
    y, width = b[::-1], np.concatenate([[0.0], t[::-1]])  # s_0 = 0 at the free end; |s_k - Y_k| <= width_k, and |s_n - Y_n| <= t_1
    total = np.concatenate([[0.0], np.cumsum(y)])
    low, high = total - width, total + width
    slopes = _taut_string(low, high)
    return slopes[::-1][:n]


def _taut_string(low: Array, high: Array) -> Array:
    """Slopes of the shortest path from (0, 0) through the gates [low_k, high_k], its end free in the last gate with slope towards 0."""
    n = len(low) - 1
    x = np.empty(n)
    start, height = 0, 0.0
    while start < n:
        least, most = -np.inf, np.inf  # slopes that stay within the gates so far
        at_least = at_most = start
        k = start
        while k < n:
            k += 1
            up, down = (high[k] - height) / (k - start), (low[k] - height) / (k - start)
            if down > most:  # must bend at the last upper gate that bound
                slope, k = most, at_most
                break
            if up < least:
                slope, k = least, at_least
                break
            if up <= most:
                most, at_most = up, k
            if down >= least:
                least, at_least = down, k
        else:
            slope = min(max(0.0, least), most)
            k = at_most if slope == most and most < 0 else at_least if slope == least and least > 0 else n
        x[start:k] = slope
        height += slope * (k - start)
        start = k
    return x


def distance(pieces: Pieces, b: Array, gradient: Array) -> Array:
    """How far -gradient is from the subdifferential of the penalty at b, coordinate by coordinate (in a chain, of the differences)."""
    slope = gradient + pieces.l2 * b
    if pieces.quadratic is not None:
        slope = slope + pieces.quadratic @ b
    d, l1 = b, pieces.l1
    if pieces.chains:
        d, slope = pieces.differences(b), pieces.slopes_of_differences(slope)
    if pieces.concave is not None:
        l1 = pieces.concave.slope(l1, b)
    out = np.where(d != 0, np.abs(slope + l1 * np.sign(d)), np.maximum(np.abs(slope) - l1, 0.0))
    for weight, group in zip(pieces.group_weight if pieces.group_weight is not None else (), pieces.groups):
        at = list(group)
        length = float(np.sqrt((b[at] ** 2).sum()))
        if length > 0:
            towards = slope[at] + weight * b[at] / length
            out[at] = np.where(b[at] != 0, np.abs(towards + l1[at] * np.sign(b[at])), np.maximum(np.abs(towards) - l1[at], 0.0))
        else:
            rest = np.maximum(np.abs(slope[at]) - l1[at], 0.0)
            size = float(np.sqrt((rest * rest).sum()))
            out[at] = rest * max(1 - weight / size, 0.0) if size > 0 else 0.0
    return np.asarray(out)
