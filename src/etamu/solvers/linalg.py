"""Solving with an information matrix: scaled Cholesky of a Gram, or the R of a QR; each says how near singular it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu.core import core
from etamu.sums import Sums

__all__ = ["SINGULAR", "Factorised", "aliased_columns", "factorise"]

Array = np.ndarray[Any, np.dtype[np.float64]]

# A squared pivot of the unit-diagonal Gram below this loses half the digits of the covariance: use a QR instead.
SINGULAR = 1e-9
_SINGLE_SINGULAR = 1e-4
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

    def weighted(self, weight: float) -> Factorised:
        """The factor of weight * H."""
        return replace(self, weight=self.weight * weight)


def _upper(triangle: Array, b: Array, transposed: bool = False) -> Array:
    """Solve R x = b or R' x = b."""
    from scipy.linalg.lapack import dtrtrs

    x, _ = dtrtrs(triangle, b, trans=int(transposed))
    return np.asarray(x)


def factorise(sums: Sums, single: bool = False) -> Factorised | None:
    """The factor of ``sums.information``, or None where it is not positive definite to working accuracy."""
    information = sums.information
    if information is None:
        return None
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
    if not (np.isfinite(information).all() and (diagonal > 0).all()):
        return None
    scale = 1.0 / np.sqrt(diagonal)
    try:
        triangle = np.ascontiguousarray(np.linalg.cholesky(information * scale * scale[:, None]).T)
    except np.linalg.LinAlgError:
        return None
    return Factorised(scale, triangle, float(np.diagonal(triangle).min() ** 2))


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
