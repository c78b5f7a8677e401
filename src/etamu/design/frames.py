"""Tables of any kind as named columns: dict, pandas, polars, pyarrow or any narwhals-readable frame.

Columns stay where they are: numbers come back as NumPy views where the frame allows it; everything else as a list of
labels with its own order of levels, if it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design import labels as _labels
from etamu.design.labels import Labels, is_missing, level_name
from etamu.errors import DataError, LengthError, MissingValueError, SpecificationError, counted, unknown

__all__ = ["Labels", "Table", "as_table", "as_vector", "encode_labels", "is_table", "level_name"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Table:
    """Columns by name. ``columns`` maps to NumPy arrays or narwhals series."""

    columns: Mapping[str, Any]
    rows: int

    def numbers(self, name: str) -> Array:
        """A numeric column as a 1-D array."""
        return as_vector(self._column(name), name)

    def labels(self, name: str, levels: Sequence[object] | None = None) -> Labels:
        """A column as codes; with ``levels`` given, labels outside them get code -2."""
        return encode_labels(self._column(name), levels)

    def count(self, name: str) -> tuple[dict[object, int], int, int]:
        """How often each label of a column occurs, in the order of levels; how many are missing, and the first row of them."""
        column = self._column(name)
        return _labels.count_labels(column if isinstance(column, np.ndarray) else _series_or_array(column))

    def is_text(self, name: str) -> bool:
        """Whether the column is a factor by nature: text, categories or booleans."""
        column = self._column(name)
        if isinstance(column, np.ndarray):
            if column.dtype.kind in "MmcV":
                raise DataError(f"`{name}` holds {column.dtype} values, which are neither numbers nor labels; convert the column first.")
            return column.dtype.kind in "USTb" or (column.dtype.kind == "O" and not _all_numbers(column.tolist()))
        if column.dtype.is_temporal():
            raise DataError(f"`{name}` holds {column.dtype} values, which are neither numbers nor labels; convert the column first.")
        if str(column.dtype) == "Object":
            return not _all_numbers(column.to_list())
        return not column.dtype.is_numeric()

    def _column(self, name: str) -> Any:
        if name not in self.columns:
            raise unknown("column", name, self.columns)
        return self.columns[name]


def _all_numbers(values: list[Any]) -> bool:
    return all(is_missing(v) or (isinstance(v, (int, float, np.number)) and not isinstance(v, bool)) for v in values)


def _numeric(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fiub"


def is_table(data: object) -> bool:
    """Whether ``data`` has named columns."""
    if isinstance(data, (Mapping, Table)):
        return True
    if isinstance(data, (np.ndarray, list, tuple)) or type(data).__name__ in ("Series", "ChunkedArray"):
        return False
    import narwhals.stable.v2 as nw

    try:
        nw.from_native(data, eager_only=True)  # type: ignore[call-overload]
    except TypeError:
        return hasattr(data, "__arrow_c_stream__")
    return True


def as_table(data: object) -> Table:
    """A Table over any frame, without copying it."""
    if isinstance(data, Table):
        return data
    if isinstance(data, Mapping):
        return _from_mapping(data)
    import narwhals.stable.v2 as nw

    try:
        frame = nw.from_native(data, eager_only=True)  # type: ignore[call-overload]
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"`data` has two columns of one name ({str(error).splitlines()[0]}); rename them.") from None
    except TypeError:
        if hasattr(data, "__arrow_c_stream__"):
            import pyarrow as pa

            frame = nw.from_native(pa.table(data), eager_only=True)
        else:
            raise SpecificationError(
                f"`data` is a {type(data).__name__}; pass a dict of arrays, a pandas, polars or pyarrow table, or another Arrow table."
            ) from None
    names = list(frame.columns)
    if len(set(map(str, names))) < len(names):
        twice = sorted({str(n) for n in names if list(map(str, names)).count(str(n)) > 1})
        raise DataError(f"`data` has more than one column named {', '.join(map(repr, twice))}; rename them.")
    return Table({str(name): frame.get_column(name) for name in names}, frame.shape[0])


def _from_mapping(data: Mapping[str, Any]) -> Table:
    columns: dict[str, Any] = {}
    rows: int | None = None
    first = ""
    for name, values in data.items():
        column = _series_or_array(values, str(name))
        if rows is None:
            rows, first = len(column), name
        elif len(column) != rows:
            raise LengthError(f"`data` column {name!r} has length {len(column)} but {first!r} has {rows}; all columns need one value per row.")
        columns[str(name)] = column
    return Table(columns, rows or 0)


def _series_or_array(values: Any, name: str = "a column") -> Any:
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.getmaskarray(values).any():
            raise MissingValueError(f"`{name}` is a masked array with {int(np.ma.getmaskarray(values).sum())} masked values; drop or fill those rows.")
        values = values.data
    if isinstance(values, (np.ndarray, list, tuple, range)):
        try:
            array = np.asarray(values)
        except (ValueError, OverflowError) as error:
            raise DataError(f"`{name}` cannot be read as a column: {error}. Pass one number or label per row.") from None
        if array.ndim != 1:
            raise DataError(f"`{name}` has shape {array.shape}; pass a one-dimensional array, one value per row.")
        return array
    import narwhals.stable.v2 as nw

    try:
        return nw.from_native(values, series_only=True)
    except TypeError:
        array = np.asarray(values)
        if array.ndim != 1 or (array.dtype.kind == "O" and not hasattr(values, "dtype")):
            raise DataError(f"`{name}` is of type {type(values).__name__}; pass one value per row, as an array or a list.") from None
        return array


def as_vector(values: Any, name: str) -> Array:
    """Numbers as a 1-D array of a native numeric type; text, nulls and complex numbers are refused by name."""
    plain = isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray)
    column = values if plain else _series_or_array(values, name)
    if not isinstance(column, np.ndarray):
        if str(column.dtype) == "Object" and _all_numbers(column.to_list()):
            return _from_objects(np.array(column.to_list(), dtype=object), name)
        if column.dtype.is_numeric() or str(column.dtype) == "Boolean":
            missing = int(column.null_count())
            if missing:
                raise MissingValueError(f"`{name}` has {counted(missing, 'missing value')}; drop or fill them (in a fit missing='drop' does).")
            column = column.to_numpy()
        else:
            raise DataError(f"`{name}` holds {column.dtype} values, not numbers; convert it first (labels go into a formula, as C(name)).")
    if column.ndim != 1:
        raise DataError(f"`{name}` has shape {column.shape}; pass a one-dimensional array.")
    if column.dtype.kind == "O":
        column = _from_objects(column, name)
    if not _numeric(column.dtype):
        raise DataError(f"`{name}` holds {column.dtype} values, not numbers; convert it first (labels go into a formula, as C(name)).")
    if column.dtype.itemsize > 8 or column.dtype == np.float16 or not column.dtype.isnative:
        column = column.astype(np.float64)
    return np.asarray(column)


def _from_objects(column: Array, name: str) -> Array:
    """Python numbers in an object array; anything else among them is named with its row."""
    for row, value in enumerate(column):
        if is_missing(value):
            raise MissingValueError(f"`{name}` is missing in row {row}; drop or fill them (in a fit missing='drop' does).")
        if not isinstance(value, (int, float, np.number, np.bool_)):
            raise DataError(f"`{name}` holds {value!r} in row {row}, which is not a number; convert the column, or use C({name}) in a formula.")
    try:
        return column.astype(np.float64)
    except OverflowError:
        raise DataError(f"`{name}` holds a whole number beyond the range of doubles; rescale the column.") from None


def encode_labels(column: Any, levels: Sequence[object] | None = None) -> Labels:
    """Codes of a column of labels, whatever holds it."""
    return _labels.encode_labels(column if isinstance(column, np.ndarray) else _series_or_array(column), levels)
