"""The compiled core, or None where it was not built; everything that may use it asks here."""

from __future__ import annotations

from typing import Any

__all__ = ["core"]

core: Any
try:
    from etamu import _native as core
except ImportError:  # built without a compiler: NumPy does the work
    core = None
