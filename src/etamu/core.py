"""The compiled core, or None where it was not built, and the processors it may use; everything that uses them asks here."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["TYPES", "core", "cores"]


def _load() -> Any:
    try:
        return import_module("etamu._native")
    except ImportError:  # built without a compiler: NumPy does the work
        return None


core: Any = _load()

# how the core calls the types it reads (core.hpp, Type)
TYPES = {np.dtype(name): code for code, name in enumerate(("f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "bool"))}


def cores() -> int:
    """Processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
