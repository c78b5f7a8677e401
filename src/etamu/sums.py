"""What one pass over the rows is asked for, and what it returns: the only words sources and solvers exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Objective", "Request", "Sums", "triangular"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Request:
    """One pass at ``beta``.

    Parameters
    ----------
    beta : coefficients, shape (p,) or (p, q).
    order : 0 the deviance, 1 also the score, 2 also the information.
    information : "expected" or "observed".
    arithmetic : "double"; "single" for a Gram of float32 products summed in float64 (steps only, never reported); or
        "extended" for residuals, deviance and score in the machine's long double (form "factor" only).
    form : "gram" for X'WX, or "factor" for the triangular R of W^(1/2) [X, z] (ill-conditioned X; a mergeable QR).
    """

    beta: Array
    order: int = 2
    information: str = "expected"
    arithmetic: str = "double"
    form: str = "gram"


@dataclass(frozen=True)
class Sums:
    """Sums over rows: addable, so that any split of the rows gives the same whole.

    ``score`` has shape (p,) or (p, q); ``information`` (pq, pq) with equations outermost, or the (p+1, p+1) R factor.
    """

    n: float
    sum_weight: float
    deviance: float
    pearson: float
    score: Array | None = None
    information: Array | None = None
    form: str = "gram"

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n,
            self.sum_weight + other.sum_weight,
            self.deviance + other.deviance,
            self.pearson + other.pearson,
            None if self.score is None or other.score is None else self.score + other.score,
            _merge(self.information, other.information, self.form),
            self.form,
        )


def _merge(a: Array | None, b: Array | None, form: str) -> Array | None:
    """Grams add; R factors merge by the QR of one on top of the other."""
    if a is None or b is None:
        return None
    return a + b if form == "gram" else triangular(np.vstack([a, b]))


def triangular(a: np.ndarray) -> np.ndarray:
    """R of a QR factorisation; LAPACK's in double, twice-iterated Gram-Schmidt in long double (which LAPACK has not)."""
    if a.dtype == np.float64:
        return np.asarray(np.linalg.qr(a, mode="r"))
    width = a.shape[1]
    q, r = a.copy(), np.zeros((width, width), dtype=a.dtype)
    for j in range(width):
        for _ in range(2):
            overlap = q[:, :j].T @ q[:, j]
            q[:, j] -= q[:, :j] @ overlap
            r[:j, j] += overlap
        r[j, j] = np.sqrt(q[:, j] @ q[:, j])
        if r[j, j] > 0:
            q[:, j] /= r[j, j]
    return r


Objective = Callable[[Request], Sums]
