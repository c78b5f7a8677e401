"""A full quadratic penalty: any symmetric matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.base import Penalty, check_alpha, positions
from etamu.penalties.pieces import Columns, Pieces

__all__ = ["Quadratic"]


@dataclass(frozen=True, eq=False)
class Quadratic(Penalty):
    """``alpha/2 b'S b`` with a symmetric S that has no negative eigenvalue, over all coefficients or over those of ``term``.

    Examples
    --------
    >>> import etamu as em
    >>> em.Quadratic([[1.0, -1.0], [-1.0, 1.0]]).value([1.0, 3.0])
    2.0
    """

    matrix: Any
    alpha: float = 1.0
    term: Any = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        s = np.asarray(self.matrix, dtype=float)
        if s.ndim != 2 or s.shape[0] != s.shape[1] or not np.isfinite(s).all():
            raise SpecificationError(f"`matrix` has shape {s.shape}; pass a square matrix of finite numbers.")
        size = float(np.abs(s).max(initial=0.0))
        if np.abs(s - s.T).max(initial=0.0) > 1e-10 * size or np.linalg.eigvalsh((s + s.T) / 2).min(initial=0.0) < -1e-8 * size:
            raise SpecificationError("`matrix` is not symmetric, or has negative eigenvalues; a quadratic penalty needs neither.")

    def pieces(self, columns: Columns) -> Pieces:
        at = list(range(columns.width)) if self.term is None else positions(self.term, columns)
        s = np.asarray(self.matrix, dtype=float)
        if self.term is None and len(s) == columns.width - len(columns.free):
            at = [j for j in at if j not in set(columns.free)]
        if len(s) != len(at):
            raise SpecificationError(f"`matrix` has {len(s)} rows but its coefficients number {len(at)}; pass one row and column for each.")
        whole = np.zeros((columns.width, columns.width))
        whole[np.ix_(at, at)] = self.alpha * (s + s.T) / 2
        return Pieces(np.zeros(columns.width), np.zeros(columns.width), quadratic=whole)
