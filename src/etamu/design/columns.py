"""A design matrix as parts where they lie: no copy of the data and no dummies, whatever holds them.

A part is one column (a strided array of any number type, the constant one, or a table looked up by integer codes), the
indicator columns of a factor (its codes only, perhaps times a numeric column), or the columns of a sparse matrix.
Centring and scaling are remembered and applied while a block of rows is read; indicators and sparse columns have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, overload

import numpy as np

__all__ = ["Column", "Design", "Levels", "Matrix", "Part", "Parts", "Sparse"]

Array = np.ndarray[Any, Any]
Change = Callable[[Array], Array]  # of an array of one value per row
_name: Callable[[Any], str] = attrgetter("name")


@dataclass(frozen=True, slots=True)
class Column:
    """``values`` is a 1-D array, or None for the constant 1; with ``table`` the column is ``table[values]``."""

    name: str
    values: Array | None = None
    table: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def read(self, rows: slice | Array, out: Array) -> None:
        """Those rows into ``out``, shape (rows, 1)."""
        if self.values is None:
            out[:, 0] = 1.0
        else:
            out[:, 0] = self.values[rows] if self.table is None else self.table[self.values[rows]]

    def times_beta(self, rows: slice, beta: Array) -> Array:
        """What those rows add to eta; beta has one row."""
        if self.values is None:
            return beta
        values = self.values[rows] if self.table is None else self.table[self.values[rows]]
        return np.asarray(np.multiply.outer(np.asarray(values, dtype=float), beta[0]))

    def keep(self, index: Sequence[int]) -> Column:
        return self

    def over(self, change: Change) -> Column:
        return replace(self, values=_maybe(change, self.values))

    def non_finite(self, rows: slice) -> dict[str, Array]:
        """By name, which of those rows hold nan or inf."""
        if self.values is None or self.values.dtype.kind != "f":
            return {}
        return {self.name: ~np.isfinite(self.values[rows])}

    def missing(self, rows: slice) -> bool:
        """Whether any of those rows is nan."""
        return self.values is not None and bool(np.isnan(self.values[rows]).any())

    def unvarying(self) -> str | None:
        """The name, if it is stored and has the same number in every row."""
        return self.name if self.table is None and self.values is not None and _is_same(self.values) else None


@dataclass(frozen=True, slots=True)
class Levels:
    """Indicators of a factor: row i is 1 (or ``times[i]``) in column ``slots[codes[i]]``, or nowhere where that is -1.

    For a product of factors ``factors`` holds the codes and the number of levels of each, the first changing fastest in ``codes``.
    """

    names: tuple[str, ...]
    codes: Array
    slots: Array
    times: Array | None = None
    factors: tuple[tuple[Array, int], ...] = ()

    def read(self, rows: slice | Array, out: Array) -> None:
        slot = self.slots[self.codes[rows]]
        out[:] = 0.0
        used = np.flatnonzero(slot >= 0)
        out[used, slot[used]] = 1.0 if self.times is None else self.times[rows][used]

    def times_beta(self, rows: slice, beta: Array) -> Array:
        out = np.concatenate([beta, np.zeros_like(beta[:1])])[self.slots[self.codes[rows]]]
        if self.times is None:
            return out
        times = np.asarray(self.times[rows], dtype=float)
        return np.asarray(out * (times if beta.ndim == 1 else times[:, None]))

    def keep(self, index: Sequence[int]) -> Levels:
        place = np.full(len(self.names) + 1, -1, dtype=np.int32)
        place[list(index)] = np.arange(len(index))
        return replace(self, names=tuple(self.names[j] for j in index), slots=place[self.slots])

    def over(self, change: Change) -> Levels:
        return replace(self, codes=change(self.codes), times=_maybe(change, self.times), factors=tuple((change(c), n) for c, n in self.factors))

    def non_finite(self, rows: slice) -> dict[str, Array]:
        if self.times is None or self.times.dtype.kind != "f":
            return {}
        return {self.names[0]: ~np.isfinite(self.times[rows])} if self.names else {}

    def missing(self, rows: slice) -> bool:
        return self.times is not None and bool(np.isnan(self.times[rows]).any())


@dataclass(frozen=True, slots=True)
class Sparse:
    """Columns of a scipy sparse matrix, held by rows (CSR: indptr, indices, data), and by columns too (CSC) where they came so."""

    names: tuple[str, ...]
    indptr: Array
    indices: Array
    data: Array
    columns: tuple[Array, Array, Array] | None = None

    def read(self, rows: slice | Array, out: Array) -> None:
        out[:] = 0.0
        index = np.arange(*rows.indices(len(self.indptr) - 1)) if isinstance(rows, slice) else np.asarray(rows)
        counts = self.indptr[index + 1] - self.indptr[index]
        row = np.repeat(np.arange(len(index)), counts)
        entry = np.repeat(self.indptr[index] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        np.add.at(out, (row, self.indices[entry]), self.data[entry])

    def times_beta(self, rows: slice, beta: Array) -> Array:
        from scipy.sparse import csr_array

        return np.asarray(csr_array((self.data, self.indices, self.indptr), shape=(len(self.indptr) - 1, len(self.names)))[rows] @ beta)

    def keep(self, index: Sequence[int]) -> Sparse:
        from scipy.sparse import csr_array

        kept = csr_array((self.data, self.indices, self.indptr), shape=(len(self.indptr) - 1, len(self.names)))[:, list(index)]
        return Sparse(tuple(self.names[j] for j in index), kept.indptr, kept.indices, kept.data)

    def over(self, change: Change) -> Sparse:
        return replace(self, indptr=change(self.indptr), indices=change(self.indices), data=change(self.data), columns=None)

    def non_finite(self, rows: slice) -> dict[str, Array]:
        a, b = self.indptr[rows.start], self.indptr[min(rows.stop, len(self.indptr) - 1)]
        bad = np.flatnonzero(~np.isfinite(self.data[a:b])) + a
        out: dict[str, Array] = {}
        for entry in bad:
            where = out.setdefault(self.names[self.indices[entry]], np.zeros(rows.stop - rows.start, dtype=bool))
            where[int(np.searchsorted(self.indptr, entry, side="right")) - 1 - rows.start] = True
        return out

    def missing(self, rows: slice) -> bool:
        return bool(np.isnan(self.data[self.indptr[rows.start] : self.indptr[rows.stop]]).any())

    def unvarying(self) -> str | None:
        """The name of a column that has the same number in every row, if there is one; those without an entry are left to be 0."""
        full = np.flatnonzero(np.bincount(self.indices, minlength=len(self.names)) == len(self.indptr) - 1)
        return next((self.names[j] for j in full if _is_same(self.data[self.indices == j])), None)


Part = Column | Levels | Sparse


class Matrix:
    """The columns of a 2-D array of numbers, as views, after the constant if there is one; they are made when they are asked for."""

    def __init__(self, values: Array, names: Sequence[str], constant: bool = False) -> None:
        self.values, self.constant = values, constant
        self.names = ("Intercept", *names) if constant else tuple(names)
        self._columns: tuple[Column, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Column]:
        if self._columns is None:
            made = map(Column, self.names[self.constant :], self.values.T)
            self._columns = (Column("Intercept"), *made) if self.constant else tuple(made)
        return iter(self._columns)

    @overload
    def __getitem__(self, at: int) -> Column: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Column, ...]: ...
    def __getitem__(self, at: int | slice) -> Column | tuple[Column, ...]:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(len(self))[at])
        at = range(len(self.names))[at]
        return Column(self.names[at], None if self.constant and at == 0 else self.values[:, at - self.constant])

    def unvarying(self) -> str | None:
        """The name of a column that has the same number in every row, if there is one."""
        x = self.values
        near = np.flatnonzero((x[:1] == x[-1:]) & (x[len(x) // 2 :][:1] == x[:1]))
        return next((self.names[j + self.constant] for j in near if _is_same(x[:, j])), None)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_columns": None}


Parts = tuple[Part, ...] | Matrix


def _is_same(x: Array) -> bool:
    """Whether a column has the same number in every row; most are seen to vary by three of them."""
    return len(x) > 0 and bool(x[0] == x[-1] and x[len(x) // 2] == x[0] and (x == x[0]).all())


def _maybe(change: Change, values: Array | None) -> Array | None:
    return None if values is None else change(values)


@dataclass(frozen=True)
class Design:
    """n rows and p columns, those of the parts side by side; what a fit sees of column j is (x - center[j]) * scale[j]."""

    parts: Parts
    rows: int
    center: np.ndarray[Any, np.dtype[np.float64]] | None = None
    scale: np.ndarray[Any, np.dtype[np.float64]] | None = None
    _made: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)  # see of_parts

    def __post_init__(self) -> None:
        if self._made.get("parts") is not self.parts:  # another design's, which would keep that one's arrays, and these, alive
            object.__setattr__(self, "_made", {"parts": self.parts})

    def of_parts(self, compute: Callable[[Parts], Any]) -> Any:
        """What ``compute`` makes of the parts: made once for all designs that differ in centre and scale alone."""
        if compute not in self._made:
            self._made[compute] = compute(self.parts)
        return self._made[compute]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_made": {}}  # which may be of this process alone, as addresses are

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if isinstance(self.parts, Matrix):
            return self.parts.names
        return tuple(map(_name, self.parts)) if self.single else tuple([name for part in self.parts for name in part.names])

    @cached_property
    def single(self) -> bool:
        """Whether every part is one column."""
        return isinstance(self.parts, Matrix) or {Column}.issuperset(map(type, self.parts))

    @property
    def names(self) -> list[str]:
        return list(self._names)

    @cached_property
    def width(self) -> int:
        return len(self.parts) if self.single else sum(1 if isinstance(p, Column) else len(p.names) for p in self.parts)

    @property
    def constant(self) -> bool:
        """Whether the first column is the constant 1."""
        return bool(self.parts) and isinstance(self.parts[0], Column) and self.parts[0].values is None

    def placed(self) -> Iterator[tuple[int, Part]]:
        """Each part with the position of its first column."""
        at = 0
        for part in self.parts:
            yield at, part
            at += 1 if isinstance(part, Column) else len(part.names)

    def unvarying(self) -> str | None:
        """The name of a stored column that has the same number in every row, if there is one."""
        if isinstance(self.parts, Matrix):
            return self.parts.unvarying()
        return next((name for part in self.parts if not isinstance(part, Levels) and (name := part.unvarying()) is not None), None)

    def standardised(self, center: np.ndarray, scale: np.ndarray) -> Design:
        return Design(self.parts, self.rows, center, scale, self._made)

    def keep(self, index: Sequence[int]) -> Design:
        """The design of some of its columns, in their order."""
        chosen = np.asarray(index, dtype=np.int64)
        parts: list[Part] = []
        if self.single:
            parts += [self.parts[j] for j in chosen.tolist()]
        else:
            for at, part in self.placed():
                within = chosen[(chosen >= at) & (chosen < at + len(part.names))] - at
                if len(within) == len(part.names):
                    parts.append(part)
                elif len(within):
                    parts.append(part.keep(within.tolist()))
        return Design(tuple(parts), self.rows, None if self.center is None else self.center[chosen], None if self.scale is None else self.scale[chosen])

    def block(self, rows: slice | np.ndarray, dtype: type = np.float64) -> np.ndarray[Any, Any]:
        """Those rows in float64, centred and scaled, shape (len(rows), p), column-major."""
        count = len(range(*rows.indices(self.rows))) if isinstance(rows, slice) else len(rows)
        out: np.ndarray[Any, Any] = np.empty((count, self.width), dtype=dtype, order="F")
        for at, part in self.placed():
            part.read(rows, out[:, at : at + len(part.names)])
        if self.center is not None:
            out -= self.center
        if self.scale is not None:
            out *= self.scale
        return out

    def predictor(self, rows: slice, beta: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
        """X beta of those rows of an unscaled design, shape (rows,) or (rows, q): part by part, so that no other row matters."""
        eta = np.zeros((len(range(*rows.indices(self.rows))), *beta.shape[1:]))
        for at, part in self.placed():
            eta += part.times_beta(rows, beta[at : at + len(part.names)])
        return eta

    def sample(self, most: int = 1024) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Up to ``most`` rows spread evenly over the whole, unscaled: enough to place centre and scale."""
        plain = Design(self.parts, self.rows)
        if self.rows <= most:
            return plain.block(slice(0, self.rows))
        run = 16  # neighbouring rows share cache lines
        starts = np.linspace(0, self.rows - run, most // run).astype(np.int64)
        return plain.block((starts[:, None] + np.arange(run)).ravel())

    def over(self, change: Change) -> tuple[Part, ...]:
        """The parts with every array of one value per row replaced, each array once however many parts share it."""
        known: dict[int, Array] = {}

        def once(values: Array) -> Array:
            if id(values) not in known:
                known[id(values)] = change(values)
            return known[id(values)]

        return tuple(part.over(once) for part in self.parts)

    def only_columns(self) -> tuple[Design, np.ndarray[Any, np.dtype[np.int64]]]:
        """The single columns, and where they stand in the whole."""
        if self.single:
            return self, np.arange(self.width)
        found = [(at, part) for at, part in self.placed() if isinstance(part, Column)]
        at = np.array([at for at, _ in found], dtype=np.int64)
        return Design(tuple(part for _, part in found), self.rows), at
