"""Solving with an information matrix: scaled Cholesky of a Gram, or the R of a QR; each says how near singular it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu.core import core, cores
from etamu.sums import Arrow, Sums

__all__ = [
    "SINGULAR",
    "Factorised",
    "FactorisedArrow",
    "aliased_columns",
    "aliased_of_gram",
    "damped",
    "dependent_columns",
    "effective_df",
    "factorise",
    "ridged",
]

Array = np.ndarray[Any, np.dtype[np.float64]]

# A squared pivot of the unit-diagonal Gram below this loses half the digits of the covariance: use a QR instead.
SINGULAR = 1e-9
_SINGLE_SINGULAR = 1e-4
_FILLED = 0.15  # share of entries up to which a border counts as sparse
_LARGE = 1024  # columns from which threaded LAPACK beats the core's one thread


@dataclass(frozen=True)
class Factorised:
    """H = D^-1 (R' R) D^-1 * weight with R upper triangular; ``pivot`` is the smallest squared pivot of the scaled matrix."""

    scale: Array
    triangle: Array
    pivot: float
    target: Array | None = None
    weight: float = 1.0

    def solve(self, score: Array) -> Array:
        """H^-1 score; with a QR of [X, z] the least-squares solution, which never squares the condition."""
        if self.target is not None:
            return self.scale * _upper(self.triangle, self.target)
        if core is not None and len(score) <= _LARGE:
            x = np.array(score)
            core.solve(self.triangle, self.scale, self.weight, x)
            return x
        return self.scale * _upper(self.triangle, _upper(self.triangle, self.scale * score, transposed=True)) / self.weight

    def quadratic_form(self, x: Array) -> float:
        """X' H^-1 x."""
        if core is not None and len(x) <= _LARGE:
            return float(core.quadratic(self.triangle, self.scale, np.ascontiguousarray(x))) / self.weight
        half = _upper(self.triangle, self.scale * x, transposed=True)
        return float(half @ half) / self.weight

    def half_inverse(self) -> Array:
        """A matrix M with M M' = H^-1, so that x' H^-1 x is the squared length of M' x."""
        half = _upper(self.triangle, np.eye(len(self.scale)))
        return np.asarray(self.scale[:, None] * half / np.sqrt(self.weight))

    def inverse(self) -> Array:
        """H^-1."""
        p = len(self.scale)
        if core is not None and p <= _LARGE:
            out = np.empty((p, p))
            core.inverse(self.triangle, self.scale, np.empty((p, p)), out)
        else:
            half = _upper(self.triangle, np.diag(self.scale), transposed=True)
            out = half.T @ half
        return out if self.weight == 1.0 else out / self.weight

    def inverse_diagonal(self) -> Array:
        """The diagonal of H^-1."""
        return np.diagonal(self.inverse())

    def weighted(self, weight: float) -> Factorised:
        """The factor of weight * H."""
        return replace(self, weight=self.weight * weight)


@dataclass(frozen=True)
class FactorisedArrow:
    """The factor of an Arrow: its large diagonal is eliminated, and the Schur complement of the rest is a small Cholesky."""

    arrow: Arrow
    rest: Factorised
    pivot: float
    weight: float = 1.0

    @property
    def scale(self) -> Array:
        """1/sqrt of the diagonal."""
        return 1.0 / np.sqrt(self.arrow.diagonal())

    def solve(self, score: Array) -> Array:
        """H^-1 score."""
        a = self.arrow
        head, rest = a.parted(score)
        x = self.rest.solve(rest - a.border.T @ (head / a.head))
        return a.joined((head - a.border @ x) / a.head, x) / self.weight

    def quadratic_form(self, x: Array) -> float:
        """X' H^-1 x."""
        return float(x @ self.solve(x))

    def inverse_diagonal(self) -> Array:
        """The diagonal of H^-1, without the rest of it."""
        a = self.arrow
        small = self.rest.inverse()
        part = a.border / a.head[:, None]
        if _sparse(part):
            forms = np.empty(len(part))
            core.quadratic_forms(np.ascontiguousarray(part), small, cores(), forms)
        else:
            forms = np.einsum("ij,ij->i", part @ small, part)
        return a.joined(1.0 / a.head + forms, np.diagonal(small)) / self.weight

    def inverse(self) -> Array:
        """H^-1, every entry of it."""
        a = self.arrow
        small = self.rest.inverse()
        part = a.border / a.head[:, None]
        cross = -part @ small
        head = -cross @ part.T
        head[np.diag_indices(len(head))] += 1.0 / a.head
        size, stop = len(a), a.start + len(a.head)
        rest = np.r_[0 : a.start, stop:size]
        out = np.empty((size, size))
        out[a.start : stop, a.start : stop] = head
        out[a.start : stop, rest] = cross
        out[rest, a.start : stop] = cross.T
        out[np.ix_(rest, rest)] = small
        return out / self.weight

    def weighted(self, weight: float) -> FactorisedArrow:
        """The factor of weight * H."""
        return replace(self, weight=self.weight * weight)


def _upper(triangle: Array, b: Array, transposed: bool = False) -> Array:
    """Solve R x = b or R' x = b."""
    from scipy.linalg.lapack import dtrtrs

    x, _ = dtrtrs(triangle.T, b, lower=1, trans=int(not transposed))  # the transpose lies as LAPACK reads it, so nothing is copied
    return np.asarray(x)


def factorise(sums: Sums, single: bool = False) -> Factorised | FactorisedArrow | None:
    """The factor of ``sums.information``, or None where it is not positive definite to working accuracy."""
    information = sums.information
    if information is None:
        return None
    if isinstance(information, Arrow):
        return _from_arrow(information)
    found = _from_triangle(information) if sums.form == "factor" else _from_gram(information)
    floor = 0.0 if sums.form == "factor" else _SINGLE_SINGULAR if single else SINGULAR
    return found if found is not None and found.pivot > floor else None


def _from_gram(information: Array) -> Factorised | None:
    p = len(information)
    if core is not None and p <= _LARGE:
        scale, triangle = np.empty(p), np.empty((p, p))
        pivot = core.factor(information, scale, triangle)
        return Factorised(scale, triangle, pivot) if pivot > 0 else None
    diagonal = np.diagonal(information)
    if p == 0:
        return Factorised(np.empty(0), np.empty((0, 0)), 1.0)
    if not (np.isfinite(information).all() and (diagonal > 0).all()):
        return None
    scale = 1.0 / np.sqrt(diagonal)
    try:
        triangle = np.ascontiguousarray(np.linalg.cholesky(information * scale * scale[:, None]).T)
    except np.linalg.LinAlgError:
        return None
    return Factorised(scale, triangle, float(np.diagonal(triangle).min() ** 2))


def ridged(sums: Sums, diagonal: Array) -> Sums:
    """The sums with a vector added to the diagonal of the information."""
    information = sums.information
    return replace(sums, information=information.plus(diagonal) if isinstance(information, Arrow) else information + np.diag(diagonal))


def damped(sums: Sums) -> Factorised | FactorisedArrow | None:
    """Information plus |score| times the identity: a step along the score of length 1 at most (Levenberg 1944)."""
    if sums.information is None or sums.score is None:
        return None
    length = float(np.linalg.norm(sums.score)) + float(np.abs(sums.information.diagonal()).max()) * 1e-6
    return factorise(ridged(sums, np.full(sums.score.size, length))) if 0 < length < np.inf else None


def _from_arrow(a: Arrow) -> FactorisedArrow | None:
    if not ((a.head > 0).all() and a.finite()):
        return None
    diagonal = np.diagonal(a.core)
    if not (diagonal > 0).all():
        return None
    complement = _complement(a)
    kept = np.diagonal(complement) / diagonal  # what is left of each column once the levels are taken out
    if len(kept) and not kept.min() > SINGULAR:
        return None
    rest = _from_gram(complement)
    pivot = float(min(1.0, kept.min(initial=1.0))) * (1.0 if rest is None else rest.pivot)
    return FactorisedArrow(a, rest, pivot) if rest is not None and pivot > SINGULAR else None


def _complement(a: Arrow) -> Array:
    """What is left of the core once the diagonal is eliminated."""
    if _sparse(a.border):
        out = np.array(a.core, order="C")
        core.eliminate(np.ascontiguousarray(a.border), a.head, cores(), out)
        return out
    half = a.border / np.sqrt(a.head)[:, None]
    return np.asarray(a.core - half.T @ half)  # BLAS sees one matrix twice and forms half of the product


def _sparse(border: Array) -> bool:
    """So few entries that working through them beats a dense product."""
    return core is not None and border.size > 1 << 16 and int(np.count_nonzero(border)) < _FILLED * border.size


def _from_triangle(information: Array) -> Factorised | None:
    if not np.isfinite(information).all():
        return None
    r = information[:-1, :-1].astype(np.float64)
    length = np.sqrt((r * r).sum(axis=0))
    if not (length > 0).all():
        return None
    scaled = r / length
    smallest = float(np.abs(np.diagonal(scaled)).min())
    if smallest < 1e-15:
        return None
    return Factorised(1.0 / length, np.ascontiguousarray(scaled), smallest**2, information[:-1, -1].astype(np.float64))


def aliased_columns(triangle: Array, tolerance: float = 1e-11) -> list[int]:
    """Columns that are linear combinations of earlier ones: R's rule of a residual norm below tolerance times the norm.

    ``triangle`` is the R factor without pivoting; each dependent column is dropped before later ones are judged.
    """
    r = triangle.copy()
    p = r.shape[1]
    length = np.sqrt((r * r).sum(axis=0))
    kept: list[int] = []
    out: list[int] = []
    basis = np.zeros((r.shape[0], 0))
    for j in range(p):
        v = r[:, j].copy()
        for _ in range(2):  # twice is enough (Kahan)
            v -= basis @ (basis.T @ v)
        norm = float(np.sqrt(v @ v))
        if length[j] == 0 or norm <= tolerance * length[j]:
            out.append(j)
        else:
            kept.append(j)
            basis = np.column_stack([basis, v / norm])
    return out


_ORDERED = 1200  # columns up to which a Gram matrix is judged column by column


def aliased_of_gram(a: Arrow, tolerance: float = 1e-9) -> list[int]:
    """The same from a Gram matrix with a large diagonal, whose columns are dropped when earlier ones give them.

    Beyond ``_ORDERED`` columns the levels of the large factor are taken before all others, which costs a small matrix only.
    """
    if len(a) <= _ORDERED:
        return np.flatnonzero(_dependent(a.dense(), a.diagonal(), tolerance)).tolist()
    empty = a.head <= 0
    weight = np.where(empty, 1.0, a.head)
    complement = a.core - a.border.T @ (np.where(empty[:, None], 0.0, a.border) / weight[:, None])
    gone = _dependent(complement, np.diagonal(a.core), tolerance)
    return np.flatnonzero(a.joined(empty.astype(float), gone.astype(float))).tolist()


def dependent_columns(gram: Array, tolerance: float = 1e-9) -> list[int]:
    """The same of any Gram matrix."""
    return np.flatnonzero(_dependent(gram, np.diagonal(gram), tolerance)).tolist()


def _dependent(gram: Array, length: Array, tolerance: float) -> Array:
    """Columns that have next to nothing left once the kept ones before them are taken out (Cholesky without the others)."""
    gone = np.zeros(len(gram), dtype=bool)
    rest = np.array(gram)
    for j in range(len(rest)):
        if not rest[j, j] > tolerance * length[j]:
            gone[j] = True
            continue
        row = rest[j, j + 1 :] / rest[j, j]
        rest[j + 1 :, j + 1 :] -= np.multiply.outer(rest[j, j + 1 :], row)
    return gone


def effective_df(information: Array, bend: Array) -> float:
    """Tr (H + P)^-1 H: the degrees of freedom that a quadratic penalty with the second derivative P leaves."""
    return float(np.trace(np.linalg.lstsq(information + bend, information, rcond=None)[0]))
