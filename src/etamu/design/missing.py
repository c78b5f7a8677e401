"""Rows with a missing value in any variable a fit uses, and the data without them."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.design.arithmetic import variables
from etamu.design.columns import Design
from etamu.design.frames import Table, as_table, is_table
from etamu.design.parser import Node
from etamu.design.terms import Formula, columns_used, expand
from etamu.errors import SpecificationError

__all__ = ["complete_rows", "drop_rows", "present", "take"]

Array = np.ndarray[Any, Any]


def present(column: Any) -> Array:
    """True where a column has a value."""
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "f":
            return ~np.isnan(column)
        if column.dtype.kind == "O":
            return np.array([not (v is None or v != v or type(v).__name__ in ("NAType", "NaTType")) for v in column], dtype=bool)
        return np.ones(len(column), dtype=bool)
    present = ~column.is_null().to_numpy()
    if column.dtype.is_float():
        present &= ~column.is_nan().fill_null(True).to_numpy()
    return np.asarray(present)


def complete_rows(table: Table, formula: Formula, extra: list[Node], arrays: dict[str, Any]) -> Array:
    """True for rows in which every variable of the formula and every array argument has a value."""
    used = {*columns_used(expand(formula, table.columns)), *(name for node in extra for name in variables(node))}
    keep = np.ones(table.rows, dtype=bool)
    for name in sorted(used):
        keep &= present(table._column(name))
    for values in arrays.values():
        if values is not None and np.ndim(values) == 1 and len(values) == table.rows:
            keep &= present(np.asarray(values))
    return keep


def take(table: Table, arrays: dict[str, Any], keep: Array) -> tuple[Table, dict[str, Any]]:
    """The rows to keep, of the table and of the arguments beside it."""
    columns = {n: (c[keep] if isinstance(c, np.ndarray) else c.filter(keep.tolist())) for n, c in table.columns.items()}
    return Table(columns, int(keep.sum())), _take_arrays(arrays, keep)


def _take_arrays(arrays: dict[str, Any], keep: Array) -> dict[str, Any]:
    return {n: (np.asarray(v)[keep] if v is not None and np.ndim(v) >= 1 and len(v) == len(keep) else v) for n, v in arrays.items()}


def drop_rows(X: Any, y: Any, arrays: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The same for X, y and the arguments beside them, before they are read."""
    if hasattr(X, "tocsr") or isinstance(X, Design):
        raise SpecificationError(f"`missing` is 'drop', but `X` is a {type(X).__name__}, whose rows are not looked through; drop them beforehand.")
    table = as_table(X) if is_table(X) else None
    matrix = None if table is not None else np.asarray(X)
    rows = table.rows if table is not None else len(matrix)  # type: ignore[arg-type]
    keep = np.ones(rows, dtype=bool)
    columns = list(table.columns.values()) if table is not None else list(matrix.reshape(rows, -1).T)  # type: ignore[union-attr]
    response = np.asarray(y)
    sides = [response.reshape(rows, -1).T] if len(response) == rows else []
    for column in (*columns, *(c for side in sides for c in side)):
        keep &= present(column)
    for values in arrays.values():
        if values is not None and np.ndim(values) == 1 and len(values) == rows:
            keep &= present(np.asarray(values))
    if keep.all():
        return X, y, arrays
    kept = take(table, {}, keep)[0] if table is not None else matrix[keep]  # type: ignore[index]
    return kept, (response[keep] if len(response) == rows else y), _take_arrays(arrays, keep)
