"""Numbers and arrays as JSON knows them, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from etamu.errors import ModelFileError, SpecificationError

__all__ = ["array", "number", "plain"]


def plain(x: Any) -> Any:
    """Numbers as JSON knows them; nan and inf as text, so that the file is valid JSON everywhere."""
    if isinstance(x, np.ndarray):
        return [plain(v) for v in x.tolist()]
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, np.generic):
        return plain(x.item())
    if isinstance(x, float) and not math.isfinite(x):
        return {"number": repr(x)}
    if x is None or isinstance(x, (str, int, float, bool)):
        return x
    raise SpecificationError(f"a level of type {type(x).__name__} cannot be written to a model file; use text or numbers.")


def number(x: Any) -> Any:
    if isinstance(x, dict):
        if set(x) != {"number"} or x["number"] not in ("nan", "inf", "-inf"):
            raise ModelFileError("the file holds a malformed number.")
        return float(x["number"])
    return [number(v) for v in x] if isinstance(x, list) else x


def array(x: Any) -> np.ndarray[Any, Any]:
    return np.array(number(x), dtype=float)
