"""Covariances by computing the fit again: the jackknife, leaving out rows or groups; the bootstrap, of rows or of scores.

References: Efron (1982), *The Jackknife, the Bootstrap and Other Resampling Plans*, doi:10.1137/1.9781611970319; Kline & Santos
(2012), J. Econometric Methods 1, doi:10.1515/2156-6674.1006 (score bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.core import cores
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen
from etamu.inference.refit import again
from etamu.inference.rowwise import factor_of, slabs
from etamu.inference.sandwich import cluster_codes, scores
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Bootstrap", "Jackknife", "check_seed", "draws_of"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]  # told how many refits are done, of how many
_MOST_DELETED = 20_000


@dataclass(frozen=True)
class Jackknife:
    """(G - 1)/G times the sum of squares of the coefficients around their mean, each without one row (or one of the ``groups``).

    >>> import etamu as em
    >>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma")
    >>> fit.stderror(vcov=em.vcov.Jackknife()).round(5)
    array([0.00472, 0.00144])
    """

    groups: Any = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_progress(self.progress)

    def matrix(self, fit: Fit) -> Array:
        """The covariance on the fit's scale."""
        problem = _in_memory(fit, "a jackknife")
        codes = np.arange(problem.rows) if self.groups is None else cluster_codes(self.groups, problem.rows)
        f = np.ones(problem.rows) if problem.frequency is None else np.asarray(problem.frequency, dtype=float)
        weight = _weights(problem)
        if self.groups is None and (f != np.round(f)).any():
            raise SpecificationError("`frequency` holds fractions, so there are no single observations to leave out; pass `groups`, or use 'HC3'.")
        if self.groups is None:  # one observation of each row, as often as the row occurs
            codes, times = codes[weight > 0], f[weight > 0]
        else:
            codes, times = np.unique(codes[weight > 0]), np.ones(len(np.unique(codes[weight > 0])))
        if len(codes) > _MOST_DELETED:
            raise SpecificationError(f"a jackknife would compute this fit {len(codes):,} times; pass `groups`, or use 'HC3', which is close to it.")
        own = np.arange(problem.rows) if self.groups is None else cluster_codes(self.groups, problem.rows)

        def without(k: int) -> Problem:
            gone = own == codes[k]
            if self.groups is None:
                left = np.where(gone, weight * np.maximum(f - 1, 0) / np.where(f > 0, f, 1.0), weight)
            else:
                left = np.where(gone, 0.0, weight)
            return problem.change(weight=left)

        found = _refits(fit, without, len(codes), self.progress)
        total = times.sum()
        mean = times @ found / total
        return np.asarray((total - 1) / total * ((found - mean).T * times) @ (found - mean))


@dataclass(frozen=True)
class Bootstrap:
    """Covariance of the coefficients over ``draws`` resamples, the same for the same ``seed``.

    ``method``: "pairs" draws rows with replacement and fits each sample; "score" keeps the fit and draws signs for its row scores.
    With ``cluster`` whole clusters are drawn.

    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    >>> fit.stderror(vcov=em.vcov.Bootstrap(draws=200, seed=1)).round(2)
    array([0.11, 0.11, 0.12, 0.14])
    """

    draws: int = 999
    seed: int = 0
    method: str = "pairs"
    cluster: Any = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if isinstance(self.draws, bool) or not isinstance(self.draws, (int, np.integer)) or self.draws < 2:
            raise SpecificationError(f"`draws` is {self.draws!r}; pass at least 2 resamples.")
        chosen("method", self.method, ["pairs", "score"])
        check_seed(self.seed)
        check_progress(self.progress)

    def matrix(self, fit: Fit) -> Array:
        """The covariance on the fit's scale."""
        found = draws_of(fit, self)
        return np.cov(found, rowvar=False).reshape(found.shape[1], found.shape[1])


def check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SpecificationError(f"`seed` is {seed!r}; pass a whole number, 0 or more.")


def check_progress(progress: Any) -> None:
    if progress is not None and not callable(progress):
        raise SpecificationError(f"`progress` is a {type(progress).__name__}; pass a function of (done, all), or None.")


def draws_of(fit: Fit, bootstrap: Bootstrap) -> Array:
    """The coefficients of every resample on the fit's scale, flat, shape (draws, qp)."""
    return _by_scores(fit, bootstrap) if bootstrap.method == "score" else _by_pairs(fit, bootstrap)


def _by_pairs(fit: Fit, bootstrap: Bootstrap) -> Array:
    problem = _in_memory(fit, "a bootstrap of pairs")
    weight = _weights(problem)
    f = np.ones(problem.rows) if problem.frequency is None else np.asarray(problem.frequency, dtype=float)
    codes = np.arange(problem.rows) if bootstrap.cluster is None else cluster_codes(bootstrap.cluster, problem.rows)
    groups = int(codes.max()) + 1
    chance = np.bincount(codes, weights=f * (weight > 0), minlength=groups) if bootstrap.cluster is None else np.bincount(codes, weight > 0, groups) > 0
    size = round(float(chance.sum()))
    seeds = np.random.SeedSequence(bootstrap.seed).spawn(bootstrap.draws)

    def sample(k: int) -> Problem:
        drawn = np.random.default_rng(seeds[k]).multinomial(size, chance / chance.sum())[codes].astype(float)
        per = weight / np.where(f > 0, f, 1.0) if bootstrap.cluster is None else weight
        return problem.change(weight=per * drawn)

    return _refits(fit, sample, bootstrap.draws, bootstrap.progress)


def _by_scores(fit: Fit, bootstrap: Bootstrap) -> Array:
    """Beta + H^-1 sum e_i s_i x_i with random signs e_i: one pass over the rows for all draws."""
    problem = fit._problem()
    rng = np.random.default_rng(bootstrap.seed)
    codes = None if bootstrap.cluster is None else cluster_codes(bootstrap.cluster, problem.rows)
    signs = None if codes is None else rng.choice([-1.0, 1.0], size=(int(codes.max()) + 1, bootstrap.draws))
    total: Array | None = None
    for slab in slabs(fit):
        u = scores(slab, fit.control.information)
        if codes is None:  # a sign for each of the row's observations
            u = u / np.sqrt(np.where(slab.frequency > 0, slab.frequency, 1.0))[:, None]
        here = slice(slab.first, slab.first + len(u))
        e = rng.choice([-1.0, 1.0], size=(len(u), bootstrap.draws)) if signs is None or codes is None else signs[codes[here]]
        part = u.T @ e
        total = part if total is None else total + part
    assert total is not None
    gamma = fit._estimate().gamma
    flat = gamma if gamma.ndim == 1 else gamma.T.ravel()
    return np.asarray(flat + (factor_of(fit).inverse() @ total).T)


def _refits(fit: Fit, problem: Callable[[int], Problem], count: int, progress: Progress | None) -> Array:
    """The coefficients of problems 0, 1, ..., several at a time; a resample that has no maximum counts as what it is: undefined."""
    if fit.bias is not None:
        raise SpecificationError(f"resamples are fitted by maximum likelihood, and this fit is not ({fit.bias}); use 'model' or 'HC3'.")
    if fit.active is not None:
        raise SpecificationError("resamples are fitted without the constraints that this fit is under; use 'model' or 'HC3', or resample the rows yourself.")
    control = replace(fit.control, threads=1)
    gamma = fit._estimate().gamma

    def solve(k: int) -> Array | None:
        solution = again(problem(k), gamma, control)
        beta = np.asarray(solution.beta, dtype=float)
        return (beta if beta.ndim == 1 else beta.T.ravel()) if solution.status.ok else None

    found: list[Array | None] = []
    with ThreadPoolExecutor(fit.control.threads or cores()) as pool:
        for one in pool.map(solve, range(count)):
            found.append(one)
            if progress is not None:
                progress(len(found), count)
    lost = sum(one is None for one in found)
    if lost:
        raise UndefinedStatisticError(
            f"{lost} of {len(found)} refits have no finite estimate (a separated or singular resample), so their covariance does not exist; "
            "use Bootstrap(method='score'), 'HC3', or a bias-reduced fit."
        )
    return np.array(found)


def _weights(problem: Problem) -> Array:
    return np.ones(problem.rows) if problem.weight is None else np.asarray(problem.weight, dtype=float)


def _in_memory(fit: Fit, what: str) -> Problem:
    problem = fit._problem()
    if isinstance(problem, Streamed):
        raise SpecificationError(f"{what} fits the rows many times, and these are read from files; use 'HC3' or Bootstrap(method='score').")
    return problem
