"""P-values and limits of several splits of the rows in one; splitting.py says by which formulas.

Reference: Meinshausen, Meier & Buhlmann (2009), J. Am. Statist. Assoc. 104, doi:10.1198/jasa.2009.tm08647.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["combined", "held_by_most"]

Array = np.ndarray[Any, Any]
_LEAST_SHARE = 0.05  # the least quantile that the quantile rule looks at


def combined(p: Array, rule: str) -> Array:
    """P-values (splits, k) of the same hypotheses in one for each, (k,).

    >>> combined(np.array([[0.01, 1.0], [0.02, 0.3], [0.03, 0.4]]), "median")
    array([0.04, 0.8 ])
    """
    count = len(p)
    if count == 1:
        return np.asarray(p[0].copy())
    ordered = np.sort(p, axis=0)
    if rule == "median":
        return np.asarray(np.minimum(2 * ordered[math.ceil(count / 2) - 1], 1.0))
    ranks = np.arange(math.ceil(_LEAST_SHARE * count), count + 1)
    best = (ordered[ranks - 1] * (count / ranks)[:, None]).min(axis=0)
    return np.asarray(np.minimum((1 - math.log(_LEAST_SHARE)) * best, 1.0))


def held_by_most(ends: Array) -> tuple[Array, Array]:
    """Lower and upper ends (k,) of the values that more than half of the intervals (splits, k, 2) hold.

    With intervals at half the error each, what is left out is what twice the median p-value rejects.

    >>> held_by_most(np.array([[[0.0, 2.0]], [[1.0, 3.0]], [[-9.0, 9.0]]]))
    (array([0.]), array([3.]))
    """
    count, width = ends.shape[:2]
    if count == 1:
        return ends[0, :, 0], ends[0, :, 1]
    low, high = np.empty(width), np.empty(width)
    for j in range(width):
        low[j], high[j] = _held(ends[:, j], count // 2 + 1)
    return low, high


def _held(ends: Array, least: int) -> tuple[float, float]:
    """The first and the last value that at least that many intervals hold; nan where none is."""
    points = np.unique(ends)
    held = np.array([((ends[:, 0] <= v) & (v <= ends[:, 1])).sum() >= least for v in points])
    return (float(points[held][0]), float(points[held][-1])) if held.any() else (math.nan, math.nan)
