"""The distribution of a numeric column in bounded memory: mergeable, deterministic, exact while it can be.

Up to 65,536 distinct values are kept with their counts, so quantiles are those of the data.  Beyond that the sketch is
thinned to at most 16,384 points of equal weight; each thinning moves a rank by at most 1/32,768 of the rows so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["EXACT", "POINTS", "Sketch"]

Array = np.ndarray[Any, Any]
EXACT = 65_536
POINTS = 16_384


@dataclass(frozen=True)
class Sketch:
    """Distinct values in order, and how many rows each stands for."""

    values: Array = field(default_factory=lambda: np.empty(0))
    counts: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @staticmethod
    def of(x: Array) -> Sketch:
        return Sketch(*np.unique(np.asarray(x, dtype=float), return_counts=True))._thinned()

    def merge(self, other: Sketch) -> Sketch:
        values, place = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return Sketch(values, counts)._thinned()

    def _thinned(self) -> Sketch:
        if len(self.values) <= EXACT:
            return self
        edges = np.linspace(0, int(self.counts.sum()), POINTS + 1).round().astype(np.int64)
        middle = (edges[:-1] + edges[1:]) // 2
        at = np.searchsorted(np.cumsum(self.counts), middle, side="right")
        place, first = np.unique(at, return_index=True)
        return Sketch(self.values[place], np.add.reduceat(np.diff(edges), first))

    def between(self, low: float, high: float) -> Sketch:
        inside = (self.values >= low) & (self.values <= high)
        return Sketch(self.values[inside], self.counts[inside])

    def quantiles(self, shares: Array) -> Array:
        """Type 7, R's default: linear between order statistics.

        >>> import numpy as np
        >>> from etamu.design.sketch import Sketch
        >>> Sketch.of(np.array([1.0, 2.0, 2.0, 10.0])).quantiles(np.array([0.5, 0.9]))
        array([2. , 7.6])
        """
        upto = np.cumsum(self.counts)
        position = (upto[-1] - 1) * np.asarray(shares, dtype=float)
        low = np.floor(position + 4 * np.finfo(float).eps)  # R's fuzz
        part = np.clip(position - low, 0.0, 1.0)
        below = self.values[np.searchsorted(upto, low, side="right")]
        above = self.values[np.searchsorted(upto, np.minimum(low + 1, upto[-1] - 1), side="right")]
        return np.asarray((1 - part) * below + part * above)
