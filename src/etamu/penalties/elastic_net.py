"""Elastic net, with the lasso and ridge at its ends, and the adaptive lasso."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.base import Array, Penalty, check_alpha, check_share, factors
from etamu.penalties.pieces import Columns, Pieces

__all__ = ["AdaptiveLasso", "ElasticNet", "Lasso", "Ridge"]


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """``alpha (l1_ratio |b|_1 + (1 - l1_ratio)/2 |b|_2^2)``, beside half the mean unit deviance; the intercept is free.

    ``weights`` multiply the penalty of each coefficient: an array (p,), or a dict by name of a coefficient or of a term (all columns of a
    factor or spline); 0 leaves it free.  ``standardize=True`` penalises b times its column's standard deviation.
    ``grouped=True`` makes the coefficients of a column in all classes of a multinomial response one group: ``|b|_1`` becomes the sum of their lengths.

    References
    ----------
    Zou & Hastie (2005), J. R. Statist. Soc. B 67, doi:10.1111/j.1467-9868.2005.00503.x.

    Examples
    --------
    >>> import etamu as em
    >>> em.ElasticNet(alpha=1.0, l1_ratio=0.5).value([1.0, -2.0])
    2.75
    >>> em.ElasticNet(alpha=1.0, l1_ratio=1.0).prox([3.0, -0.5])
    array([ 2., -0.])
    """

    alpha: float = 1.0
    l1_ratio: float = 0.5
    weights: Any = None
    standardize: bool = False
    grouped: bool = False

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_share("l1_ratio", self.l1_ratio)

    def pieces(self, columns: Columns) -> Pieces:
        factor = factors(self.weights, columns)
        spread = columns.spread if self.standardize else np.ones(columns.width)
        return Pieces(self.alpha * self.l1_ratio * factor * spread, self.alpha * (1 - self.l1_ratio) * factor * spread**2)


def Lasso(alpha: float = 1.0, *, weights: Any = None, standardize: bool = False) -> ElasticNet:  # noqa: N802
    """``alpha |b|_1``: an elastic net with ``l1_ratio=1`` (Tibshirani 1996, J. R. Statist. Soc. B 58, doi:10.1111/j.2517-6161.1996.tb02080.x).

    Examples
    --------
    >>> import etamu as em
    >>> em.Lasso(2.0).value([1.0, -2.0])
    6.0
    """
    return ElasticNet(alpha, 1.0, weights, standardize)


def Ridge(alpha: float = 1.0, *, weights: Any = None, standardize: bool = False) -> ElasticNet:  # noqa: N802
    """``alpha/2 |b|_2^2``: an elastic net with ``l1_ratio=0`` (Hoerl & Kennard 1970, Technometrics 12, doi:10.2307/1267351).

    Examples
    --------
    >>> import etamu as em
    >>> em.Ridge(2.0).value([1.0, -2.0])
    5.0
    """
    return ElasticNet(alpha, 0.0, weights, standardize)


@dataclass(frozen=True)
class AdaptiveLasso(Penalty):
    """``alpha sum_j |b_j| / |pilot_j|^power``: a lasso that spares what a pilot estimate found large.

    ``pilot`` holds coefficients in the order of the model's (with or without the intercept), or a fit whose names they are; where it is 0 the
    coefficient stays 0.

    References
    ----------
    Zou (2006), J. Am. Statist. Assoc. 101, doi:10.1198/016214506000000735.

    Examples
    --------
    >>> import etamu as em
    >>> em.AdaptiveLasso(1.0, pilot=[2.0, 0.5]).value([1.0, 1.0])
    2.5
    """

    alpha: float = 1.0
    pilot: Any = None
    power: float = 1.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.pilot is None:
            raise SpecificationError("`pilot` is None; pass the coefficients of a first fit (of ridge or maximum likelihood), or the fit itself.")
        if not self.power > 0:
            raise SpecificationError(f"`power` is {self.power!r}; pass a positive number.")

    def pieces(self, columns: Columns) -> Pieces:
        with np.errstate(divide="ignore"):
            weight = 1.0 / np.abs(self._pilot(columns)) ** self.power
        weight[list(columns.free)] = 0.0
        return Pieces(self.alpha * np.where(np.isfinite(weight), weight, 1e300), np.zeros(columns.width))

    def _pilot(self, columns: Columns) -> Array:
        if hasattr(self.pilot, "coef") and hasattr(self.pilot, "names"):
            known = dict(zip(self.pilot.names, np.asarray(self.pilot.coef, dtype=float)))
            missing = [name for name in columns.names if name not in known]
            if missing:
                raise SpecificationError(f"`pilot` has no coefficient {missing[0]!r}; fit it on the same columns.")
            found: Array = np.nan_to_num(np.array([known[name] for name in columns.names]))
            return found
        given = np.asarray(self.pilot, dtype=float)
        penalised = [j for j in range(columns.width) if j not in set(columns.free)]
        if given.shape == (columns.width,):
            return given
        if given.shape == (len(penalised),):
            out = np.ones(columns.width)
            out[penalised] = given
            return out
        raise SpecificationError(f"`pilot` has shape {given.shape} but the model has {columns.width} coefficients; pass one number for each.")
