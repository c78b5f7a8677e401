"""The coefficients as penalties see them: names, terms, which are free, the spread of their columns, and the levels that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.design.columns import Column, Levels, Sparse
from etamu.design.encode import DesignSpec, term_columns
from etamu.penalties import Columns
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["columns_of"]

Array = np.ndarray[Any, Any]


def columns_of(problem: Problem | Streamed, spec: DesignSpec | None, intercept: bool, spread: bool) -> Columns:
    """The coefficients as penalties see them; ``spread`` asks for the columns' standard deviations, which cost a pass."""
    names = tuple(problem.design.names)
    spreads = _spread(problem) if spread else np.ones(len(names))
    free = (0,) if intercept else ()
    if spec is None:
        return Columns(names, free, spreads)
    terms = {t: tuple(at) for t, at in term_columns(spec).items()}
    return Columns(names, free, spreads, terms, _chains(spec, terms))


def _chains(spec: DesignSpec, terms: dict[str, tuple[int, ...]]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """For each factor that is a term by itself in treatment coding: its levels from the base upwards, and downwards."""
    out: dict[str, tuple[tuple[int, ...], ...]] = {}
    for node, factor in spec.factors:
        for name, at in terms.items():
            if len(at) == factor.count - 1 - factor.missing * 0 and name == _written(node) and factor.contrast == "treatment":
                below, above = at[: factor.base][::-1], at[factor.base : len(factor.levels) - 1]
                out[name] = tuple(chain for chain in (above, below) if chain)
    return out


def _written(node: Any) -> str:
    from etamu.design.parser import write

    return write(node)


def _spread(problem: Problem | Streamed) -> Array:
    """Weighted standard deviation of each column, by two sums over the rows about a value among them."""
    width = problem.design.width
    total, first, second = 0.0, np.zeros(width), np.zeros(width)
    about: Array | None = None
    for part in problem.batches():
        plain = part.design.standardised(None, None)  # type: ignore[arg-type]
        if any(isinstance(p, (Levels, Sparse)) for p in plain.parts) and width > 2_000:
            total, first, second = _sparse_moments(part, plain, total, first, second)
            about = np.zeros(width)
            continue
        for a in range(0, part.rows, 4096):
            rows = slice(a, min(a + 4096, part.rows))
            x: Array = plain.block(rows)
            w = part.vectors(rows)[1]
            about = np.asarray(x.mean(axis=0)) if about is None else about
            x -= about
            total += float(w.sum())
            first += w @ x
            second += w @ (x * x)
    return np.asarray(np.sqrt(np.maximum(second / total - (first / total) ** 2, 0.0)))


def _sparse_moments(part: Problem, design: Any, total: float, first: Array, second: Array) -> tuple[float, Array, Array]:
    """The same about 0, column part by column part, for designs too wide to be written out."""
    w = part.vectors(slice(0, part.rows))[1]
    for at, p in design.placed():
        if isinstance(p, Column):
            column = np.empty((part.rows, 1))
            p.read(slice(0, part.rows), column)
            first[at] += float(w @ column[:, 0])
            second[at] += float(w @ column[:, 0] ** 2)
        elif isinstance(p, Levels):
            slot = p.slots[p.codes]
            used = slot >= 0
            x = np.ones(part.rows) if p.times is None else np.asarray(p.times, dtype=float)
            first[at : at + len(p.names)] += np.bincount(slot[used], (w * x)[used], minlength=len(p.names))
            second[at : at + len(p.names)] += np.bincount(slot[used], (w * x * x)[used], minlength=len(p.names))
        else:
            row = np.repeat(np.arange(part.rows), np.diff(p.indptr))
            first[at : at + len(p.names)] += np.bincount(p.indices, w[row] * p.data, minlength=len(p.names))
            second[at : at + len(p.names)] += np.bincount(p.indices, w[row] * p.data**2, minlength=len(p.names))
    return total + float(w.sum()), first, second
