"""X as ``em.fit`` takes it: an array, a list, a frame or a dict of columns, read in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from etamu.design.columns import Column, Design, Matrix, Sparse
from etamu.design.frames import as_table, as_vector, is_table
from etamu.errors import DataError, LengthError, MissingValueError, SpecificationError

__all__ = ["read_matrix"]


def read_matrix(X: Any, names: Sequence[str] | None, intercept: bool, expected: Sequence[str] | None = None) -> Design:
    """The design of X, with the constant first when ``intercept``.

    ``expected`` are the columns of an earlier fit: a frame is then read by these names, an array must be as wide.
    """
    if isinstance(X, Design):
        return X
    if hasattr(X, "tocsr"):
        return _sparse(X, names, intercept, expected)
    design = _of_frame(X, names, intercept, expected) if is_table(X) else _of_array(X, names, intercept, expected)
    taken = design.names
    if len(set(taken)) < len(taken):
        twice = sorted({n for n in taken if taken.count(n) > 1})
        raise DataError(f"`names` has {', '.join(map(repr, twice))} more than once; column names must differ.")
    return design


def _sparse(X: Any, names: Sequence[str] | None, intercept: bool, expected: Sequence[str] | None) -> Design:
    """A scipy sparse matrix, by rows; its stored zeros and repeated entries are summed up first."""
    _check_indices(X)
    matrix = X.tocsr()
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    if matrix.dtype.kind not in "fiub":
        raise DataError(f"`X` holds {matrix.dtype} values, not numbers; convert it first.")
    width = matrix.shape[1]
    if expected is not None and width != len(expected):
        raise LengthError(f"`new` has {width} columns but the model has {len(expected)}: {', '.join(expected[:10])}.")
    shown = [f"x{j}" for j in range(1, width + 1)] if names is None else [str(n) for n in names]
    if len(shown) != width:
        raise LengthError(f"`names` has length {len(shown)} but X has {width} columns; pass one name per column.")
    columns = (X.indptr.copy(), X.indices.copy(), X.data.copy()) if getattr(X, "format", "") == "csc" and X.has_canonical_format else None
    part = Sparse(tuple(shown), matrix.indptr, matrix.indices, matrix.data.astype(np.float64, copy=False), columns)
    return Design((Column("Intercept"), part) if intercept else (part,), matrix.shape[0])


def _check_indices(X: Any) -> None:
    """Refuse what would lead beyond the matrix: scipy believes arrays that were changed after it was made."""
    if getattr(X, "format", "") not in ("csr", "csc") or not len(X.indices):
        return
    kind, most = ("column", X.shape[1]) if X.format == "csr" else ("row", X.shape[0])
    low, high = X.indices.min(), X.indices.max()
    if low < 0 or high >= most:
        raise DataError(
            f"`X` has an entry in {kind} {low if low < 0 else high} of {most}: its index arrays were changed; make the matrix anew from its entries."
        )


def _of_array(X: Any, names: Sequence[str] | None, intercept: bool, expected: Sequence[str] | None) -> Design:
    if isinstance(X, np.ma.MaskedArray) and np.ma.getmaskarray(X).any():
        raise MissingValueError("`X` is a masked array with masked values; drop or fill those rows, or pass missing='drop' with nan in their place.")
    if hasattr(X, "__narwhals_series__") or type(X).__name__ in ("Series", "ChunkedArray"):
        X = as_vector(X, "X")
    try:
        array = np.asarray(X)
    except (ValueError, OverflowError) as error:
        raise DataError(f"`X` cannot be read as a matrix: {error}. Pass rows of equal length.") from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"`X` has shape {array.shape}; pass a two-dimensional array, rows by columns.")
    width = array.shape[1]
    if expected is not None and width != len(expected):
        raise LengthError(f"`new` has {width} columns but the model has {len(expected)}: {', '.join(expected[:10])}.")
    if names is not None and (isinstance(names, str) or not hasattr(names, "__len__")):
        raise SpecificationError(f"`names` is a {type(names).__name__}; pass one name per column.")
    shown = [f"x{j}" for j in range(1, width + 1)] if names is None else [str(n) for n in names]
    if len(shown) != width:
        raise LengthError(f"`names` has length {len(shown)} but X has {width} columns; pass one name per column.")
    if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8 and array.dtype != np.float16 and array.dtype.isnative:
        return Design(Matrix(array, shown, intercept), len(array))
    return _after_constant(tuple(Column(name, as_vector(array[:, j], name)) for j, name in enumerate(shown)), len(array), intercept)


def _of_frame(X: Any, names: Sequence[str] | None, intercept: bool, expected: Sequence[str] | None) -> Design:
    table = as_table(X)
    chosen = list(expected) if expected is not None else list(table.columns)
    if names is not None and len(names) != len(chosen):
        raise LengthError(f"`names` has length {len(names)} but X has {len(chosen)} columns; pass one name per column.")
    shown = chosen if names is None else [str(n) for n in names]
    return _after_constant(tuple(Column(str(new), table.numbers(old)) for new, old in zip(shown, chosen, strict=True)), table.rows, intercept)


def _after_constant(columns: tuple[Column, ...], rows: int, intercept: bool) -> Design:
    return Design((Column("Intercept"), *columns) if intercept else columns, rows)
