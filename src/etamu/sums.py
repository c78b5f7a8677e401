"""What one pass over the rows is asked for, and what it returns: the only words sources and solvers exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Arrow", "Objective", "Request", "Sums", "triangular"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Request:
    """One pass at ``beta``.

    Parameters
    ----------
    beta : coefficients, shape (p,) or (p, q).
    order : 0 the deviance, 1 also the score, 2 also the information.
    information : "expected", "observed", or "curved": observed, but at least a tenth of expected in each row (for steps).
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
class Arrow:
    """A symmetric matrix with a large diagonal block: the levels of one factor, which share no row with each other.

    Columns ``start`` to ``start + m`` have the diagonal ``head`` (m,) and meet the r others in ``border`` (m, r); those
    meet each other in ``core`` (r, r).  So m + m r + r^2 numbers stand for (m + r)^2.
    """

    head: Array
    border: Array
    core: Array
    start: int

    def __len__(self) -> int:
        return len(self.head) + len(self.core)

    def __add__(self, other: Arrow) -> Arrow:
        return Arrow(self.head + other.head, self.border + other.border, self.core + other.core, self.start)

    def __sub__(self, other: Arrow) -> Arrow:
        return Arrow(self.head - other.head, self.border - other.border, self.core - other.core, self.start)

    def __rmul__(self, factor: float) -> Arrow:
        return Arrow(factor * self.head, factor * self.border, factor * self.core, self.start)

    def __matmul__(self, x: Array) -> Array:
        head, rest = self.parted(x)
        return self.joined(self.head * head + self.border @ rest, self.border.T @ head + self.core @ rest)

    def parted(self, x: Array) -> tuple[Array, Array]:
        """The entries of the large block, and the others."""
        stop = self.start + len(self.head)
        return x[self.start : stop], np.concatenate([x[: self.start], x[stop:]])

    def joined(self, head: Array, rest: Array) -> Array:
        """The inverse of ``parted``."""
        return np.concatenate([rest[: self.start], head, rest[self.start :]])

    def diagonal(self) -> Array:
        return self.joined(self.head, np.diagonal(self.core))

    def plus(self, diagonal: Array) -> Arrow:
        """With a vector added to the diagonal."""
        head, rest = self.parted(diagonal)
        return Arrow(self.head + head, self.border, self.core + np.diag(rest), self.start)

    def finite(self) -> bool:
        return bool(np.isfinite(self.head).all() and np.isfinite(self.border).all() and np.isfinite(self.core).all())

    def dense(self) -> Array:
        """All (m + r)^2 entries."""
        size, stop = len(self), self.start + len(self.head)
        rest = np.r_[0 : self.start, stop:size]
        out = np.zeros((size, size))
        out[np.ix_(rest, rest)] = self.core
        out[self.start : stop, rest] = self.border
        out[rest, self.start : stop] = self.border.T
        index = np.arange(self.start, stop)
        out[index, index] = self.head
        return out


@dataclass(frozen=True)
class Sums:
    """Sums over rows: addable, so that any split of the rows gives the same whole.

    ``score`` has shape (p,) or (p, q); ``information`` (pq, pq) with equations outermost, an :class:`Arrow` of that size for
    a design with a large factor, or the (p+1, p+1) R factor.
    """

    n: float
    sum_weight: float
    deviance: float
    pearson: float
    score: Array | None = None
    information: Any = None  # an array, or an Arrow
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


def _merge(a: Any, b: Any, form: str) -> Any:
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
    noise = 64 * np.finfo(a.dtype).eps * np.sqrt((a * a).sum(axis=0))  # what rounding leaves of a column that earlier ones give
    for j in range(width):
        for _ in range(2):
            overlap = q[:, :j].T @ q[:, j]
            q[:, j] -= q[:, :j] @ overlap
            r[:j, j] += overlap
        length = np.sqrt(q[:, j] @ q[:, j])
        r[j, j] = length if length > noise[j] else 0.0
        q[:, j] = q[:, j] / length if length > noise[j] else 0.0  # a direction made of noise would not be orthogonal to the others
    return r


Objective = Callable[[Request], Sums]
