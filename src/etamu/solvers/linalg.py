"""Solving with an information matrix: scaled Cholesky of a Gram, or the R of a QR; each says how near singular it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.sums import Sums

__all__ = ["SINGULAR", "Factorised", "aliased_columns", "factorise"]

Array = np.ndarray[Any, np.dtype[np.float64]]

# A squared pivot of the unit-diagonal Gram below this loses half the digits of the covariance: use a QR instead.
SINGULAR = 1e-9
_SINGLE_SINGULAR = 1e-4
_SMALL = 48


@dataclass(frozen=True)
class Factorised:
    """H = D^-1 (R' R) D^-1 with R upper triangular; ``pivot`` is the smallest squared pivot of the scaled matrix."""

    scale: Array
    triangle: Array
    target: Array | None = None
    weight: float = 1.0

    @property
    def pivot(self) -> float:
        return float(np.min(np.abs(np.diagonal(self.triangle))) ** 2)

    def solve(self, score: Array) -> Array:
        """H^-1 score; with a QR of [X, z] the least-squares solution, which never squares the condition."""
        if self.target is not None:
            return self.scale * _upper(self.triangle, self.target)
        step = self.scale * _upper(self.triangle, _upper(self.triangle, self.scale * score, transposed=True))
        return step / self.weight

    def inverse(self) -> Array:
        """H^-1."""
        half = _upper(self.triangle, np.diag(self.scale), transposed=True)
        return np.asarray(half.T @ half) / self.weight

    def weighted(self, weight: float) -> Factorised:
        """The factor of weight * H."""
        return Factorised(self.scale, self.triangle, None, self.weight * weight)


def _upper(triangle: Array, b: Array, transposed: bool = False) -> Array:
    """Solve R x = b or R' x = b."""
    if len(triangle) <= _SMALL:
        return np.asarray(np.linalg.solve(triangle.T if transposed else triangle, b))
    from scipy.linalg.lapack import dtrtrs

    x, _ = dtrtrs(triangle, b, trans=int(transposed))
    return np.asarray(x)


def _cholesky(a: Array) -> Array | None:
    if len(a) <= _SMALL:
        try:
            return np.ascontiguousarray(np.linalg.cholesky(a).T)
        except np.linalg.LinAlgError:
            return None
    from scipy.linalg.lapack import dpotrf

    r, failed = dpotrf(a)
    return None if failed else np.asarray(r)


def factorise(sums: Sums, single: bool = False) -> Factorised | None:
    """The factor of ``sums.information``, or None where it is not positive definite to working accuracy."""
    information = sums.information
    if information is None or not np.isfinite(information).all():
        return None
    if sums.form == "factor":
        return _from_triangle(information)
    diagonal = np.diagonal(information)
    if not (diagonal > 0).all():
        return None
    scale = 1.0 / np.sqrt(diagonal)
    triangle = _cholesky(information * scale * scale[:, None])
    if triangle is None:
        return None
    factor = Factorised(scale, triangle)
    return factor if factor.pivot > (_SINGLE_SINGULAR if single else SINGULAR) else None


def _from_triangle(information: Array) -> Factorised | None:
    r = information[:-1, :-1]
    length = np.sqrt((r * r).sum(axis=0))
    if not (length > 0).all():
        return None
    scaled = r / length
    if np.abs(np.diagonal(scaled)).min() < 1e-15:
        return None
    return Factorised(1.0 / length, scaled, information[:-1, -1])


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
