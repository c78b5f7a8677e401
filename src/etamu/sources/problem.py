"""What a source adds up: the design with its response, weights and offset, and the family and link that read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design.columns import Column, Design
from etamu.families.base import Family
from etamu.links import Link

__all__ = ["Problem", "Read", "block_rows", "chunk_edges"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Within:
    """What rows that were made cells add beyond their means: ``spread`` is sum w (y - mean)^2 of each cell, ``deviance`` the
    sum of their deviances from their cell's mean; ``rows`` and ``weight`` count the rows themselves.
    """

    spread: Array
    deviance: float
    rows: float
    weight: float


@dataclass(frozen=True)
class Problem:
    """The data of a fit. ``y``, ``weight`` and ``offset`` are 1-D arrays of any number type; None means 1 and 0.

    For a multinomial family ``y`` holds class codes, ``equations`` the number of free predictors and ``reference``
    the code of the class whose predictor is 0 (None when every class has its own).
    """

    design: Design
    y: Array
    family: Family
    link: Link
    weight: Array | None = None
    offset: Array | None = None
    equations: int | None = None
    reference: int | None = None
    frequency: Array | None = None  # how often each row occurs; already part of the weight
    within: Within | None = None  # where rows are cells of several

    @property
    def rows(self) -> int:
        return self.design.rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of beta."""
        return (self.design.width,) if self.equations is None else (self.design.width, self.equations)

    def batches(self) -> Iterator[Problem]:
        """The problem, or its rows part by part where they do not lie in memory."""
        yield self

    @property
    def sample(self) -> Problem:
        """Rows to look at when all are not needed."""
        return self

    def change(self, **fields: Any) -> Problem:
        """The same rows read otherwise: by another design of the same columns, family, link, ..."""
        return Problem(**(vars(self) | fields))

    def keep(self, index: Sequence[int]) -> Problem:
        """The problem on some of its columns."""
        return self.change(design=self.design.keep(index))

    def constant(self) -> Problem:
        """The problem with the intercept alone."""
        return self.change(design=Design((Column("Intercept"),), self.rows))

    def observations(self, counted: float) -> float:
        """How many observations the rows stand for; ``counted`` of them have weight."""
        if self.frequency is None:
            return counted
        used = slice(None) if self.weight is None else self.weight > 0
        return float(np.sum(self.frequency[used], dtype=float))

    def vectors(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y, weight and offset of those rows in float64."""
        y = np.asarray(self.y[rows], dtype=float)
        w = np.ones(len(y)) if self.weight is None else np.asarray(self.weight[rows], dtype=float)
        o = np.zeros(len(y)) if self.offset is None else np.asarray(self.offset[rows], dtype=float)
        return y, w, o


Read = Callable[[], Problem | None]  # makes a problem of a part of the rows; None where no row of it is used


def block_rows(width: int) -> int:
    """Rows that a kernel packs at a time, so that the block stays in the second-level cache."""
    return 64 if width <= 64 else 128 if width <= 2048 else 64


def chunk_edges(rows: int, width: int, equations: int = 1, numbers: int = 0) -> list[int]:
    """Where the row ranges begin that are summed on their own and then added in order.

    The edges depend on the shape of the data alone, so the result is the same for any number of threads.  A chunk is
    large enough to hide the cost of handing it out and at most a 32nd of the data when those are large; where the sums
    themselves hold many ``numbers``, it has more rows than those.
    """
    block = block_rows(width)
    work = rows * (width + 4) * equations
    most = 32 if width <= 128 else 16  # a wide chunk's own information matrix costs memory and time to add
    if numbers:
        most = max(2, min(most, rows // (2 * numbers)))
    chunks = int(min(most, max(1, work // 400_000)))
    size = -(-rows // chunks)
    size = -(-size // block) * block
    return [*range(0, rows, size), rows]
