"""Rows with a missing value in any variable a fit uses, and the data without them."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.design.columns import Column, Design
from etamu.design.frames import Table
from etamu.design.parser import Binary, Call, Name, Node, Unary
from etamu.design.terms import Formula

__all__ = ["complete_rows", "drop_rows", "take"]

Array = np.ndarray[Any, Any]


def _names(node: Node | None) -> set[str]:
    match node:
        case Name(value):
            return {value}
        case Unary(_, operand):
            return _names(operand)
        case Binary(_, left, right):
            return _names(left) | _names(right)
        case Call(_, arguments):
            return set().union(*map(_names, arguments))
    return set()


def _present(column: Any) -> Array:
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


def complete_rows(table: Table, formula: Formula, arrays: dict[str, Any]) -> Array:
    """True for rows in which every variable of the formula and every array argument has a value."""
    used: set[str] = set()
    for node in (formula.response, *formula.terms, *formula.offsets):
        used |= _names(node)
    keep = np.ones(table.rows, dtype=bool)
    for name in sorted(used):
        keep &= _present(table._column(name))
    for values in arrays.values():
        if values is not None and np.ndim(values) == 1 and len(values) == table.rows:
            keep &= _present(np.asarray(values))
    return keep


def take(table: Table, arrays: dict[str, Any], keep: Array) -> tuple[Table, dict[str, Any]]:
    """The rows to keep, of the table and of the arguments beside it."""
    columns = {n: (c[keep] if isinstance(c, np.ndarray) else c.filter(keep.tolist())) for n, c in table.columns.items()}
    return Table(columns, int(keep.sum())), _take_arrays(arrays, keep)


def _take_arrays(arrays: dict[str, Any], keep: Array) -> dict[str, Any]:
    return {n: (np.asarray(v)[keep] if v is not None and np.ndim(v) >= 1 and len(v) == len(keep) else v) for n, v in arrays.items()}


def drop_rows(design: Design, y: Any, arrays: dict[str, Any]) -> tuple[Design, Any, dict[str, Any]]:
    """The same for a design already read from a matrix."""
    keep = np.ones(design.rows, dtype=bool)
    for column in design.columns:
        if column.values is not None:
            keep &= _present(column.values)
    response = np.asarray(y)
    if response.ndim == 1 and len(response) == design.rows:
        keep &= _present(response)
    for values in arrays.values():
        if values is not None and np.ndim(values) == 1 and len(values) == design.rows:
            keep &= _present(np.asarray(values))
    if keep.all():
        return design, y, arrays
    columns = tuple(Column(c.name, None if c.values is None else c.values[keep], c.level) for c in design.columns)
    kept_y = response[keep] if len(response) == design.rows else y
    return Design(columns, int(keep.sum())), kept_y, _take_arrays(arrays, keep)
