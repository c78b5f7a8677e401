"""What is installed and which core adds the rows."""

from __future__ import annotations

import sys

__all__ = ["show_versions", "versions"]

_PACKAGES = ("etamu", "numpy", "scipy", "narwhals", "pandas", "polars", "pyarrow", "click", "rich")


def versions() -> dict[str, str]:
    """Versions of Python, etamu and what it uses, and the core in use."""
    import platform
    from importlib import metadata

    from etamu.core import cores
    from etamu.sources.native import instruction_set

    out = {"python": sys.version.split()[0], "platform": platform.platform(), "core": instruction_set(), "threads": str(cores())}
    for name in _PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = "not installed"
    return out


def show_versions() -> str:
    """The same as text; print it into a bug report.

    >>> import etamu as em
    >>> "core" in em.show_versions()
    True
    """
    found = versions()
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in found.items())
