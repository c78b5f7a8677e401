"""Elementary operations on long vectors: the core's where it was built, NumPy's otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.core import TYPES, core

__all__ = ["log", "translate"]

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
        core.translate(
            (core.address(values), values.strides[0], TYPES[values.dtype], 0, 0.0, 1.0),
            len(values),
            low,
            np.ascontiguousarray(place, dtype=np.int32),
            other,
            out,
        )
        return out
    known = values <= np.array(2**62).astype(values.dtype) if values.dtype == np.uint64 else np.ones(len(values), dtype=bool)
    shifted = np.where(known, values, 0).astype(np.int64)
    inside = known & (shifted >= low) & (shifted < low + len(place))
    out[:] = other
    out[inside] = place[shifted[inside] - low]
    return out
