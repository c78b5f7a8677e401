"""Encoded parts kept on disk between passes: codes of one or two bytes and numbers as they are, in a file without a name.

The file is unlinked as soon as it is made, so nothing is left behind however the fit ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from etamu.errors import DataError
from etamu.sources.problem import Problem

__all__ = ["Cache"]

Array = np.ndarray[Any, Any]


@dataclass
class Cache:
    """Problems written one after another and read back in that order; ``complete`` once all have been written."""

    folder: str | None = None
    complete: bool = False
    _file: BinaryIO | None = None
    _held: list[Problem] = field(default_factory=list)

    def clear(self) -> None:
        """Begin again: an earlier pass did not come to its end."""
        self._held = []
        if self._file is not None:
            self._file.close()
        import tempfile

        try:
            self._file = tempfile.TemporaryFile(dir=self.folder, prefix="etamu-")  # noqa: SIM115 - it lives as long as the fit
        except OSError as error:
            raise DataError(f"`cache` {self.folder!r} cannot be written: {error.strerror}; pass a folder with room, or cache=None.") from None

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, problem: Problem) -> None:
        """Write a part's arrays; what is kept of it are their places."""
        self._held.append(_with_arrays(problem, self._write))

    def __iter__(self) -> Iterator[Problem]:
        for held in self._held:
            yield _with_arrays(held, self._read)

    def _write(self, values: Any) -> Any:
        assert self._file is not None
        array = np.ascontiguousarray(values)
        at = self._file.seek(0, 2)
        try:
            self._file.write(array.data)
        except OSError as error:
            raise DataError(f"`cache` {self.folder!r} cannot be written: {error.strerror}; pass a folder with room, or cache=None.") from None
        return _Place(at, array.dtype, len(array))

    def _read(self, place: Any) -> Array:
        assert self._file is not None
        self._file.seek(place.at)
        return np.fromfile(self._file, dtype=place.dtype, count=place.count)


@dataclass(frozen=True)
class _Place:
    at: int
    dtype: np.dtype[Any]
    count: int


def _with_arrays(problem: Problem, change: Any) -> Problem:
    """The problem with every array of one value per row replaced."""

    def maybe(values: Any) -> Any:
        return None if values is None else change(values)

    design = replace(problem.design, parts=problem.design.over(change))
    fields = {name: maybe(getattr(problem, name)) for name in ("y", "weight", "offset", "frequency")}
    return replace(problem, design=design, **fields)
