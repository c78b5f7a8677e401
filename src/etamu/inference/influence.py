"""What each row does to the fit: leverage, Cook's distance, changes of coefficients, all from one pass and never n x n.

With h the leverage, r_P and r_D the Pearson and deviance residuals, C = H^-1 and sigma_(i) the residual scale without row i:

    cooks_distance  r_P^2 h / ((1 - h)^2 phi p)           dffits    r_D sqrt(h) / (sigma_(i) (1 - h))
    dfbeta  C x sqrt(W) r_D / (1 - h)                     dfbetas   dfbeta_j / (sigma_(i) sqrt(C_jj))
    one_step  C x s / (1 - h), the Newton step that the row's absence makes
    covariance_ratio  1 / ((1 - h) ((n - p - 1 + e^2) / (n - p))^p),  e = r_D / (sigma_(i) sqrt(1 - h))

as R's ``influence.measures`` for a glm (which takes deviance residuals where the exact one step has Pearson's).

References: Cook (1977), Technometrics 19, doi:10.2307/1268249; Belsley, Kuh & Welsch (1980); Pregibon (1981), Ann. Stat. 9,
doi:10.1214/aos/1176345513; Williams (1987), Appl. Statist. 36, doi:10.2307/2347550.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, chosen
from etamu.inference.residuals import Rows, in_parallel, rows_of
from etamu.inference.rowwise import FULL, factor_of

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Influence"]

Array = np.ndarray[Any, Any]
_VALUES = ("leverage", "cooks_distance", "dffits", "covariance_ratio")


@dataclass(frozen=True)
class Influence:
    """Influence of the rows of a fit, each measure computed when it is first asked for.

    ``leverage``, ``cooks_distance``, ``dffits``, ``covariance_ratio`` have shape (n,); ``dfbeta``, ``dfbetas`` and ``one_step`` (n, p),
    nan for aliased coefficients.

    >>> import etamu as em
    >>> found = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma").influence()
    >>> found.leverage.round(3)[:3], float(found.cooks_distance.max().round(1))
    (array([0.898, 0.13 , 0.111]), 27.5)
    """

    fit: Fit = field(repr=False)

    def _distances_of(self, rows: Rows) -> tuple[Array, Array]:
        """Leverage and Cook's distance: r_P^2 h = h s^2 / W comes from the score s and the weight W of a row alone."""
        fit = self.fit
        with np.errstate(all="ignore"):
            (score, weight), h = rows.pulled, rows.leverage
            if fit.control.information != "expected":
                weight = rows.slab.pull("expected")[1]
            pearson = np.where(weight > 0, score * score / weight, 0.0)
            left = np.where(1.0 - h > FULL, 1.0 - h, np.nan)  # a row that is fitted exactly has no distance
            return h, pearson * h / (left**2 * fit.dispersion * fit.edf)

    def _ratios_of(self, rows: Rows) -> tuple[Array, Array]:
        """DFFITS and the covariance ratio."""
        p, df, h = self.fit.edf, self.fit.df_residual, rows.leverage
        with np.errstate(all="ignore"):
            e = rows.deviance / (rows.without * np.sqrt(1.0 - h))
            return e * np.sqrt(h / (1.0 - h)), 1.0 / ((1.0 - h) * ((df - 1 + e * e) / df) ** p)

    @cached_property
    def _distances(self) -> tuple[Array, Array]:
        return _joined(in_parallel(self.fit, self._distances_of, True))

    @cached_property
    def _ratios(self) -> tuple[Array, Array]:
        return _joined(in_parallel(self.fit, self._ratios_of, True))

    def batches(self) -> Iterator[dict[str, Array]]:
        """``row``, ``leverage`` and ``cooks_distance`` of some rows at a time, in their order, for data of any size."""
        first = 0
        for h, distance in in_parallel(self.fit, self._distances_of, True):
            yield {"row": np.arange(first, first + len(h)), "leverage": h, "cooks_distance": distance}
            first += len(h)

    @property
    def leverage(self) -> Array:
        """Diagonal of the hat matrix, w mu'^2/V x' H^-1 x."""
        return self._distances[0]

    @property
    def cooks_distance(self) -> Array:
        """Squared change of the coefficients in their own metric, over p."""
        return self._distances[1]

    @property
    def dffits(self) -> Array:
        """Change of a row's own predictor without it, in its standard errors."""
        return self._ratios[0]

    @property
    def covariance_ratio(self) -> Array:
        """Determinant of the coefficients' covariance without the row over that with it."""
        return self._ratios[1]

    @cached_property
    def dfbeta(self) -> Array:
        """Change of each coefficient made by the row, as R."""
        return self._changes("deviance")

    @cached_property
    def one_step(self) -> Array:
        """Change of each coefficient made by the row, to first order exact: beta - beta_(i) by one Newton step."""
        return self._changes("pearson")

    @cached_property
    def dfbetas(self) -> Array:
        """``dfbeta`` in standard errors without the row."""
        fit = self.fit
        root = np.sqrt(np.diagonal(fit._unscaled))
        sigma = np.concatenate([rows.without for rows in rows_of(fit, True)])
        with np.errstate(all="ignore"):
            return np.asarray(self.dfbeta / (sigma[:, None] * root))

    @np.errstate(all="ignore")
    def _changes(self, residual: str) -> Array:
        fit = self.fit
        e, inverse = fit._estimate(), factor_of(fit).inverse()
        t = e.scaling.matrix(len(e.kept))
        parts = []
        for rows in rows_of(fit, True):
            root = np.sqrt(rows.pulled[1]) * np.sign(rows.mean.dmu)
            left = np.where(1.0 - rows.leverage > FULL, 1.0 - rows.leverage, np.nan)
            size = np.where(root != 0, root * getattr(rows, residual) / left, 0.0)
            parts.append((size[:, None] * rows.slab.block()) @ inverse @ t.T)
        out = np.full((sum(map(len, parts)), len(fit.names)), np.nan)
        out[:, list(e.kept)] = np.concatenate(parts)
        return out

    def most(self, measure: str = "cooks_distance", count: int = 10) -> dict[str, list[Any]]:
        """The rows with the largest values of a measure, largest first: ``row`` and ``value``; no more rows are held than asked for."""
        chosen("measure", measure, _VALUES)
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
            raise SpecificationError(f"`count` is {count!r}; ask for at least one row.")
        of, place = (self._distances_of, _VALUES.index(measure)) if measure in _VALUES[:2] else (self._ratios_of, _VALUES.index(measure) - 2)
        rows, values, first = np.empty(0, dtype=np.int64), np.empty(0), 0
        for found in in_parallel(self.fit, of, True):
            own = np.nan_to_num(np.abs(found[place]), nan=-math.inf)
            rows, values = np.r_[rows, np.arange(first, first + len(own))], np.r_[values, own]
            first += len(own)
            order = np.argsort(-values, kind="stable")[:count]
            rows, values = rows[order], values[order]
        return {"row": rows.tolist(), "value": values.tolist()}


def _joined(parts: Iterable[tuple[Array, Array]]) -> tuple[Array, Array]:
    first, second = zip(*parts, strict=True)
    return np.concatenate(first), np.concatenate(second)
