"""What holds with equality at a constrained fit, and the covariance within it.

With the active rows A b = r the estimate moves in b = b0 + Z u, Z a basis of the directions that A does not see, so that

    cov(b) = phi Z (Z'H Z)^-1 Z'

exactly as in the fit that is written in u.  For equations this is the whole truth; for inequalities that hold with equality it is
conditional on their being active, and near a bound no normal distribution describes the estimate.

References: Aitchison & Silvey (1958), Ann. Math. Statist. 29, doi:10.1214/aoms/1177706538; Silvapulle & Sen (2005), *Constrained
Statistical Inference*, doi:10.1002/9781118165614.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise
from etamu.sums import Arrow, Sums

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Active", "ActiveRow", "Confined", "confine", "confined"]

Array = np.ndarray[Any, Any]
_PINNED = 1e-9


@dataclass(frozen=True)
class ActiveRow:
    """A constraint that holds with equality: how it reads, "lower", "upper" or "equal", and its multiplier.

    The multiplier is the slope of half the deviance (plus the penalty times the sum of weights) in the bound: by how much it rises when
    the bound is raised by one.  So it is 0 or more at a lower bound, 0 or less at an upper one.
    """

    description: str
    kind: str
    value: float
    multiplier: float

    def __str__(self) -> str:
        return f"{self.description}  (multiplier {self.multiplier:.4g})"


@dataclass(frozen=True)
class Active:
    """What holds with equality at a constrained fit, and how well the conditions of a minimum are met.

    ``matrix`` (k, p) and ``value`` (k,) are the active rows on the coefficients of the user; ``inequalities`` says whether the fit was under
    any, active or not.
    ``primal``, ``dual`` and ``complementarity`` are the largest breach of a row, the length of the slope that multipliers leave, and the
    largest product of a multiplier and a distance, all in standard errors (of dispersion 1).  Iterating gives :class:`ActiveRow`.
    """

    rows: tuple[ActiveRow, ...]
    matrix: Array
    value: Array
    inequalities: bool = False
    primal: float = 0.0
    dual: float = 0.0
    complementarity: float = 0.0

    def __iter__(self) -> Iterator[ActiveRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, k: int) -> ActiveRow:
        return self.rows[k]

    def __str__(self) -> str:
        return "\n".join(map(str, self.rows)) if self.rows else "no constraint is active"

    @property
    def multipliers(self) -> Array:
        """One per active row, (k,)."""
        return np.array([row.multiplier for row in self.rows])

    @property
    def rank(self) -> int:
        """How many coefficients the active rows take away."""
        width, free = self.basis(self.matrix).shape
        return int(width - free)

    @cached_property
    def pinned(self) -> Array:
        """Coefficients whose value the active rows give, (p,)."""
        return np.asarray((np.abs(self.basis(self.matrix)) <= _PINNED).all(axis=1))

    @staticmethod
    def basis(matrix: Array) -> Array:
        """Z (p, p - rank): an orthonormal basis of the directions in which the rows do not move."""
        width = matrix.shape[1]
        single = (matrix != 0).sum(axis=1) == 1
        bound = np.flatnonzero((matrix[single] != 0).any(axis=0)) if single.any() else np.zeros(0, dtype=int)
        free = np.setdiff1d(np.arange(width), bound)
        rest = matrix[~single][:, free]
        out = np.zeros((width, len(free)))
        out[free, np.arange(len(free))] = 1.0
        if not rest.any():
            return out
        from scipy.linalg import qr

        q, triangle, _ = qr((rest / np.maximum(np.abs(rest).max(axis=1, keepdims=True), 1e-300)).T, pivoting=True)
        rank = int((np.abs(np.diagonal(triangle)) > 1e-10).sum())
        return np.asarray(out @ q[:, rank:])

    def widened(self, kept: Sequence[int], width: int) -> Active:
        """The same among all columns, of which ``kept`` are not aliased."""
        matrix = np.zeros((len(self.matrix), width))
        matrix[:, list(kept)] = self.matrix
        return replace(self, matrix=matrix)

    def snapped(self, coef: Array) -> Array:
        """The coefficients with those at bounds of their own exactly there."""
        out = coef.copy()
        for row, value in zip(self.matrix, self.value):
            own = np.flatnonzero(row)
            if len(own) == 1:
                out[own[0]] = value / row[own[0]]
        return out


@dataclass(frozen=True)
class Confined(Factorised):
    """A factor of the information within the directions that active rows leave: H^-1 becomes Z (Z'H Z)^-1 Z' = half half'."""

    half: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def solve(self, score: Array) -> Array:
        """The best step within the active rows."""
        return np.asarray(self.half @ (self.half.T @ score)) / self.weight

    def quadratic_form(self, x: Array) -> float:
        """The squared length of half' x."""
        y = self.half.T @ x
        return float(y @ y) / self.weight

    def half_inverse(self) -> Array:
        """A matrix M with M M' = the confined inverse."""
        return np.asarray(self.half / np.sqrt(self.weight))

    def inverse(self) -> Array:
        """Z (Z'H Z)^-1 Z'."""
        return np.asarray(self.half @ self.half.T) / self.weight

    def inverse_diagonal(self) -> Array:
        """Its diagonal."""
        return np.asarray((self.half**2).sum(axis=1)) / self.weight


def confine(sums: Sums, matrix: Array) -> Confined | None:
    """The information within the directions that the rows of ``matrix`` (on the fit's scale) leave; None where it is singular there."""
    information = sums.information
    if information is None or sums.form != "gram":
        return None
    h = information.dense() if isinstance(information, Arrow) else np.asarray(information, dtype=float)
    z = Active.basis(matrix)
    if not z.shape[1]:
        return Confined(np.ones(len(h)), np.zeros((0, 0)), 1.0, half=np.zeros((len(h), 0)))
    inner = factorise(replace(sums, information=np.ascontiguousarray(z.T @ h @ z)))
    if not isinstance(inner, Factorised):
        return None
    return Confined(1.0 / np.sqrt(np.maximum(np.diagonal(h), 1e-300)), np.zeros((0, 0)), inner.pivot, half=z @ inner.half_inverse())


def confined(fit: Fit, sums: Sums) -> Factorised | FactorisedArrow | None:
    """The factor of a fit's information, within the constraints that are active at it."""
    active, e = fit.active, fit._estimate()
    if active is None or not len(active.matrix):
        return factorise(sums)
    return confine(sums, e.scaling.rows(active.matrix[:, list(e.kept)].copy()))
