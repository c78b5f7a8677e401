"""A design read column by column, for the solvers of designs with more columns than rows: the one contract beside sums.

Every column is kept in 16 bits (sparse columns and the levels of factors as they are), so that all inner products with a vector take
a few milliseconds and are known to within ``lost`` times the vector's length; the few columns taken are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.core import core, cores
from etamu.design.columns import Column, Design, Levels, Sparse
from etamu.sources import native, plain
from etamu.sources.problem import Problem

__all__ = ["Access", "open_columns"]

Array = np.ndarray[Any, Any]


class Access:
    """The columns of a problem of one equation; ``order`` says which column of the design each of them is, ``place`` the inverse."""

    def __init__(self, problem: Problem, threads: int | None) -> None:
        self.problem, self.threads = problem, threads or cores()
        self.rows = problem.rows
        self.sum_weight = float(problem.rows if problem.weight is None else np.sum(problem.weight, dtype=float))
        dense, sparse = _separate(problem.design)
        self.order = np.array(dense + [j for block in sparse for j in block[0]], dtype=np.int64)
        self.place = np.empty(len(self.order), dtype=np.int32)
        self.place[self.order] = np.arange(len(self.order), dtype=np.int32)
        self.indptr, self.index, self.values = _compressed(sparse, problem.rows)
        self.unscaled = problem.design.scale is None
        self.taken: list[int] = []

    def empty(self) -> Array:
        """Room for one value per row, zero beyond the last row up to a whole stretch."""
        return np.zeros(-(-self.rows // 64) * 64)


class _Native(Access):
    def __init__(self, problem: Problem, threads: int | None, columns: list[Any], plan: native.Plan) -> None:
        super().__init__(problem, threads)
        sparse = (0, 0, 0, 0) if len(self.indptr) < 2 else (*(core.address(a) if len(a) else 0 for a in (self.indptr, self.index, self.values)), len(self.indptr) - 1)
        self.wide = core.Wide(columns, sparse, self.rows, self.threads)
        self.plan = plan
        squares, lost = np.empty(len(self.order)), np.empty(len(self.order))
        self.wide.lengths(squares, lost)
        self.lengths, self.lost = np.sqrt(squares[self.place]), lost[self.place]

    def evaluate(self, eta: Array, information: str, score: Array, weight: Array) -> tuple[float, float]:
        """Deviance and Pearson sum at those predictors; fills the score factor and the weight of each row."""
        if self.plan.fused:
            found: tuple[float, float] = core.rows_at(self.plan.core, eta, int(information == "observed"), self.threads, score, weight)
            return found
        return _evaluate(self.problem, eta, information, score, weight)

    def scan(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns, to within ``lost[j]`` |v|."""
        out = np.empty(len(wanted))
        self.wide.scan(v, self.place[wanted], self.threads, out)
        return out

    def exact(self, v: Array, wanted: Array) -> Array:
        """x_j'v of the wanted columns."""
        out = np.empty(len(wanted))
        self.wide.exact(v, self.place[wanted], self.threads, out)
        return out

    def take(self, wanted: Array) -> None:
        """Take more columns, whose exact products are then to be had."""
        self.wide.take(self.place[wanted], self.threads)
        self.taken += wanted.tolist()

    def score(self, v: Array) -> Array:
        """x_j'v of the columns taken."""
        out = np.empty(len(self.taken))
        self.wide.score(v, self.threads, out)
        return out

    def predictor(self, b: Array, eta: Array) -> None:
        """Add the columns taken times b to eta."""
        self.wide.predictor(b, self.threads, eta)

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        """X' diag(weight) X of those of the columns taken, from row ``first`` on, into the corner of ``out``."""
        self.wide.gram(weight, member, first, self.threads, out)


class _Plain(Access):
    """The same in NumPy."""

    def __init__(self, problem: Problem, threads: int | None) -> None:
        super().__init__(problem, threads)
        from scipy.sparse import csc_array

        dense = [j for j in self.order if j not in set(self.order[len(self.order) - (len(self.indptr) - 1) :].tolist())] if len(self.indptr) > 1 else self.order
        columns = problem.design.keep(sorted(dense)) if len(dense) else Design((), self.rows)
        self.dense = columns.block(slice(0, self.rows)) if len(dense) else np.empty((self.rows, 0))
        values = self.values if len(self.values) or not len(self.index) else np.ones(len(self.index))
        self.sparse = csc_array((values, self.index, self.indptr), shape=(self.rows, len(self.indptr) - 1))
        squares = np.concatenate([np.einsum("ij,ij->j", self.dense, self.dense), np.asarray((self.sparse * self.sparse).sum(axis=0)).ravel()])
        self.lengths, self.lost = np.sqrt(squares)[self.place], np.zeros(len(self.order))
        self.matrix = np.empty((self.rows, 0))

    def evaluate(self, eta: Array, information: str, score: Array, weight: Array) -> tuple[float, float]:
        return _evaluate(self.problem, eta, information, score, weight)

    def scan(self, v: Array, wanted: Array) -> Array:
        own = v[: self.rows]
        return np.asarray(np.concatenate([own @ self.dense, self.sparse.T @ own])[self.place[wanted]])

    exact = scan

    def take(self, wanted: Array) -> None:
        at, split = self.place[wanted], self.dense.shape[1]
        new = [self.dense[:, k] if k < split else self.sparse[:, [k - split]].toarray()[:, 0] for k in at]
        self.matrix = np.column_stack([self.matrix, *new])
        self.taken += wanted.tolist()

    def score(self, v: Array) -> Array:
        return np.asarray(v[: self.rows] @ self.matrix)

    def predictor(self, b: Array, eta: Array) -> None:
        eta[: self.rows] += self.matrix @ b

    def gram(self, weight: Array, member: Array, first: int, out: Array) -> None:
        a, x = len(member), self.matrix[:, member]
        new = x.T @ (weight[: self.rows, None] * x[:, first:])
        out[first:a, :a], out[:a, first:a] = new.T, new


def open_columns(problem: Problem, threads: int | None) -> Access:
    """The problem's columns, in the core where it was built and can read them."""
    if core is not None:
        columns = native._columns(problem.design)
        plan = native.plan(problem.constant())
        if columns is not None and plan is not None:
            return _Native(problem, threads, columns, plan)
    return _Plain(problem, threads)


def _evaluate(problem: Problem, eta: Array, information: str, score: Array, weight: Array) -> tuple[float, float]:
    offset = problem.vectors(slice(0, problem.rows))[2]
    terms = plain.own_terms(information)(problem, slice(0, problem.rows), eta[: problem.rows] + offset)
    score[: problem.rows], weight[: problem.rows] = terms.score, terms.weight
    return float(terms.deviance.sum()), float(terms.pearson.sum())


_Block = tuple[list[int], Any]


def _separate(design: Design) -> tuple[list[int], list[_Block]]:
    """Positions of the single columns; and of the columns of factors and sparse matrices, with the part they are of."""
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

    columns = csr_array((part.data, part.indices, part.indptr), shape=(rows, len(part.names))).tocsc()
    columns.sum_duplicates()
    return columns.indptr, columns.indices, np.asarray(columns.data, dtype=float)
