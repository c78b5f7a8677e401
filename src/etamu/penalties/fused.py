"""Fused levels: neighbouring levels of an ordered factor become equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.base import Penalty, check_alpha, positions
from etamu.penalties.pieces import Columns, Pieces

__all__ = ["Fused"]


@dataclass(frozen=True)
class Fused(Penalty):
    """``alpha sum_k w_k |b_k - b_(k-1)|`` over the levels of each named factor in their order, its base level being 0.

    ``terms`` is a factor's name, a list of them, or a list of lists of coefficients that follow each other from 0; levels whose difference is
    not worth its price merge.  ``weights`` maps a term to a factor of its penalty.

    References
    ----------
    Tibshirani et al. (2005), J. R. Statist. Soc. B 67, doi:10.1111/j.1467-9868.2005.00490.x; Gertheiss & Tutz (2010), Ann. Appl. Statist. 4,
    doi:10.1214/10-AOAS355.

    Examples
    --------
    >>> import etamu as em
    >>> em.Fused([["x0", "x1", "x2"]], alpha=1.0).value([1.0, 1.0, 3.0])
    3.0
    """

    terms: Any
    alpha: float = 1.0
    weights: Any = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def pieces(self, columns: Columns) -> Pieces:
        l1 = np.zeros(columns.width)
        chains: list[tuple[int, ...]] = []
        for term in [self.terms] if isinstance(self.terms, str) else list(self.terms):
            found = self._chains(term, columns)
            factor = float((self.weights or {}).get(term, 1.0)) if isinstance(term, str) else 1.0
            for chain in found:
                l1[list(chain)] = self.alpha * factor
                chains.append(chain)
        flat = [j for chain in chains for j in chain]
        if len(set(flat)) < len(flat):
            raise SpecificationError("`terms` of a Fused penalty overlap; name each factor once.")
        return Pieces(l1, np.zeros(columns.width), chains=tuple(chains))

    def _chains(self, term: Any, columns: Columns) -> tuple[tuple[int, ...], ...]:
        if not isinstance(term, str):
            return (tuple(j for name in term for j in positions(name, columns)),)
        if term in columns.chains:
            return columns.chains[term]
        at = positions(term, columns)
        if columns.chains or len(at) == 1:
            raise SpecificationError(f"`terms` of a Fused penalty names {term!r}, which is no factor in treatment coding; name a factor.")
        return (tuple(at),)
