"""Rows of a problem in memory taken together in another way: in any order, or in groups that several solvers share."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from etamu.design.columns import Column, Part
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sums import Objective, Request, Sums

__all__ = ["MOST", "SharedRows", "is_table", "of_rows"]

Array = np.ndarray[Any, Any]
MOST = 62  # solvers whose rows a whole number tells apart


class SharedRows:
    """Sums for several solvers, each of which knows some of the rows, ``known[k]`` (n,): rows that the same of them know are summed once, and added up
    for whoever asks at the same point.
    """

    def __init__(self, problem: Problem, known: list[Array], threads: int | None) -> None:
        pattern = sum((k.astype(np.int64) << bit for bit, k in enumerate(known)), np.zeros(problem.rows, dtype=np.int64))
        patterns, group = np.unique(pattern, return_inverse=True)
        self.patterns, self.threads = patterns.tolist(), threads
        order, ends = np.argsort(group, kind="stable").astype(np.int32), np.cumsum(np.bincount(group, minlength=len(patterns)))
        self.groups = [of_rows(problem, rows) for rows in np.split(order, ends[:-1])]
        self.last: tuple[tuple[Any, ...], list[Sums]] | None = None

    def of(self, k: int) -> Objective:
        """The sums over the rows that the k-th knows."""

        def answer(request: Request) -> Sums:
            asked = request.beta.tobytes(), request.order, request.information, request.arithmetic, request.form
            if self.last is None or self.last[0] != asked:
                self.last = asked, [Memory(part, self.threads).sum(request) for part in self.groups]
            return reduce(add, (sums for pattern, sums in zip(self.patterns, self.last[1], strict=True) if pattern >> k & 1))

        return answer


def of_rows(problem: Problem, rows: Array) -> Problem:
    """The problem of some of the rows: their columns are looked up where they lie, or else copied."""
    design = problem.design
    parts: tuple[Part, ...]
    if all(is_table(part) for part in design.parts):
        parts = tuple(part if part.values is None else Column(part.name, rows, part.values) for part in design.parts if isinstance(part, Column))
    else:
        parts = design.over(lambda values: values[rows])
    fields = {name: getattr(problem, name) for name in ("y", "weight", "offset", "frequency")}
    fields = {name: None if values is None else np.asarray(values)[rows] for name, values in fields.items()}
    return problem.change(design=replace(design, parts=parts, rows=len(rows)), **fields)


def is_table(part: Any) -> bool:
    """Whether the values of a column can be looked up by the number of a row as they lie."""
    if not isinstance(part, Column) or part.values is None:
        return isinstance(part, Column)
    return part.table is None and part.values.dtype == np.float64 and part.values.strides == (8,)
