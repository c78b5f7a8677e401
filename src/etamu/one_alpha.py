"""The solution at one alpha, without the path to it: straight there, by a sample of the rows, or past a few larger alphas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from etamu.core import cores
from etamu.design.columns import Column
from etamu.penalised import Engine, Prepared, alphas_from
from etamu.solvers.abreast import Abreast
from etamu.solvers.points import Point
from etamu.sources import native
from etamu.sources.access import is_narrow
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.starting import approach, default_start

__all__ = ["solve_at"]

Array = np.ndarray[Any, Any]
_ALONE = (1e-19, 1e-15)  # share of the objective that may be left above its minimum, where one solution is asked for: of few numbers, of many
_MANY = 500_000
_ROUGH = 1e-5  # the same on the way to it
_SAMPLED, _SAMPLE_ROWS = 16, 12  # a sample is a row in so many, and so many rows per column at least
_STRETCH = 128  # neighbouring rows: more of them are read faster, and fewer stretches tell less of sorted data
_NEAR_MOST = 400  # coefficients of which a sample's likelihood solution is worth its passes
_STEPS = 12  # alphas on the way to one that is asked for alone, at most
_APART = (0.4, 0.7)  # how far they are from each other, in logarithms: of all rows, and of a sample


def problem_size(problem: Problem | Streamed) -> int:
    """How many numbers X has."""
    return problem.rows * problem.design.width


def solve_at(prepared: Prepared, alpha: float) -> Point:
    """The solution at one alpha: straight there, or column by column down a short path."""
    found = _by_sample(prepared, alpha)
    if found is not None:
        return found
    pieces = prepared.pieces
    straight = prepared.solver == "gramwise" and pieces.concave is None
    engine = prepared.engine(_near(prepared) if straight else None)
    if not straight:
        engine.begin()
    engine.left = _ALONE[problem_size(prepared.problem) > _MANY]
    if straight or pieces.concave is not None or not pieces.l1.any():
        return engine.at(alpha)
    return _down_to(engine, alpha, _APART[0])


def _down_to(engine: Engine, alpha: float, apart: float) -> Point:
    """The solution at alpha by rough ones at a few larger alphas."""
    first = engine.first_alpha()
    if alpha < first:
        count = int(min(_STEPS, 1 + math.ceil(math.log(first / max(alpha, 1e-12 * first)) / apart)))
        left, engine.left = engine.left, _ROUGH
        for a in alphas_from(first, count + 1, max(alpha, 1e-12 * first) / first)[1:-1]:
            engine.pass_by(float(a))
        engine.left = left
    return engine.at(alpha)


def _by_sample(prepared: Prepared, alpha: float) -> Point | None:
    """For many rows of each column: the rough solution of a sample of the rows, and from there straight to the solution of all."""
    problem = prepared.problem
    if not isinstance(problem, Problem) or prepared.solver != "columnwise" or prepared.pieces.concave is not None or problem.within is not None:
        return None
    count = max(problem.rows // _SAMPLED, _SAMPLE_ROWS * problem.design.width)
    if 2 * count > problem.rows or not is_narrow(problem):
        return None
    some = _some_rows(problem, count, prepared.control.threads or cores())
    if some.weight is not None and not np.count_nonzero(some.weight) > 0.5 * count:  # the rows that count lie elsewhere
        return None
    rough = prepared.on(some).columns()
    rough.begin()
    rough.left = _ROUGH
    start = _down_to(rough, alpha * math.sqrt(problem.rows / count), _APART[1])  # below that a sample fits its own noise
    engine = prepared.columns()
    assert isinstance(engine, Abreast)  # as is_narrow says
    engine.left = _ALONE[True]
    engine.start(rough, replace(start, alpha=alpha))
    return engine.at(alpha)


def _some_rows(problem: Problem, count: int, threads: int) -> Problem:
    """About so many of the rows, in stretches spread evenly over the whole."""
    stretch = min(_STRETCH, problem.rows)
    starts = max(1, count // stretch)
    apart = problem.rows // starts

    def of(values: Array) -> Array:
        """Stretch by stretch: one by one they would take as long as all of the values."""
        step = values.strides[0]
        return np.lib.stride_tricks.as_strided(values, (starts, stretch), (apart * step, step), writeable=False).ravel()

    def some(values: Array | None) -> Array | None:
        return None if values is None else of(values)

    whole = problem.design
    found = native.thin(whole, starts, stretch, apart, threads)
    if found is None:
        parts = whole.over(of)
    else:
        parts = tuple(part if part.values is None else Column(part.name, found[:, j]) for j, part in enumerate(whole.parts) if isinstance(part, Column))
    design = replace(whole, parts=parts, rows=starts * stretch)
    fields = {name: some(getattr(problem, name)) for name in ("y", "weight", "offset", "frequency")}
    return problem.change(design=design, **fields)


def _near(prepared: Prepared) -> Array | None:
    """For many rows the rough likelihood solution of a sample of them, which a penalised one is nearer to than the constant; else None."""
    problem, control = prepared.problem, prepared.control
    if problem.equations is not None or problem.design.width > _NEAR_MOST or prepared.quadratic or prepared.bounds.any:
        return None
    source = open_source(problem, control.threads)
    start = default_start(problem, source, prepared.intercept)
    near = np.asarray(approach(source, problem, start, control.information, control).beta, dtype=float)
    return near if np.isfinite(near).all() else start
