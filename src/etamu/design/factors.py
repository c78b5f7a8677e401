"""A factor that has been learnt: its levels in order, and the code of every row of any table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from etamu.design.arithmetic import evaluate, variables
from etamu.design.contrasts import contrast_matrix, contrast_names
from etamu.design.declare import Category, Cut, Quantiles
from etamu.design.frames import Table, level_name
from etamu.design.missing import present, take
from etamu.design.parser import Node
from etamu.errors import MissingValueError, UnseenLevelError, counted, unknown

__all__ = ["Factor", "codes_of", "interval_names", "missing_label", "numbers_or_nan", "rows_present"]

Array = np.ndarray[Any, Any]
UNSEEN = ("raise", "base", "missing")


@dataclass(frozen=True)
class Factor:
    """Levels in order, with one more named "missing" where ``missing``; ``breaks`` where the levels are intervals."""

    label: str
    levels: tuple[object, ...]
    missing: bool
    contrast: str
    base: int
    breaks: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        return len(self.levels) + self.missing

    @property
    def names(self) -> list[str]:
        """Every level as it is written in a coefficient's name, each different."""
        plain = [level_name(level) for level in self.levels]
        names = plain if len(set(plain)) == len(plain) else [f"{level!r}" for level in self.levels]
        return names + (["missing" if "missing" not in names else "(missing)"] if self.missing else [])

    def columns(self, full: bool) -> list[str]:
        """Names of the columns that it makes."""
        names = self.names
        if full or self.contrast == "treatment":
            return [f"{self.label}[{n}]" for j, n in enumerate(names) if full or j != self.base]
        return [f"{self.label}[{n}]" for n in contrast_names(self.contrast, names)]

    def places(self, full: bool) -> Array:
        """The column of each level where columns are indicators, -1 for the base level."""
        if full:
            return np.arange(self.count)
        place = np.arange(self.count) - (np.arange(self.count) > self.base)
        place[self.base] = -1
        return place

    def coded(self, full: bool) -> Array:
        """The columns' values by level, shape (levels, columns)."""
        if full or self.contrast == "treatment":
            place = self.places(full)
            return np.eye(self.count)[:, place >= 0]
        return contrast_matrix(self.contrast, self.count)


def codes_of(category: Category, factor: Factor, table: Table, unseen: str) -> Array:
    """The position of every row's level; what has none follows ``unseen`` and ``factor.missing``."""
    if unseen not in UNSEEN:
        raise unknown("unseen", unseen, UNSEEN)
    match category.source:
        case str(column):
            codes: Array = table.labels(column, factor.levels).codes
        case Cut(argument) | Quantiles(argument):
            codes = _interval_codes(numbers_or_nan(argument, table), factor.breaks)
    low = int(codes.min()) if len(codes) else 0
    if low >= 0:
        return codes
    codes = codes.astype(np.int32)  # a copy
    absent = codes == -1
    if absent.any():
        if not factor.missing:
            raise missing_label(factor.label, int(absent.sum()), int(np.argmax(absent)))
        codes[absent] = len(factor.levels)
    foreign = codes == -2
    if foreign.any():
        codes[foreign] = _stand_in(category, factor, table, int(np.argmax(foreign)), unseen)
    return codes


def missing_label(name: str, count: int, row: int) -> MissingValueError:
    return MissingValueError(f"`{name}` has {counted(count, 'missing value')}, the first in row {row}; drop or fill them (in a fit missing='drop' does).")


def _stand_in(category: Category, factor: Factor, table: Table, row: int, unseen: str) -> int:
    """The level that takes the place of an unseen one."""
    if unseen == "base":
        return factor.base
    if unseen == "missing" and factor.missing:
        return len(factor.levels)
    value = table.columns[str(category.source)][row]
    value = value.item() if isinstance(value, np.generic) else value
    known = ", ".join(map(level_name, factor.levels[:10])) + (", ..." if len(factor.levels) > 10 else "")
    why = " and it has no level for missing values to take its place (fit with missing='level')" if unseen == "missing" else ""
    raise UnseenLevelError(f"`{factor.label}` has level {value!r} in row {row}, which the model was not fitted on; its levels are {known}{why}.")


def _interval_codes(x: Array, breaks: Sequence[float]) -> Array:
    """0 up to the first break, which is in it; -1 for nan."""
    codes = np.searchsorted(np.asarray(breaks), x, side="left").astype(np.int32)
    codes[np.isnan(x)] = -1
    return codes


def interval_names(breaks: Sequence[float]) -> tuple[str, ...]:
    """``(-inf,0]``, ``(0,1.5]``, ... with as few digits as tell the breaks apart."""
    for digits in range(3, 18):
        shown = [f"{b:.{digits}g}" for b in breaks]
        if len(set(shown)) == len(shown) and (digits == 17 or all(float(s) == b for s, b in zip(shown, breaks)) or digits >= 6):
            break
    edges = ["-inf", *shown, "inf"]
    return tuple(f"({a},{b}]" for a, b in pairwise(edges))


def rows_present(names: Sequence[str], table: Table) -> Array:
    """True for rows in which every one of these columns has a value."""
    keep = np.ones(table.rows, dtype=bool)
    for name in names:
        keep &= present(table._column(name))
    return keep


def numbers_or_nan(node: Node, table: Table) -> Array:
    """The values of an expression in float64, nan where a column it reads has none."""
    names = variables(node)
    try:
        return np.asarray(evaluate(node, table), dtype=float)
    except MissingValueError:
        keep = rows_present(names, table)
    out = np.full(table.rows, np.nan)
    some = take(Table({name: table.columns[name] for name in names}, table.rows), {}, keep)[0]
    out[keep] = evaluate(node, some)
    return out
