"""Every check of what a user passes row by row: y, weights, offset, exposure, and the design once something looks wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.core import core, cores
from etamu.design.columns import Design
from etamu.design.frames import as_table, as_vector, encode_labels, is_table, level_name
from etamu.elementary import log
from etamu.errors import DataError, LengthError, MissingValueError, NotEnoughDataError, ResponseError, SpecificationError, WeightError
from etamu.families.base import UNIT_OPEN, Family
from etamu.families.multinomial import Multinomial
from etamu.links import Link

if TYPE_CHECKING:
    from etamu.sources.problem import Problem
    from etamu.sources.streamed import Streamed

__all__ = [
    "Response",
    "check_length",
    "combine_offset",
    "is_labelled",
    "read_response",
    "read_weights",
    "refuse_all_zero",
    "refuse_bad_design",
    "refuse_levels",
]

Array = np.ndarray[Any, Any]
_SLAB = 1 << 16


@dataclass(frozen=True)
class Response:
    """y as numbers (or class codes), the labels they stand for, and trials that came with it (``cbind``)."""

    y: Array
    levels: tuple[object, ...] | None = None
    trials: Array | None = None

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest y; nan if there is one."""
        return _ends(self.y)


def check_length(name: str, values: Array, rows: int) -> None:
    if len(values) != rows:
        raise LengthError(f"`{name}` has length {len(values)} but the data have {rows} rows; pass one value per row.")


def _ends(values: Array) -> tuple[float, float]:
    """Smallest and largest value; nan if there is one."""
    if core is not None and values.dtype == np.float64 and values.flags.c_contiguous:
        low, high, total = core.range(values, cores())
        if math.isfinite(total):  # a nan would show in the sum
            return low, high
    return float(np.minimum.reduce(values)), float(np.maximum.reduce(values))


def _refuse_missing(name: str, values: Array) -> None:
    """Name the first nan or infinite value."""
    bad = ~np.isfinite(values)
    row = int(np.argmax(bad))
    what = "missing (nan)" if np.isnan(values[row]) else "infinite"
    error = MissingValueError if np.isnan(values[row]) else DataError
    raise error(f"`{name}` is {what} in row {row} ({int(bad.sum())} such rows); drop or fix those rows.")


def read_response(y: Any, family: Family, rows: int, levels: tuple[object, ...] | None = None) -> Response:
    """Y for the family: numbers inside its support, or labels as 0/1 or class codes."""
    if levels is not None:
        response = Response(encode_labels(y, levels).codes, levels)
        _refuse_missing_labels(response.y)
    elif isinstance(family, Multinomial):
        response = _class_response(y)
    elif family.support.high == 1 and is_labelled(y):
        response = _two_levels(y)
    else:
        values = np.asarray(y) if isinstance(y, (list, tuple)) else y
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        response = Response(as_vector(values, "y"))
    check_length("y", response.y, rows)
    if rows == 0:
        raise NotEnoughDataError("the data have 0 rows; a fit needs at least one.")
    return response


def is_labelled(y: Any) -> bool:
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype):
        return dtype.kind in "OUS" and not _all_numbers(y)
    if dtype is not None:
        return not any(word in str(dtype).lower() for word in ("int", "float", "bool", "double", "decimal"))
    return isinstance(y, (list, tuple)) and any(isinstance(v, str) for v in y)


def _all_numbers(y: Array) -> bool:
    return y.dtype.kind == "O" and all(v is None or isinstance(v, (int, float, np.number, np.bool_)) for v in y)


def _two_levels(y: Any) -> Response:
    labels = encode_labels(np.asarray(y, dtype=object) if isinstance(y, (list, tuple)) else y)
    _refuse_missing_labels(labels.codes)
    if len(labels.levels) != 2:
        refuse_levels(labels.levels)
    return Response(labels.codes, labels.levels)


def refuse_levels(levels: tuple[object, ...]) -> None:
    shown = ", ".join(map(repr, levels[:6]))
    raise ResponseError(f"`y` has {len(levels)} levels ({shown}) but a binomial response has two; recode it, or use family='multinomial'.")


def _refuse_missing_labels(codes: Array) -> None:
    if (codes < 0).any():
        raise MissingValueError(f"`y` is missing in row {int(np.argmax(codes < 0))} ({int((codes < 0).sum())} such rows); drop those rows.")


def _class_response(y: Any) -> Response:
    array = y
    if isinstance(y, (list, tuple)) or is_table(y):
        try:
            array = np.column_stack([as_vector(c, n) for n, c in as_table(y).columns.items()]) if is_table(y) else np.asarray(y)
        except ValueError as error:
            raise DataError(f"`y` cannot be read: {error}. Pass one label per row, or one-hot rows.") from None
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if isinstance(array, np.ndarray) and array.ndim not in (1, 2):
        raise DataError(f"`y` has shape {array.shape}; pass one label per row, or one-hot rows.")
    if isinstance(array, np.ndarray) and array.ndim == 2:
        return _one_hot(array)
    if isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "iub" and len(array):
        return _integer_classes(array)
    if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not np.isfinite(array).all():
        _refuse_missing("y", array)
    labels = encode_labels(array)
    _refuse_missing_labels(labels.codes)
    return Response(labels.codes, labels.levels)


def _integer_classes(y: Array) -> Response:
    low, high = int(y.min()), int(y.max())
    if high - low > 2 * len(y) + 1000:
        levels, codes = np.unique(y, return_inverse=True)
        return Response(codes.astype(np.int32), tuple(levels.tolist()))
    shifted = y.astype(np.int64) - low if y.dtype.kind != "u" else (y - y.dtype.type(low)).astype(np.int64)
    present = np.flatnonzero(np.bincount(shifted))
    place = np.zeros(high - low + 1, dtype=np.int32)
    place[present] = np.arange(len(present))
    return Response(place[shifted], tuple((present.astype(y.dtype) + y.dtype.type(low)).tolist()))


def _one_hot(y: Array) -> Response:
    if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
        raise ResponseError("`y` has several columns but is not one-hot; each row needs a single 1 among zeros, or pass one label per row.")
    return Response(y.argmax(axis=1).astype(np.int32), tuple(range(y.shape[1])))


def check_support(response: Response, family: Family) -> None:
    """Refuse values no draw from the family could take, naming the first."""
    y = response.y
    if response.levels is not None:
        return
    if not all(map(math.isfinite, response.ends)):
        _refuse_missing("y", y)
    if not all(map(family.support.holds, response.ends)):
        bad = ~family.support.contains(y.astype(float))
        row = int(np.argmax(bad))
        hint = " Pass proportions, with the numbers of trials as `weights`." if family.support.high == 1 else ""
        raise ResponseError(
            f"`y` is {y[row].item()!r} in row {row} ({int(bad.sum())} such rows), outside the support {family.support} of family {family.name!r}.{hint}"
        )


def check_variation(response: Response, family: Family, used: Array | None) -> None:
    """Refuse a response whose likelihood has its maximum at infinity whatever the columns are."""
    if response.levels is not None and isinstance(family, Multinomial):
        low, high = response.ends if used is None else _ends(response.y[used])
        if low == high:
            raise ResponseError(f"`y` has one class only ({level_name(response.levels[int(low)])}); a multinomial fit needs at least two.")
        return
    low, high = response.ends if used is None else _ends(response.y[used])
    if family.mean_space == UNIT_OPEN and low == high and low in (0.0, 1.0):
        label = repr(response.levels[int(low)]) if response.levels else f"{low:g}"
        raise ResponseError(f"`y` has one class only ({label} in every row); a {family.name} fit needs both.")
    if family.mean_space.low == 0 and family.support.low_included and high == 0:
        raise ResponseError(f"`y` is 0 in every row; the {family.name} mean would be 0 and no coefficient finite. Fit a subset with events.")


def read_weights(name: str, values: Any, rows: int) -> Array:
    """Non-negative finite weights, not all zero."""
    w = as_vector(values, name)
    check_length(name, w, rows)
    low, high = _ends(w)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = ~np.isfinite(w)
        raise WeightError(f"`{name}` is {w[np.argmax(bad)].item()!r} in row {int(np.argmax(bad))} ({int(bad.sum())} such rows); weights must be finite.")
    if low < 0:
        row = int(np.argmax(w < 0))
        raise WeightError(f"`{name}` is {w[row].item()!r} in row {row} ({int((w < 0).sum())} negative in all); weights must be 0 or more.")
    return w


def refuse_all_zero(name: str, w: Array) -> None:
    if not (w > 0).any():
        raise WeightError(f"`{name}` are all zero; at least one row must count.")


def combine_offset(offset: Any, exposure: Any, link: Link, rows: int) -> Array | None:
    """Offset + log(exposure), each one value per row."""
    total: Array | None = None
    if offset is not None:
        total = as_vector(np.full(rows, float(offset)) if np.ndim(offset) == 0 and isinstance(offset, (int, float, np.number)) else offset, "offset")
        check_length("offset", total, rows)
        low, high = _ends(total) if rows else (0.0, 0.0)
        if not (np.isfinite(low) and np.isfinite(high)):
            _refuse_missing("offset", total)
    if exposure is not None:
        if link.name != "log":
            raise SpecificationError(f"`exposure` needs the log link, but the link is {link.name!r}; pass weights= or offset= instead.")
        e = as_vector(exposure, "exposure")
        check_length("exposure", e, rows)
        low, high = _ends(e)
        if not (low > 0 and np.isfinite(high)):
            bad = ~((e > 0) & np.isfinite(e))
            row = int(np.argmax(bad))
            raise DataError(f"`exposure` is {e[row].item()!r} in row {row} ({int(bad.sum())} such rows); exposure must be positive and finite.")
        logarithm = log(e)
        total = logarithm if total is None else total + logarithm
    return total


def refuse_bad_design(problem: Problem | Streamed) -> None:
    """The error for a design that holds nan or inf, in the first part of it that does, if this one does."""
    before = 0
    for part in problem.batches():
        error = _describe(part.design, before)
        if error is not None:
            raise error
        before += part.rows


def _describe(design: Design, before: int) -> DataError | None:
    """The error for a design that holds nan or inf: which columns, how many rows, the first of them."""
    bad: list[str] = []
    missing = False
    for part in design.parts:
        counts: dict[str, tuple[int, int]] = {}
        for a in range(0, design.rows, _SLAB):
            rows = slice(a, min(a + _SLAB, design.rows))
            for name, wrong in part.non_finite(rows).items():
                if wrong.any():
                    count, first = counts.get(name, (0, a + int(np.argmax(wrong))))
                    counts[name] = (count + int(wrong.sum()), first)
                    missing |= part.missing(rows)
        bad += [f"`{name}` ({count} rows, the first is row {before + first})" for name, (count, first) in counts.items()]
    if not bad:
        return None
    shown = ", ".join(bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
    error = MissingValueError if missing else DataError
    return error(f"the data hold nan or infinite values in {shown}; drop or fill those rows, or pass missing='drop'.")
