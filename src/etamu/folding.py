"""Folds of rows: which rows each is, and which rows it is predicted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from etamu.errors import LengthError, NotEnoughDataError, SpecificationError
from etamu.sources.shared import fold_of

__all__ = ["Fixed", "Folding", "Forward", "Hashed", "folds", "read_folds"]

Array = np.ndarray[Any, Any]


class Folding(Protocol):
    """Folds 0 to count - 1 of rows that are met in order."""

    @property
    def count(self) -> int: ...

    def held(self, k: int, first: int, rows: int) -> Array:
        """Which of the rows from number ``first`` on are in fold k."""
        ...

    def trains(self, k: int, first: int, rows: int) -> Array:
        """Which of them fold k is predicted from."""
        ...


@dataclass(frozen=True, eq=False)
class Fixed:
    """The fold of each row; rows of fold -1 only train."""

    fold: Array

    @property
    def count(self) -> int:
        return int(self.fold.max()) + 1

    def held(self, k: int, first: int, rows: int) -> Array:
        return np.asarray(self.fold[first : first + rows] == k)

    def trains(self, k: int, first: int, rows: int) -> Array:
        return np.asarray(self.fold[first : first + rows] != k)


@dataclass(frozen=True, eq=False)
class Forward:
    """Folds of later and later rows, each predicted from the rows before it, less the last ``gap`` of them; ``rank`` is a row's place in time."""

    fold: Array
    rank: Array
    gap: int

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.fold, dtype=dtype)

    @property
    def count(self) -> int:
        return int(self.fold.max()) + 1

    def held(self, k: int, first: int, rows: int) -> Array:
        return np.asarray(self.fold[first : first + rows] == k)

    def trains(self, k: int, first: int, rows: int) -> Array:
        begins = int(self.rank[self.fold == k].min())
        return np.asarray(self.rank[first : first + rows] < begins - self.gap)


@dataclass(frozen=True)
class Hashed:
    """Folds of rows that are read, by a hash of their numbers."""

    count: int
    seed: int

    def held(self, k: int, first: int, rows: int) -> Array:
        return np.asarray(fold_of(first, rows, self.count, self.seed) == k)

    def trains(self, k: int, first: int, rows: int) -> Array:
        return ~self.held(k, first, rows)


def folds(n: int, k: int = 5, *, seed: int | None = 0, stratify: Any = None, groups: Any = None, time: Any = None, gap: int = 0) -> Any:
    """The fold of each of n rows, 0 to k - 1, as :func:`etamu.cross_validate` takes it.

    ``stratify`` (n,) spreads each of its values evenly over the folds; ``groups`` (n,) keeps the rows of a group together; ``time`` (n,) makes k
    folds of later and later rows, each to be predicted from those before it less the last ``gap`` rows (the first rows are of fold -1 and only
    train).  ``seed`` None shuffles differently each time.

    Examples
    --------
    >>> import etamu as em
    >>> em.folds(6, 3, groups=["a", "a", "b", "b", "c", "c"], seed=1).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 2:
        raise SpecificationError(f"`k` is {k!r}; pass a whole number of folds, 2 or more.")
    if sum(g is not None for g in (stratify, groups, time)) > 1:
        raise SpecificationError("pass one of `stratify`, `groups` and `time`; a fold cannot be all of them.")
    if n < k + (time is not None):
        raise NotEnoughDataError(f"{n} rows make no {k} folds; pass fewer.")
    rng = np.random.default_rng(seed)
    if time is not None:
        return _in_time(_of_length("time", time, n), k, gap)
    if groups is not None:
        return _grouped(_of_length("groups", groups, n), k, rng)
    order = rng.permutation(n)
    if stratify is not None:
        labels = np.unique(_of_length("stratify", stratify, n), return_inverse=True)[1]
        order = order[np.argsort(labels[order], kind="stable")]
    out = np.empty(n, dtype=np.int64)
    out[order] = np.arange(n) % k
    return out


def _of_length(name: str, values: Any, n: int) -> Array:
    found = np.asarray(values)
    if found.shape != (n,):
        raise LengthError(f"`{name}` has shape {found.shape} but there are {n} rows; pass one value for each.")
    return found


def _grouped(groups: Array, k: int, rng: np.random.Generator) -> Array:
    """Whole groups, the largest first, each to the fold with the fewest rows."""
    labels, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(labels) < k:
        raise NotEnoughDataError(f"`groups` has {len(labels)} groups, which make no {k} folds; pass fewer.")
    order = rng.permutation(len(labels))
    order = order[np.argsort(-counts[order], kind="stable")]
    place, size = np.empty(len(labels), dtype=np.int64), np.zeros(k)
    for g in order:
        place[g] = int(size.argmin())
        size[place[g]] += counts[g]
    return np.asarray(place[inverse])


def _in_time(time: Array, k: int, gap: Any) -> Forward:
    if isinstance(gap, bool) or not isinstance(gap, (int, np.integer)) or gap < 0 or gap >= len(time) // (k + 1):
        raise SpecificationError(f"`gap` is {gap!r}; pass a whole number of rows, fewer than the {len(time) // (k + 1)} that the first fold is predicted from.")
    rank = np.argsort(np.argsort(time, kind="stable"), kind="stable")
    return Forward(np.asarray(rank * (k + 1) // len(time) - 1), rank, int(gap))


def read_folds(given: Any, n: int, seed: int | None, streamed: bool, strata: Array | None) -> Folding:
    """What was passed as ``folds``: their number, the fold of each row, or what :func:`folds` made."""
    if isinstance(given, Forward):
        _of_length("folds", given.fold, n)
        return given
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        if streamed and given >= 2:
            return Hashed(int(given), int(np.random.default_rng().integers(2**31)) if seed is None else int(seed))
        return Fixed(folds(n, int(given), seed=seed, stratify=strata))
    try:
        fold = np.asarray(given)
    except (TypeError, ValueError):
        fold = np.empty(0)
    if fold.shape != (n,):
        raise LengthError(f"`folds` has shape {fold.shape} but there are {n} rows; pass a number of folds, or the fold of each row.")
    labels, inverse = np.unique(fold, return_inverse=True)
    training = int(labels.dtype.kind in "iu" and labels[0] == -1)
    if len(labels) - training < 2:
        raise SpecificationError("`folds` names fewer than two folds; pass at least two.")
    return Fixed(np.asarray(inverse - training))
