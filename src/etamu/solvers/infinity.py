"""Signs, seen from the steps alone, that the likelihood has no finite maximum (separation).

Near a finite maximum Newton's own steps shrink quadratically and every column keeps a share of the information it began with.

Reference: Albert & Anderson (1984), Biometrika 71, doi:10.1093/biomet/71.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.solvers.base import Array
from etamu.solvers.linalg import Factorised, FactorisedArrow
from etamu.sums import Sums

__all__ = ["Signs"]

_FLAT = 1e-8  # eigenvalue of a scaled information in which nothing is left
_MANY = 20  # passes from which a slow drift is looked for
_VANISHED = 1e-10  # share of a column's first information, relative to the others', that no finite estimate leaves
_LINEAR = 0.3  # ratio of two of Newton's own steps, near a finite maximum, that is not one of quadratic convergence
_PATIENCE = 3  # drifting steps in a row before the estimate is called infinite


@dataclass
class Signs:
    """What has been seen of them so far: steps in a row that drift, that crawl, and the factor of the first information."""

    drifting: int = 0
    crawling: int = 0
    first: Factorised | FactorisedArrow | None = None

    def drift(self, sums: Sums, size: float, squared: float, sigma: float, dispersion_known: bool) -> bool:
        """A long step (largest entry ``size``) while the deviance no longer moves; several in a row, or a perfect fit, say infinity."""
        self.drifting = self.drifting + 1 if size > 1e-2 and squared < 1e-6 * sigma**2 else 0
        perfect = dispersion_known and sums.deviance < 1e-11 * sums.n and size > 1e-2 and squared > 1e-3 * sums.deviance
        return self.drifting >= _PATIENCE or perfect

    def crawl(self, own: bool, size: float, decrement: float, previous: float, sigma: float, floor: float) -> bool:
        """Newton's ``own`` steps near the end that shrink by a fixed ratio only; many in a row say infinity."""
        slow = own and size > 1e-3 and 10 * floor < decrement < 1e-3 * sigma and decrement > _LINEAR * previous
        self.crawling = self.crawling + 1 if slow else 0
        return self.crawling >= 2 * _PATIENCE

    def vanished(self, sums: Sums, factor: Factorised | FactorisedArrow | None, passes: int, damped: bool) -> Array | None:
        """Columns whose information is gone although that of others is there: their estimates drift so slowly (a double
        exponential link) that the steps look like those of a finite maximum.
        """
        if self.first is None or factor is None or passes < _MANY:
            return None
        if damped:
            return _flat_direction(sums.information) if isinstance(sums.information, np.ndarray) else None
        share = self.first.inverse_diagonal() / factor.inverse_diagonal()
        gone = share < _VANISHED * share.max(initial=0.0)
        return gone if gone.any() else None


def _flat_direction(information: Array) -> Array | None:
    """Columns of the direction in which independent columns have no information left."""
    length = np.sqrt(np.diagonal(information))
    if not (length > 0).all() or not np.isfinite(information).all():
        return None
    values, vectors = np.linalg.eigh(information / length / length[:, None])
    direction = np.abs(vectors[:, 0]) / length
    return direction > 0.1 * direction.max() if values[0] < _FLAT else None
