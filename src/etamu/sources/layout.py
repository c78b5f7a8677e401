"""How a design's columns are shared out between what the core reads: stored columns, groups of cells, sparse rows.

The core sums over these; this file turns coefficients into theirs and their sums into sums over the design's columns.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

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
        self.columns = np.array([at for at, part in placed if isinstance(part, Column)], dtype=np.int64)
        self.stored = len(self.columns)
        self.constant = int(design.constant)
        self.groups: list[Group] = group_levels(design)
        found = [(at, part) for at, part in placed if isinstance(part, Sparse)]
        assert len(found) < 2  # `em.fit` makes one
        self.sparse: Sparse | None = found[0][1] if found else None
        self.sparse_at = found[0][0] if found else 0
        self.plain = not self.groups and self.sparse is None
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
        n, ld, at = len(sizes), 1 + -(-max(self.stored, 1) // 8) * 8, 0
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
            for m in g.members:
                out[m.columns] = m.collapse(flat[at : at + g.cells])
            at += g.cells
        if self.sparse is not None:
            out[self.sparse_at : self.sparse_at + len(self.sparse.names)] = flat[at:]
        return out

    def information(self, stored: Array, tables: Array) -> Array | Arrow:
        """The information of every column, as a full matrix or with a large factor's diagonal kept apart."""
        if self.plain:
            return stored
        large = self._large()
        out = _Blocks(self.width, large)
        out.put(self.columns, self.columns, stored)
        ld, cross, own, pair, _ = self.tables
        for i, g in enumerate(self.groups):
            table = tables[cross[i] : cross[i] + g.cells * ld].reshape(g.cells, ld)
            for m in g.members:
                self._cross(out, m.columns, m.collapse(table))
            weight = table[:, 0] if own[i] < 0 else tables[own[i] : own[i] + g.cells]
            for k, m in enumerate(g.members):
                out.diagonal(m.columns, m.collapse(weight))
                for other in g.members[k + 1 :]:
                    out.put(m.columns, other.columns, _joint(m.slot, m.width, other.slot, other.width, weight))
            for j in range(i + 1, len(self.groups)):
                h = self.groups[j]
                table = tables[pair[i][j] : pair[i][j] + g.cells * h.cells].reshape(g.cells, h.cells)
                for m in g.members:
                    rows = m.collapse(table)
                    for other in h.members:
                        out.put(m.columns, other.columns, other.collapse(rows.T).T)
        if self.sparse is not None:
            self._sparse(out, tables)
        return out.whole()

    def _cross(self, out: _Blocks, rows: slice, table: Array) -> None:
        """Against the stored columns; the constant's sums come first in a table's row."""
        out.put(rows, self.columns, table[:, 1 - self.constant : 1 - self.constant + self.stored])

    def _sparse(self, out: _Blocks, tables: Array) -> None:
        assert self.sparse is not None
        ld, cross, own, pair, _ = self.tables
        size, i = len(self.sparse.names), len(self.groups)
        where = slice(self.sparse_at, self.sparse_at + size)
        self._cross(out, where, tables[cross[i] : cross[i] + size * ld].reshape(size, ld))
        out.put(where, where, tables[own[i] : own[i] + size * size].reshape(size, size))
        for k, g in enumerate(self.groups):
            table = tables[pair[k][i] : pair[k][i] + g.cells * size].reshape(g.cells, size)
            for m in g.members:
                out.put(m.columns, where, m.collapse(table))

    def _large(self) -> slice | None:
        """The columns of the largest factor, when there are enough of them to keep its diagonal a diagonal."""
        members = [m for g in self.groups for m in g.members]
        widest = max(members, key=lambda m: m.width, default=None)
        return widest.columns if widest is not None and widest.width >= _ARROW else None


_NONE = np.empty(0)


class _Blocks:
    """A symmetric matrix put together block by block; ``large`` columns have a diagonal block of their own."""

    def __init__(self, width: int, large: slice | None) -> None:
        self.large = large
        self.rest = np.ones(width, dtype=bool)
        if large is not None:
            self.rest[large] = False
        count = int(self.rest.sum())
        self.place = np.cumsum(self.rest) - 1
        self.core = np.zeros((count, count))
        self.border = np.zeros((width - count, count))
        self.head = np.zeros(width - count)

    def _index(self, columns: slice | Array) -> Array:
        return np.arange(columns.start, columns.stop) if isinstance(columns, slice) else columns

    def put(self, rows: slice | Array, columns: slice | Array, block: Array) -> None:
        if self.large is not None and rows == self.large if isinstance(rows, slice) else False:
            self.border[:, self.place[self._index(columns)]] = block
        elif self.large is not None and isinstance(columns, slice) and columns == self.large:
            self.border[:, self.place[self._index(rows)]] = block.T
        else:
            i, j = self.place[self._index(rows)], self.place[self._index(columns)]
            self.core[np.ix_(i, j)] = block
            self.core[np.ix_(j, i)] = block.T

    def diagonal(self, columns: slice, values: Array) -> None:
        if columns == self.large:
            self.head[:] = values
        else:
            i = self.place[self._index(columns)]
            self.core[i, i] = values

    def whole(self) -> Array | Arrow:
        return self.core if self.large is None else Arrow(self.head, self.border, self.core, self.large.start)


def _joint(a: Array, width_a: int, b: Array, width_b: int, weight: Array) -> Array:
    """The cross-tabulation of two members of one group, from the weights of its cells."""
    used = (a >= 0) & (b >= 0)
    return np.bincount(a[used] * width_b + b[used], weights=weight[used], minlength=width_a * width_b).reshape(width_a, width_b)


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
