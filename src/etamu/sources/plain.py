"""A range of rows summed in NumPy: complete for every family, link and column, and the standard for the C++ core."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce

import numpy as np

from etamu.rows import RowTerms, multinomial_terms, row_terms
from etamu.sources.problem import Problem
from etamu.sums import Request, Sums

__all__ = ["add_rows", "gram", "own_terms", "predictor", "total"]


def predictor(problem: Problem, rows: slice, beta: np.ndarray) -> np.ndarray:
    """Eta = X beta + offset of those rows, shape (rows,) or (rows, q)."""
    eta = problem.design.block(rows) @ beta
    if problem.offset is not None:
        offset = np.asarray(problem.offset[rows], dtype=float)
        eta += offset if eta.ndim == 1 else offset[:, None]
    return np.asarray(eta)


def gram(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """X' diag(weight) x, or its (q, q) blocks for weights of shape (n, q, q); equations outermost."""
    if weight.ndim == 1:
        return np.asarray(x.T @ (weight[:, None] * x))
    p, q = x.shape[1], weight.shape[1]
    out = np.empty((q, p, q, p))
    for a in range(q):
        for b in range(a, q):
            block = x.T @ (weight[:, a, b][:, None] * x)
            out[a, :, b, :] = block
            out[b, :, a, :] = block.T
    return out.reshape(q * p, q * p)


def total(problem: Problem, terms: RowTerms, x: np.ndarray, w: np.ndarray, request: Request) -> Sums:
    """Sums of row terms that are already known."""
    with np.errstate(all="ignore"):
        score = x.T @ terms.score if request.order > 0 else None
        information = gram(x, terms.weight) if request.order > 1 else None
    return Sums(float(np.count_nonzero(w)), float(w.sum()), float(terms.deviance.sum()), float(terms.pearson.sum()), score, information)


_SLAB = 512  # rows that are held as a matrix at a time, few enough for caches


def own_terms(information: str) -> Callable[[Problem, slice, np.ndarray], RowTerms]:
    """The row terms of the problem itself."""

    def terms(problem: Problem, rows: slice, eta: np.ndarray) -> RowTerms:
        y, w, _ = problem.vectors(rows)
        if problem.equations is not None:
            return multinomial_terms(y, eta, w, problem.reference)
        return row_terms(problem.family, problem.link, y, eta, w, information)

    return terms


def add_rows(problem: Problem, rows: slice, request: Request, terms: Callable[[Problem, slice, np.ndarray], RowTerms]) -> Sums:
    """The sums of those rows at ``request.beta``."""
    parts = (_one_slab(problem, slice(a, min(a + _SLAB, rows.stop)), request, terms) for a in range(rows.start, rows.stop, _SLAB))
    return reduce(operator.add, parts)


def _one_slab(problem: Problem, rows: slice, request: Request, terms: Callable[[Problem, slice, np.ndarray], RowTerms]) -> Sums:
    _, w, offset = problem.vectors(rows)
    x = problem.design.block(rows)
    with np.errstate(all="ignore"):
        eta = x @ request.beta
    return total(problem, terms(problem, rows, eta + (offset if eta.ndim == 1 else offset[:, None])), x, w, request)
