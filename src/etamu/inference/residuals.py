"""Residuals of every kind, one value per row, in the order of the rows.

    response y - mu                          working (y - mu) / mu'
    pearson  (y - mu) sqrt(w / V)            deviance sign(y - mu) sqrt(w d(y, mu))
    standardized_*  r / sqrt(phi (1 - h))    studentized sign sqrt(r_D^2 + h r_P^2 / (1 - h)), over sigma_(i) where phi is estimated
    anscombe  sqrt(w) (A(y) - A(mu)) / (A'(mu) sqrt(V)), A' = V^(-1/3)
    quantile  Phi^-1(u), u uniform between P(Y < y) and P(Y <= y)

References: McCullagh & Nelder (1989), 2.4 and 12.4; Williams (1987), Appl. Statist. 36, doi:10.2307/2347550; Dunn & Smyth (1996),
J. Comput. Graph. Stat. 5, doi:10.1080/10618600.1996.10474708.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.core import cores
from etamu.design.encode import term_columns
from etamu.errors import UndefinedStatisticError, chosen
from etamu.inference.resample import check_seed
from etamu.inference.rowwise import FULL, Slab, factor_of, leverage, slabs, terms_of
from etamu.links import Mean
from etamu.rows import RowTerms

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["KINDS", "Rows", "column_means", "in_parallel", "partial_columns", "residuals", "rows_of"]

Array = np.ndarray[Any, Any]
_FEW = 20_000  # rows that are not worth another thread


@dataclass(frozen=True)
class Rows:
    """Some rows of a fit with what residuals are made of; rows of weight zero are measured with weight 1 and leverage 0."""

    fit: Fit
    slab: Slab
    forms: Callable[[Slab], Array] | None

    @cached_property
    def y(self) -> Array:
        return self.slab.vectors[0]

    @cached_property
    def weight(self) -> Array:
        w = self.slab.vectors[1]
        return np.where(w > 0, w, 1.0)

    @cached_property
    def mean(self) -> Mean:
        return Mean(self.fit.link, self.slab.eta)

    @cached_property
    def terms(self) -> RowTerms:
        return terms_of(self.slab.problem, self.y, self.weight, self.slab.eta, "expected")

    @cached_property
    def leverage(self) -> Array:
        """H = w mu'^2/V x' H^-1 x of one observation, 0 where the weight is."""
        assert self.forms is not None
        return self.pulled[1] * self.forms(self.slab)

    @cached_property
    def pulled(self) -> tuple[Array, Array]:
        """Score factor and information weight of one observation, as the fit has them."""
        return self.slab.pull(self.fit.control.information)

    @cached_property
    def response(self) -> Array:
        return self.y - self.mean.mu

    @cached_property
    def working(self) -> Array:
        with np.errstate(all="ignore"):
            return self.response / self.mean.dmu

    @cached_property
    def pearson(self) -> Array:
        return np.sign(self.response) * np.sqrt(self.terms.pearson)

    @cached_property
    def deviance(self) -> Array:
        return np.sign(self.response) * np.sqrt(np.maximum(self.terms.deviance, 0.0))

    def over(self, residual: Array) -> Array:
        """A residual over sqrt(1 - h); nan where the row is fitted exactly."""
        left = 1.0 - self.leverage
        with np.errstate(all="ignore"):
            return np.where(left > FULL, residual / np.sqrt(left), np.nan)

    @cached_property
    def together(self) -> Array:
        """The signed sqrt(r_D^2 + h r_P^2 / (1 - h)): what leaving the row out does to the deviance (Williams)."""
        left = 1.0 - self.leverage
        with np.errstate(all="ignore"):
            length = np.sqrt(self.deviance**2 + self.leverage * self.pearson**2 / left)
        return np.where(left > FULL, np.sign(self.response) * length, np.nan)

    @cached_property
    def without(self) -> Array:
        """sigma_(i), the residual scale without the row: sqrt((D - r_D^2/(1 - h)) / (n - p - 1))."""
        df = self.fit.df_residual - 1
        left = np.maximum(1.0 - self.leverage, FULL)
        rest = self.fit.deviance - self.deviance**2 / left
        return np.sqrt(np.maximum(rest, 0.0) / df) if df > 0 else np.full_like(left, np.nan)


def rows_of(fit: Fit, with_leverage: bool) -> Any:
    """The rows of a fit, slab by slab."""
    if fit.class_names is not None:
        raise UndefinedStatisticError("residuals of a multinomial fit would be one per class and row; compare `fit.predict()` with the classes instead.")
    forms = leverage(factor_of(fit)) if with_leverage else None
    for slab in slabs(fit):
        yield Rows(fit, slab, forms)


def in_parallel(fit: Fit, of: Callable[[Rows], Any], with_leverage: bool) -> Iterator[Any]:
    """What ``of`` says of the rows, slab by slab in the order of the rows; several are worked on at a time, and no more are read."""
    threads = fit.control.threads or cores()
    if threads == 1 or fit._problem().rows < _FEW:
        yield from map(of, rows_of(fit, with_leverage))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Any]] = deque()
        for rows in rows_of(fit, with_leverage):
            waiting.append(pool.submit(of, rows))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def residuals(fit: Fit, kind: str, seed: int) -> Array:
    """One value per row, or a column per term for partial residuals."""
    chosen("kind", kind, KINDS)
    check_seed(seed)
    make, with_leverage = KINDS[kind](fit, seed)
    if kind == "quantile":  # draws in the order of the rows
        with np.errstate(all="ignore"):
            return np.concatenate([make(rows) for rows in rows_of(fit, with_leverage)])
    return np.concatenate(list(in_parallel(fit, np.errstate(all="ignore")(make), with_leverage)))


Maker = Callable[["Fit", int], tuple[Callable[[Rows], Array], bool]]


def _scaled(name: str) -> Maker:
    def make(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
        root = math.sqrt(fit.dispersion)
        return lambda rows: np.asarray(rows.over(getattr(rows, name)) / root), True

    return make


def _studentized(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
    if fit.family.dispersion_known:
        return lambda rows: rows.together, True
    return lambda rows: np.asarray(rows.together / rows.without), True


def _anscombe(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
    return lambda rows: np.asarray(np.sqrt(rows.weight) * fit.family.normalised(rows.y, rows.mean.mu)), False


def _quantile(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    phi = fit.dispersion
    if not (math.isfinite(phi) and phi > 0):
        raise UndefinedStatisticError("the dispersion is 0 or not defined, as the fit leaves no residual, so there are no quantile residuals.")

    def make(rows: Rows) -> Array:
        below, at, above = fit.family.tails(rows.y, rows.mean.mu, rows.weight, phi)
        share = rng.uniform(size=len(below))
        low, high = below + share * at, above + (1 - share) * at
        return np.asarray(np.where(low < high, ndtri(low), -ndtri(high)))

    return make, False


def _partial(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
    """Working residual plus the term's share of eta, less the share's weighted mean over the rows, as R."""
    columns = partial_columns(fit)
    center = term_means(fit, columns)

    def make(rows: Rows) -> Array:
        return rows.working[:, None] + _shares(fit, rows.slab, columns) - center

    return make, False


def partial_columns(fit: Fit) -> dict[str, range]:
    """The columns of each term; without a formula every column is a term."""
    if fit.spec is not None:
        return term_columns(fit.spec)
    return {name: range(j, j + 1) for j, name in enumerate(fit.names) if not (fit.intercept and j == 0)}


def _shares(fit: Fit, slab: Slab, columns: dict[str, range]) -> Array:
    """Each term's share of eta, shape (rows, terms)."""
    e = fit._estimate()
    place = {column: k for k, column in enumerate(e.kept)}
    x = slab.block()
    out = np.zeros((len(x), len(columns)))
    for k, own in enumerate(columns.values()):
        index = [place[j] for j in own if j in place]
        scale = np.ones(len(index)) if e.scaling.scale is None else e.scaling.scale[index]
        center = np.zeros(len(index)) if e.scaling.center is None else e.scaling.center[index]
        raw = x[:, index] / scale + center
        out[:, k] = raw @ fit.coef[[e.kept[i] for i in index]]
    return out


def term_means(fit: Fit, columns: dict[str, range]) -> Array:
    """The mean of each term's share over the rows of the fit; 0 without an intercept to take it back."""
    means, beta = column_means(fit), np.nan_to_num(fit.coef)
    return np.array([means[list(own)] @ beta[list(own)] for own in columns.values()]) if fit.intercept else np.zeros(len(columns))


def column_means(fit: Fit) -> Array:
    """Means of the columns over the rows that have weight, 0 for aliased ones."""
    e = fit._estimate()
    total, count = np.zeros(len(e.kept)), 0.0
    for slab in slabs(fit):
        used = np.where(slab.vectors[1] > 0, slab.frequency, 0.0)
        total, count = total + used @ slab.block(), count + float(used.sum())
    mean = total / count
    if e.scaling.scale is not None:
        mean = mean / e.scaling.scale + (0.0 if e.scaling.center is None else e.scaling.center)
    out = np.zeros(len(fit.names))
    out[list(e.kept)] = mean
    return out


def _plain(name: str) -> Maker:
    def make(fit: Fit, seed: int) -> tuple[Callable[[Rows], Array], bool]:
        return lambda rows: np.asarray(getattr(rows, name)), False

    return make


KINDS: dict[str, Maker] = {
    **{name: _plain(name) for name in ("response", "working", "pearson", "deviance")},
    "standardized_pearson": _scaled("pearson"),
    "standardized_deviance": _scaled("deviance"),
    "studentized": _studentized,
    "anscombe": _anscombe,
    "partial": _partial,
    "quantile": _quantile,
}
