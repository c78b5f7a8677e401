"""How a design's columns are shared out between what the core reads: stored columns, groups of cells, sparse rows.

The core sums over these; this file turns coefficients into theirs and their sums into sums over the design's columns.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from etamu.core import core
from etamu.design.columns import Column, Design, Levels, Sparse
from etamu.sources.groups import Group, group_levels
from etamu.sums import Arrow

__all__ = ["Layout", "stored_design"]

Array = np.ndarray[Any, Any]
_ARROW = 256  # levels from which a factor's diagonal is kept as a diagonal


class Layout:
    """The shares of a design, and where the core is to put the sums that cells take part in."""

    def __init__(self, design: Design) -> None:
        self.width = design.width
        placed = list(design.placed())
        stored = [(at, part) for at, part in placed if isinstance(part, Column)]
        self.columns = np.array([at for at, _ in stored], dtype=np.int64)
        self.stored = len(stored)
        self.constant = int(self.stored > 0 and _as_it_stands(design, *stored[0]))
        self.plain = self.stored == len(placed)
        self.groups: list[Group] = [] if self.plain else group_levels(design)
        found = [(at, part) for at, part in placed if isinstance(part, Sparse)]
        assert len(found) < 2  # `em.fit` makes one
        self.sparse: Sparse | None = found[0][1] if found else None
        self.sparse_at = found[0][0] if found else 0
        self.cells = sum(g.cells for g in self.groups) + (0 if self.sparse is None else len(self.sparse.names))

    @cached_property
    def sparse_arrays(self) -> tuple[Array, Array, Array]:
        """Row starts, column indices and values as the core reads them."""
        assert self.sparse is not None
        s = self.sparse
        return np.ascontiguousarray(s.indptr, np.int64), np.ascontiguousarray(s.indices, np.int32), np.ascontiguousarray(s.data, np.float64)

    @cached_property
    def tables(self) -> tuple[int, list[int], list[int], list[list[int]], int]:
        """(row length, starts of cross, of self, of pair, total length) of the flat array of tables."""
        sizes = [g.cells for g in self.groups] + ([] if self.sparse is None else [len(self.sparse.names)])
        n, at = len(sizes), 0
        ld = -(-(2 + self.stored - self.constant) // core.lanes()) * core.lanes()  # weight, columns and score in whole registers
        cross, own, pair = [0] * n, [-1] * n, [[-1] * n for _ in range(n)]
        for i, size in enumerate(sizes):
            cross[i], at = at, at + size * ld
            sparse = i == len(self.groups)
            if sparse or self.groups[i].times is not None:
                own[i], at = at, at + (size * size if sparse else size)
            for j in range(i + 1, n):
                pair[i][j], at = at, at + size * sizes[j]
        return ld, cross, own, pair, at + 8  # a register may reach past the last row

    # ---- coefficients ---------------------------------------------------------------------------------------------

    def split(self, beta: Array) -> tuple[Array, Array]:
        """The coefficients of the stored columns, and those of the cells."""
        if self.plain:
            return np.ascontiguousarray(beta, dtype=float), _NONE
        parts = [g.spread(beta) for g in self.groups]
        if self.sparse is not None:
            parts.append(beta[self.sparse_at : self.sparse_at + len(self.sparse.names)])
        return np.ascontiguousarray(beta[self.columns], dtype=float), np.concatenate(parts)

    # ---- sums -----------------------------------------------------------------------------------------------------

    def score(self, flat: Array) -> Array:
        """The score of every column from that of the stored columns and the cells."""
        if self.plain:
            return flat
        out = np.empty(self.width)
        out[self.columns] = flat[: self.stored]
        at = self.stored
        for g in self.groups:
            out[g.columns] = g.collapse(flat[at : at + g.cells])
            at += g.cells
        if self.sparse is not None:
            out[self.sparse_at : self.sparse_at + len(self.sparse.names)] = flat[at:]
        return out

    def information(self, stored: Array, tables: Array) -> Array | Arrow:
        """The information of every column, as a full matrix or with a large factor's diagonal kept apart."""
        if self.plain:
            return stored
        ld, cross, own, pair, _ = self.tables
        out = _Blocks(self.width, self._large())
        out.put(self.columns, self.columns, stored)
        for i, g in enumerate(self.groups):
            table = tables[cross[i] : cross[i] + g.cells * ld].reshape(g.cells, ld)
            self._cross(out, g.columns, g.collapse(table))
            weight = table[:, 0] if own[i] < 0 else tables[own[i] : own[i] + g.cells]
            if g.single:
                out.diagonal(g.columns, g.collapse(weight))
            else:
                out.put(g.columns, g.columns, g.square(weight))
            for j in range(i + 1, len(self.groups)):
                h = self.groups[j]
                table = tables[pair[i][j] : pair[i][j] + g.cells * h.cells].reshape(g.cells, h.cells)
                out.put(g.columns, h.columns, h.collapse(g.collapse(table).T).T)
        if self.sparse is not None:
            self._sparse(out, tables)
        return out.whole()

    def _cross(self, out: _Blocks, rows: Array, table: Array) -> None:
        """Against the stored columns; the constant's sums come first in a table's row."""
        out.put(rows, self.columns, table[:, 1 - self.constant : 1 - self.constant + self.stored])

    def _sparse(self, out: _Blocks, tables: Array) -> None:
        assert self.sparse is not None
        ld, cross, own, pair, _ = self.tables
        size, i = len(self.sparse.names), len(self.groups)
        where = np.arange(self.sparse_at, self.sparse_at + size)
        self._cross(out, where, tables[cross[i] : cross[i] + size * ld].reshape(size, ld))
        out.put(where, where, tables[own[i] : own[i] + size * size].reshape(size, size))
        for k, g in enumerate(self.groups):
            table = tables[pair[k][i] : pair[k][i] + g.cells * size].reshape(g.cells, size)
            out.put(g.columns, where, g.collapse(table))

    def _large(self) -> Array | None:
        """The columns of the largest factor, when there are enough of them to keep its diagonal a diagonal."""
        widest = max((g for g in self.groups if g.single), key=lambda g: len(g.columns), default=None)
        return widest.columns if widest is not None and len(widest.columns) >= _ARROW else None


_NONE = np.empty(0)


def _as_it_stands(design: Design, at: int, column: Column) -> bool:
    """Whether a column is the constant 1 for the core too (core.hpp, begins_with_constant)."""
    plain = design.center is None or design.center[at] == 0
    return column.values is None and bool(plain and (design.scale is None or design.scale[at] == 1))


class _Blocks:
    """A symmetric matrix put together block by block; the ``large`` columns have a diagonal block of their own."""

    def __init__(self, width: int, large: Array | None) -> None:
        self.large = large
        rest = np.ones(width, dtype=bool)
        if large is not None:
            rest[large] = False
        count = int(rest.sum())
        self.place = np.cumsum(rest) - 1
        self.core = np.zeros((count, count))
        self.border = np.zeros((width - count, count))
        self.head = np.zeros(width - count)

    def _is_large(self, columns: Array) -> bool:
        return self.large is not None and len(columns) > 0 and columns[0] == self.large[0]

    def put(self, rows: Array, columns: Array, block: Array) -> None:
        if self._is_large(rows):
            self.border[:, _stretch(self.place[columns])] = block
        elif self._is_large(columns):
            self.border[:, _stretch(self.place[rows])] = block.T
        else:
            i, j = _stretch(self.place[rows]), _stretch(self.place[columns])
            if isinstance(i, slice) or isinstance(j, slice):
                self.core[i, j] = block
                self.core[j, i] = block.T
            else:
                self.core[i[:, None], j] = block
                self.core[j[:, None], i] = block.T

    def diagonal(self, columns: Array, values: Array) -> None:
        if self._is_large(columns):
            self.head[:] = values
        else:
            self.core[self.place[columns], self.place[columns]] = values

    def whole(self) -> Array | Arrow:
        return self.core if self.large is None else Arrow(self.head, self.border, self.core, int(self.large[0]))


def _stretch(index: Array) -> Array | slice:
    """Places one after another as a slice, which needs no look-up."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def stored_design(design: Design) -> Design:
    """Factors and sparse columns as stored columns, for sums that know no cells (several equations)."""
    parts: list[Column] = []
    for part in design.parts:
        if isinstance(part, Column):
            parts.append(part)
        elif isinstance(part, Levels) and part.times is None:
            codes = part.codes if part.codes.dtype != np.uint64 else part.codes.astype(np.int64)
            parts.extend(Column(name, codes, (part.slots == j).astype(float)) for j, name in enumerate(part.names))
        else:
            dense = np.empty((design.rows, len(part.names)), order="F")
            part.read(slice(0, design.rows), dense)
            parts.extend(Column(name, dense[:, j]) for j, name in enumerate(part.names))
    return Design(tuple(parts), design.rows, design.center, design.scale)
