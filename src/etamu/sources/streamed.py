"""Rows that do not lie in memory: read part by part in every pass, each part summed as rows in memory are.

Several threads have a part each, which they read, encode and sum.  The parts and the order in which their sums are added belong to
the data, so the bits are those of the same parts in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from etamu.ahead import in_turn
from etamu.core import cores
from etamu.design.columns import Design
from etamu.families.base import Family
from etamu.links import Link
from etamu.rows import RowTerms
from etamu.sources.memory import Memory, Sample
from etamu.sources.problem import Problem, Read
from etamu.sums import Request, Sums

__all__ = ["StreamSource", "Streamed", "open_source"]

T = TypeVar("T")
Array = np.ndarray[Any, Any]
_MOST = 8  # parts that are worked on at once


@dataclass(frozen=True)
class Streamed:
    """A problem whose rows come from ``read()``, part by part and as often as it is called; the parts may be made by several threads.

    ``sample`` is the same problem on some of its rows, in memory: what a start, a scale or a name is taken from.
    """

    read: Callable[[], Iterator[Read]]
    sample: Problem
    rows: int
    observed: float | None = None  # observations, where rows have frequencies
    kept: tuple[int, ...] | None = None
    alone: bool = False  # the intercept only
    progress: Callable[[float, Request, float], None] | None = None  # told rows, request and deviance so far after each part
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def design(self) -> Design:
        """That of the sample: its columns, centre and scale."""
        return self.sample.design

    @property
    def family(self) -> Family:
        return self.sample.family

    @property
    def link(self) -> Link:
        return self.sample.link

    @property
    def weight(self) -> Array | None:
        """The sample's; None when rows have no weights."""
        return self.sample.weight

    @property
    def offset(self) -> Array | None:
        return self.sample.offset

    @property
    def y(self) -> Array:
        return self.sample.y

    @property
    def frequency(self) -> Array | None:
        return self.sample.frequency

    @property
    def equations(self) -> int | None:
        return self.sample.equations

    @property
    def reference(self) -> int | None:
        return self.sample.reference

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sample.shape

    def vectors(self, rows: slice) -> tuple[Array, Array, Array]:
        """y, weight and offset of rows of the sample."""
        return self.sample.vectors(rows)

    def change(self, **fields: Any) -> Streamed:
        """The same rows read otherwise."""
        others = {k: v for k, v in fields.items() if k != "design"}
        return replace(self, sample=self.sample.change(**fields), changed={**self.changed, **others})

    def keep(self, index: Sequence[int]) -> Streamed:
        """The problem on some of its columns."""
        chosen = tuple(index) if self.kept is None else tuple(self.kept[j] for j in index)
        return replace(self, sample=self.sample.keep(index), kept=chosen)

    def constant(self) -> Streamed:
        """The problem with the intercept alone."""
        return replace(self, sample=self.sample.constant(), alone=True)

    def observations(self, counted: float) -> float:
        return counted if self.observed is None else self.observed

    def batches(self) -> Iterator[Problem]:
        """The parts, on this problem's columns and scale, the next of which is made while one is in use."""
        with self.each(lambda part: part, threads=2, most=1) as parts:
            yield from parts

    @contextmanager
    def each(self, work: Callable[[Problem], T], threads: int, most: int | None = None) -> Iterator[Iterator[T]]:
        """``work(part)`` of every part that has rows, in order, by several threads."""

        def made(make: Read) -> T | None:
            part = make()
            return None if part is None else work(self._like(part))

        with in_turn(self.read(), made, threads, most) as results:
            yield (result for result in results if result is not None)

    def _like(self, part: Problem) -> Problem:
        part = part.change(**self.changed)
        if self.alone:
            return part.constant()
        if self.kept is not None:
            part = part.keep(self.kept)
        design = self.design
        return part if design.scale is None else part.change(design=replace(part.design, center=design.center, scale=design.scale))


class StreamSource:
    """Sums over the parts, several of which have a thread each; threads beyond those help one of them."""

    def __init__(self, problem: Streamed, threads: int | None = None) -> None:
        self.problem, self.threads = problem, threads or cores()

    def sum(self, request: Request) -> Sums:
        """The sums of all rows at ``request.beta``."""
        told = self.problem.progress

        def tell(total: Sums) -> None:
            if told is not None:
                told(total.n, request, total.deviance)

        return self._total(lambda part: part.sum(request), tell)

    def total(self, terms: Callable[[Memory, slice, Array], RowTerms], request: Request) -> Sums:
        """The sums of row terms that need not be those of a family."""
        return self._total(lambda part: part.total(terms, request), lambda total: None)

    def start(self) -> Sums:
        """Score and information of the least-squares step from beta = 0 towards g(starting mean)."""
        return self._total(lambda part: part.start(), lambda total: None)

    def _each(self, work: Callable[[Memory], T]) -> AbstractContextManager[Iterator[T]]:
        """``work`` on every part, in order."""
        crew = min(self.threads, _MOST)
        return self.problem.each(lambda part: work(Memory(part, self.threads - crew + 1)), crew)

    def _total(self, work: Callable[[Memory], Sums], tell: Callable[[Sums], None]) -> Sums:
        total: Sums | None = None
        with self._each(work) as parts:
            for sums in parts:
                total = sums if total is None else total + sums
                tell(total)
        assert total is not None
        return total

    def sample(self, rows: int) -> Sample | Memory:
        """About that many rows, of those that are held in memory."""
        held = Memory(self.problem.sample, self.threads)
        return held.sample(rows) if rows < 0.9 * self.problem.sample.rows else held

    def map(self, kernel: Callable[[Problem, slice, np.ndarray], np.ndarray], beta: np.ndarray) -> np.ndarray:
        """kernel(problem, rows, eta) for each stretch of rows, joined in row order."""
        with self._each(lambda part: part.map(kernel, beta)) as parts:
            return np.concatenate(list(parts))


def open_source(problem: Problem | Streamed, threads: int | None = None) -> Memory | StreamSource:
    """Who adds the rows of a problem."""
    return StreamSource(problem, threads) if isinstance(problem, Streamed) else Memory(problem, threads)
