"""The factors of a design as the core adds them: products of a few factors, each row in one cell of each.

Small factors are multiplied together until their product has up to ``_CELLS`` cells; a row then makes one scatter for the
whole product instead of one for each factor and each pair of them.  Sums over the cells become sums over levels
afterwards, since a level's sum is the sum of its cells (:meth:`Group.collapse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.core import core
from etamu.design.columns import Design, Levels

__all__ = ["Group", "group_levels"]

Array = np.ndarray[Any, Any]
_CELLS = 96


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
        flat = np.ascontiguousarray(table).reshape(self.cells, -1)
        out = np.zeros((len(self.columns), flat.shape[1]))
        core.collapse(flat, self.slots, out)  # not a product of matrices: a library's threads would spin on into the next pass
        return out.reshape(-1, *table.shape[1:])

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
    groups = [_product(parts) for parts in _shared_out([(at, p) for at, p in design.placed() if isinstance(p, Levels) and p.times is None])]
    groups += [_product([(at, part)]) for at, part in design.placed() if isinstance(part, Levels) and part.times is not None]
    return sorted(groups, key=lambda g: -g.cells)


def _shared_out(parts: list[tuple[int, Levels]]) -> list[list[tuple[int, Levels]]]:
    """Factors put together, the largest first, each where it leaves the least room."""
    bins: list[list[tuple[int, Levels]]] = []
    sizes: list[int] = []
    for at, part in sorted(parts, key=lambda x: -len(x[1].slots)):
        own = max(1, len(part.slots))
        fitting = [k for k, size in enumerate(sizes) if size * own <= _CELLS]
        if fitting:
            k = max(fitting, key=sizes.__getitem__)
            bins[k].append((at, part))
            sizes[k] *= own
        else:
            bins.append([(at, part)])
            sizes.append(own)
    return bins


def _product(parts: list[tuple[int, Levels]]) -> Group:
    """One group of several factors; the codes of a single factor are used where they lie."""
    sizes = [len(part.slots) for _, part in parts]
    cells = int(np.prod(sizes))
    columns = np.concatenate([np.arange(at, at + len(part.names)) for at, part in parts])
    codes, at = _compact(parts[0][1].codes, cells), 0
    slots = np.full((len(parts), cells), -1, dtype=np.int64)
    for (_, part), code, slot in zip(parts, np.unravel_index(np.arange(cells), sizes), slots, strict=True):
        own = part.slots[code]
        slot[own >= 0] = at + own[own >= 0]
        at += len(part.names)
    for (_, part), size in zip(parts[1:], sizes[1:], strict=True):
        codes = codes * codes.dtype.type(size) + part.codes.astype(codes.dtype)
    return Group(codes, cells, columns, slots, parts[0][1].times)


def _compact(codes: Array, cells: int) -> Array:
    """Codes of a type the core reads, contiguous, wide enough for ``cells``; themselves where they are."""
    if codes.dtype in (np.int8, np.int16) and codes.flags.c_contiguous:
        codes = codes.view(np.uint8 if codes.dtype == np.int8 else np.uint16)  # codes are never negative
    kinds = ("u1", "u2", "i4") if cells <= 1 << 8 else ("u2", "i4") if cells <= 1 << 16 else ("i4",)
    if codes.dtype.str[1:] in kinds and codes.flags.c_contiguous and codes.dtype.isnative:
        return codes
    return np.ascontiguousarray(codes, dtype=kinds[0])
