"""Covariances that hold when the variance is not the model's: H^-1 M H^-1, where M is a sum of products of row scores.

    HC0  s_i^2      HC1  n/(n - p) s_i^2      HC2  s_i^2 / (1 - h_i)      HC3  s_i^2 / (1 - h_i)^2        (times x_i x_i')
    clusters  sum_g u_g u_g', u_g the sum of the scores in g          HAC  lags weighted by 1 - l/(L + 1)

The dispersion cancels.  References: White (1980), Econometrica 48, doi:10.2307/1912934; MacKinnon & White (1985), J. Econometrics
29, doi:10.1016/0304-4076(85)90158-7; Cameron, Gelbach & Miller (2011), J. Bus. Econ. Stat. 29, doi:10.1198/jbes.2010.07136; Newey
& West (1987), Econometrica 55, doi:10.2307/1913610; Bell & McCaffrey (2002), Survey Methodology 28 (CR3).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.frames import as_vector, encode_labels
from etamu.errors import LengthError, MissingValueError, SpecificationError, UndefinedStatisticError, chosen
from etamu.inference.rowwise import FULL, Slab, at_estimate, factor_of, leverage, slabs
from etamu.rows import RowTerms
from etamu.solvers.linalg import Factorised, FactorisedArrow
from etamu.sources.memory import Memory
from etamu.sources.streamed import open_source
from etamu.sums import Arrow, Request, Sums

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["HAC", "HC", "Cluster", "sandwich", "scores"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class HC:
    """Heteroskedasticity-consistent covariance of the given order, 0 to 3.

    >>> import etamu as em
    >>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma")
    >>> fit.stderror(vcov=em.vcov.HC(3)).round(6)
    array([0.005461, 0.001647])
    """

    order: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.order, bool) or not isinstance(self.order, (int, np.integer)) or self.order not in (0, 1, 2, 3):
            raise SpecificationError(f"`order` is {self.order!r}; HC covariances have the orders 0, 1, 2 and 3.")

    def matrix(self, fit: Fit) -> Array:
        """H^-1 M H^-1 on the fit's scale."""
        sums = at_estimate(fit)
        factor = factor_of(fit, sums)
        if self.order >= 2 and fit.class_names is not None:
            raise UndefinedStatisticError("leverages of a multinomial fit are matrices, so HC2 and HC3 are not defined here; use 'HC0', 'HC1' or clusters.")
        meat = _meat(fit, sums, factor, self.order)
        return sandwich(factor, meat) * (fit.nobs / _residual_df(fit) if self.order == 1 else 1.0)


def _residual_df(fit: Fit) -> float:
    if not fit.df_residual > 0:
        raise UndefinedStatisticError("the correction divides by the residual degrees of freedom, and this fit has none; use 'HC0', 'CR1' or more rows.")
    return fit.df_residual


def _meat(fit: Fit, sums: Sums, factor: Factorised | FactorisedArrow, order: int) -> Array:
    """Sum of s^2 x x' over the observations, each s corrected for its leverage."""
    forms = leverage(factor) if order >= 2 else None

    gamma = fit._estimate().gamma

    def terms(source: Memory, rows: slice, eta: Array) -> RowTerms:
        slab = Slab(source, rows, 0, eta, gamma)
        score, weight = slab.pull(fit.control.information)
        f = slab.frequency
        nothing = np.zeros(len(f))
        if score.ndim == 2:
            return RowTerms(nothing, nothing, np.zeros_like(score), score[:, :, None] * score[:, None, :] * f[:, None, None])
        squared = f * score**2
        if forms is not None:
            kept = 1.0 - weight * forms(slab)
            _refuse_full_leverage(kept, score, order)
            squared = np.where(score == 0, 0.0, squared / np.where(kept > 0, kept, 1.0) ** (order - 1))
        return RowTerms(nothing, nothing, nothing, squared)

    found = open_source(fit._problem(), fit.control.threads).total(terms, Request(gamma, 2)).information
    return found.dense() if isinstance(found, Arrow) else np.asarray(found)


def _refuse_full_leverage(kept: Array, score: Array, order: int) -> None:
    full = (kept < FULL) & np.isfinite(kept)
    if full.any():
        raise UndefinedStatisticError(
            f"HC{order} divides by 1 - leverage, and the leverage of {int(full.sum())} rows is 1 (each is fitted exactly by a coefficient of "
            "its own); use 'HC0' or 'HC1', or drop those rows."
        )


def sandwich(factor: Factorised | FactorisedArrow, meat: Array) -> Array:
    """H^-1 M H^-1."""
    inverse = factor.inverse()
    return np.asarray(inverse @ meat @ inverse)


def scores(slab: Slab, information: str) -> Array:
    """The score of each row with all its observations, (rows, p), or (rows, qp) with equations outermost."""
    own = slab.pull(information)[0]
    x = slab.block()
    f = slab.frequency
    if own.ndim == 1:
        return np.asarray((f * own)[:, None] * x)
    return np.concatenate([(f * own[:, a])[:, None] * x for a in range(own.shape[1])], axis=1)


# ---- clusters -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """Clustered covariance: rows of one cluster may depend on each other; several ``ids`` are multi-way (by inclusion and exclusion).

    ``correction``: "CR0" none; "CR1" G/(G - 1), as R's sandwich for a glm and Stata; "CR1S" G/(G - 1) (n - 1)/(n - p), as statsmodels;
    "CR3" each cluster's score by (I - H_g H^-1)^-1, close to deleting one cluster at a time (one way only).

    >>> import numpy as np
    >>> import etamu as em
    >>> data = em.datasets.warpbreaks()
    >>> fit = em.glm("breaks ~ wool + tension", data, family="poisson")
    >>> fit.stderror(vcov=em.vcov.Cluster(np.arange(54) // 9)).round(3)
    array([0.061, 0.127, 0.097, 0.151])
    """

    ids: Any
    correction: str = "CR1"

    def __post_init__(self) -> None:
        chosen("correction", self.correction, ["CR0", "CR1", "CR1S", "CR3"])

    def ways(self, rows: int) -> list[Array]:
        """Integer codes of each way."""
        several = isinstance(self.ids, (list, tuple)) and len(self.ids) > 0 and np.ndim(self.ids[0]) == 1
        if isinstance(self.ids, np.ndarray) and self.ids.ndim == 2:
            several = True
        ways = list(self.ids.T if isinstance(self.ids, np.ndarray) else self.ids) if several else [self.ids]
        if not ways:
            raise SpecificationError("`cluster` is empty; pass the cluster of every row, or a list of such arrays.")
        return [cluster_codes(ids, rows) for ids in ways]

    def matrix(self, fit: Fit) -> Array:
        """H^-1 M H^-1 on the fit's scale."""
        ways = self.ways(_rows(fit))
        sums = at_estimate(fit)
        factor = factor_of(fit, sums)
        if self.correction == "CR3":
            if len(ways) > 1 or fit.class_names is not None:
                raise SpecificationError("`correction` 'CR3' is for one way of clustering and one equation; use 'CR1' or 'CR1S'.")
            return sandwich(factor, _adjusted_meat(fit, ways[0], factor))
        meat = np.zeros((0, 0))
        for size in range(1, len(ways) + 1):
            for some in itertools.combinations(ways, size):
                part = self._part(fit, _together(some))
                meat = part if meat.size == 0 else meat + (-1.0) ** (size + 1) * part
        return sandwich(factor, meat)

    def _part(self, fit: Fit, codes: Array) -> Array:
        u = _sums_by(fit, codes, int(codes.max()) + 1)
        groups = _live(fit, codes)
        if groups < 2:
            raise UndefinedStatisticError("`cluster` has one cluster only among the rows with weight; a clustered covariance needs at least two.")
        factor = 1.0 if self.correction == "CR0" else groups / (groups - 1)
        if self.correction == "CR1S":
            factor *= (fit.nobs - 1) / _residual_df(fit)
        return np.asarray(factor * (u.T @ u))


def _live(fit: Fit, codes: Array) -> int:
    """How many clusters have a row with weight."""
    problem, first, found = fit._problem(), 0, np.zeros(int(codes.max()) + 1, dtype=bool)
    for part in problem.batches():
        own = codes[first : first + part.rows]
        found[own if part.weight is None else own[np.asarray(part.weight) > 0]] = True
        first += part.rows
    return int(found.sum())


def cluster_codes(ids: Any, rows: int) -> Array:
    """Codes 0, 1, ... of the clusters, one per row of the fit."""
    values = np.asarray(ids) if isinstance(ids, (list, tuple)) else ids
    if not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
        raise SpecificationError(f"`cluster` is a {type(ids).__name__}; pass one array with the cluster of every row, or a list of such arrays.")
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub":
        codes = np.unique(values, return_inverse=True)[1].reshape(values.shape)
    else:
        labels = encode_labels(values) if not (isinstance(values, np.ndarray) and values.dtype.kind == "f") else None
        if labels is None:
            numbers = as_vector(values, "cluster")
            if np.isnan(numbers).any():
                raise MissingValueError(f"`cluster` is missing in row {int(np.argmax(np.isnan(numbers)))}; give every row a cluster.")
            codes = np.unique(numbers, return_inverse=True)[1]
        else:
            codes = np.asarray(labels.codes)
    if len(codes) != rows:
        raise LengthError(
            f"`cluster` has length {len(codes)} but the fit has {rows} rows; pass one id per row that was used (rows with missing values were dropped)."
        )
    if (codes < 0).any():
        raise MissingValueError(f"`cluster` is missing in row {int(np.argmax(codes < 0))}; give every row a cluster.")
    return np.asarray(codes, dtype=np.int64)


def _rows(fit: Fit) -> int:
    return fit._problem().rows


def _together(ways: tuple[Array, ...]) -> Array:
    """Codes of the clusters that all ways make together."""
    if len(ways) == 1:
        return ways[0]
    joint = ways[0]
    for codes in ways[1:]:
        joint = np.unique(joint * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
    return joint


def _sums_by(fit: Fit, codes: Array, groups: int) -> Array:
    """Sums of the scores by cluster, shape (groups, qp)."""
    from scipy.sparse import csr_array

    out: Array | None = None
    for slab in slabs(fit):
        u = scores(slab, fit.control.information)
        own = codes[slab.first : slab.first + len(u)]
        part = csr_array((np.ones(len(u)), (own, np.arange(len(u)))), shape=(groups, len(u))) @ u
        out = part if out is None else out + part
    assert out is not None
    return out


def _adjusted_meat(fit: Fit, codes: Array, factor: Factorised | FactorisedArrow) -> Array:
    """CR3: u_g replaced by (I - H_g H^-1)^-1 u_g, H_g the information of the cluster."""
    groups = int(codes.max()) + 1
    p = len(factor.scale)
    u, own = np.zeros((groups, p)), np.zeros((groups, p, p))
    for slab in slabs(fit):
        (score, weight), x, f = slab.pull(fit.control.information), slab.block(), slab.frequency
        here = codes[slab.first : slab.first + len(x)]
        order = np.argsort(here, kind="stable")
        edges = np.flatnonzero(np.r_[True, np.diff(here[order]) > 0, True])
        for a, b in itertools.pairwise(edges.tolist()):
            rows = order[a:b]
            g = here[rows[0]]
            u[g] += x[rows].T @ (f * score)[rows]
            own[g] += x[rows].T @ ((f * weight)[rows, None] * x[rows])
    inverse = factor.inverse()
    left = np.eye(p) - own @ inverse
    if (np.linalg.svd(left, compute_uv=False)[:, -1] < FULL).any():
        raise UndefinedStatisticError("'CR3' deletes one cluster at a time, and without one of them some coefficient is not identified; use 'CR1' or 'CR1S'.")
    adjusted = np.linalg.solve(left, u[:, :, None])[:, :, 0]
    return np.asarray(adjusted.T @ adjusted)


# ---- ordered rows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HAC:
    """Covariance for rows in the order of time: Bartlett weights 1 - l/(lags + 1) on the products of scores l rows apart.

    ``lags`` defaults to floor(4 (n/100)^(2/9)); ``correction`` multiplies by n/(n - p).

    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    >>> fit.stderror(vcov=em.vcov.HAC(lags=2)).round(3)
    array([0.081, 0.104, 0.111, 0.119])
    """

    lags: int | None = None
    correction: bool = False

    def __post_init__(self) -> None:
        if self.lags is not None and (isinstance(self.lags, bool) or not isinstance(self.lags, (int, np.integer)) or self.lags < 0):
            raise SpecificationError(f"`lags` is {self.lags!r}; pass a whole number of rows, 0 or more.")
        if not isinstance(self.correction, (bool, np.bool_)):
            raise SpecificationError(f"`correction` of HAC is {self.correction!r}; pass True or False.")

    def matrix(self, fit: Fit) -> Array:
        """H^-1 M H^-1 on the fit's scale."""
        problem = fit._problem()
        n = problem.rows
        if problem.frequency is not None and any((np.asarray(part.frequency) != 1).any() for part in problem.batches()):
            raise UndefinedStatisticError("'HAC' needs one row per time, and this fit has rows that occur several times (`frequency`); repeat them in order.")
        bandwidth = int(4 * (n / 100) ** (2 / 9)) if self.lags is None else int(self.lags)
        lags = min(bandwidth, n - 1)
        sums = at_estimate(fit)
        factor = factor_of(fit, sums)
        meat: Array | None = None
        before: Array | None = None
        for slab in slabs(fit):
            u = scores(slab, fit.control.information)
            joined = u if before is None else np.concatenate([before, u])
            old = len(joined) - len(u)
            part = u.T @ u
            for lag in range(1, lags + 1):
                start = max(old - lag, 0)
                early, late = joined[start : max(len(joined) - lag, start)], joined[start + lag :]
                cross = early.T @ late
                part = part + (1 - lag / (bandwidth + 1)) * (cross + cross.T)
            meat = part if meat is None else meat + part
            before = joined[len(joined) - lags :] if lags else None
        assert meat is not None
        return sandwich(factor, meat) * (fit.nobs / _residual_df(fit) if self.correction else 1.0)
