"""The factors of a design as the core adds them: products of a few factors, each row in one cell of each.

Small factors are multiplied together until their product has up to ``_CELLS`` cells, or ``_ALL`` where it is the product of them all;
a row then makes one scatter for the whole product instead of one for each factor and each pair of them.  Sums over the cells become sums over levels
afterwards, since a level's sum is the sum of its cells (:meth:`Group.collapse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from etamu.core import core
from etamu.design.columns import Design, Levels

__all__ = ["Group", "group_levels", "row_cells"]

Array = np.ndarray[Any, Any]
_CELLS, _ALL = 96, 512


@dataclass(frozen=True)
class Group:
    """Codes below ``cells``, and what they are multiplied by.

    ``columns`` are the design's columns that the cells tell of, ``slots`` (factors, cells) the place among them that a cell
    has for each factor of the product (-1: none).
    """

    codes: Array
    cells: int
    columns: Array
    slots: Array
    times: Array | None = None

    @property
    def single(self) -> bool:
        """One factor only, whose columns share no row."""
        return len(self.slots) == 1

    def collapse(self, table: Array) -> Array:
        """Sums over the cells (first axis) as sums over the columns."""
        if self._shift is not None:
            return table[self._shift : self._shift + len(self.columns)]
        flat = np.ascontiguousarray(table).reshape(self.cells, -1)
        out = np.zeros((len(self.columns), flat.shape[1]))
        core.collapse(flat, self.slots, out)  # not a product of matrices: a library's threads would spin on into the next pass
        return out.reshape(-1, *table.shape[1:])

    @cached_property
    def _shift(self) -> int | None:
        """The cell of the first column, where the columns are the cells from there on, one by one."""
        count = len(self.columns)
        at = int(np.argmax(self.slots[0] == 0)) if self.single and count else 0
        plain = self.single and count > 0 and np.array_equal(self.slots[0, at : at + count], np.arange(count))
        return at if plain and np.count_nonzero(self.slots[0] >= 0) == count else None

    def square(self, weight: Array) -> Array:
        """The columns' block of the information, from the weights of the cells."""
        out = np.zeros((len(self.columns), len(self.columns)))
        core.square(np.ascontiguousarray(weight), self.slots, out)
        return out

    def spread(self, beta: Array) -> Array:
        """What the group adds to eta in each cell."""
        return np.asarray(np.add.reduce(np.append(beta[self.columns], 0.0)[self.slots], axis=0))


def group_levels(design: Design) -> list[Group]:
    """The groups of a design's factors, those with the most cells first."""
    placed = [(at, part) for at, part in design.placed() if isinstance(part, Levels)]
    groups = [b.group() for b in _shared_out([(at, part) for at, part in placed if part.times is None])]
    groups += [_Bin.of(at, part).group() for at, part in placed if part.times is not None]
    return sorted(groups, key=lambda g: -g.cells)


@dataclass
class _Bin:
    """Parts whose cells are those of one product of factors; a factor is known by its array of codes."""

    factors: dict[int, tuple[Array, int]]
    parts: list[tuple[int, Levels]]

    @staticmethod
    def of(at: int, part: Levels) -> _Bin:
        return _Bin({id(codes): (codes, count) for codes, count in part.factors or ((part.codes, len(part.slots)),)}, [(at, part)])

    @property
    def cells(self) -> int:
        return prod(count for _, count in self.factors.values())

    def with_(self, other: _Bin) -> int:
        """Cells of the two together."""
        return prod(count for _, count in (self.factors | other.factors).values())

    def take(self, other: _Bin) -> None:
        self.factors |= other.factors
        self.parts += other.parts

    def group(self) -> Group:
        counts = [count for _, count in self.factors.values()]
        codes = dict(zip(self.factors, _codes_of_cells(counts), strict=True))
        columns = np.concatenate([np.arange(at, at + len(part.names)) for at, part in self.parts])
        slots, at = np.full((len(self.parts), self.cells), -1, dtype=np.int64), 0
        for (_, part), slot in zip(self.parts, slots, strict=True):
            own = part.slots[_joined([(codes[id(c)], n) for c, n in part.factors or ((part.codes, len(part.slots)),)])]
            slot[own >= 0] = at + own[own >= 0]
            at += len(part.names)
        first = self.parts[0][1]
        alone = first.factors and list(self.factors) == [id(c) for c, _ in first.factors]  # its codes are the cells
        rows = first.codes if alone or len(self.factors) == 1 else row_cells(list(self.factors.values()))
        return Group(_compact(rows, self.cells), self.cells, columns, slots, first.times)


def _shared_out(parts: list[tuple[int, Levels]]) -> list[_Bin]:
    """Factors put together, the largest first: into a product that has them already, else where they leave the least room."""
    single = sorted((_Bin.of(at, part) for at, part in parts), key=lambda b: -b.cells)
    factors = {key: count for one in single for key, (_, count) in one.factors.items()}
    most = _ALL if prod(factors.values()) <= _ALL else _CELLS
    bins: list[_Bin] = []
    for new in single:
        fitting = [b for b in bins if b.with_(new) <= max(most, b.cells)]
        if fitting:
            min(fitting, key=lambda b: (b.with_(new) / b.cells, -b.cells)).take(new)
        else:
            bins.append(new)
    return bins


def _codes_of_cells(counts: list[int]) -> list[Array]:
    """Each factor's code in every cell, the first factor changing fastest."""
    cell, out = np.arange(prod(counts)), []
    for count in counts:
        out.append(cell % count)
        cell = cell // count
    return out


def _joined(coded: list[tuple[Array, int]]) -> Array:
    """The cell of some factors' codes."""
    out = np.zeros_like(coded[0][0], dtype=np.int64)
    for codes, count in reversed(coded):
        out = out * count + codes
    return out


def row_cells(factors: list[tuple[Array, int]]) -> Array:
    """The cell that every row has in the product of some factors, in the smallest type that holds it."""
    cells = prod(count for _, count in factors)
    kind = np.uint8 if cells <= 1 << 8 else np.uint16 if cells <= 1 << 16 else np.int32
    out = factors[-1][0].astype(kind)
    for codes, count in reversed(factors[:-1]):
        np.multiply(out, kind(count), out=out)
        np.add(out, codes, out=out, casting="unsafe")
    return out


def _compact(codes: Array, cells: int) -> Array:
    """Codes of a type the core reads, contiguous, wide enough for ``cells``; themselves where they are."""
    if codes.dtype in (np.int8, np.int16) and codes.flags.c_contiguous:
        codes = codes.view(np.uint8 if codes.dtype == np.int8 else np.uint16)  # codes are never negative
    kinds = ("u1", "u2", "i4") if cells <= 1 << 8 else ("u2", "i4") if cells <= 1 << 16 else ("i4",)
    if codes.dtype.str[1:] in kinds and codes.flags.c_contiguous and codes.dtype.isnative:
        return codes
    return np.ascontiguousarray(codes, dtype=kinds[0])
