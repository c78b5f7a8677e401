"""Rows in memory: the source that adds them with threads, in an order that does not depend on the threads.

No statistics: :meth:`Memory.sum` adds the row terms of the model, :meth:`Memory.total` any others, :meth:`Memory.map` gives one
value per row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np

from etamu.ahead import in_turn
from etamu.core import cores
from etamu.rows import RowTerms, starting_terms
from etamu.sources import native, plain
from etamu.sources.factor import factor_rows
from etamu.sources.problem import Problem, Within, chunk_edges
from etamu.sums import Request, Sums

__all__ = ["Memory"]


def _in_order(work: Callable[[int], Sums], count: int, threads: int) -> Sums:
    """work(0) + work(1) + ... from ``threads`` threads, this one among them."""
    quiet = np.errstate(all="ignore")(work)  # what overflows shows in the sums
    with in_turn(range(count), quiet, min(threads, count)) as parts:
        return reduce(operator.add, parts)


class Memory:
    """A source over arrays in memory.

    ``threads`` is how many threads add; the result has the same bits for any number.
    """

    def __init__(self, problem: Problem, threads: int | None = None, use_native: bool = True) -> None:
        self.problem = problem
        self.threads = threads or cores()
        self.plan = native.plan(problem) if use_native else None
        self.edges = chunk_edges(problem.rows, problem.design.width, problem.equations or 1, self.numbers)

    @property
    def numbers(self) -> int:
        """How many numbers the cross-tabulations of a chunk hold."""
        return 0 if self.plan is None else self.plan.layout.tables[-1]

    def sum(self, request: Request) -> Sums:
        """The sums of all rows at ``request.beta``."""
        sums = self._sum(request)
        return sums if self.problem.within is None else self._with_rows_of(self.problem.within, sums, request)

    def _with_rows_of(self, within: Within, sums: Sums, request: Request) -> Sums:
        """Of cells: what their rows add beyond them."""
        pearson = sums.pearson
        if request.order > 0:

            def spread(problem: Problem, rows: slice, eta: np.ndarray) -> np.ndarray:
                with np.errstate(all="ignore"):
                    terms = within.spread[rows] / problem.family.variance(problem.link.mu(eta))
                return np.where(within.spread[rows] > 0, terms, 0.0)

            pearson += float(np.add.reduce(self.map(spread, request.beta)))
        return replace(sums, n=within.rows, sum_weight=within.weight, deviance=sums.deviance + within.deviance, pearson=pearson)

    def _sum(self, request: Request) -> Sums:
        if request.form == "factor":
            return self._over_chunks(lambda a, b: factor_rows(self.problem, slice(a, b), request))
        if self.plan is not None and self.plan.fused:
            return self.plan.sum(self.edges, self.threads, request)
        return self._total(plain.own_terms(request.information), request)

    def total(self, terms: Callable[[Memory, slice, np.ndarray], RowTerms], request: Request) -> Sums:
        """The sums of row terms that need not be those of a family: ``terms(source, rows, eta)`` at ``request.beta``."""
        return self._total(lambda problem, rows, eta: terms(self, rows, eta), request)

    def _total(self, terms: native.Terms, request: Request) -> Sums:
        plan = self.plan
        if plan is None or self.problem.equations is not None:
            return self._over_chunks(lambda a, b: plain.add_rows(self.problem, slice(a, b), request, terms))
        return self._over_chunks(lambda a, b: plan.mixed(a, b, request, terms))

    def _over_chunks(self, work: Callable[[int, int], Sums]) -> Sums:
        edges = self.edges
        return _in_order(lambda k: work(edges[k], edges[k + 1]), len(edges) - 1, self.threads)

    def start(self) -> Sums:
        """Score and information of the least-squares step from beta = 0 towards g(starting mean)."""
        return self._over_chunks(self._start_rows)

    def _start_rows(self, a: int, b: int) -> Sums:
        request = Request(np.zeros(self.problem.shape))
        y, w, offset = self.problem.vectors(slice(a, b))
        terms = starting_terms(self.problem.family, self.problem.link, y, offset, w)
        return plain.total(self.problem, terms, self.problem.design.block(slice(a, b)), w, request)

    def approach(self, beta: np.ndarray, curvature: str, information: str, singular: float, enough: float, trace: np.ndarray) -> tuple[int, Sums | None]:
        """Newton steps on the scaled ``beta`` in the core, in place; how many, or 0 where it cannot or will not make them, and the
        sums where they end.
        """
        plan = self.plan
        if plan is None or not (plan.fused and plan.layout.plain):
            return 0, None
        made, sums = plan.approach(beta, curvature, information, singular, enough, trace)
        if sums is not None and self.problem.within is not None:
            sums = self._with_rows_of(self.problem.within, sums, Request(beta))
        return made, sums

    def sample(self, rows: int) -> Sample:
        """About that many rows, spread evenly over the whole, as a source of its own."""
        return Sample(self, rows)

    def predictor(self, rows: slice, beta: np.ndarray) -> np.ndarray:
        """Eta of those rows."""
        return self.plan.predictor(rows.start, rows.stop, beta) if self.plan else plain.predictor(self.problem, rows, beta)

    def terms(self, rows: slice, eta: np.ndarray, beta: np.ndarray, information: str) -> tuple[np.ndarray, np.ndarray]:
        """Score factor and information weight of each of those rows, whose predictors are ``eta`` at ``beta``."""
        if self.plan is not None and self.plan.fused and self.problem.equations is None:
            return self.plan.terms(rows.start, rows.stop, beta, information)
        found = plain.own_terms(information)(self.problem, rows, eta)
        return found.score, found.weight

    def forms(self, rows: slice, half: np.ndarray) -> np.ndarray:
        """The squared length of half' x for each row x."""
        if self.plan is not None and self.problem.equations is None:
            return self.plan.forms(rows.start, rows.stop, half)
        z = self.problem.design.block(rows) @ half
        return np.asarray(np.einsum("ij,ij->i", z, z))

    def map(self, kernel: Callable[[Problem, slice, np.ndarray], np.ndarray], beta: np.ndarray) -> np.ndarray:
        """kernel(problem, rows, eta) for each stretch of rows, joined in row order."""
        parts = []
        for a in range(0, self.problem.rows, 65536):
            rows = slice(a, min(a + 65536, self.problem.rows))
            parts.append(kernel(self.problem, rows, self.predictor(rows, beta)))
        return np.concatenate(parts)


class Sample:
    """Runs of rows at even distances: a systematic sample that copies nothing and depends on the shape only.

    The core takes 64 or 256 at a time; NumPy, whose every call costs as much as hundreds of rows, 1,024.
    """

    def __init__(self, whole: Memory, rows: int) -> None:
        self.whole = whole
        total = whole.problem.rows
        mixed = whole.plan is not None and not whole.plan.fused
        self.block = 1024 if mixed else 64 if whole.problem.design.width <= 64 else 256
        runs = max(1, rows // self.block)
        self.step = max(self.block, total // runs)
        edges = chunk_edges(rows, whole.problem.design.width, whole.problem.equations or 1, whole.numbers)
        per = -(-runs // (len(edges) - 1))
        self.edges = [*range(0, total, per * self.step), total]

    def sum(self, request: Request) -> Sums:
        """The sums over the sampled rows."""
        plan = self.whole.plan
        if plan is not None:
            edges, threads = self.edges, self.whole.threads
            if plan.fused:
                return plan.sum(edges, threads, request, self.block, self.step)
            count = len(edges) - 1
            terms = plain.own_terms(request.information)
            return _in_order(lambda k: plan.mixed(edges[k], edges[k + 1], request, terms, self.block, self.step), count, threads)
        problem = self.whole.problem
        total: Sums | None = None
        for a in range(0, problem.rows, self.step):
            part = plain.add_rows(problem, slice(a, min(a + self.block, problem.rows)), request, plain.own_terms(request.information))
            total = part if total is None else total + part
        assert total is not None
        return total
