"""What a scan keeps of one variable: a few frozen values that add up over batches, whichever way the rows were cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design.frames import Table
from etamu.design.moments import Moments
from etamu.design.sketch import Sketch

__all__ = ["Absent", "LabelCounts", "Need", "Numbers"]


@dataclass(frozen=True)
class Absent:
    """How many values were missing, and the first row of them."""

    count: int = 0
    row: int = 0

    @staticmethod
    def of(absent: np.ndarray[Any, Any], start: int) -> Absent:
        count = int(absent.sum())
        return Absent(count, start + int(np.argmax(absent)) if count else 0)

    def merge(self, other: Absent, start: int) -> Absent:
        """``other`` counts its rows from ``start`` of this."""
        return Absent(self.count + other.count, self.row if self.count else other.row + start)


@dataclass(frozen=True)
class LabelCounts:
    """The labels of a column with their counts, in the order of their levels; ``own`` are its categories, if it has them."""

    counts: dict[object, int]
    own: tuple[object, ...] | None
    absent: Absent

    @staticmethod
    def of(name: str, table: Table) -> LabelCounts:
        counts, absent, row = table.count(name)
        return LabelCounts(counts, _categories(table.columns[name]), Absent(absent, row))

    def merge(self, other: LabelCounts, start: int) -> LabelCounts:
        counts = {k: self.counts.get(k, 0) + other.counts.get(k, 0) for k in {**self.counts, **other.counts}}
        own = self.own if self.own == other.own else None
        order = [c for c in own if c in counts] if own is not None else _ordered(counts)
        return LabelCounts({k: counts[k] for k in order}, own, self.absent.merge(other.absent, start))


def _categories(column: Any) -> tuple[object, ...] | None:
    """All categories of a column that has an order of its own, by the rule of ``labels.py``."""
    if isinstance(column, np.ndarray):
        return None
    import narwhals.stable.v2 as nw

    if not isinstance(column.dtype, (nw.Categorical, nw.Enum)):
        return None
    native = column.to_native()
    ordered = isinstance(column.dtype, nw.Enum) or column.implementation.is_pandas() or getattr(getattr(native, "type", None), "ordered", False)
    return tuple(column.cat.get_categories().to_list()) if ordered else None


def _ordered(labels: dict[object, int]) -> list[object]:
    try:
        return sorted(labels)  # type: ignore[type-var]
    except TypeError:
        return sorted(labels, key=lambda v: (type(v).__name__, str(v)))


@dataclass(frozen=True)
class Need:
    """Polynomial degree of the moments, and whether quantiles are wanted."""

    moments: int = 0
    sketch: bool = False

    def __or__(self, other: Need) -> Need:
        return Need(max(self.moments, other.moments), self.sketch or other.sketch)


@dataclass(frozen=True)
class Numbers:
    """The finite values of an expression, as far as their moments and quantiles are asked for."""

    moments: Moments
    sketch: Sketch | None
    absent: Absent

    @staticmethod
    def of(x: np.ndarray[Any, Any], need: Need) -> Numbers:
        finite = x[np.isfinite(x)]
        return Numbers(Moments.of(finite, need.moments), Sketch.of(finite) if need.sketch else None, Absent.of(np.isnan(x), 0))

    def merge(self, other: Numbers, start: int) -> Numbers:
        sketch = None if self.sketch is None or other.sketch is None else self.sketch.merge(other.sketch)
        return Numbers(self.moments.merge(other.moments), sketch, self.absent.merge(other.absent, start))
