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
from typing import Any

import numpy as np

from etamu.core import core
from etamu.design.columns import Column, Design, Levels
from etamu.sources.problem import Problem, Within

__all__ = ["compress"]

Array = np.ndarray[Any, Any]
_LEAST = 20_000  # rows from which compression is worth a look
_LOOK = 16_384  # rows looked at first
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
    cell, first = np.empty(problem.rows, dtype=np.int32), np.empty(most, dtype=np.int64)
    count = core.distinct(keys, _NO_ROWS, most, cell, first)
    return None if count < 0 else _collected(problem, cell, first[:count], folds)


def _folds(problem: Problem) -> bool:
    """Whether the offset can be taken into y and w: a log link and a power of mu as the variance."""
    return problem.link.name == "log" and _power(problem) is not None


def _power(problem: Problem) -> float | None:
    """P where the variance is mu^p, whoever wrote the family."""
    mu = np.array([1.0, 2.0, 0.1, 7.0, 50.0])
    variance = np.asarray(problem.family.variance(mu), dtype=float)
    p = float(np.log2(variance[1] / variance[0]))
    return round(p, 12) if np.allclose(variance, mu**p, rtol=1e-12) else None


def _keys(problem: Problem, folds: bool) -> list[tuple[int, int, int]] | None:
    """Where the values lie that tell cells apart; None where a part has none that can be compared."""
    arrays: list[Array] = [] if folds or problem.offset is None else [problem.offset]
    for part in problem.design.parts:
        match part:
            case Column(_, None, _):
                continue
            case Column(_, values, _):
                arrays += [] if values is None else [values]
            case Levels(_, codes, _, times, _):
                arrays += [codes] if times is None else [codes, times]
            case _:
                return None
    if any(a.dtype.itemsize > 8 or a.ndim != 1 for a in arrays):
        return None
    return [(int(a.__array_interface__["data"][0]), a.strides[0], a.dtype.itemsize) for a in arrays]


def _promising(keys: list[tuple[int, int, int]], rows: int) -> bool:
    """Whether a sample's repeats promise enough rows a cell (Chao's estimate of the number of distinct ones)."""
    look = np.linspace(0, rows - 1, min(rows, _LOOK)).astype(np.int64)
    cell = np.empty(len(look), dtype=np.int32)
    found = core.distinct(keys, look, len(look), cell, np.empty(len(look), dtype=np.int64))
    seen = np.bincount(cell, minlength=found)
    once, twice = int((seen == 1).sum()), int((seen == 2).sum())
    distinct = found + once * max(once - 1, 0) / (2.0 * (twice + 1))
    return bool(rows >= _ROWS_PER_CELL * distinct)


def _collected(problem: Problem, cell: Array, first: Array, folds: bool) -> Problem:
    """Cells as rows of a problem without the offset that was folded in."""
    count = len(first)
    y, w, offset = problem.vectors(slice(None))
    used = w != 0
    total = np.array([float(np.count_nonzero(used)), float(w.sum())])
    if problem.offset is not None and folds:
        p = _power(problem)
        assert p is not None
        y, w = y * np.exp(-offset), w * np.exp((2 - p) * offset)
    y = np.where(used, y, 0.0)
    weight = np.bincount(cell, weights=w, minlength=count)
    with np.errstate(all="ignore"):
        mean = np.bincount(cell, weights=w * y, minlength=count) / weight
    mean = np.where(weight > 0, mean, y[first])
    spread = np.bincount(cell, weights=w * (y - mean[cell]) ** 2, minlength=count)
    inside = _within_deviance(problem, y, w, mean[cell])
    design = Design(problem.design.over(lambda values: values[first]), count, problem.design.center, problem.design.scale)
    kept = None if problem.offset is None or folds else np.asarray(problem.offset)[first]
    return replace(problem, design=design, y=mean, weight=weight, offset=kept, frequency=None, within=Within(spread, inside, total[0], total[1]))


def _within_deviance(problem: Problem, y: Array, w: Array, mean: Array) -> float:
    """Sum w d(y, cell's mean); rows that are their cell's mean add nothing, whatever the mean is."""
    rows = np.flatnonzero((w != 0) & (y != mean))
    total = 0.0
    for a in range(0, len(rows), 1 << 16):
        r = rows[a : a + (1 << 16)]
        with np.errstate(all="ignore"):
            total += float((w[r] * problem.family.unit_deviance(y[r], mean[r])).sum())
    return total
