"""Inference on other rows than those that selected: sample splitting, once or many times.

A random part of the rows chooses columns by a penalty, the rest fits them by maximum likelihood and tests them as if they had been given, which
on those rows they are.  Of B splits, with p_b(j) = 1 where j was not selected and Q_g(j) the g-quantile of p_b(j)/g over the splits,

    median    min(1, Q_1/2)              quantile    min(1, (1 - log 0.05) inf over g in [0.05, 1] of Q_g)

bound the error whatever the dependence between splits.  Adjusted p-values first multiply those of a split by the number it selected.

References: Wasserman & Roeder (2009), Ann. Statist. 37, doi:10.1214/08-AOS646; Meinshausen, Meier & Buhlmann (2009), J. Am. Statist. Assoc. 104,
doi:10.1198/jasa.2009.tm08647.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from etamu.combining import combined, held_by_most
from etamu.errors import NotEnoughDataError, SpecificationError, UndefinedStatisticError, chosen
from etamu.families import Family, resolve_family
from etamu.fit import fit_read
from etamu.folding import folds as make_folds
from etamu.inference.resample import check_seed
from etamu.inference.table import Table
from etamu.inference.wald import check_level, interval
from etamu.links import Link, Mean
from etamu.model import Fit
from etamu.path import alphas_of, read_control, read_penalty
from etamu.penalised import Prepared, prepare
from etamu.penalties.base import Penalty, check_alpha
from etamu.reading import Read, read_either
from etamu.relaxed import refit, support_of
from etamu.solvers.base import Control
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["SplitInference", "in_memory", "only", "read_count", "split_inference"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SplitInference:
    """Inference after selection on other rows.

    ``table`` has the columns that some split selected, the smallest p-value first: the share of splits that did, the median of their estimates,
    limits, and combined p-values, plain and adjusted for the number selected; all others have a p-value of 1.  ``selected`` (repeats, p) says what
    each split selected, ``p_values`` (repeats, p) what the other rows said of it, ``alphas`` (repeats,) the penalties, ``fits`` the fits of the other
    rows, None where there is none.
    """

    table: Table
    names: tuple[str, ...]
    selected: Array
    p_values: Array
    p_adjusted: Array
    alphas: Array
    fits: tuple[Fit | None, ...] = field(repr=False)

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def split_inference(
    formula: str | None = None,
    data: Any = None,
    *,
    X: Any = None,
    y: Any = None,
    family: str | Family = "gaussian",
    link: str | Link | None = None,
    weights: Any = None,
    frequency: Any = None,
    offset: Any = None,
    exposure: Any = None,
    intercept: bool = True,
    names: Sequence[str] | None = None,
    penalty: Penalty | None = None,
    l1_ratio: float | None = None,
    alpha: float | None = None,
    folds: int = 5,
    n_alphas: int = 50,
    share: float = 0.5,
    repeats: int = 1,
    combine: str = "median",
    level: float = 0.95,
    seed: int = 0,
    control: Control | None = None,
    missing: str = "raise",
) -> SplitInference:
    """Select columns on a random part of the rows, and test them on the rest.

    Data arguments are those of :func:`etamu.cross_validate`, and

    Parameters
    ----------
    penalty : any that selects; the lasso if neither it nor ``l1_ratio`` is given.
    alpha : its strength; None chooses it on the selecting rows, by cross-validation in ``folds`` among those that leave fewer columns than half of the
        other rows.
    share : of the rows that select.
    repeats : splits; several are combined by ``combine``: "median", twice the median p-value, or "quantile", the best of the quantiles from 0.05 to 1,
        at a price of 1 - log 0.05.  A single split depends on its luck.
    level : of the limits; of several splits they hold the values that at least half of them do not reject at half the error.

    Returns
    -------
    SplitInference
        Estimates are of the selected model: where a column that matters was not selected, of the others without it.

    References
    ----------
    Meinshausen, Meier & Buhlmann (2009), J. Am. Statist. Assoc. 104, doi:10.1198/jasa.2009.tm08647.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> rng = np.random.default_rng(1)
    >>> X = rng.normal(size=(200, 300))
    >>> y = X[:, 0] - X[:, 1] + rng.normal(size=200)
    >>> found = em.split_inference(X=X, y=y, alpha=0.2, repeats=11)
    >>> bool(found.table.row("x1")["p_adjusted"] < 1e-3), bool((found.p_adjusted[2:] > 0.05).all())
    (True, True)
    """
    check_level(level)
    check_seed(seed)
    chosen("combine", combine, ["median", "quantile"])
    repeats, share = read_count("repeats", repeats, 1), _read_share(share)
    control = replace(read_control(control), progress=None)
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    read = read_either(formula, data, X, y, resolve_family(family), link, arrays, intercept, names, missing, None, control)
    problem = in_memory(read[1], "`split_inference` draws rows at random, and these are read from files part by part")
    wanted = read_penalty(penalty, l1_ratio, 1.0)
    if problem.equations is not None:
        raise UndefinedStatisticError("`split_inference` is of one equation, and a multinomial response has several; test one class against the others.")
    if alpha is not None:
        check_alpha(alpha)
    prepared = prepare(problem, read[0].spec, read[0].intercept, wanted, control, shared=True)
    if prepared.pieces.smooth:
        raise SpecificationError("`penalty` selects nothing (it is quadratic), so there is nothing to test on other rows; use em.Lasso, em.GroupLasso, ...")
    rng, splits = np.random.default_rng(seed), []
    for _ in range(repeats):
        selecting = _drawn(problem, share, rng)
        strength = _validated(prepared, selecting, folds, n_alphas, rng) if alpha is None else float(alpha)
        splits.append(_split(read, problem, wanted.at(strength), selecting, control))
    return _reported(read, splits, combine, level)


# ---- arguments ----------------------------------------------------------------------------------------------------


def read_count(name: str, value: Any, least: int) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SpecificationError(f"`{name}` is {value!r}; pass a whole number that is {least} or more.")
    return int(value)


def _read_share(share: Any) -> float:
    if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 < share < 1:
        raise SpecificationError(f"`share` is {share!r}; pass the share of the rows that select, between 0 and 1.")
    return float(share)


def in_memory(problem: Problem | Streamed, why: str) -> Problem:
    """The problem, if its rows lie in memory."""
    if isinstance(problem, Streamed):
        raise SpecificationError(f"{why}; read a sample of them into a table and pass that.")
    return problem


# ---- one split ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Split:
    """What one split selected, at which alpha, and the fit of its other rows."""

    kept: tuple[int, ...]
    alpha: float
    fit: Fit | None


def only(problem: Problem, rows: Array) -> Problem:
    """The problem of some of its rows: the others have no weight."""
    return problem.change(weight=np.where(rows, 1.0 if problem.weight is None else problem.weight, 0.0))


def _counting(problem: Problem) -> Array:
    """Numbers of the rows that have weight."""
    return np.arange(problem.rows) if problem.weight is None else np.flatnonzero(np.asarray(problem.weight) > 0)


def _drawn(problem: Problem, share: float, rng: np.random.Generator) -> Array:
    """Which rows select; of a response of two values as many of each as their share says."""
    rows = _counting(problem)
    strata = _strata(problem, rows)
    out = np.zeros(problem.rows, dtype=bool)
    for label in np.unique(strata):
        own = rng.permutation(rows[strata == label])
        out[own[: round(share * len(own))]] = True
    count = int(out.sum())
    if min(count, len(rows) - count) < 2:
        raise NotEnoughDataError(f"`share` {share:g} of {len(rows)} rows leaves {min(count, len(rows) - count)} on one side; both need at least 2.")
    return out


def _strata(problem: Problem, rows: Array) -> Array:
    """Which of its two values y has in each of some rows; 0 where it has more."""
    values, inverse = np.unique(np.asarray(problem.y)[rows], return_inverse=True)
    return np.asarray(inverse if len(values) == 2 else np.zeros(len(rows), dtype=int))


def _validated(prepared: Prepared, selecting: Array, count: int, n_alphas: int, rng: np.random.Generator) -> float:
    """The alpha of the least deviance of held-out selecting rows, among those whose columns the other rows can fit."""
    problem = prepared.problem
    assert isinstance(problem, Problem)
    own = prepared.on(only(problem, selecting))
    alphas = alphas_of(own, None, n_alphas, None)
    path = _followed(own, alphas)
    rows = np.flatnonzero(selecting)
    fold = np.full(problem.rows, -1)
    fold[rows] = make_folds(len(rows), count, seed=int(rng.integers(2**31)), stratify=_strata(problem, rows))
    total = np.zeros(len(alphas))
    for k in range(count):
        total += _deviance(problem, fold == k, _followed(prepared.on(only(problem, selecting & (fold != k))), alphas))
    room = 0.5 * (len(_counting(problem)) - len(rows))
    total[(path != 0).sum(axis=1) > room] = math.inf
    total[np.isnan(total)] = math.inf
    return float(alphas[int(total.argmin())])


def _followed(prepared: Prepared, alphas: Array) -> Array:
    """Coefficients along a path, (n_alphas, p)."""
    engine = prepared.engine()
    engine.begin()
    return np.array([prepared.coefficients(point) for point in engine.path(alphas)])


def _deviance(problem: Problem, held: Array, beta: Array) -> Array:
    """The deviance of some rows at each alpha."""
    rows = np.flatnonzero(held)
    y, w, offset = (v[rows] for v in problem.vectors(slice(0, problem.rows)))
    x = type(problem.design)(problem.design.parts, problem.rows).block(rows)
    with np.errstate(all="ignore"):
        return np.array([(w * problem.family.deviance_at(y, Mean(problem.link, x @ b + offset))).sum() for b in beta])


def _split(read: Read, problem: Problem, penalty: Penalty, selecting: Array, control: Control) -> _Split:
    """Select on some rows, fit the others."""
    built, _, response = read
    chosen_by = fit_read((built, only(problem, selecting), response), penalty, None, control)
    first = int(built.intercept)
    if not any(name in chosen_by.names[first:] for name in chosen_by.penalised.nonzero):
        return _Split((), penalty.alpha, None)
    support = support_of(chosen_by)
    rest = only(problem, ~selecting)
    if len(support.kept) >= len(_counting(rest)):
        raise NotEnoughDataError(
            f"alpha {penalty.alpha:.4g} selects {len(support.kept)} columns, and the other {len(_counting(rest))} rows cannot fit them; raise `alpha`, "
            "or lower `share`."
        )
    found = replace(refit(chosen_by, rest, support), data=None)
    return _Split(support.kept, penalty.alpha, found if found.status.ok else None)


# ---- all of them --------------------------------------------------------------------------------------------------


def _reported(read: Read, splits: list[_Split], rule: str, level: float) -> SplitInference:
    first, names = int(read[0].intercept), tuple(read[0].design.names)
    shape = (len(splits), len(names))
    p, estimate, stderror = np.ones(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    selected, times = np.zeros(shape, dtype=bool), np.ones(len(splits))
    for k, one in enumerate(splits):
        selected[k, list(one.kept)] = True
        if one.fit is None:
            continue
        table = one.fit.coef_table(level)
        known = np.isfinite(table.p_value)
        p[k, known], estimate[k], stderror[k] = table.p_value[known], np.where(known, table.estimate, np.nan), np.where(known, table.stderror, np.nan)
        times[k] = max(int(selected[k, first:].sum()), 1)
    adjusted = np.minimum(p * times[:, None], 1.0)
    plain = combined(p, rule)
    shown = [j for j in np.argsort(plain, kind="stable").tolist() if j >= first and selected[:, j].any()]
    low, high = _limits(splits, estimate, stderror, level)
    columns: dict[str, Any] = {
        "coefficient": [names[j] for j in shown],
        "selected": selected.mean(axis=0)[shown],
        "estimate": [_median(estimate[:, j]) for j in shown],
        "lower": low[shown],
        "upper": high[shown],
        "p_value": plain[shown],
        "p_adjusted": combined(adjusted, rule)[shown],
    }
    table_of = Table(
        columns, f"Inference on other rows than those that selected, {len(splits)} split{'s' if len(splits) > 1 else ''}", _note(splits, rule, level)
    )
    rest = slice(first, None)
    fits = tuple(one.fit for one in splits)
    return SplitInference(table_of, names[rest], selected[:, rest], p[:, rest], combined(adjusted, rule)[rest], np.array([s.alpha for s in splits]), fits)


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def _limits(splits: list[_Split], estimate: Array, stderror: Array, level: float) -> tuple[Array, Array]:
    """Limits of one split, or of several; a split without the column, or without a fit, holds every value."""
    count, width = estimate.shape
    own = level if count == 1 else 1 - (1 - level) / 2
    ends = np.empty((count, width, 2))
    ends[..., 0], ends[..., 1] = -math.inf, math.inf
    for k, one in enumerate(splits):
        if one.fit is not None:
            some = interval(estimate[k], stderror[k], own, one.fit._df)
            ends[k] = np.where(np.isfinite(some), some, ends[k])
    return held_by_most(ends)


def _note(splits: list[_Split], rule: str, level: float) -> str:
    how = "" if len(splits) == 1 else "p-values: twice the median over splits; " if rule == "median" else "p-values: the best quantile over splits, paid for; "
    lost = sum(s.fit is None and bool(s.kept) for s in splits)
    failed = f"; {lost} splits had no finite fit and count as p = 1" if lost else ""
    return f"{how}p_adjusted first multiplies by the number selected; limits {100 * level:g}%; columns not shown have p = 1{failed}"
