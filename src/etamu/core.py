"""The compiled core, or None where it was not built; everything that may use it asks here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["core"]


def _load() -> Any:
    try:
        return import_module("etamu._native")
    except ImportError:  # built without a compiler: NumPy does the work
        return None


core: Any = _load()
