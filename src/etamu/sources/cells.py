"""Exact compression: rows with the same design become one cell, and the fit runs on the cells.

Rows of one mean mu add to the score, both informations and the deviance only through W = sum w and A = sum w y:

    sum w d(y, mu) = sum w d(y, A/W) + W d(A/W, mu)          (the first sum does not depend on mu)
    sum w (y - mu)^2 / V = [W (A/W - mu)^2 + Q] / V          Q = sum w y^2 - A^2/W

so a cell is a row of response A/W and weight W that carries two more numbers.  Under a log link with V = mu^p an offset need
not be part of the cell: y e^-o with weight w e^((2-p) o) has the same terms without it, so a continuous exposure collapses too.

References: Wong, Forsell, Lewis, Mao & Wardrop (2021), arXiv:2102.11297, for linear models; McCullagh & Nelder (1989), ch. 2.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from etamu.core import core
from etamu.design.columns import Column, Design, Levels
from etamu.sources.groups import row_cells
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem, Within
from etamu.sums import Request

__all__ = ["compress"]

Array = np.ndarray[Any, Any]
_LEAST = 20_000  # rows from which compression is worth a look
_GLANCE, _LOOK = 512, 16_384  # rows looked at first, and then
_ROWS_PER_CELL = 4.0
_NO_ROWS = np.empty(0, dtype=np.int64)


def compress(problem: Problem, wanted: bool | None) -> Problem | None:
    """The problem on its cells; None where there is nothing to gain (or ``wanted`` is False)."""
    if wanted is False or core is None or problem.equations is not None or (wanted is None and problem.rows < _LEAST):
        return None
    folds = problem.offset is None or _folds(problem)
    keys = _keys(problem, folds)
    if keys is None or not (wanted or _promising(keys, problem.rows)):
        return None
    most = problem.rows if wanted else int(problem.rows / (_ROWS_PER_CELL / 2))
    found = _of_codes(keys[0], most) if len(keys) == 1 else _of_rows(keys, most)
    return None if found is None else _collected(problem, *found, folds)


def _of_codes(codes: Array, most: int) -> tuple[Array, Array] | None:
    """Cells told by one small integer: counted, not hashed.  (Cell of each row, one row of each cell.)"""
    if codes.dtype.kind != "u" or codes.dtype.itemsize > 2:
        return _of_rows([codes], most)
    first = np.full(1 << (8 * codes.dtype.itemsize), -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    used = np.flatnonzero(first >= 0)
    place = np.zeros(len(first), dtype=np.int32)
    place[used] = np.arange(len(used))
    return (place[codes], first[used]) if len(used) <= most else None


def _of_rows(keys: list[Array], most: int) -> tuple[Array, Array] | None:
    """Cells told by the values of several columns."""
    cell, first = np.empty(len(keys[0]), dtype=np.int32), np.empty(most, dtype=np.int64)
    count = core.distinct(_addresses(keys), _NO_ROWS, most, cell, first)
    return None if count < 0 else (cell, first[:count])


def _folds(problem: Problem) -> bool:
    """Whether the offset can be taken into y and w: a log link and a power of mu as the variance."""
    return problem.link.name == "log" and _power(problem) is not None


def _power(problem: Problem) -> float | None:
    """P where the variance is mu^p, whoever wrote the family."""
    mu = np.array([1.0, 2.0, 0.1, 7.0, 50.0])
    variance = np.asarray(problem.family.variance(mu), dtype=float)
    p = float(np.log2(variance[1] / variance[0]))
    return round(p, 12) if np.allclose(variance, mu**p, rtol=1e-12) else None


def _keys(problem: Problem, folds: bool) -> list[Array] | None:
    """The arrays whose values tell cells apart, factors as one product; None where a part has none that can be compared."""
    arrays: list[Array] = [] if folds or problem.offset is None else [problem.offset]
    factors: dict[int, tuple[Array, int]] = {}
    for part in problem.design.parts:
        match part:
            case Column(_, None, _):
                continue
            case Column(_, values, _):
                arrays += [] if values is None else [values]
            case Levels(_, codes, slots, times, known):
                factors |= {id(c): (c, n) for c, n in known or ((codes, len(slots)),)}
                arrays += [] if times is None else [times]
            case _:
                return None
    if prod(count for _, count in factors.values()) >= 2**31:
        arrays += [codes for codes, _ in factors.values()]
    elif factors:
        arrays.insert(0, row_cells(list(factors.values())))
    if not arrays or any(a.dtype.itemsize > 8 or a.ndim != 1 for a in arrays):
        return None
    return arrays


def _addresses(keys: list[Array]) -> list[tuple[int, int, int]]:
    return [(core.address(a), a.strides[0], a.dtype.itemsize) for a in keys]


def _promising(keys: list[Array], rows: int) -> bool:
    """Whether a sample's repeats promise enough rows a cell (Chao's estimate of the number of distinct ones)."""
    return _repeats(keys[-1:], rows, _GLANCE) and _repeats(keys, rows, _GLANCE) and _repeats(keys, rows, _LOOK)


def _repeats(keys: list[Array], rows: int, count: int) -> bool:
    """The same from that many rows; from a few, whether any are alike at all."""
    look = np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)
    cell = np.empty(len(look), dtype=np.int32)
    found = core.distinct(_addresses(keys), look, len(look), cell, np.empty(len(look), dtype=np.int64))
    seen = np.bincount(cell, minlength=found)
    once, twice = int((seen == 1).sum()), int((seen == 2).sum())
    if count == _GLANCE:
        return bool(found < len(look))
    distinct = found + once * max(once - 1, 0) / (2.0 * (twice + 1))
    return bool(rows >= _ROWS_PER_CELL * distinct)


def _collected(problem: Problem, cell: Array, first: Array, folds: bool) -> Problem:
    """Cells as rows of a problem without the offset that was folded in."""
    count = len(first)
    y, w, offset = problem.vectors(slice(None))
    used = w != 0
    rows, total = float(np.count_nonzero(used)), float(np.add.reduce(w))
    if problem.offset is not None and folds:
        p = _power(problem)
        assert p is not None
        y, w = y * np.exp(-offset), w * np.exp((2 - p) * offset)
    if rows < len(y):
        y = np.where(used, y, 0.0)
    weight, mean, spread = np.zeros(count), np.zeros(count), np.zeros(count)
    core.cell_sums(cell, np.ascontiguousarray(y), np.ascontiguousarray(w), weight, mean, spread)
    mean = np.where(weight > 0, mean, y[first])
    inside = _within_deviance(problem, y, w, mean, cell)
    design = Design(problem.design.over(lambda values: values[first]), count, problem.design.center, problem.design.scale)
    kept = None if problem.offset is None or folds else np.asarray(problem.offset)[first]
    return replace(problem, design=design, y=mean, weight=weight, offset=kept, frequency=None, within=Within(spread, inside, rows, total))


def _within_deviance(problem: Problem, y: Array, w: Array, mean: Array, cell: Array) -> float:
    """Sum w d(y, cell's mean): the deviance of a model without columns whose offset is the cell's predictor.

    A cell whose mean lies at the edge of the family's means holds that value only, and adds nothing.
    """
    with np.errstate(all="ignore"):
        eta = np.asarray(problem.link.eta(mean), dtype=float)
    inside = np.isfinite(eta)
    eta = np.where(inside, eta, eta[inside][0] if inside.any() else 0.0)
    alone = Problem(Design((), len(y)), y, problem.family, problem.link, w if inside.all() else np.where(inside[cell], w, 0.0), eta[cell])
    return Memory(alone).sum(Request(np.zeros(0), 0)).deviance
