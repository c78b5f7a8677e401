"""The triangular factor of W^(1/2) [X, z]: information for designs whose Gram matrix would lose too many digits.

R factors of row ranges merge by another QR (TSQR), so this too is a sum over rows.  The last column carries the
working residual z = (y - mu)/mu', so that the step solves a least-squares problem and never forms X'WX.

Reference: Demmel, Grigori, Hoemmen & Langou (2012), SIAM J. Sci. Comput. 34, doi:10.1137/080731992.
"""

from __future__ import annotations

import numpy as np

from etamu.rows import row_terms
from etamu.sources.problem import Problem
from etamu.sums import Request, Sums, triangular

__all__ = ["factor_rows"]


def factor_rows(problem: Problem, rows: slice, request: Request) -> Sums:
    """The sums of those rows with the information as an R factor of shape (p + 1, p + 1)."""
    total: Sums | None = None
    slab = max(4 * (problem.design.width + 1), 2048)
    for first in range(rows.start, rows.stop, slab):
        part = _one_slab(problem, slice(first, min(first + slab, rows.stop)), request)
        total = part if total is None else total + part
    assert total is not None
    return total


def _one_slab(problem: Problem, rows: slice, request: Request) -> Sums:
    number = np.longdouble if request.arithmetic == "extended" else np.float64
    y, w, offset = problem.vectors(rows)
    x = problem.design.block(rows, number)
    with np.errstate(all="ignore"):
        terms = row_terms(problem.family, problem.link, y.astype(number), x @ request.beta.astype(number) + offset, w.astype(number), "expected")
        root = np.sqrt(np.where(terms.weight > 0, terms.weight, 0.0))
        z = np.where(root > 0, terms.score / root, 0.0)
        score = x.T @ terms.score
    width = problem.design.width + 1
    stacked = np.zeros((max(len(y), width), width), dtype=number)
    stacked[: len(y), :-1] = root[:, None] * x
    stacked[: len(y), -1] = z
    triangle = triangular(stacked) if np.isfinite(stacked).all() else np.full((width, width), np.nan)
    return Sums(float(np.count_nonzero(w)), float(w.sum()), float(terms.deviance.sum()), float(terms.pearson.sum()), score, triangle, "factor")
