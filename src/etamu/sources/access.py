"""A design read column by column, for the solvers of designs with more columns than rows: the one contract beside sums.

Every column is kept in 16 bits (sparse columns and the levels of factors as they are), so that all inner products with a vector take
a few milliseconds and are known to within ``lost`` times the vector's length; the few columns taken are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from etamu.core import core, cores
from etamu.design.columns import Column, Design, Levels, Sparse
from etamu.sources import native, plain
from etamu.sources.problem import Problem

__all__ = ["Access", "Columns", "Job", "Model", "is_narrow", "open_columns"]

Array = np.ndarray[Any, Any]
_LIKE = 0.6  # ratio of a column's mean squares in two problems from which their models serve each other
_ROUNDING, _NOISE = 2.0**-24, 1e-13  # of a float; share of an objective by sums of their products that these cannot tell apart
_TALL, _MANY = 16, 1_000_000  # rows per column and numbers from which columns held are floats: memory is what their products wait for


class Columns:
    """The columns of a design: ``order`` says which column of the design each of them is, ``place`` the inverse; those held are exact.

    Threads may share them; whoever holds more columns waits until nobody reads.  ``whole`` says that all columns are held by everybody from the
    beginning, as floats for as long as they are ``narrow``: then models that one has made serve the others too.
    """

    def __init__(self, problem: Problem, threads: int | None) -> None:
        self.threads, self.rows, self.design = threads or cores(), problem.rows, problem.design
        dense, sparse = _separate(problem.design)
        self.order = np.array(dense + [j for block in sparse for j in block[0]], dtype=np.int64)
        self.place = np.empty(len(self.order), dtype=np.int32)
        self.place[self.order] = np.arange(len(self.order), dtype=np.int32)
        self.split = len(dense)
        self.narrow = self.whole = is_narrow(problem)
        self.models: list[Model] = []
        self.lends = self.whole
        self.indptr, self.index, self.values = _compressed(sparse, problem.rows)
        self.held: dict[int, int] = {}
        self.lock = Lock()
        self.lengths, self.lost = self._measured()

    def squares(self, weight: Array) -> Array:
        """x_j' diag(weight) x_j of all columns, which are held."""
        out, four = np.empty(len(self.order)), np.empty((4, 4), dtype=np.float32)
        for first in range(0, len(out), 4):
            at = np.arange(first, min(first + 4, len(out)))
            self.gram(weight, self.hold(at), 0, four)
            out[at] = np.diagonal(four)[: len(at)]
        return out

    def hold(self, wanted: Array) -> Array:
        """Where each of those columns is held; those that were not are now."""
        with self.lock:
            new = np.array([j for j in wanted.tolist() if j not in self.held], dtype=np.int64)
            for j in new.tolist():
                self.held[j] = len(self.held)
            if len(new):
                self._hold(self.place[new])
            return np.array([self.held[j] for j in wanted.tolist()], dtype=np.int32)

    def among(self, threads: int) -> Columns:
        """The columns for one of several solvers, which has so many of the threads, once all that they need are held.

        What it finds serves none of the others, lest results depend on who was first.
        """
        if not self.whole:  # they come one after another
            return self
        own = copy(self)
        own.models, own.lends = list(self.models), False
        own.threads, own.lock = threads, nullcontext()  # type: ignore[assignment]
        return own

    def widen(self) -> None:
        """Hold the columns as doubles from now on."""
        self.narrow = False

    @property
    def finite(self) -> bool:
        """Whether all numbers are, as they are held."""
        return bool(np.isfinite(self.lengths).all())

    def _measured(self) -> tuple[Array, Array]:
        raise NotImplementedError

    def _hold(self, at: Array) -> None:
        raise NotImplementedError

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        """X' diag(weight) X of those columns held, from row ``first`` on, into the corner of ``out``."""
        raise NotImplementedError

    def advance(self, jobs: Sequence[Job]) -> list[tuple[float, Array]]:
        """The deviance of each job, and x_j'v of its members."""
        raise NotImplementedError

    def products(self, vectors: Sequence[Array], member: Array) -> list[Array]:
        """x_j'v of those columns held, for each v."""
        raise NotImplementedError


class NativeColumns(Columns):
    """In the core."""

    def __init__(self, problem: Problem, threads: int | None, addresses: native.Addresses) -> None:
        self.addresses = addresses
        super().__init__(problem, threads)

    def _measured(self) -> tuple[Array, Array]:
        count = len(self.indptr) - 1
        sparse = (*(core.address(a) if len(a) else 0 for a in (self.indptr, self.index, self.values)), count) if count else (0, 0, 0, 0)
        self.wide = core.Wide(*self.addresses, sparse, self.rows, self.narrow, self.threads)
        squares, lost = np.empty(len(self.order)), np.empty(len(self.order))
        self.wide.lengths(squares, lost)
        return np.sqrt(squares[self.place]), lost[self.place]

    def widen(self) -> None:
        """Hold the columns as doubles from now on."""
        super().widen()
        self.lengths, self.lost = self._measured()
        self._hold(self.place[list(self.held)])

    def _hold(self, at: Array) -> None:
        self.wide.take(at, self.threads)

    @property
    def finite(self) -> bool:
        """Whether all numbers are, as they are held."""
        return bool(self.wide.finite())

    def scan(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns, to within ``lost[j]`` |v|."""
        out = np.empty(len(wanted))
        with self.lock:
            self.wide.scan(v, self.place[wanted], self.threads, out)
        return out

    def exact(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns."""
        out = np.empty(len(wanted))
        with self.lock:
            self.wide.exact(v, self.place[wanted], self.threads, out)
        return out

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        """X' diag(weight) X of those columns held, from row ``first`` on, into the corner of ``out``."""
        with self.lock:
            self.wide.gram(weight, member, first, self.threads, out)

    def advance(self, jobs: Sequence[Job]) -> list[tuple[float, Array]]:
        """By one reading of the columns where the core has the row terms."""
        if not all(job.plan is not None and job.plan.fused for job in jobs):
            return [self._composed(job) for job in jobs]
        scores = [np.empty(len(job.member)) for job in jobs]
        asked = [(job.plan.core, job.base, job.move, job.eta, job.v, job.h, score) for job, score in zip(jobs, scores) if job.plan is not None]
        with self.lock:
            deviances = self.wide.advance(asked, jobs[0].member, native.INFORMATION[jobs[0].information], self.threads)
        return list(zip(deviances, scores))

    def products(self, vectors: Sequence[Array], member: Array) -> list[Array]:
        """x_j'v of those columns held, for each v, by the numbers that ``advance`` reads."""
        out = [np.empty(len(member)) for _ in vectors]
        with self.lock:
            self.wide.products(list(vectors), member, self.threads, out)
        return out

    def _composed(self, job: Job) -> tuple[float, Array]:
        """Product by product, with row terms from NumPy: the core's are told the rest as if it were least squares."""
        x = _dense_of(self, job.member)
        job.eta[: self.rows] = job.base[: self.rows] + x @ job.move
        return _evaluate(job), np.asarray(job.v[: self.rows] @ x)


class PlainColumns(Columns):
    """In NumPy."""

    def _measured(self) -> tuple[Array, Array]:
        from scipy.sparse import csc_array

        dense = self.order[: self.split]
        self.dense = self.design.keep(dense.tolist()).block(slice(0, self.rows)) if len(dense) else np.empty((self.rows, 0))
        values = self.values if len(self.values) or not len(self.index) else np.ones(len(self.index))
        self.sparse = csc_array((values, self.index, self.indptr), shape=(self.rows, len(self.indptr) - 1))
        squares = np.concatenate([np.einsum("ij,ij->j", self.dense, self.dense), np.asarray((self.sparse * self.sparse).sum(axis=0)).ravel()])
        self.matrix = np.empty((self.rows, 0))
        return np.sqrt(squares)[self.place], np.zeros(len(self.order))

    def _hold(self, at: Array) -> None:
        new = [self.dense[:, k] if k < self.split else self.sparse[:, [k - self.split]].toarray()[:, 0] for k in at]
        self.matrix = np.column_stack([self.matrix, *new])

    def scan(self, v: Array, wanted: Array) -> Array:
        own = v[: self.rows]
        return np.asarray(np.concatenate([own @ self.dense, self.sparse.T @ own])[self.place[wanted]])

    exact = scan

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        a, x = len(member), self.matrix[:, member]
        new = x.T @ (weight[: self.rows, None] * x[:, first:])
        out[first:a, :a], out[:a, first:a] = new.T, new

    def advance(self, jobs: Sequence[Job]) -> list[tuple[float, Array]]:
        found = []
        for job in jobs:
            x = self.matrix[:, job.member]
            job.eta[: self.rows] = job.base[: self.rows] + x @ job.move
            found.append((_evaluate(job), np.asarray(job.v[: self.rows] @ x)))
        return found

    def products(self, vectors: Sequence[Array], member: Array) -> list[Array]:
        return [np.asarray(v[: self.rows] @ self.matrix[:, member]) for v in vectors]


@dataclass
class Model:
    """X' diag(weight) X of the columns ``index`` of those taken, at row weights of the ``lender``, of which ``some`` are a few."""

    weight: Array
    some: Array
    index: Array
    gram: Array
    lender: Access

    def __post_init__(self) -> None:
        self._holds = np.zeros(int(self.index.max(initial=-1)) + 1, dtype=bool)
        self._holds[self.index] = True

    def has(self, needed: Array) -> bool:
        """Whether all of those columns are in it."""
        return len(needed) <= len(self.index) and int(needed.max(initial=-1)) < len(self._holds) and bool(self._holds[needed].all())


@dataclass
class Job:
    """Go to eta = base + the members times ``move``: fills eta, and the score factor and weight of each row, v and h."""

    problem: Problem
    plan: native.Plan | None
    member: Array
    base: Array
    move: Array
    information: str
    eta: Array
    v: Array
    h: Array


class Access:
    """The columns as one problem of one equation sees them: with its weights, and the columns that it has taken."""

    def __init__(self, columns: Any, problem: Problem) -> None:
        self.columns, self.problem, self.rows = columns, problem, problem.rows
        self.sum_weight = float(problem.rows if problem.weight is None else np.sum(problem.weight, dtype=float))
        self.plan = native.plan(problem.constant()) if isinstance(columns, NativeColumns) else None
        self.rounding = np.where(np.arange(len(columns.order)) < problem.design.constant, 0.0, _ROUNDING)  # of each column, where it is of floats
        self.taken = np.zeros(0, dtype=np.int64)
        self.whole, self.tall = columns.whole, _is_tall(problem)
        self.member = np.zeros(0, dtype=np.int32)
        if columns.whole:
            self.take(np.arange(len(columns.order)))

    def widen(self) -> None:
        """Have products by doubles from now on."""
        self.columns.widen()

    @property
    def noise(self) -> float:
        """Share of the objective that products cannot tell apart."""
        return _NOISE if self.columns.narrow else 0.0

    @property
    def lengths(self) -> Array:
        return np.asarray(self.columns.lengths)

    @property
    def lost(self) -> Array:
        return np.asarray(self.columns.lost)

    def lend(self, weight: Array, some: Array, index: Array, gram: Array) -> bool:
        """Let others on the same columns use this model; whether anybody might."""
        if self.columns.lends:
            self.columns.models.append(Model(weight, some, index, gram, self._whose(weight)))
        return bool(self.columns.lends)

    def lent(self) -> list[Model]:
        """Models that solvers on the same columns have made."""
        return list(self.columns.models)

    def fits(self, weight: Array, index: Array) -> bool:
        """Whether those columns taken are about as long in this problem's rows as in those of whose row weights these are."""
        return self._is_like(self._whose(weight), index)

    def _whose(self, weight: Array) -> Access:
        return next((model.lender for model in list(self.columns.models) if model.weight is weight), self)

    def _is_like(self, lender: Access, index: Array) -> bool:
        """Whether none of the columns lies mostly in rows that only one of the two problems weighs: steps would be far too short there."""
        if lender is self:
            return True
        own, theirs = self._squares[index], lender._squares[index]
        return bool(((own >= _LIKE * theirs) & (theirs >= _LIKE * own)).all())

    @cached_property
    def _squares(self) -> Array:
        """The mean of each column's squares."""
        weight = self.empty()
        weight[: self.rows] = self.problem.vectors(slice(0, self.rows))[1] / self.sum_weight
        return np.asarray(self.columns.squares(weight))

    def empty(self) -> Array:
        """Room for one value per row, zero beyond the last row up to a whole stretch."""
        return np.zeros(-(-self.rows // 64) * 64)

    def take(self, wanted: Array) -> None:
        """Take more columns, whose exact products are then to be had."""
        self.member = np.concatenate([self.member, self.columns.hold(wanted)])
        self.taken = np.concatenate([self.taken, wanted])

    def advance(self, base: Array, move: Array, information: str, eta: Array, v: Array, h: Array) -> tuple[float, Array]:
        """Go to eta = base + the columns taken times ``move``: the deviance there, the terms of each row, and x_j'v of the columns taken."""
        found: tuple[float, Array] = self.columns.advance([Job(self.problem, self.plan, self.member, base, move, information, eta, v, h)])[0]
        return found

    def together(self, moves: Sequence[Any], information: str, index: Array) -> list[tuple[float, Array]]:
        """Several moves of columns taken by one reading of them: deviance and x_j'v of each."""
        member = self.member[index]
        assert all(np.count_nonzero(m.by) == np.count_nonzero(m.by[index]) for m in moves), "a column moves that is not looked at"
        jobs = [Job(self.problem, self.plan, member, m.start.eta, np.ascontiguousarray(m.by[index]), information, m.to.eta, m.to.v, m.to.h) for m in moves]
        found: list[tuple[float, Array]] = self.columns.advance(jobs)
        return found

    def products(self, vectors: Sequence[Array], index: Array) -> list[Array]:
        """x_j'v of columns taken, for each v, as ``together`` finds them."""
        found: list[Array] = self.columns.products(vectors, self.member[index])
        return found

    def scan(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns, to within ``lost[j]`` |v|."""
        return np.asarray(self.columns.scan(v, wanted))

    def exact(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns."""
        return np.asarray(self.columns.exact(v, wanted))

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        """X' diag(weight) X of those of the columns taken, from row ``first`` on, into the corner of ``out``."""
        self.columns.gram(weight, self.member[member], first, out)


def is_narrow(problem: Problem) -> bool:
    """Whether there are so many rows of each column that the columns held are floats."""
    return _is_tall(problem) and problem.rows * problem.design.width > _MANY and problem.design.single


def _is_tall(problem: Problem) -> bool:
    return problem.rows > _TALL * problem.design.width


def open_columns(problem: Problem, threads: int | None) -> Columns:
    """The problem's columns, in the core where it was built and can read them."""
    if core is not None:
        addresses = native.addresses(problem.design)
        if addresses is not None and native.plan(problem.constant()) is not None:
            return NativeColumns(problem, threads, addresses)
    return PlainColumns(problem, threads)


def _evaluate(job: Job) -> float:
    """Deviance and row terms by NumPy."""
    n, problem = job.problem.rows, job.problem
    offset = problem.vectors(slice(0, n))[2]
    terms = plain.own_terms(job.information)(problem, slice(0, n), job.eta[:n] + offset)
    job.v[:n], job.h[:n] = terms.score, terms.weight
    return float(terms.deviance.sum())


def _dense_of(columns: Columns, member: Array) -> Array:
    """Columns held, written out (for families that the core does not know)."""
    where = {k: j for j, k in columns.held.items()}
    index = [where[int(k)] for k in member]
    order = sorted(index)
    block = columns.design.keep(order).block(slice(0, columns.rows))
    return np.asarray(block[:, [order.index(j) for j in index]])


_Block = tuple[list[int], Any]


def _separate(design: Design) -> tuple[list[int], list[_Block]]:
    """Positions of the single columns; and of the columns of factors and sparse matrices, with the part they are of."""
    if len(design.only_columns()[1]) == design.width:
        return list(range(design.width)), []
    dense: list[int] = []
    sparse: list[_Block] = []
    for at, part in design.placed():
        if isinstance(part, Column):
            dense.append(at)
        else:
            sparse.append((list(range(at, at + len(part.names))), part))
    return dense, sparse


def _compressed(blocks: list[_Block], rows: int) -> tuple[Array, Array, Array]:
    """Columns one after another: starts, rows and values (none where every value is 1)."""
    if not blocks:
        return np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), np.empty(0)
    found = [_levels(part, rows) if isinstance(part, Levels) else _sparse(part, rows) for _, part in blocks]
    starts = np.concatenate([[0], *(np.diff(s) for s, _, _ in found)]).cumsum().astype(np.int64)
    index = np.concatenate([i for _, i, _ in found]).astype(np.int32)
    if all(v is None for _, _, v in found):
        return starts, index, np.empty(0)
    return starts, index, np.concatenate([np.ones(len(i)) if v is None else v for _, i, v in found])


def _levels(part: Levels, rows: int) -> tuple[Array, Array, Array | None]:
    slot = part.slots[part.codes]
    used = np.flatnonzero(slot >= 0)
    index = used[np.argsort(slot[used], kind="stable")]
    starts = np.concatenate([[0], np.bincount(slot[used], minlength=len(part.names)).cumsum()])
    return starts, index, None if part.times is None else np.asarray(part.times, dtype=float)[index]


def _sparse(part: Sparse, rows: int) -> tuple[Array, Array, Array]:
    from scipy.sparse import csr_array

    if part.columns is not None:
        return (*part.columns[:2], np.asarray(part.columns[2], dtype=float))
    columns = csr_array((part.data, part.indices, part.indptr), shape=(rows, len(part.names))).tocsc()
    columns.sum_duplicates()
    return columns.indptr, columns.indices, np.asarray(columns.data, dtype=float)
