"""Group lasso and sparse-group lasso: the columns of a term together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.base import Penalty, check_alpha, check_share, factors, positions
from etamu.penalties.pieces import Columns, Pieces

__all__ = ["GroupLasso", "SparseGroupLasso"]


def _groups(given: Any, columns: Columns) -> tuple[tuple[int, ...], ...]:
    """The groups asked for, or the columns of each term."""
    free = set(columns.free)
    if given is None:
        found = [tuple(j for j in at if j not in free) for at in columns.terms.values()]
        return tuple(g for g in found if g)
    listed = list(given.values()) if isinstance(given, Mapping) else list(given)
    out = []
    for group in listed:
        names = [group] if isinstance(group, (str, int)) else list(group)
        out.append(tuple(j for name in names for j in ([int(name)] if isinstance(name, (int, np.integer)) else positions(name, columns))))
    flat = [j for g in out for j in g]
    if len(set(flat)) < len(flat):
        raise SpecificationError("`groups` overlap; each coefficient belongs to one group at most.")
    if any(not 0 <= j < columns.width or j in free for j in flat):
        raise SpecificationError("`groups` holds positions that are no penalised coefficient; count from 0 over all columns, the intercept among them.")
    return tuple(g for g in out if g)


@dataclass(frozen=True)
class SparseGroupLasso(Penalty):
    """``alpha ((1 - l1_ratio) sum_g sqrt(p_g) |b_g|_2 + l1_ratio |b|_1)``: groups that are zero, and zeros within the others.

    ``groups`` are lists of coefficients (names or positions) or names of terms; by default the columns of each term.  ``weights`` (dict or
    array) multiply each coefficient's l1 weight, and a group's weight by their mean.

    References
    ----------
    Simon, Friedman, Hastie & Tibshirani (2013), J. Comput. Graph. Statist. 22, doi:10.1080/10618600.2012.681250.

    Examples
    --------
    >>> import etamu as em
    >>> round(em.SparseGroupLasso(1.0, l1_ratio=0.5, groups=[[0, 1]]).value([3.0, 4.0]), 4)
    7.0355
    """

    alpha: float = 1.0
    l1_ratio: float = 0.5
    groups: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_share("l1_ratio", self.l1_ratio)

    def pieces(self, columns: Columns) -> Pieces:
        groups, factor = _groups(self.groups, columns), factors(self.weights, columns)
        weight = np.array([self.alpha * (1 - self.l1_ratio) * np.sqrt(len(g)) * factor[list(g)].mean() for g in groups])
        inside = np.zeros(columns.width)
        inside[[j for g in groups for j in g]] = 1.0
        return Pieces(self.alpha * self.l1_ratio * factor * inside, np.zeros(columns.width), groups, weight)


def GroupLasso(alpha: float = 1.0, *, groups: Any = None, weights: Any = None) -> SparseGroupLasso:  # noqa: N802
    """``alpha sum_g sqrt(p_g) |b_g|_2``: whole terms in or out (Yuan & Lin 2006, J. R. Statist. Soc. B 68, doi:10.1111/j.1467-9868.2005.00532.x).

    Examples
    --------
    >>> import etamu as em
    >>> round(em.GroupLasso(1.0, groups=[[0, 1]]).value([3.0, 4.0]), 4)
    7.0711
    """
    return SparseGroupLasso(alpha, 0.0, groups, weights)
