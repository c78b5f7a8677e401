"""What is known of columns that are left out of a model, so that most of them need not be looked at again.

References: Fercoq, Gramfort & Salmon (2015), ICML (bounds that are safe).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from etamu.core import core, cores

__all__ = ["Seen"]

Array = np.ndarray[Any, Any]


class Seen:
    """What is known of every column: its inner product with the residuals u of when it was last scanned, or nothing, which is infinity.

    With v = c u + r, |x_j'v| is at most |c| |x_j'u| + |r| |x_j|; along a path c falls much as alpha does, and r is short.
    Vectors have ``room`` entries, one per row and zeros beyond.
    """

    def __init__(self, lengths: Array, lost: Array, room: int) -> None:
        self.lengths, self.lost = np.ascontiguousarray(lengths), np.ascontiguousarray(lost)
        most = int(min(max(1, len(lengths) // 32), max(1, 4_000_000 // room), 32))  # vectors remembered: reading them must cost less than a scan
        self.vectors, self.squares = np.zeros((most, room)), np.zeros(most)
        self.order: list[int] = []  # places of vectors, the oldest first
        self.known, self.of = np.full(len(lengths), np.inf), np.full(len(lengths), -1, dtype=np.int32)
        self.users = np.zeros(most, dtype=np.int64)  # columns known by each vector

    def suspects(self, v: Array, out: Array, l1: Array, alpha: float) -> Array:
        """The columns among those that are ``out`` whose inner product with v could be more than alpha times their l1."""
        if core is None:
            return np.flatnonzero(out & ~(self._reach(v) <= alpha * l1)).astype(np.int32)
        found = np.empty(len(out) + 1, dtype=np.int32)
        return found[: core.suspects(v, self.vectors, self.squares, self.known, self.of, self.lengths, out, l1, alpha, cores(), found)]

    def promising(self, v: Array, out: Array, l1: Array, share: float) -> Array:
        """The columns that are ``out`` which have more than ``share`` times their l1 of v, as far as that lies along what they were last scanned with."""
        if core is None:
            known = np.where(self.of < 0, 0.0, self.known)
            return np.flatnonzero(out & (np.abs(self._along(v))[self.of] * known > share * l1))
        found = np.empty(len(out) + 1, dtype=np.int32)
        return found[: core.promising(v, self.vectors, self.squares, self.known, self.of, out, l1, share, cores(), found)].astype(np.int64)

    def _along(self, v: Array) -> Array:
        """How much of each vector remembered v has."""
        return np.asarray((self.vectors @ v) / np.maximum(self.squares, 1e-300))

    def _reach(self, v: Array) -> Array:
        """A bound on each column's inner product with v."""
        c, own = self._along(v), float(v @ v)
        r = np.sqrt(np.maximum(own - c * c * self.squares, 0.0)) + 1e-7 * math.sqrt(own)
        return np.where(self.of < 0, math.inf, np.abs(c)[self.of] * np.where(self.of < 0, 0.0, self.known) + r[self.of] * self.lengths)

    def now(self, v: Array, index: Array, products: Array, share: float, l1: Array, alpha: float) -> Array:
        """The columns ``index`` have those inner products with v, times ``share``, to within what 16 bits lose; those that could be more than alpha l1."""
        square = float(np.einsum("i,i->", v, v))  # by one thread: those of a BLAS would linger into the next pass
        place = self._room()
        self.vectors[place], self.squares[place] = v, square
        if core is not None:
            found = np.empty(len(index) + 1, dtype=np.int32)
            return found[: core.note(index, products, share, self.lost, math.sqrt(square), place, self.known, self.of, self.users, l1, alpha, found)]
        self.forget(index)
        self.known[index], self.of[index] = np.abs(products) * share + self.lost[index] * math.sqrt(square), place
        self.users[place] += len(index)
        return index[self.known[index] > alpha * l1[index]]

    def _room(self) -> int:
        """A place for a vector: one that no column is known by, else that of the oldest, whose columns are forgotten."""
        place = int(self.users.argmin())
        if self.users[place]:
            place = self.order[0]
            self.forget(np.flatnonzero(self.of == place))
        self.order = [k for k in self.order if k != place] + [place]
        return place

    def forget(self, index: Array) -> None:
        """Nothing is known of those columns."""
        of = self.of[index]
        self.users -= np.bincount(of[of >= 0], minlength=len(self.users))
        self.known[index], self.of[index] = np.inf, -1
