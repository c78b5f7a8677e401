"""A range of rows summed by the C++ core, when it was built and knows the columns.

The core has row terms for the built-in families and links; for any other family the rows come from ``rows.py``
and only the predictor and the two matrix sums are native.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.core import core
from etamu.families import FAMILIES
from etamu.links import LINKS, Link, is_power
from etamu.rows import row_terms
from etamu.sources.problem import Problem, block_rows
from etamu.sums import Request, Sums

__all__ = ["Plan", "available", "instruction_set", "plan"]

_TYPES = {"f8": 0, "f4": 1, "i1": 2, "i2": 3, "i4": 4, "i8": 5, "u1": 6, "u2": 7, "u4": 8, "u8": 9, "b1": 10}
_ONE, _LEVEL = 11, 12
_FAMILIES = ("gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "tweedie", "negative_binomial", "multinomial")
_LINKS = ("identity", "log", "logit", "probit", "cloglog", "loglog", "cauchit", "inverse", "inverse_squared", "sqrt", "power", "softmax")
_ROWS_PER_TURN = 8192  # rows whose terms are computed in NumPy at a time


def available() -> bool:
    """Whether the C++ core was built."""
    return core is not None


def instruction_set() -> str:
    """The kernels in use, e.g. "x86-64-v4", or "numpy"."""
    return core.instruction_set() if core is not None else "numpy"


def _address(values: np.ndarray[Any, Any], center: float, scale: float) -> tuple[int, int, int, int, float, float] | None:
    kind = _TYPES.get(values.dtype.str[1:]) if values.dtype.isnative else None
    if kind is None or values.ndim != 1:
        return None
    return (values.__array_interface__["data"][0], values.strides[0], kind, 0, center, scale)


def _columns(problem: Problem) -> list[tuple[int, int, int, int, float, float]] | None:
    design = problem.design
    center = [0.0] * design.width if design.center is None else design.center.tolist()
    scale = [1.0] * design.width if design.scale is None else design.scale.tolist()
    out: list[tuple[int, int, int, int, float, float]] = []
    for column, c, s in zip(design.columns, center, scale, strict=True):
        if column.values is None:
            out.append((0, 0, _ONE, 0, c, s))
            continue
        where = _address(column.values, c, s)
        if where is None or (column.level is not None and where[2] != _TYPES["i4"]):
            return None
        out.append(where if column.level is None else (*where[:2], _LEVEL, column.level, c, s))
    return out


def _link_code(link: Link) -> int | None:
    if LINKS.get(link.name) is link:
        return _LINKS.index(link.name) if link.name in _LINKS else None
    return _LINKS.index("power") if is_power(link) else None


class Plan:
    """Where the columns of a problem lie, ready for the core; keeps the arrays alive."""

    def __init__(self, problem: Problem, columns: list[Any], extra: list[Any], family: int | None, link: int) -> None:
        self.problem, self.block = problem, block_rows(problem.design.width)
        self.fused = family is not None
        reference = -1 if problem.reference is None else problem.reference
        parameter = float(problem.family.parameter)
        self.core = core.Plan(
            columns, extra, problem.rows, family or 0, parameter, link, float(problem.link.parameter or 0.0), problem.equations or 1, reference
        )

    def _outputs(self, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p, q = self.problem.design.width, self.problem.equations or 1
        score = np.zeros((q, p)) if order > 0 else np.empty((0, 0))
        shape = (p, core.width(p)) if self.problem.equations is None else (p * (p + 1) // 2, core.pairs(q))
        information = np.zeros(shape) if order > 1 else np.empty((0, 0))
        return np.zeros(4), score, information

    def _finish(self, out: tuple[np.ndarray, np.ndarray, np.ndarray], order: int) -> Sums:
        scalars, score, information = out
        n, weight, deviance, pearson = scalars.tolist()
        multi = self.problem.equations is not None
        return Sums(
            n,
            weight,
            deviance,
            pearson,
            None if order < 1 else (score.T if multi else score[0]),
            None if order < 2 else information,
        )

    def complete(self, sums: Sums) -> Sums:
        """Turn the core's padded upper triangles into the full symmetric information."""
        if sums.information is None:
            return sums
        p, q = self.problem.design.width, self.problem.equations or 1
        if self.problem.equations is None:
            full = np.empty((p, p))
            core.symmetric(sums.information, full)
        else:
            full = _from_pairs(sums.information, p, q)
        return Sums(sums.n, sums.sum_weight, sums.deviance, sums.pearson, sums.score, full)

    def add_rows(self, start: int, stop: int, request: Request, block: int | None = None, step: int | None = None) -> Sums:
        """The sums of rows [start, stop), or of the first ``block`` rows of every ``step`` of them."""
        block = block or self.block
        beta = np.ascontiguousarray(request.beta, dtype=float)
        out = self._outputs(request.order)
        single = int(request.arithmetic == "single")
        if self.fused:
            self.core.run(start, stop, block, step or block, beta, request.order, int(request.information == "observed"), single, *out)
            return self._finish(out, request.order)
        return self._mixed(start, stop, request, beta, block, step or block, single, out)

    def _mixed(self, start: int, stop: int, request: Request, beta: np.ndarray, block: int, step: int, single: int, out: Any) -> Sums:
        turn = block if step > block else _ROWS_PER_TURN
        hop = step if step > block else turn
        for first in range(start, stop, hop):
            last = min(first + turn, stop)
            eta = self.predictor(first, last, beta)
            y, w, _ = self.problem.vectors(slice(first, last))
            terms = row_terms(self.problem.family, self.problem.link, y, eta, w, request.information)
            out[0][:] += (np.count_nonzero(w), w.sum(), terms.deviance.sum(), terms.pearson.sum())
            if request.order > 0:
                self.accumulate(first, last, beta, terms.score, terms.weight, request.order, single, out)
        return self._finish(out, request.order)

    def accumulate(self, first: int, last: int, beta: np.ndarray, score: np.ndarray, weight: np.ndarray, order: int, single: int, out: Any) -> None:
        """Add score and information of rows whose terms are known."""
        self.core.accumulate(first, last, self.block, beta, np.ascontiguousarray(score), np.ascontiguousarray(weight), order, single, *out)

    def predictor(self, start: int, stop: int, beta: np.ndarray) -> np.ndarray:
        """Eta of rows [start, stop)."""
        q = self.problem.equations
        eta = np.empty(stop - start if q is None else (stop - start, q))
        self.core.predictor(start, stop, self.block, np.ascontiguousarray(beta, dtype=float), eta)
        return eta


def _from_pairs(information: np.ndarray, p: int, q: int) -> np.ndarray:
    """(pairs of columns, pairs of equations) to the symmetric (qp, qp), equations outermost."""
    columns, equations = np.zeros((p, p), dtype=int), np.zeros((q, q), dtype=int)
    for index, size in ((columns, p), (equations, q)):
        i, j = np.triu_indices(size)
        index[i, j] = index[j, i] = np.arange(len(i))
    full = information[columns[None, :, None, :], equations[:, None, :, None]]
    return np.asarray(full.reshape(q * p, q * p))


def plan(problem: Problem) -> Plan | None:
    """A Plan for the problem, or None where the core cannot read it."""
    if core is None:
        return None
    columns = _columns(problem)
    extra = []
    for values, absent in ((problem.y, 1.0), (problem.weight, 0.0), (problem.offset, 1.0)):
        where = (0, 0, _ONE, 0, absent, 1.0) if values is None else _address(values, 0.0, 1.0)
        extra.append(where)
    if columns is None or any(w is None for w in extra):
        return None
    family = problem.family
    own = FAMILIES.get(family.name) is type(family) and family.kernel is not None
    link = _link_code(problem.link)
    if problem.equations is not None:
        return Plan(problem, columns, extra, _FAMILIES.index("multinomial"), _LINKS.index("softmax"))
    if own and link is not None:
        return Plan(problem, columns, extra, _FAMILIES.index(family.kernel), link)
    return Plan(problem, columns, extra, None, 0)
