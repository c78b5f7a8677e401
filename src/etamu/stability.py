"""Stability selection: columns that a penalty selects on most random halves of the rows.

Of B pairs of disjoint halves, the frequency of a column at an alpha is the share of the 2B halves whose fit has it.  Over a range L of alphas with
q columns selected on average, the columns with a largest frequency of at least t hold on average

    at most q^2 / ((2t - 1) p)                                  columns that matter no more than a random pick (each selected with chance q/p or less),
    at most C(t, B) q^2 / p                                     of them where the distribution of their frequencies has one mode,

C = 1 / (2 (2t - 1 - 1/(2B))) for t up to 3/4 and 4 (1 - t + 1/(2B)) / (1 + 1/B) above.

References: Meinshausen & Buhlmann (2010), J. R. Statist. Soc. B 72, doi:10.1111/j.1467-9868.2010.00740.x; Shah & Samworth (2013), J. R. Statist. Soc. B
75, doi:10.1111/j.1467-9868.2011.01034.x (pairs, and both bounds).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etamu.errors import NotEnoughDataError, SpecificationError
from etamu.families import Family, resolve_family
from etamu.inference.resample import check_seed
from etamu.inference.table import Table
from etamu.links import Link
from etamu.path import alphas_of, read_alphas, read_control, read_penalty
from etamu.penalised import Prepared, prepare
from etamu.penalties.base import Penalty
from etamu.penalty_columns import columns_of
from etamu.reading import read_either
from etamu.relaxed import touched
from etamu.solvers.base import Control
from etamu.sources.problem import Problem
from etamu.splitting import in_memory, only, read_count

__all__ = ["StabilitySelection", "stability_selection", "unimodal_bound"]

Array = np.ndarray[Any, Any]
_EARLIER = 2.0 ** np.array([1.0, 0.75, 0.5, 0.25])
_BEYOND = 4  # times the columns wanted at which the path of a half ends


@dataclass(frozen=True)
class StabilitySelection:
    """Frequencies of selection over random halves of the rows.

    ``frequencies`` (p, n_alphas) over the ``alphas`` of the range; ``largest`` (p,) their maxima, ``stable`` the columns whose maximum reaches the
    ``threshold``; ``selected`` q, the columns that a half selects over the range on average; ``bound`` and ``bound_unimodal`` of the expected number
    of false ones among the stable (nan where the second does not hold).
    """

    names: tuple[str, ...]
    alphas: Array
    frequencies: Array
    threshold: float
    selected: float
    pairs: int
    table: Table = field(repr=False)

    @property
    def largest(self) -> Array:
        return np.asarray(self.frequencies.max(axis=1, initial=0.0))

    @property
    def stable(self) -> tuple[str, ...]:
        return tuple(name for name, f in zip(self.names, self.largest) if f >= self.threshold)

    @property
    def bound(self) -> float:
        return self.selected**2 / ((2 * self.threshold - 1) * len(self.names))

    @property
    def bound_unimodal(self) -> float:
        return unimodal_bound(self.selected, len(self.names), self.threshold, self.pairs)

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def unimodal_bound(q: float, p: int, threshold: float, pairs: int) -> float:
    """Shah & Samworth's bound of the expected number of false selections, (7) and (8) there; nan where its conditions fail.

    >>> round(unimodal_bound(10, 1000, 0.9, 50), 4)
    0.0431
    """
    rate, b = q / p, pairs
    if rate > 1 / math.sqrt(3) or threshold <= min(0.5 + rate**2, 0.5 + 1 / (2 * b) + 0.75 * rate**2):
        return math.nan
    if threshold > 0.75:
        return 4 * (1 - threshold + 1 / (2 * b)) / (1 + 1 / b) * q * rate
    room = 2 * threshold - 1 - 1 / (2 * b)
    return q * rate / (2 * room) if room > 0 else math.nan


def stability_selection(
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
    alphas: Any = None,
    n_alphas: int = 40,
    alpha_min_ratio: float | None = None,
    draws: int = 100,
    share: float = 0.5,
    threshold: float = 0.75,
    false: float = 1.0,
    seed: int = 0,
    control: Control | None = None,
    missing: str = "raise",
) -> StabilitySelection:
    """Columns that a penalty selects on most random halves of the rows, with a bound on how many of them are false.

    Data arguments are those of :func:`etamu.glm_path`, and

    Parameters
    ----------
    penalty : any that selects, taken alpha times; the lasso if neither it nor ``l1_ratio`` is given.
    alphas : the range; else a sequence from the alpha that selects nothing of all rows down to where halves select
        ``sqrt(false (2 threshold - 1) p)`` columns on average, so that ``bound`` is ``false`` or less.
    draws : random subsamples, an even number: they come in pairs that share no row.
    share : of the rows in each, at most 0.5.
    threshold : the share of subsamples that a stable column is selected on, above 0.5.
    false : how many false columns are acceptable on average.

    References
    ----------
    Meinshausen & Buhlmann (2010), doi:10.1111/j.1467-9868.2010.00740.x; Shah & Samworth (2013), doi:10.1111/j.1467-9868.2011.01034.x.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> rng = np.random.default_rng(1)
    >>> X = rng.normal(size=(200, 50))
    >>> y = X[:, 0] - X[:, 1] + rng.normal(size=200)
    >>> found = em.stability_selection(X=X, y=y, draws=20)
    >>> found.stable, found.bound <= 1
    (('x1', 'x2'), True)
    """
    check_seed(seed)
    pairs = _read_draws(draws)
    share, threshold, false = _read("share", share, 0.0, 0.5), _read("threshold", threshold, 0.5, 1.0), _read("false", false, 0.0, math.inf)
    control = read_control(control)
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    built, whole, _ = read_either(formula, data, X, y, resolve_family(family), link, arrays, intercept, names, missing, None, control)
    problem = in_memory(whole, "`stability_selection` draws rows at random, and these are read from files part by part")
    wanted = read_penalty(penalty, l1_ratio, 1.0)
    prepared = prepare(problem, built.spec, built.intercept, wanted, control, shared=True)
    if prepared.pieces.smooth:
        raise SpecificationError("`penalty` selects nothing (it is quadratic), so there is no frequency of selection; use em.Lasso, em.GroupLasso, ...")
    tested = np.flatnonzero(touched(wanted.at(1.0).pieces(columns_of(problem, built.spec, built.intercept, False))))
    given = read_alphas(alphas)
    sequence = alphas_of(prepared, given, n_alphas, alpha_min_ratio)
    if given is None:  # halves begin to select before all rows do
        sequence = np.concatenate([sequence[0] * _EARLIER, sequence])
    most = math.inf if given is not None else math.sqrt(false * (2 * threshold - 1) * len(tested))
    halves = _halves(problem, pairs, share, np.random.default_rng(seed))
    found = [_selected(prepared.on(only(problem_of(prepared), rows)), sequence, tested, _BEYOND * most + 10) for rows in halves]
    frequencies, selected = _range(found, most)
    shown = tuple(np.asarray(built.design.names)[tested].tolist())
    return _reported(shown, sequence[: frequencies.shape[1]], frequencies, threshold, selected, pairs)


def problem_of(prepared: Prepared) -> Problem:
    """The rows of a prepared problem, in memory."""
    assert isinstance(prepared.problem, Problem)
    return prepared.problem


def _read_draws(draws: Any) -> int:
    """Pairs."""
    count = read_count("draws", draws, 2)
    if count % 2:
        raise SpecificationError(f"`draws` is {draws!r}; subsamples come in pairs that share no row, so pass an even number.")
    return count // 2


def _read(name: str, value: Any, low: float, high: float) -> float:
    """A number above ``low`` and up to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low < value <= high:
        raise SpecificationError(f"`{name}` is {value!r}; pass a number above {low:g}{'' if math.isinf(high) else f' and up to {high:g}'}.")
    return float(value)


def _halves(problem: Problem, pairs: int, share: float, rng: np.random.Generator) -> list[Array]:
    """Pairs of disjoint random subsamples."""
    rows = np.arange(problem.rows) if problem.weight is None else np.flatnonzero(np.asarray(problem.weight) > 0)
    size = int(share * len(rows))
    if size < 2:
        raise NotEnoughDataError(f"`share` {share:g} of {len(rows)} rows is {size}; a subsample needs at least 2.")
    out = []
    for _ in range(pairs):
        order = rng.permutation(rows)
        for own in (order[:size], order[size : 2 * size]):
            mask = np.zeros(problem.rows, dtype=bool)
            mask[own] = True
            out.append(mask)
    return out


def _selected(prepared: Prepared, alphas: Array, tested: Array, most: float) -> Array:
    """Which columns are not 0 at each alpha, (n_alphas or fewer, tested), down to where more than ``most`` have been so."""
    engine = prepared.engine()
    engine.begin()
    out, ever = [], np.zeros(len(tested), dtype=bool)
    for point in engine.path(alphas):
        beta = prepared.gamma(point)
        here = (beta if beta.ndim == 1 else np.abs(beta).max(axis=1))[tested] != 0
        ever |= here
        if ever.sum() > most:
            break
        out.append(here)
    return np.array(out).reshape(-1, len(tested))


def _range(found: list[Array], most: float) -> tuple[Array, float]:
    """Frequencies (tested, alphas) over the range in which no more than ``most`` columns are selected on average, and how many are."""
    length, tested = min(map(len, found)), found[0].shape[1]
    ever = np.mean([np.logical_or.accumulate(one[:length], axis=0).sum(axis=1) for one in found], axis=0) if length else np.zeros(0)
    inside = int((ever <= most).sum())  # it only grows
    frequencies = np.mean([one[:inside] for one in found], axis=0).T.reshape(tested, inside)
    return frequencies, float(ever[inside - 1]) if inside else 0.0


def _reported(names: tuple[str, ...], alphas: Array, frequencies: Array, threshold: float, selected: float, pairs: int) -> StabilitySelection:
    largest = frequencies.max(axis=1, initial=0.0)
    order = np.argsort(-largest, kind="stable")
    order = order[largest[order] > 0]
    found = StabilitySelection(names, alphas, frequencies, threshold, selected, pairs, Table({}))
    mode = "" if math.isnan(found.bound_unimodal) else f" ({found.bound_unimodal:.3g} if frequencies have one mode)"
    note = (
        f"{2 * pairs} subsamples in pairs, {selected:.3g} of {len(names):,} columns selected by each on average; expected false among the stable: "
        f"at most {found.bound:.3g}{mode}"
    )
    columns = {"coefficient": [names[j] for j in order], "frequency": largest[order], "stable": [bool(largest[j] >= threshold) for j in order]}
    return StabilitySelection(names, alphas, frequencies, threshold, selected, pairs, Table(columns, f"Stability selection, threshold {threshold:g}", note))
