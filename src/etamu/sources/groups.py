"""The factors of a design as the core adds them: products of a few factors, each row in one cell of each.

Small factors are multiplied together until their product has up to ``_CELLS`` cells; a row then makes one scatter for the
whole product instead of one for each factor and each pair of them.  Sums over the cells become sums over levels
afterwards, since a level's sum is the sum of its cells (:meth:`Group.collapse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design.columns import Design, Levels

__all__ = ["Group", "Member", "group_levels"]

Array = np.ndarray[Any, Any]
_CELLS = 128


@dataclass(frozen=True)
class Member:
    """A part of the design in a group: where its columns stand, and to which of them each cell belongs (-1: to none)."""

    start: int
    width: int
    slot: Array

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + self.width)

    def collapse(self, table: Array) -> Array:
        """Sums over the cells (first axis) as sums over the member's columns."""
        used = np.flatnonzero(self.slot >= 0)
        out = np.zeros((self.width, *table.shape[1:]))
        if len(used) == self.width:  # one cell a column
            out[self.slot[used]] = table[used]
        else:
            np.add.at(out, self.slot[used], table[used])
        return out

    def spread(self, beta: Array) -> Array:
        """A value per column as a value per cell."""
        return np.where(self.slot >= 0, beta[self.slot], 0.0)


@dataclass(frozen=True)
class Group:
    """Codes below ``cells``, what they are multiplied by, and the parts they tell of."""

    codes: Array
    cells: int
    members: tuple[Member, ...]
    times: Array | None = None

    def spread(self, beta: Array) -> Array:
        """What the group adds to eta in each cell."""
        return np.sum([m.spread(beta[m.columns]) for m in self.members], axis=0)


def group_levels(design: Design) -> list[Group]:
    """The groups of a design's factors, those with the most cells first."""
    groups: list[Group] = []
    open_group: list[tuple[int, Levels]] = []
    size = 1
    plain = [(at, part) for at, part in design.placed() if isinstance(part, Levels) and part.times is None]
    for at, part in sorted(plain, key=lambda x: len(x[1].slots)):
        if open_group and size * len(part.slots) > _CELLS:
            groups.append(_product(open_group))
            open_group, size = [], 1
        open_group.append((at, part))
        size *= max(1, len(part.slots))
    if open_group:
        groups.append(_product(open_group))
    for at, part in design.placed():
        if isinstance(part, Levels) and part.times is not None:
            groups.append(Group(_compact(part.codes, len(part.slots)), len(part.slots), (_member(at, part, np.arange(len(part.slots))),), part.times))
    return sorted(groups, key=lambda g: -g.cells)


def _member(at: int, part: Levels, code: Array) -> Member:
    return Member(at, len(part.names), np.asarray(part.slots[code], dtype=np.int64))


def _product(parts: list[tuple[int, Levels]]) -> Group:
    """One group of several factors; the codes of a single factor are used where they lie."""
    sizes = [len(part.slots) for _, part in parts]
    cells = int(np.prod(sizes))
    index = np.unravel_index(np.arange(cells), sizes)
    members = tuple(_member(at, part, index[k]) for k, (at, part) in enumerate(parts))
    codes = _compact(parts[0][1].codes, cells)
    for (_, part), size in zip(parts[1:], sizes[1:], strict=True):
        codes = codes * codes.dtype.type(size) + part.codes.astype(codes.dtype)
    return Group(codes, cells, members)


def _compact(codes: Array, cells: int) -> Array:
    """Codes of a type the core reads, contiguous, wide enough for ``cells``; themselves where they are."""
    kinds = ("u1", "u2", "i4") if cells <= 1 << 8 else ("u2", "i4") if cells <= 1 << 16 else ("i4",)
    if codes.dtype.str[1:] in kinds and codes.flags.c_contiguous and codes.dtype.isnative:
        return codes
    return np.ascontiguousarray(codes, dtype=kinds[0])
