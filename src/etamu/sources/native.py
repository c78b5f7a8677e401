"""A range of rows summed by the C++ core, when it was built and knows the columns.

The core has row terms for the built-in families and links; for any other family the rows come from ``rows.py``
and only the predictor and the two matrix sums are native.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from etamu.core import TYPES, core
from etamu.design.columns import Column, Design, Matrix, Parts
from etamu.families import FAMILIES
from etamu.links import LINKS, Link, is_power
from etamu.rows import RowTerms
from etamu.sources.layout import Layout, stored_design
from etamu.sources.problem import Problem, block_rows
from etamu.sums import Request, Sums

__all__ = ["INFORMATION", "Plan", "Terms", "addresses", "available", "deviances", "instruction_set", "place", "plan", "predictors", "thin"]

# address, stride, type, table, center, scale
_Column = tuple[int, int, int, int, float, float]
_ONE = 11
_NOTHING: _Column = (0, 0, _ONE, 0, 0.0, 1.0)
_FAMILIES = ("gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "tweedie", "negative_binomial", "multinomial")
_LINKS = ("identity", "log", "logit", "probit", "cloglog", "loglog", "cauchit", "inverse", "inverse_squared", "sqrt", "power", "softmax")
INFORMATION = {"expected": 0, "observed": 1, "curved": 2}  # as the core numbers them
_SEVERAL = 64  # columns from which those of an array are better not made one by one
_EMPTY = np.empty(0)
Array = np.ndarray[Any, Any]
Addresses = tuple[Array, Array]  # address, stride, type and table of each column; its centre and scale
Terms = Callable[[Problem, slice, Array], RowTerms]  # of some rows of a problem, at their predictors
_ROWS_PER_TURN = 8192
_NARROW, _ROWS_ALONE = 64, 1024  # columns that are few, and rows at a time of more of which nothing but eta is asked for


def available() -> bool:
    """Whether the C++ core was built."""
    return core is not None


def instruction_set() -> str:
    """The kernels in use, e.g. "x86-64-v4", or "numpy"."""
    return core.instruction_set() if core is not None else "numpy"


def _address(values: Array) -> tuple[int, int, int, int] | None:
    """Address, stride and type of the values, which have no table."""
    kind = TYPES.get(values.dtype)
    return None if kind is None or values.ndim != 1 else (core.address(values), values.strides[0], kind, 0)


def _addresses(parts: Parts) -> Array | None:
    """Address, stride, type and table of the single columns among the parts, one row each; None where the core cannot read one."""
    if isinstance(parts, Matrix) and len(parts) > _SEVERAL:
        return _addresses_within(parts)
    columns = [p for p in parts if isinstance(p, Column)]
    where = np.empty((len(columns), 4), dtype=np.int64)
    return where if core.where([p.values for p in columns], [p.table for p in columns], where) else None


def _addresses_within(matrix: Matrix) -> Array | None:
    """The same of the columns of a matrix, which lie equally far apart."""
    first = _addresses(matrix[: matrix.constant + 1])
    if first is None or len(first) == len(matrix):
        return first
    where = np.concatenate([first[: matrix.constant], np.repeat(first[-1:], len(matrix) - matrix.constant, axis=0)])
    where[matrix.constant :, 0] += matrix.values.strides[1] * np.arange(len(matrix) - matrix.constant)
    return where


def addresses(design: Design) -> Addresses | None:
    """The single columns of a design, and the centre and scale of each; None where the core cannot read one."""
    found = design.of_parts(_addresses)
    if found is None:
        return None
    at: Any = slice(None) if len(found) == design.width else [at for at, part in design.placed() if isinstance(part, Column)]
    fit = np.empty((len(found), 2))
    fit[:, 0] = 0.0 if design.center is None else design.center[at]
    fit[:, 1] = 1.0 if design.scale is None else design.scale[at]
    return found, fit


def _link_code(link: Link) -> int | None:
    if LINKS.get(link.name) is link:
        return _LINKS.index(link.name) if link.name in _LINKS else None
    return _LINKS.index("power") if is_power(link) else None


def place(design: Design, most: int, centred: bool, center: Array, scale: Array, threads: int) -> bool | None:
    """Centre and scale of a design's single columns by up to ``most`` of its rows; whether all are finite, None without the core."""
    columns = None if core is None else addresses(replace(design, center=None, scale=None))
    return None if columns is None else bool(core.place(*columns, design.rows, most, centred, center, scale, threads))


def thin(design: Design, stretches: int, stretch: int, apart: int, threads: int) -> Array | None:
    """Stretches of the rows of a design, unscaled, ``apart`` from the beginning of one to that of the next; None where the core cannot read it."""
    columns = None if core is None or len(design.parts) < design.width else addresses(replace(design, center=None, scale=None))
    if columns is None:
        return None
    out = np.empty((design.width, stretches * stretch))
    core.thin(*columns, design.rows, stretch, apart, threads, out)
    return out.T


def predictors(design: Design, fold: Array, beta: Array, threads: int) -> list[Array] | None:
    """Eta of the rows of each fold by its coefficients, (rows, how many); ``beta`` is (folds, p, how many), and rows of fold -1 are nobody's.

    None where the core cannot read the design.
    """
    columns = None if core is None or not design.single else addresses(design)
    if columns is None:
        return None
    folds, _, many = beta.shape
    ends = np.cumsum(np.bincount(fold[fold >= 0], minlength=folds)) * many
    out = np.empty(int(ends[-1]))
    core.predict(*columns, fold, np.ascontiguousarray(beta), threads, out)
    return [part.reshape(many, -1).T for part in np.split(out, ends[:-1])]


class Plan:
    """Where the parts of a problem lie, ready for the core; keeps the arrays alive."""

    def __init__(self, problem: Problem, columns: Addresses, extra: list[_Column], family: int | None, link: int) -> None:
        self.problem, self.block = problem, block_rows(problem.design.width)
        self.fused = family is not None
        # whether eta alone is made column by column
        self.apart = problem.equations is None and len(columns[0]) > _NARROW and bool((np.abs(columns[0][:, 1]) <= 8).all())
        self.layout = Layout(problem.design)
        self._spare: list[Array] = []
        reference = -1 if problem.reference is None else problem.reference
        parameter = float(problem.family.parameter)
        groups = [(core.address(g.codes), TYPES[g.codes.dtype], g.cells, _times(g.times)) for g in self.layout.groups]
        sparse = (0, 0, 0, 0) if self.layout.sparse is None else (*map(core.address, self.layout.sparse_arrays), len(self.layout.sparse.names))
        self.core = core.Plan(
            *columns, extra, groups, sparse, self.layout.tables, problem.rows, family or 0, parameter, link, float(problem.link.parameter or 0.0),
            problem.equations or 1, reference,
        )  # fmt: skip

    def _outputs(self, order: int) -> tuple[Array, Array, Array, tuple[Array, ...]]:
        """Zeros for the sums: as :meth:`complete` reads them (scalars, score, information), and as the core fills them."""
        p, q = self.layout.stored, self.problem.equations or 1
        shape = (p, core.width(p)) if self.problem.equations is None else (p * (p + 1) // 2, core.pairs(q))
        size, scalars = shape[0] * shape[1], np.zeros(4)
        start = -(-size // 8) * 8  # tables begin on a cache line
        score = np.zeros(q * p + self.layout.cells) if order > 0 else _EMPTY
        information = self._cleared(start + self.layout.tables[-1]) if order > 1 else _EMPTY
        return scalars, score, information, (scalars, score[: q * p], score[q * p :], information[start:], information[:size])

    def _cleared(self, size: int) -> Array:
        """Zeros, in memory that an earlier pass has left: fresh memory costs more than the additions."""
        try:
            out = self._spare.pop()
        except IndexError:
            out = _aligned(size)
        out.fill(0.0)
        return out

    def _complete(self, scalars: Array, score: Array, information: Array, order: int) -> Sums:
        """The core's sums over stored columns and cells as sums over the design's columns."""
        n, weight, deviance, pearson = scalars.tolist()
        if order < 1:
            return Sums(n, weight, deviance, pearson)
        p, q = self.layout.stored, self.problem.equations or 1
        full = None
        if self.problem.equations is not None:
            score = score.reshape(q, p).T
            if order > 1:
                full = _from_pairs(information[: p * (p + 1) // 2 * core.pairs(q)].reshape(-1, core.pairs(q)), p, q)
        else:
            score = self.layout.score(score)
            if order > 1:
                full = self._information(information)
        if order > 1:
            self._spare.append(information)
        return Sums(n, weight, deviance, pearson, score, full)

    def _information(self, flat: Array) -> Any:
        p = self.layout.stored
        size = p * core.width(p)
        stored = np.empty((p, p))
        if p:
            core.symmetric(flat[:size].reshape(p, -1), stored)
        return self.layout.information(stored, flat[-(-size // 8) * 8 :])

    def sum(self, edges: list[int], threads: int, request: Request, block: int | None = None, step: int | None = None) -> Sums:
        """The sums of the rows between the first edge and the last, or of the first ``block`` rows of every ``step`` of them.

        The ranges between edges are what threads share out and what is added in order.
        """
        block = block or (_ROWS_ALONE if self.apart and request.order == 0 else self.block)
        beta, cells = self.layout.split(request.beta)
        scalars, score, information, out = self._outputs(request.order)
        observed, single = INFORMATION[request.information], int(request.arithmetic == "single")
        self.core.sum(edges, threads, block, step or block, beta, cells, request.order, observed, single, *out)
        return self._complete(scalars, score, information, request.order)

    def mixed(self, start: int, stop: int, request: Request, terms: Terms, block: int | None = None, step: int | None = None) -> Sums:
        """The same of one range for row terms that the core does not know: they come from NumPy."""
        block = block or self.block
        turn = block if step is not None and step > block else _ROWS_PER_TURN
        beta, cells = self.layout.split(request.beta)
        scalars, score, information, out = self._outputs(request.order)
        for first in range(start, stop, step if turn == block and step is not None else turn):
            last = min(first + turn, stop)
            eta = self.predictor(first, last, request.beta)
            w = self.problem.vectors(slice(first, last))[1]
            found = terms(self.problem, slice(first, last), eta)
            scalars[:] += (np.count_nonzero(w), w.sum(), found.deviance.sum(), found.pearson.sum())
            if request.order > 0:
                row_weight, row_score = np.ascontiguousarray(found.weight), np.ascontiguousarray(found.score)
                single = int(request.arithmetic == "single")
                self.core.accumulate(first, last, self.block, beta, cells, row_score, row_weight, request.order, single, *out)
        return self._complete(scalars, score, information, request.order)

    def approach(self, beta: Array, curvature: str, information: str, singular: float, enough: float, trace: Array) -> tuple[int, Sums | None]:
        """Newton steps over all rows: moves ``beta``, fills ``trace`` with (deviance, decrement), returns their number and the sums
        where they end.
        """
        scalars, score, flat, out = self._outputs(2)
        kinds = (INFORMATION[curvature], INFORMATION[information])
        made = int(self.core.approach(self.block, beta, kinds[0], singular, enough, trace, kinds[1], *out))
        return made, self._complete(scalars, score, flat, 2) if made else None

    def predictor(self, start: int, stop: int, beta: np.ndarray) -> np.ndarray:
        """Eta of rows [start, stop)."""
        q = self.problem.equations
        eta = np.empty(stop - start if q is None else (stop - start, q))
        self.core.predictor(start, stop, self.block, *self.layout.split(beta), eta)
        return eta

    def terms(self, start: int, stop: int, beta: Array, information: str) -> tuple[Array, Array]:
        """Score factor and information weight of rows [start, stop)."""
        score, weight = np.empty(stop - start), np.empty(stop - start)
        self.core.terms(start, stop, self.block, *self.layout.split(beta), INFORMATION[information], score, weight)
        return score, weight

    def forms(self, start: int, stop: int, half: Array) -> Array:
        """The squared length of half' x for each row x; half is (p, q)."""
        parts = [self.layout.split(column) for column in half.T]
        stored = np.ascontiguousarray(np.array([own for own, _ in parts]).T) if self.layout.stored else np.empty((0, len(parts)))
        out = np.empty(stop - start)
        self.core.forms(start, stop, self.block, stored, np.array([cells for _, cells in parts]).reshape(len(parts), -1), out)
        return out


def _aligned(size: int) -> Array:
    """Room for that many numbers, beginning on a cache line."""
    raw = np.empty(size + 8)
    skip = (-core.address(raw) // 8) % 8
    return raw[skip : skip + size]


def _times(values: Array | None) -> _Column:
    if values is None:
        return _NOTHING
    where = _address(values)
    assert where is not None  # as_vector sees to it
    return (*where, 0.0, 1.0)


def _from_pairs(information: np.ndarray, p: int, q: int) -> np.ndarray:
    """(pairs of columns, pairs of equations) to the symmetric (qp, qp), equations outermost."""
    columns, equations = np.zeros((p, p), dtype=int), np.zeros((q, q), dtype=int)
    for index, size in ((columns, p), (equations, q)):
        i, j = np.triu_indices(size)
        index[i, j] = index[j, i] = np.arange(len(i))
    place = columns[None, :, None, :] * information.shape[1] + equations[:, None, :, None]
    return np.asarray(np.take(information, place).reshape(q * p, q * p))


def deviances(problem: Problem, eta: Array, threads: int) -> Array | None:
    """The deviance of all rows at each column of ``eta``, (rows, how many), or None where the core has not the row terms; the offset is in eta."""
    own = None if problem.equations is not None else plan(problem.constant().change(offset=None))
    if own is None or not own.fused:
        return None
    out = np.empty(eta.shape[1])
    own.core.deviances(np.ascontiguousarray(eta.T), threads, out)
    return out


def plan(problem: Problem) -> Plan | None:
    """A Plan for the problem, or None where the core cannot read it."""
    if core is None:
        return None
    if problem.equations is not None:
        problem = replace(problem, design=stored_design(problem.design))
    columns = addresses(problem.design)
    extra: list[_Column | None] = []
    for values, absent in ((problem.y, 1.0), (problem.weight, 0.0), (problem.offset, 1.0)):
        where = (0, 0, _ONE, 0) if values is None else _address(values)
        extra.append(None if where is None else (*where, absent if values is None else 0.0, 1.0))
    known = [e for e in extra if e is not None]
    if columns is None or len(known) < len(extra):
        return None
    family = problem.family
    own = FAMILIES.get(family.name) is type(family) and family.kernel is not None
    link = _link_code(problem.link)
    if problem.equations is not None:
        return Plan(problem, columns, known, _FAMILIES.index("multinomial"), _LINKS.index("softmax"))
    if own and link is not None:
        return Plan(problem, columns, known, _FAMILIES.index(family.kernel), link)
    return Plan(problem, columns, known, None, 0)
