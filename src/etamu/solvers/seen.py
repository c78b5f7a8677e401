"""What is known of columns that are left out of a model, so that most of them need not be looked at again.

References: Fercoq, Gramfort & Salmon (2015), ICML (bounds that are safe).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["Seen"]

Array = np.ndarray[Any, Any]


class Seen:
    """What is known of every column: its inner product with the residuals v_k of when it was last scanned.

    With v = c v_k + r, |x_j'v| is at most |c| |x_j'v_k| + |r| |x_j|; along a path c falls much as alpha does, and r is short.
    """

    def __init__(self, lengths: Array, lost: Array, rows: int) -> None:
        self.lengths, self.lost = lengths, lost
        self.most = int(min(max(1, len(lengths) // 32), max(1, 4_000_000 // rows), 32))  # vectors remembered: reading them must cost less than a scan
        self.vectors: list[tuple[Array, float]] = []  # with their squared lengths
        self.known, self.of = np.full(len(lengths), np.inf), np.zeros(len(lengths), dtype=np.int64)

    def reach(self, v: Array) -> Array:
        """A bound on each column's inner product with v."""
        if not self.vectors:
            return self.known
        products, own = np.array([_product(u, v) for u, _ in self.vectors]), _product(v, v)
        c = products / np.array([max(square, 1e-300) for _, square in self.vectors])
        r = np.sqrt(np.maximum(own - c * products, 0.0)) + 1e-7 * math.sqrt(own)
        return np.where(self.known < math.inf, np.abs(c)[self.of] * np.minimum(self.known, 1e300) + r[self.of] * self.lengths, math.inf)

    def now(self, v: Array, index: Array, products: Array) -> None:
        """The columns ``index`` have those inner products with v, to within what 16 bits lose."""
        square = _product(v, v)
        self.known[index] = np.abs(products) + self.lost[index] * math.sqrt(square)
        self.of[index] = len(self.vectors)
        self.vectors.append((v.copy(), square))
        used = np.flatnonzero(np.bincount(self.of, minlength=len(self.vectors)))[-self.most :]
        place = np.full(len(self.vectors), -1)
        place[used] = np.arange(len(used))
        self.of = place[self.of]
        self.vectors = [self.vectors[k] for k in used]
        self.forget(np.flatnonzero(self.of < 0))

    def forget(self, index: Array) -> None:
        """Nothing is known of those columns."""
        self.known[index], self.of[index] = np.inf, max(len(self.vectors) - 1, 0)


def _product(u: Array, v: Array) -> float:
    """The product u'v by one thread: those of a BLAS would linger into the next pass."""
    return float(np.einsum("i,i->", u, v))
