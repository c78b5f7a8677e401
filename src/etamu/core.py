"""The compiled core, or None where it was not built, and the processors it may use; everything that uses them asks here."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__all__ = ["core", "cores"]


def _load() -> Any:
    try:
        return import_module("etamu._native")
    except ImportError:  # built without a compiler: NumPy does the work
        return None


core: Any = _load()


def cores() -> int:
    """Processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
