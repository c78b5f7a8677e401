"""A design matrix as a list of columns where they lie: no copy of the data, whatever holds them.

A column is a strided array of any number type, the constant one, or the indicator of one level of integer codes
(so a factor needs its codes only).  Centring and scaling are remembered and applied while a block of rows is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Column", "Design", "matrix_columns"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``values`` is a 1-D array, or None for the constant 1; with ``level`` the column is ``values == level``."""

    name: str
    values: Array | None = None
    level: int | None = None


@dataclass(frozen=True)
class Design:
    """n rows and p columns; what a fit sees of column j is (x - center[j]) * scale[j]."""

    columns: tuple[Column, ...]
    rows: int
    center: np.ndarray[Any, np.dtype[np.float64]] | None = None
    scale: np.ndarray[Any, np.dtype[np.float64]] | None = None

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def width(self) -> int:
        return len(self.columns)

    def standardised(self, center: np.ndarray, scale: np.ndarray) -> Design:
        return replace(self, center=center, scale=scale)

    def keep(self, index: Sequence[int]) -> Design:
        """The design of some of its columns."""
        chosen = list(index)
        return Design(
            tuple(self.columns[j] for j in chosen),
            self.rows,
            None if self.center is None else self.center[chosen],
            None if self.scale is None else self.scale[chosen],
        )

    def block(self, rows: slice | np.ndarray, dtype: type = np.float64) -> np.ndarray[Any, Any]:
        """Those rows in float64, centred and scaled, shape (len(rows), p), column-major."""
        count = len(range(*rows.indices(self.rows))) if isinstance(rows, slice) else len(rows)
        out: np.ndarray[Any, Any] = np.empty((count, len(self.columns)), dtype=dtype, order="F")
        for j, column in enumerate(self.columns):
            if column.values is None:
                out[:, j] = 1.0
            elif column.level is None:
                out[:, j] = column.values[rows]
            else:
                out[:, j] = column.values[rows] == column.level
        if self.center is not None:
            out -= self.center
        if self.scale is not None:
            out *= self.scale
        return out

    def sample(self, most: int = 1024) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Up to ``most`` rows spread evenly over the whole, unscaled: enough to place centre and scale."""
        plain = Design(self.columns, self.rows)
        if self.rows <= most:
            return plain.block(slice(0, self.rows))
        run = 16  # neighbouring rows share cache lines
        starts = np.linspace(0, self.rows - run, most // run).astype(np.int64)
        return plain.block((starts[:, None] + np.arange(run)).ravel())


def matrix_columns(X: Array, names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a 2-D array, as views."""
    return tuple(Column(name, X[:, j]) for j, name in enumerate(names))
