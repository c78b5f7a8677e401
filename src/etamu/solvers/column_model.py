"""X'WX of the columns that matter, at row weights that may be a little old: what steps over columns are made with.

Weights that have all swollen or shrunk alike have not grown old: the model is then taken so many times.  Solvers on the same columns lend each
other their models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from etamu.core import core

__all__ = ["ColumnModel", "Grams", "Lent"]

Array = np.ndarray[Any, Any]
_IDLE = 1.2  # columns of the model over those that it needs, beyond which it is made of these alone
_ALIKE = 1e-5  # how far from 1 the correlation of two columns is that floats tell apart
_SOME = 500  # rows that tell how stale row weights are
_RUN = 1024  # neighbouring rows that a model of a part of them takes or leaves: what the core reads at once
_FAIR = 2.0  # how many times its share of the weight such a part may have, or lack


class Lent(Protocol):
    """A model that another solver on the same columns has made: X' diag(weight) X of the columns ``index``; ``some`` are a few of the weights."""

    weight: Array
    some: Array
    index: Array
    gram: Array

    def has(self, needed: Array) -> bool: ...


class Grams(Protocol):
    """Where models come from."""

    rows: int
    sum_weight: float

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None: ...
    def lend(self, weight: Array, some: Array, index: Array, gram: Array) -> bool: ...
    def lent(self) -> Sequence[Lent]: ...
    def fits(self, weight: Array, index: Array) -> bool: ...


class ColumnModel:
    """``gram`` has a row for each of the columns taken that ``index`` names, in its upper left corner.

    ``version`` is another one whenever those columns are in another order, ``made`` whenever numbers that were there are others; ``factor`` is what
    the row weights have swollen by, and ``fresh`` says that they are those of now.  It is of one run of rows in ``part``, standing for all.
    """

    def __init__(self, source: Grams) -> None:
        self.source, self.version, self.made, self.factor, self.fresh = source, 0, 0, 1.0, False
        self.shared = False  # whether others use the numbers too
        self.part, self.of_all = 1, False  # whether it has to be of all rows
        self.numbers: Any = np.float32
        self.clear()

    def clear(self) -> None:
        """No column."""
        self.index, self.weight, self.some = np.zeros(0, dtype=np.int32), np.empty(0), np.empty(0)
        self.now: Array | None = None  # a few of the row weights as they are
        self.gram: Array = np.empty((0, 0), dtype=self.numbers)
        self.lengths = np.zeros(0)  # of the columns, as far as they are known
        self.drift: float | None = math.inf
        self.version, self.made = self.version + 1, self.made + 1

    @property
    def exact(self) -> bool:
        """Whether it is one of doubles."""
        return self.numbers is np.float64

    def exactly(self) -> bool:
        """From now on by doubles, beginning with no column; whether it was not so already."""
        if self.exact:
            return False
        self.numbers = np.float64
        self.clear()
        return True

    def finer(self) -> bool:
        """From now on by all rows if it was of a part of them, else by doubles, beginning with no column; whether it was not so already."""
        if self.part == 1:
            return self.exactly()
        self.of_all, self.part = True, 1
        self.clear()
        return True

    def __len__(self) -> int:
        return len(self.index)

    def moved(self, now: Array | None = None) -> None:
        """The row weights are others now; of which those are a few."""
        self.drift, self.fresh, self.now = None if len(self) else math.inf, False, now

    def staleness(self, h: Array) -> float:
        """Relative change of the row weights since the model was made."""
        if self.drift is None:
            self.drift, self.factor = self._compared(self.some, h)
        return self.drift

    def renew(self, h: Array, needed: Array, stale: float, part: int = 1) -> None:
        """A model of the columns needed, at the row weights h, or one lent that is not staler than that; of one run of rows in ``part`` if these will do."""
        if stale > 0 and self.borrow(h, needed, stale):
            return
        more = np.setdiff1d(needed, self.index)
        if len(self) + len(more) <= _IDLE * len(needed) + 16:  # the order of the old ones stays, and what is kept for it helps on
            self.index = np.concatenate([self.index, more.astype(np.int32)])
        else:
            self.index, self.version = needed.astype(np.int32), self.version + 1
        self.weight, self.some = h / self.source.sum_weight, self.few(h)
        self.part = part if part > 1 and not self.of_all and self._thin(part) else 1
        self.made, self.lengths = self.made + 1, np.zeros(0)
        self._room(len(self), 0)
        self.source.gram(self.weight, self.index, 0, self.gram)
        if self._alike(len(self) - len(more) if len(more) < len(self) else 0) and self.finer():
            return self.renew(h, needed, 0.0)
        self.drift, self.factor, self.fresh = 0.0, 1.0, True
        return self._lend()

    def _thin(self, part: int) -> bool:
        """Leave the row weights of one run of rows in so many, swollen to the weight of all; whether they had about their share of it."""
        kept = np.zeros_like(self.weight)
        for first in range(0, len(kept), part * _RUN):
            kept[first : first + _RUN] = self.weight[first : first + _RUN]
        total, own = float(np.add.reduce(self.weight)), float(np.add.reduce(kept))
        if not total <= _FAIR * part * own <= _FAIR**2 * total:
            return False
        self.weight = kept * (total / own)
        return True

    def grow(self, h: Array, more: Array) -> None:
        """Columns more, at the row weights of the others; at h for all if those are another solver's that do not suit them."""
        if not self.source.fits(self.weight, more):
            return self.renew(h, np.concatenate([self.index, more]), 0.0)
        have = len(self)
        self._room(have + len(more), have)
        self.index = np.concatenate([self.index, more.astype(np.int32)])
        self.source.gram(self.weight, self.index, have, self.gram)
        every = self.index
        if self._alike(have) and self.finer():
            return self.renew(h, every, 0.0)
        return self._lend()

    def borrow(self, h: Array, needed: Array, stale: float) -> bool:
        """Use a model that others have made, if one of them will do."""
        able = [m for m in self.source.lent() if m.gram is not self.gram and m.gram.dtype == self.numbers and m.has(needed)]
        for model in sorted(able, key=lambda m: len(m.index)):  # what has little more than is needed is of about here
            drift, factor = self._compared(model.some, h)
            if drift <= stale and self.source.fits(model.weight, model.index):
                now = self.now
                self.adopt(model.index, model.gram, model.weight, model.some)
                self.drift, self.factor, self.now = drift, factor, now
                return True
        return False

    def adopt(self, index: Array, gram: Array, weight: Array, some: Array) -> None:
        """Use those numbers, which are somebody else's."""
        if not np.array_equal(self.index, index[: len(self)]):
            self.version += 1
        self.index, self.gram, self.weight, self.some, self.shared, self.part = index, gram, weight, some, True, 1
        self.made, self.lengths = self.made + 1, np.zeros(0)
        self.moved()

    def _alike(self, first: int) -> bool:
        """Whether a column, of those from the first on, is so like another one that floats cannot tell them apart, or has nothing in a part of the rows."""
        size, known = len(self), len(self.lengths)
        self.lengths = np.concatenate([self.lengths, np.sqrt(np.diagonal(self.gram)[known:size])])
        if self.part > 1 and not self.lengths[first:].all():
            return True
        if core is not None:
            return bool(core.alike(self.gram, first, self.lengths, 1 - _ALIKE))
        like = np.abs(self.gram[first:size, :size]) > (1 - _ALIKE) * self.lengths[first:, None] * self.lengths
        return int(np.count_nonzero(like)) > int(np.count_nonzero(self.lengths[first:]))

    def _lend(self) -> None:
        self.shared = self.part == 1 and self.source.lend(self.weight, self.some, self.index, self.gram)

    def _room(self, size: int, have: int) -> None:
        """Room for so many columns, the first of them kept; numbers that others use are copied."""
        if size > len(self.gram) or self.shared:
            larger: Array = np.zeros((size + size // 2 + 16,) * 2, dtype=self.numbers)
            larger[:have, :have] = self.gram[:have, :have]
            self.gram, self.shared = larger, False

    def few(self, h: Array) -> Array:
        """A few of the row weights h, which are those of now."""
        if self.now is None:
            self.now = h[:: max(1, self.source.rows // _SOME)] / self.source.sum_weight
        return self.now

    def _compared(self, old: Array, h: Array) -> tuple[float, float]:
        """Relative change of the row weights from a few of a model's, apart from a factor common to all; and the factor of the model."""
        new = self.few(h)
        used = new > 0  # rows that others have and this problem does not are no change
        then, now, both = float(np.add.reduce(old)), float(np.add.reduce(new)), float(np.add.reduce(old[used]))
        if not (both > 0 and now > 0):
            return math.inf, 1.0
        return float(np.add.reduce(np.abs(new[used] - (now / both) * old[used]))) / now, now / then
