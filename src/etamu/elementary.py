"""Elementary operations on long vectors: the core's where it was built, NumPy's otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.core import TYPES, core, cores

__all__ = ["log", "tally", "translate"]

Array = np.ndarray[Any, Any]
_LOG = 1  # its place among the core's functions


def log(x: Array) -> Array:
    """Natural logarithms in float64."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    if core is None or x.ndim != 1:
        return np.asarray(np.log(x))
    out = np.empty_like(x)
    core.function(_LOG, x, out)
    return out


def translate(values: Array, low: int, place: Array, other: int) -> Array:
    """``place[value - low]`` for every integer, ``other`` where that lies outside; in the smallest type that holds the places."""
    top = int(place.max(initial=0))
    out = np.empty(len(values), dtype=np.int8 if top <= 127 else np.int16 if top <= 32767 else np.int32)
    if core is not None and values.dtype in TYPES:
        core.translate(_column(values), len(values), low, np.ascontiguousarray(place, dtype=np.int32), other, out, cores())
        return out
    at, inside = _among(values, low, len(place))
    out[:] = other
    out[inside] = place[at[inside]]
    return out


def tally(values: Array, low: int, size: int) -> Array:
    """How often each integer from ``low`` to ``low + size - 1`` is among ``values``."""
    if core is not None and values.dtype in TYPES:
        out = np.empty(size, dtype=np.int64)
        core.count(_column(values), len(values), low, out, cores())
        return out
    at, inside = _among(values, low, size)
    return np.bincount(at[inside], minlength=size)


def _column(values: Array) -> tuple[int, int, int, int, float, float]:
    """A vector as the core reads it."""
    return core.address(values), values.strides[0], TYPES[values.dtype], 0, 0.0, 1.0


def _among(values: Array, low: int, size: int) -> tuple[Array, Array]:
    """The place of each integer after ``low``, and whether that is below ``size``."""
    known = values <= np.array(2**62).astype(values.dtype) if values.dtype == np.uint64 else np.ones(len(values), dtype=bool)
    at = np.where(known, values, 0).astype(np.int64) - low
    return at, known & (at >= 0) & (at < size)
