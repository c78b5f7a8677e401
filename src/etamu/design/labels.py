"""A column of labels as small integer codes into a table of levels that is ours.

Whatever coding a frame brings (pandas codes, Arrow dictionaries, which may differ from batch to batch) is used to find the
distinct values quickly and then translated; it never decides what a level is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.elementary import tally, translate
from etamu.errors import DataError

__all__ = ["Labels", "count_labels", "encode_labels", "is_missing", "level_name"]

Array = np.ndarray[Any, Any]
_RANGE = 1 << 20  # width of an integer column that is counted instead of sorted


@dataclass(frozen=True)
class Labels:
    """``codes`` into ``levels``; -1 marks a missing value, -2 one that is not among given levels."""

    codes: Array
    levels: tuple[object, ...]


@dataclass(frozen=True)
class _Raw:
    """Codes into distinct values in no particular order, -1 for missing; ``ordered`` if the column has an order of its own."""

    codes: Array
    values: list[object]
    ordered: bool = False


def level_name(level: object) -> str:
    """How a level is written in a coefficient's name."""
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)


def is_missing(value: object) -> bool:
    """None, nan, and the missing values of pandas."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, (float, np.floating)) and value != value)


def encode_labels(column: Any, levels: Sequence[object] | None = None) -> Labels:
    """Codes of an array or narwhals series. New levels are sorted, unless the column has an order of its own: a pandas
    categorical, a polars Enum, an ordered Arrow dictionary (the order of other dictionaries is an accident of the rows).

    >>> import numpy as np
    >>> from etamu.design.labels import encode_labels
    >>> found = encode_labels(np.array(["b", "a", "b"]))
    >>> found.codes.tolist(), found.levels
    ([1, 0, 1], ('a', 'b'))
    """
    column = _plain(column)
    if levels is not None and isinstance(column, np.ndarray) and column.dtype.kind in "iu" and _whole(levels):
        return Labels(_of_integers(column, levels), tuple(levels))
    raw = _raw(column)
    if levels is None:
        levels = _levels(raw, tally(raw.codes, 0, len(raw.values)).tolist())
    try:
        index = {level: k for k, level in enumerate(levels)}
        place = [index.get(value, -1 if is_missing(value) else -2) for value in raw.values]
    except TypeError:
        raise DataError("a column of labels holds lists or other containers; pass text, numbers or booleans.") from None
    return Labels(translate(raw.codes, 0, np.array(place, dtype=np.int32), -1), tuple(levels))


def count_labels(column: Any) -> tuple[dict[object, int], int, int]:
    """How often each level occurs, in the order of :func:`encode_labels`; how many values are missing, and the first row of them.

    >>> import numpy as np
    >>> from etamu.design.labels import count_labels
    >>> count_labels(np.array(["b", "a", None, "b"], dtype=object))
    ({'a': 1, 'b': 2}, 1, 2)
    """
    raw = _raw(_plain(column))
    seen = tally(raw.codes, 0, len(raw.values)).tolist()
    gone = [-1, *(k for k, value in enumerate(raw.values) if is_missing(value))]
    counts = dict.fromkeys(_levels(raw, seen), 0)
    for value, count in zip(raw.values, seen, strict=True):
        if count and not is_missing(value):
            counts[value] += count
    absent = len(raw.codes) - sum(counts.values())
    return counts, absent, min(int(np.argmax(raw.codes == k)) for k in gone if (raw.codes == k).any()) if absent else 0


def _levels(raw: _Raw, seen: Sequence[int]) -> list[object]:
    """The levels of those values that occur."""
    found = list(dict.fromkeys(v for v, count in zip(raw.values, seen, strict=True) if count and not is_missing(v)))
    return found if raw.ordered else _sorted(found)


def _plain(column: Any) -> Any:
    """Numbers of which none is missing as an array."""
    numbers = not isinstance(column, np.ndarray) and column.dtype.is_numeric() and int(column.null_count()) == 0
    return column.to_numpy() if numbers else column


def _raw(column: Any) -> _Raw:
    return _from_array(column) if isinstance(column, np.ndarray) else _from_series(column)


def _whole(levels: Sequence[object]) -> bool:
    """Integers that lie close enough together for a table."""
    if not levels or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in levels):
        return False
    numbers = [int(v) for v in levels]  # type: ignore[call-overload]
    low, high = min(numbers), max(numbers)
    return bool(high - low < _RANGE and low > -(2**62) and high < 2**62)


def _of_integers(column: Array, levels: Sequence[Any]) -> Array:
    """Codes of integers into levels that are integers: one table, read once."""
    low = int(min(levels))
    place = np.full(int(max(levels)) - low + 1, -2, dtype=np.int32)
    place[[int(v) - low for v in levels]] = np.arange(len(levels))
    return translate(column, int(low), place, -2)


def _from_array(column: Array) -> _Raw:
    match column.dtype.kind:
        case "b":
            return _Raw(column.astype(np.int8), [False, True])
        case "i" | "u":
            return _from_integers(column)
        case "f":
            return _from_floats(column.astype(np.float64, copy=False))
    return _from_objects(column.tolist())


def _from_integers(column: Array) -> _Raw:
    if len(column) == 0:
        return _Raw(np.zeros(0, dtype=np.int32), [])
    low, high = int(column.min()), int(column.max())
    if high - low >= _RANGE:
        values, codes = np.unique(column, return_inverse=True)
        return _Raw(codes, values.tolist())
    column, first = (column, low) if high < 2**62 else (column - column.dtype.type(low), 0)
    values = np.flatnonzero(tally(column, first, high - low + 1))
    place = np.zeros(high - low + 1, dtype=np.int32)
    place[values] = np.arange(len(values))
    return _Raw(translate(column, first, place, -1), [int(v) + low for v in values])


def _from_floats(column: Array) -> _Raw:
    missing = np.isnan(column)
    filled = np.where(missing, 0.0, column) if missing.any() else column
    if len(column) and np.abs(filled).max() < 2**31 and (filled == np.rint(filled)).all():
        raw = _from_integers(filled.astype(np.int64))
        values: list[object] = [float(v) for v in raw.values]  # type: ignore[arg-type]
        codes = raw.codes
    else:
        distinct, codes = np.unique(filled, return_inverse=True)
        values = distinct.tolist()
    return _Raw(np.where(missing, -1, codes), values)


def _from_objects(values: list[object]) -> _Raw:
    index: dict[object, int] = {}
    try:
        for value in dict.fromkeys(values):
            if not is_missing(value):
                index[value] = len(index)
        codes = np.fromiter((index.get(v, -1) for v in values), dtype=np.int32, count=len(values))
    except TypeError:
        raise DataError("a column of labels holds lists or other containers; pass text, numbers or booleans.") from None
    return _Raw(codes, list(index))


def _from_series(column: Any) -> _Raw:
    """A narwhals series: by what its library offers, else one value at a time."""
    import narwhals.stable.v2 as nw

    own = isinstance(column.dtype, (nw.Categorical, nw.Enum))
    if column.dtype == nw.Boolean and int(column.null_count()) == 0:
        return _from_array(column.to_numpy().astype(bool))
    if column.implementation.is_pandas():
        return _from_pandas(column.to_native(), own)
    if own or column.dtype == nw.String:
        return _from_arrow(column.to_arrow(), isinstance(column.dtype, nw.Enum))
    return _from_objects(column.to_list())


def _from_pandas(series: Any, own: bool) -> _Raw:
    import pandas as pd

    if own and isinstance(series.dtype, pd.CategoricalDtype):
        return _Raw(series.cat.codes.to_numpy(), series.cat.categories.tolist(), True)
    try:
        codes, values = pd.factorize(series, use_na_sentinel=True)
    except (TypeError, NotImplementedError):
        return _from_objects(series.tolist())
    return _Raw(codes, np.asarray(values, dtype=object).tolist())


def _from_arrow(column: Any, own: bool) -> _Raw:
    """An Arrow column, each chunk of which may have a dictionary of its own."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
        column = column.combine_chunks()
        column = column if isinstance(column, pa.Array) else column.chunk(0)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = (column.indices.fill_null(0) if column.null_count else column.indices).to_numpy(zero_copy_only=False)
    if column.null_count:
        codes = np.where(column.is_null().to_numpy(zero_copy_only=False), -1, codes.astype(np.int64))
    return _Raw(codes, column.dictionary.to_pylist(), own or column.type.ordered)


def _sorted(values: list[Any]) -> list[object]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda v: (type(v).__name__, str(v)))
