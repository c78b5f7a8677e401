"""Encoded parts kept on disk between passes: codes of one or two bytes and numbers as they are, in a file without a name.

The file is unlinked as soon as it is made, so nothing is left behind however the fit ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from etamu.errors import DataError
from etamu.sources.problem import Problem, Read

__all__ = ["Cache"]

Array = np.ndarray[Any, Any]


@dataclass
class Cache:
    """Parts written as they are made, by any thread, and read back in their order once a pass has written all of them."""

    folder: str | None = None
    _store: _Store | None = None

    def through(self, parts: Callable[[], Iterator[Read]]) -> Iterator[Read]:
        """The parts: from the disk if all have been written, else as ``parts`` gives them, written on the way."""
        if self._store is not None and self._store.whole:
            yield from self._store.reads()
            return
        store = self._store = _Store(self.folder)  # another one for each pass that has to write, whatever became of the one before
        number = -1
        for number, make in enumerate(parts()):
            yield partial(store.kept, number, make)
        store.count = number + 1


class _Store:
    """The file of one pass, and where in it the arrays of each part are."""

    def __init__(self, folder: str | None) -> None:
        import tempfile

        self.folder, self.held, self.count, self.end, self.lock = folder, dict[int, Problem | None](), -1, 0, threading.Lock()
        try:
            self.file: BinaryIO | None = tempfile.TemporaryFile(dir=folder, prefix="etamu-", buffering=0)  # noqa: SIM115 - it lives as long as the fit
        except OSError as error:
            self.file = None
            raise self._unwritable(error) from None

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()

    @property
    def whole(self) -> bool:
        """Whether every part has been written."""
        return len(self.held) == self.count

    def reads(self) -> Iterator[Read]:
        for held in map(self.held.get, range(self.count)):
            if held is not None:
                yield partial(_with_arrays, held, self._read)

    def kept(self, number: int, make: Read) -> Problem | None:
        """The part, whose arrays are written; what is kept of it are their places."""
        part = make()
        self.held[number] = None if part is None else _with_arrays(part, self._write)
        return part

    def _write(self, values: Any) -> Any:
        array = np.ascontiguousarray(values)
        with self.lock:
            at, self.end = self.end, self.end + array.nbytes
        try:
            self._move(_write_at, array, at)
        except OSError as error:
            raise self._unwritable(error) from None
        return _Place(at, array.dtype, len(array))

    def _read(self, place: Any) -> Array:
        array = np.empty(place.count, dtype=place.dtype)
        self._move(_read_at, array, place.at)
        return array

    def _move(self, move: Callable[[BinaryIO, threading.Lock, memoryview, int], int], array: Array, at: int) -> None:
        """All bytes of an array to or from the file; a system may move fewer at once than it was asked for."""
        assert self.file is not None
        left = array.data.cast("B") if array.size else memoryview(b"")
        while len(left):
            moved = move(self.file, self.lock, left, at)
            if moved <= 0:
                raise DataError(f"`cache` {self.folder!r} gave or took fewer bytes than it was asked to; pass another folder, or cache=None.")
            left, at = left[moved:], at + moved

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"`cache` {self.folder!r} cannot be written: {error.strerror}; pass a folder with room, or cache=None.")


@dataclass(frozen=True)
class _Place:
    at: int
    dtype: np.dtype[Any]
    count: int


def _write_at(file: BinaryIO, lock: threading.Lock, data: memoryview, at: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file.fileno(), data, at)
    with lock:
        file.seek(at)
        return file.write(data)


def _read_at(file: BinaryIO, lock: threading.Lock, data: memoryview, at: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(file.fileno(), [data], at)
    with lock:
        file.seek(at)
        return file.readinto(data)  # type: ignore[attr-defined,no-any-return]


def _with_arrays(problem: Problem, change: Any) -> Problem:
    """The problem with every array of one value per row replaced."""

    def maybe(values: Any) -> Any:
        return None if values is None else change(values)

    design = replace(problem.design, parts=problem.design.over(change))
    fields = {name: maybe(getattr(problem, name)) for name in ("y", "weight", "offset", "frequency")}
    return replace(problem, design=design, **fields)
