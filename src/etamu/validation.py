"""Cross-validation along a path of penalties: folds of rows, the deviance of each fold under the fit of the others, and the rules that choose.

For least squares the sums of the folds, added in one scan of the rows, say everything: what a fit trains on is the whole less its fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from etamu.core import cores
from etamu.design.columns import Column, Design, Sparse
from etamu.errors import NotEnoughDataError, SpecificationError, chosen
from etamu.families import Family, resolve_family
from etamu.folding import Folding, read_folds
from etamu.inference.table import Table
from etamu.links import Link, Mean
from etamu.path import Path, alphas_of, assembled, followed, read_alphas, read_control, read_penalty
from etamu.penalised import Engine, Prepared, prepare
from etamu.penalties.base import Penalty
from etamu.penalty_bounds import read_bounds
from etamu.reading import read_either
from etamu.rows import multinomial_terms
from etamu.solvers.base import Control
from etamu.solvers.points import Point
from etamu.sources import native
from etamu.sources.access import Access, is_narrow, open_columns
from etamu.sources.problem import Problem
from etamu.sources.regrouped import MOST, SharedRows, is_table, of_rows
from etamu.sources.shared import over_rows, side_by_side
from etamu.sources.streamed import Streamed

__all__ = ["CrossValidation", "cross_validate"]

Array = np.ndarray[Any, Any]
Judge = Callable[[Problem, Array, Array, Array], Array]
_COPIED = 50_000_000  # numbers that are copied to be summed fold by fold, at most
METRICS = ("deviance", "mse", "mae", "misclassification", "auc")


@dataclass(frozen=True)
class CrossValidation:
    """Mean deviance (or another metric) of held-out rows at each alpha.

    ``fold_metric`` has shape (folds, n_alphas), ``mean`` is its mean weighted by the folds' weights, ``se`` the standard error of that; ``path`` is the fit of
    all rows.
    """

    alphas: Array
    fold_metric: Array
    fold_weight: Array
    metric: str
    path: Path
    refit: Callable[[float], Any] = field(repr=False, compare=False)

    @property
    def mean(self) -> Array:
        """The metric of all held-out rows together, (n_alphas,)."""
        return np.asarray(self.fold_weight @ self.fold_metric / self.fold_weight.sum())

    @property
    def mean_deviance(self) -> Array:
        """Mean unit deviance of held-out rows, (n_alphas,)."""
        if self.metric != "deviance":
            raise SpecificationError(f"this cross-validation measured {self.metric!r}; read `.mean`, or pass metric='deviance'.")
        return self.mean

    @property
    def se(self) -> Array:
        """Standard error of the mean over the folds, (n_alphas,)."""
        k = len(self.fold_weight)
        share = self.fold_weight / self.fold_weight.sum()
        return np.asarray(np.sqrt((share @ (self.fold_metric - self.mean) ** 2) / (k - 1)))

    @property
    def _loss(self) -> Array:
        return -self.mean if self.metric == "auc" else self.mean

    @property
    def best_index(self) -> int:
        return int(np.nanargmin(self._loss))

    @property
    def best_alpha(self) -> float:
        """The alpha of the least mean."""
        return float(self.alphas[self.best_index])

    @property
    def one_se_alpha(self) -> float:
        """The largest alpha whose mean is within one standard error of the least (Breiman et al. 1984)."""
        k = self.best_index
        return float(self.alphas[int(np.flatnonzero(self._loss <= self._loss[k] + self.se[k])[0])])

    def fit(self, rule: str | float = "min") -> Any:
        """The fit of all rows at the alpha of the least mean ("min"), by the one-standard-error rule ("1se"), or at an alpha."""
        if isinstance(rule, str):
            chosen("rule", rule, ["min", "1se"])
        return self.refit(self.best_alpha if rule == "min" else self.one_se_alpha if rule == "1se" else float(rule))

    def table(self) -> Table:
        """Alpha, mean, standard error and degrees of freedom, line by line."""
        return Table({"alpha": self.alphas.tolist(), self.metric: self.mean.tolist(), "se": self.se.tolist(), "df": self.path.df.tolist()})

    def plot(self, ax: Any = None) -> Any:
        """The mean and its standard errors against alpha, by matplotlib; the axes."""
        from etamu.present.plot import plot_validation

        return plot_validation(self, ax)


@np.errstate(all="ignore")
def cross_validate(
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
    n_alphas: int = 100,
    alpha_min_ratio: float | None = None,
    constraints: Any = None,
    folds: Any = 5,
    seed: int | None = 0,
    metric: str | Callable[[Array, Array, Array], float] = "deviance",
    control: Control | None = None,
    missing: str = "raise",
    cache: bool | str | None = None,
) -> CrossValidation:
    """Cross-validate the strength of a penalty.

    For each fold the path is fitted to the other folds, at the alphas of the path of all rows, and judged on the fold: by its mean unit deviance, or another
    metric.  Arguments are those of :func:`glm_path`, and

    Parameters
    ----------
    folds : a number of random folds (stratified by class for binomial and multinomial responses), or the fold of each row, as :func:`etamu.folds` makes
        them for groups, strata and time; rows of fold -1 only train.
    metric : "deviance", "mse", "mae", "misclassification", "auc", or a function of (y, mean, weights).

    References
    ----------
    Stone (1974), J. R. Statist. Soc. B 36, doi:10.1111/j.2517-6161.1974.tb00994.x.

    Examples
    --------
    >>> import etamu as em
    >>> X, y = em.datasets.make_linear(300, n_features=6, seed=1)[:2]
    >>> cv = em.cross_validate(X=X[:, 1:], y=y, n_alphas=20, folds=5)
    >>> cv.mean_deviance.shape, cv.one_se_alpha >= cv.best_alpha
    ((20,), True)
    """
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    control = read_control(control)
    built, problem, response = read_either(formula, data, X, y, resolve_family(family), link, arrays, intercept, names, missing, cache, control)
    judge = _metric(metric, problem)
    wanted = read_penalty(penalty, l1_ratio, 1.0)
    rows = read_bounds(constraints, built)
    fold = read_folds(folds, problem.rows, seed, isinstance(problem, Streamed), _strata(problem))
    _check_classes(problem, fold)
    prepared = prepare(problem, built.spec, built.intercept, wanted, control, rows, shared=True)
    given = alphas_of(prepared, read_alphas(alphas), n_alphas, alpha_min_ratio)
    points, betas = _solved(prepared, fold, given)
    path = assembled(prepared, built.spec, wanted, points)
    values, sizes = _judged(problem, fold, betas, judge)

    def refit(alpha: float) -> Any:
        from etamu.fit import fit_read

        return fit_read((built, problem, response), wanted.at(alpha), constraints, control)

    return CrossValidation(path.alphas, values, sizes, metric if isinstance(metric, str) else getattr(metric, "__name__", "metric"), path, refit)


def _strata(problem: Problem | Streamed) -> Array | None:
    """Classes that random folds are to have in equal shares."""
    if isinstance(problem, Streamed):
        return None
    discrete = problem.equations is not None or (problem.family.support.high == 1 and len(np.unique(problem.y[:1000])) == 2)
    return np.asarray(problem.y) if discrete else None


def _check_classes(problem: Problem | Streamed, fold: Folding) -> None:
    """Every training set needs every class."""
    if isinstance(problem, Streamed):
        return
    y = np.asarray(problem.y)
    if problem.equations is None and problem.family.support.high != 1:
        return
    classes = np.unique(y)
    if len(classes) > 20:
        return
    for k in range(fold.count):
        rest = np.unique(y[fold.trains(k, 0, len(y))])
        if len(rest) < len(classes) and len(rest) < (2 if problem.equations is None else len(classes)):
            raise NotEnoughDataError(
                f"`folds`: without fold {k} the rows have {len(rest)} of the {len(classes)} classes of y; use folds that are stratified, or fewer."
            )


def _solved(prepared: Prepared, fold: Folding, alphas: Array) -> tuple[list[Point], list[Array]]:
    """The path of all rows, and the coefficients of each fold's training rows at each alpha.

    Over sums all of them make their passes in common; over columns the folds come after the path of all rows, whose models may serve them.
    Rows of a fold have no weight in what it is predicted from.
    """
    count, problem, order = fold.count, prepared.problem, slice(None)
    if prepared.solver == "columnwise":
        assert isinstance(problem, Problem)
        problem, order = _fold_by_fold(problem, fold)
        prepared = prepared.on(problem)

    def without(k: int) -> Callable[[Problem, int], Problem]:
        def weigh(part: Problem, first: int) -> Problem:
            if k == count:
                return part
            return part.change(weight=np.where(fold.trains(k, first, part.rows)[order], 1.0 if part.weight is None else part.weight, 0.0))

        return weigh

    def follow(engine: Engine, k: int = count) -> list[Point]:
        engine.begin()
        return followed(engine.path(alphas), len(alphas), prepared, f", without fold {k + 1} of {count}" if k < count else "")

    parts = [without(k) for k in range(count + 1)]
    if prepared.solver == "columnwise":
        assert isinstance(problem, Problem)
        columns = open_columns(problem, prepared.control.threads)
        whole = follow(prepared.among(Access(columns, problem)))
        most = columns.threads if columns.whole else 1
        found = side_by_side(count, lambda k, own: follow(prepared.among(Access(columns.among(own), parts[k](problem, 0))), k), columns.threads, most)
        found.append(whole)
    elif isinstance(problem, Problem) and prepared.quadratic and (shared := _shared(problem, fold, prepared)) is not None:
        found = [follow(prepared.over(shared.of(k)), k) for k in range(count + 1)]
    else:
        found = over_rows(problem, parts, lambda k, objective: follow(prepared.over(objective), k), prepared.control.threads)
    return found[count], [np.array([prepared.coefficients(point) for point in points]) for points in found[:count]]


def _shared(problem: Problem, fold: Folding, prepared: Prepared) -> SharedRows | None:
    """Of least squares, whose sums every fold asks for at one point: each row is summed once."""
    parts, trains = problem.design.parts, [fold.trains(k, 0, problem.rows) for k in range(fold.count)]
    if problem.within is not None or fold.count >= MOST or not all(k.any() for k in trains) or any(isinstance(part, Sparse) for part in parts):
        return None
    if problem.rows * problem.design.width > _COPIED and not all(map(is_table, parts)):  # memory for another copy of the columns is not ours to take
        return None
    return SharedRows(problem, [*trains, np.ones(problem.rows, dtype=bool)], prepared.control.threads)


def _fold_by_fold(problem: Problem, fold: Folding) -> tuple[Problem, Any]:
    """The problem with the rows of each fold together, so that those without weight are passed by, and which row each is.

    As it is where its columns are not held by everybody, or cannot be looked up in any order.
    """
    if not is_narrow(problem) or problem.within is not None or not all(is_table(part) for part in problem.design.parts):
        return problem, slice(None)
    order = np.argsort(_codes([fold.held(k, 0, problem.rows) for k in range(fold.count)]), kind="stable").astype(np.int32)
    return of_rows(problem, order), order


def _codes(held: list[Array]) -> Array:
    """The fold that holds each row, the last of several; -1 where none does."""
    code = np.full(len(held[0]), -1, dtype=np.int32)
    for k, own in enumerate(held):
        code[own] = k
    return code


def _judged(problem: Problem | Streamed, fold: Folding, betas: list[Array], judge: Judge) -> tuple[Array, Array]:
    """The metric of each fold at each alpha, and the folds' weights; rows are looked at block by block, and each once."""
    values, sizes, first = np.zeros((len(betas), len(betas[0]))), np.zeros(len(betas)), 0
    beta = [np.ascontiguousarray(np.moveaxis(b, 1, 0).reshape(b.shape[1], -1)) for b in betas]
    for part in problem.batches():
        held = [fold.held(k, first, part.rows) for k in range(len(betas))]
        eta = _predictors(part, held, beta, betas[0].shape[2:])
        for k, rows in enumerate(held):
            y, w, _ = part.vectors(slice(0, part.rows))
            size = float(w[rows].sum())
            if size > 0:
                values[k] += size * judge(part, y[rows], w[rows], eta[k])
                sizes[k] += size
        first += part.rows
    if not sizes.all():
        raise NotEnoughDataError(
            f"`folds`: the rows of fold {int(np.flatnonzero(sizes == 0)[0]) + 1} have no weight, so nothing is judged by them; use fewer folds or drop them."
        )
    return values / sizes[:, None], sizes


def _predictors(part: Problem, held: list[Array], beta: list[Array], classes: tuple[int, ...]) -> list[Array]:
    """For each fold the predictors of its rows at each alpha, (rows, n_alphas) or (rows, n_alphas, classes)."""
    plain = replace(part.design, center=None, scale=None)
    joined = _at_once(plain, held, beta)
    if joined is None:
        joined = _block_by_block(plain, held, beta)
    if part.offset is not None:
        offset = np.asarray(part.offset, dtype=float)
        joined = [eta + offset[rows, None] for eta, rows in zip(joined, held)]
    return [eta.reshape(len(eta), -1, *classes) for eta in joined]


def _at_once(plain: Design, held: list[Array], beta: list[Array]) -> list[Array] | None:
    """The predictors by the core, or None where several folds hold a row or it cannot read the columns."""
    if np.sum(held, axis=0).max(initial=0) > 1:
        return None
    return native.predictors(plain, _codes(held), np.array(beta), cores())


def _block_by_block(plain: Design, held: list[Array], beta: list[Array]) -> list[Array]:
    """The predictors of each fold's rows in NumPy."""
    width = plain.width
    out: list[list[Array]] = [[] for _ in beta]
    step = max(64, 2_000_000 // max(width, 1))
    for a in range(0, plain.rows, step):
        rows = slice(a, min(a + step, plain.rows))
        sparse = width > 2_000 and not all(isinstance(p, Column) for p in plain.parts)
        x = None if sparse else plain.block(rows)
        for k, own in enumerate(held):
            if own[rows].any():
                out[k].append(plain.predictor(rows, beta[k])[own[rows]] if x is None else x.T.compress(own[rows], axis=1).T @ beta[k])
    return [np.concatenate(found) if found else np.empty((0, beta[0].shape[1])) for found in out]


# ---- metrics ------------------------------------------------------------------------------------------------------


def _metric(metric: Any, problem: Problem | Streamed) -> Judge:
    """A function of the problem, y, weights and predictors (rows, n_alphas) of held-out rows, giving one number per alpha."""
    if isinstance(problem, Streamed) and (callable(metric) or metric == "auc"):
        raise SpecificationError("`metric` on files must be a mean over rows, which this is not; choose 'deviance', 'mse', 'mae' or 'misclassification'.")
    if callable(metric):
        return _by_means(metric)
    chosen("metric", metric, list(METRICS))
    if metric == "deviance":
        return _deviance
    if metric == "auc" and (problem.family.support.high != 1 or problem.equations is not None):
        raise SpecificationError("`metric` 'auc' is of a binomial response; choose 'deviance' or 'mse'.")
    if metric == "misclassification" and problem.family.support.high != 1 and problem.equations is None:
        raise SpecificationError("`metric` 'misclassification' is of a response in classes; choose 'deviance' or 'mse'.")
    return _by_means(_MEASURES[metric])


@np.errstate(all="ignore")
def _deviance(problem: Problem, y: Array, w: Array, eta: Array) -> Array:
    total = w.sum()
    if problem.equations is not None:
        return np.array([multinomial_terms(y, eta[:, k], w, problem.reference).deviance.sum() / total for k in range(eta.shape[1])])
    rows = Problem(Design((), len(y)), np.ascontiguousarray(y), problem.family, problem.link, np.ascontiguousarray(w))
    found = native.deviances(rows, eta, cores())
    if found is not None:
        return np.asarray(found / total)
    family, link = problem.family, problem.link
    return np.array([(w * family.deviance_at(y, Mean(link, np.ascontiguousarray(e)))).sum() / total for e in eta.T])


def _by_means(measure: Callable[[Array, Array, Array], float]) -> Judge:
    def judge(problem: Problem, y: Array, w: Array, eta: Array) -> Array:
        if problem.equations is not None:
            raise SpecificationError("`metric` other than 'deviance' is of one equation; a multinomial response is judged by its deviance.")
        return np.array([measure(y, problem.link.mu(e), w) for e in eta.T])

    return judge


def _auc(y: Array, mu: Array, w: Array) -> float:
    """The weighted probability that a success has the larger mean, ties counting half."""
    values, place = np.unique(mu, return_inverse=True)
    good, bad = np.bincount(place, w * y, len(values)), np.bincount(place, w * (1 - y), len(values))
    below = np.cumsum(bad) - bad
    return float((good * (below + 0.5 * bad)).sum() / (good.sum() * bad.sum()))


_MEASURES: dict[str, Callable[[Array, Array, Array], float]] = {
    "mse": lambda y, mu, w: float((w * (y - mu) ** 2).sum() / w.sum()),
    "mae": lambda y, mu, w: float((w * np.abs(y - mu)).sum() / w.sum()),
    "misclassification": lambda y, mu, w: float((w * ((mu > 0.5) != (y > 0.5))).sum() / w.sum()),
    "auc": _auc,
}
