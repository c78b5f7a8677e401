"""Analysis of deviance: terms in turn (type 1), each after all that do not contain it (2), each after all others (3).

Every row compares two models whose columns are some of the fit's: deviance difference over phi against chi-squared, or
(difference / df) / phi against F where phi is estimated; phi is the full fit's.

References: McCullagh & Nelder (1989), 2.3; Nelder (1977), J. R. Statist. Soc. A 140, doi:10.2307/2344517 (marginality); Fox (2016),
*Applied Regression Analysis and Generalized Linear Models*, 3rd ed., 15.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError, chosen, unknown
from etamu.inference.refit import again, score_statistic
from etamu.inference.residuals import partial_columns
from etamu.inference.table import Table
from etamu.inference.tails import log_chi2, log_f
from etamu.inference.tests import refuse_reduced, require_converged, test
from etamu.sources.problem import Problem
from etamu.sources.streamed import open_source
from etamu.sums import Request

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["anova", "columns_of_rows", "compare", "drop1", "extract_aic", "method_of", "note_of", "refuse_other_rows", "submodel"]

Array = np.ndarray[Any, Any]


class Submodels:
    """Deviances of models on some of the fit's columns, each fitted once."""

    def __init__(self, fit: Fit) -> None:
        require_converged(fit, "an analysis of deviance")
        refuse_reduced(fit, "an analysis of deviance")
        if fit.class_names is not None:
            raise UndefinedStatisticError("an analysis of deviance by term is for one equation; compare two multinomial fits with `small.anova(big)`.")
        self.fit, self.e = fit, fit._estimate()
        self.columns = {name: [j for j in own if j in self.e.kept] for name, own in partial_columns(fit).items()}
        self.known: dict[tuple[int, ...], float] = {tuple(self.e.kept): fit.deviance}

    def all(self) -> set[int]:
        return set(self.e.kept)

    def of(self, terms: Iterable[str]) -> set[int]:
        """The columns of some terms."""
        return {j for term in terms for j in self.columns[term]}

    def deviance(self, columns: set[int]) -> float:
        """The deviance of the model on those columns."""
        kept = tuple(sorted(columns))
        if kept not in self.known:
            self.known[kept] = submodel(self.fit, kept)[0]
        return self.known[kept]


def submodel(fit: Fit, kept: tuple[int, ...]) -> tuple[float, Any]:
    """Deviance and solution of the model on some of the fit's columns (numbers of ``fit.names``)."""
    e, problem = fit._estimate(), fit._problem()
    if not kept:
        smaller = problem.keep(())
        return open_source(smaller, fit.control.threads).sum(Request(np.zeros(0), 0)).deviance, None
    place = {column: k for k, column in enumerate(e.kept)}
    index = [place[j] for j in kept]
    smaller = problem.keep(index)
    start = e.gamma[index]
    if e.scaling.center is not None and 0 not in index:  # without the constant, columns are what they are
        smaller, start = smaller.change(design=replace(smaller.design, center=np.zeros(len(index)))), np.zeros(len(index))
    if not math.isfinite(open_source(smaller, fit.control.threads).sum(Request(start, 0)).deviance):
        start = np.zeros(len(index))
    solution = again(smaller, start, fit.control)
    if not solution.status.ok:
        gone = _others(fit, kept)
        raise UndefinedStatisticError(f"the model without {gone} ended {solution.status.name}: its deviance is no maximum. {solution.status.value}")
    return solution.sums.deviance, solution


def _others(fit: Fit, kept: tuple[int, ...]) -> str:
    gone = [name for j, name in enumerate(fit.names) if j not in kept]
    return ", ".join(gone[:6]) + (", ..." if len(gone) > 6 else "")


def method_of(fit: Fit, method: str | None) -> str:
    if method is None:
        return "lr" if fit.family.dispersion_known else "f"
    return chosen("test", method, ["lr", "f", "wald", "score"])


def _tested(method: str, change: float, df: float, phi: float, residual: float) -> tuple[float, float]:
    """Statistic and p-value of a change of deviance."""
    if df <= 0:
        return math.nan, math.nan
    if method == "f":
        statistic = change / df / phi
        return statistic, math.exp(log_f(statistic, df, residual))
    statistic = change / phi
    return statistic, math.exp(log_chi2(max(statistic, 0.0), df))


def anova(fit: Fit, kind: int, method: str | None) -> Table:
    """The table of one fit's terms."""
    if not isinstance(kind, (int, np.integer)) or kind not in (1, 2, 3):
        raise unknown("type", kind, ["1", "2", "3"])
    method = method_of(fit, method)
    if method == "score" and kind != 1:
        raise SpecificationError("`test` 'score' goes with type 1; use 'lr', 'f' or 'wald' for types 2 and 3.")
    models = Submodels(fit)
    return _sequential(fit, models, method) if kind == 1 else _by_term(fit, models, kind, method)


def _sequential(fit: Fit, models: Submodels, method: str) -> Table:
    if method == "wald":
        raise SpecificationError("`test` 'wald' goes with types 2 and 3; a sequence of models is compared by 'lr', 'f' or 'score'.")
    columns = models.all() - models.of(models.columns)
    before = models.deviance(columns)
    rows: list[list[Any]] = [["NULL", None, None, fit.nobs - len(columns), before, None, None]]
    for term in models.columns:
        wider = columns | set(models.columns[term])
        after, df = models.deviance(wider), len(wider) - len(columns)
        if method == "score":
            statistic = _rao(fit, tuple(sorted(columns)), tuple(sorted(wider))) / fit.dispersion if df else math.nan
            p = math.exp(log_chi2(max(statistic, 0.0), df)) if df else math.nan
        else:
            statistic, p = _tested(method, before - after, df, fit.dispersion, fit.df_residual)
        rows.append([term, df, before - after, fit.nobs - len(wider), after, statistic, p])
        columns, before = wider, after
    names = ("term", "df", "deviance", "resid_df", "resid_deviance", "statistic", "p_value")
    return Table(columns_of_rows(names, rows), "Analysis of deviance, terms added in order", note_of(fit, method))


def _rao(fit: Fit, small: tuple[int, ...], big: tuple[int, ...]) -> float:
    """The score statistic (times phi) of the columns that the bigger model has more."""
    e, problem = fit._estimate(), fit._problem()
    place = {column: k for k, column in enumerate(e.kept)}
    solution = submodel(fit, small)[1]
    wide = problem.keep([place[j] for j in big])
    beta = np.zeros(len(big))
    if solution is not None:
        if e.scaling.center is not None and 0 not in small:
            raise UndefinedStatisticError("score tests in sequence need a model with an intercept.")
        beta[[big.index(j) for j in small]] = solution.beta
    return score_statistic(wide, beta, fit.control)


def _by_term(fit: Fit, models: Submodels, kind: int, method: str) -> Table:
    parts = _parts(fit, models)
    rows = []
    for term, own in models.columns.items():
        relatives = {other for other in models.columns if other != term and parts[term] < parts[other]} if kind == 2 else set()
        if method == "wald":
            statistic, p = _wald_of(fit, own, models.of(relatives))
        else:
            full = models.all() - models.of(relatives)
            change = models.deviance(full - set(own)) - models.deviance(full)
            statistic, p = _tested(method, change, len(own), fit.dispersion, fit.df_residual)
        rows.append([term, len(own), statistic, p])
    title = f"Analysis of deviance, type {kind}: each term after all others" + (" that do not contain it" if kind == 2 else "")
    return Table(columns_of_rows(("term", "df", "statistic", "p_value"), rows), title, note_of(fit, method))


def _wald_of(fit: Fit, own: list[int], relatives: set[int]) -> tuple[float, float]:
    """Wald's statistic of a term; for type 2 of what it says beyond its relatives, as car's Anova."""
    if not own:
        return math.nan, math.nan
    if relatives:
        both = sorted({*own, *relatives})
        wide = _quadratic(fit, both) - _quadratic(fit, sorted(relatives))
        return wide, math.exp(log_chi2(max(wide, 0.0), len(own)))
    found = test(fit, np.eye(len(fit.names))[own], "wald", "model", "chi2")
    return found.statistic, found.p_value


def _quadratic(fit: Fit, index: list[int]) -> float:
    b = fit.coef[index]
    return float(b @ np.linalg.solve(fit.vcov()[np.ix_(index, index)], b))


def _parts(fit: Fit, models: Submodels) -> dict[str, frozenset[Any]]:
    """The variables of each term."""
    if fit.spec is None:
        return {term: frozenset([term]) for term in models.columns}
    return {name: frozenset(term) for name, term in zip(models.columns, fit.spec.formula.terms, strict=True)}


def columns_of_rows(names: Sequence[str], rows: list[list[Any]]) -> dict[str, Sequence[Any]]:
    """Rows as named columns."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def note_of(fit: Fit, method: str) -> str:
    reference = "F" if method == "f" else "chi-squared"
    return f"{reference} tests" if fit.family.dispersion_known else f"{reference} tests, dispersion {fit.dispersion:.5g} (Pearson)"


def drop1(fit: Fit, method: str | None) -> Table:
    """The fit without each term that no other contains, in turn, as R's ``drop1``."""
    method = method_of(fit, method)
    chosen("test", method, ["lr", "f"])
    models = Submodels(fit)
    if not (fit.deviance > 0 and fit.df_residual > 0):
        raise UndefinedStatisticError("this fit leaves no residual, so its deviance compares with nothing; drop1 needs residual degrees of freedom.")
    parts = _parts(fit, models)
    n, full = fit.nobs, models.all()
    rows: list[list[Any]] = [["<none>", None, fit.deviance, extract_aic(fit, fit.deviance, len(full)), None, None]]
    for term, own in models.columns.items():
        if any(parts[term] < parts[other] for other in parts):
            continue
        deviance, df = models.deviance(full - set(own)), len(own)
        if method == "f":  # R takes the deviance estimate of phi here
            statistic = (deviance - fit.deviance) / df / (fit.deviance / fit.df_residual) if df else math.nan
            p = math.exp(log_f(statistic, df, fit.df_residual)) if df else math.nan
        else:
            gaussian = fit.family.name == "gaussian"
            change = n * math.log(deviance / fit.deviance) if gaussian else (deviance - fit.deviance) / fit.dispersion
            statistic, p = (max(change, 0.0), math.exp(log_chi2(max(change, 0.0), df))) if df else (math.nan, math.nan)
        rows.append([term, df, deviance, extract_aic(fit, deviance, len(full) - df), statistic, p])
    names = ("term", "df", "deviance", "aic", "statistic", "p_value")
    note = f"F tests, dispersion {fit.deviance / fit.df_residual:.5g} (deviance over its degrees of freedom)" if method == "f" else note_of(fit, method)
    return Table(columns_of_rows(names, rows), "Single-term deletions", note)


def extract_aic(fit: Fit, deviance: float, columns: int) -> float:
    """AIC up to a constant of the data: that of R's ``extractAIC``; nan without a likelihood."""
    if not fit.family.likelihood:
        return math.nan
    if fit.family.name == "gaussian":
        own = fit.nobs * math.log(fit.deviance / fit.nobs)
        return fit.aic - own + fit.nobs * math.log(deviance / fit.nobs) - 2 * (fit.rank - columns)
    return fit.aic + (deviance - fit.deviance) / fit.dispersion - 2 * (fit.rank - columns)


def compare(small: Fit, big: Fit, method: str | None) -> Table:
    """Two nested fits of the same response."""
    refuse_other_rows(small, big)
    if small.rank * small.equations > big.rank * big.equations:
        small, big = big, small
    _refuse_strangers(small, big)
    method = method_of(big, method)
    df = (big.rank * big.equations) - (small.rank * small.equations)
    if df == 0:
        raise SpecificationError("`other` has as many coefficients as this fit, so neither is nested in the other; compare AIC, or use `fit.vuong(other)`.")
    if method == "score":
        statistic = _score_between(small, big) / big.dispersion
        p = math.exp(log_chi2(max(statistic, 0.0), df))
    elif method == "wald":
        raise SpecificationError("`test` 'wald' is for hypotheses of one fit; use fit.test(...), or 'lr', 'f' or 'score' here.")
    else:
        statistic, p = _tested(method, small.deviance - big.deviance, df, big.dispersion, big.df_residual)
    rows: dict[str, Sequence[Any]] = {
        "model": [_name(small), _name(big)],
        "resid_df": [small.df_residual, big.df_residual],
        "resid_deviance": [small.deviance, big.deviance],
        "df": [None, df],
        "deviance": [None, small.deviance - big.deviance],
        "statistic": [None, statistic],
        "p_value": [None, p],
    }
    return Table(rows, "Analysis of deviance", note_of(big, method))


def _name(fit: Fit) -> str:
    return fit.spec.formula.text if fit.spec is not None else f"{fit.rank} columns"


def refuse_other_rows(first: Fit, second: Any) -> None:
    """Another fit must be one, and of the same responses with the same weights."""
    if not hasattr(second, "_problem"):
        raise SpecificationError(f"`other` is a {type(second).__name__}; pass a fit.")
    a, b = first._problem(), second._problem()
    if not (isinstance(a, Problem) and isinstance(b, Problem)) or a.rows != b.rows:
        return  # files are not read for this; numbers of rows are compared elsewhere
    for what, one, other in (("responses", a.y, b.y), ("weights", a.weight, b.weight)):
        if (one is None) != (other is None) or (one is not None and other is not None and not np.array_equal(one, other)):
            raise SpecificationError(f"`other` was fitted to other {what}; fits are compared on the same rows, responses and weights.")


def _refuse_strangers(small: Fit, big: Fit) -> None:
    """Fits that cannot be compared: other rows, another family or link, columns that the bigger has not."""
    refuse_other_rows(small, big)
    for what, a, b in (("rows", small.nobs, big.nobs), ("families", small.family, big.family), ("links", small.link.name, big.link.name)):
        if a != b:
            raise SpecificationError(f"`other` was fitted with other {what} ({a} against {b}); nested fits share rows, family and link.")
    for fit in (small, big):
        require_converged(fit, "an analysis of deviance")
        refuse_reduced(fit, "an analysis of deviance")
    missing = [name for name in small.names if name not in big.names]
    if missing and small.deviance < big.deviance * (1 - 1e-9):
        raise SpecificationError(f"`other` lacks the column {missing[0]!r} and fits worse, so the fits are not nested; compare AIC, or use `fit.vuong(other)`.")


def _score_between(small: Fit, big: Fit) -> float:
    missing = [name for name in small.names if name not in big.names]
    if missing:
        raise SpecificationError(f"the bigger fit has no column {missing[0]!r}; a score test needs the smaller fit's columns among the bigger's.")
    if small.class_names is not None:
        raise UndefinedStatisticError("score tests between multinomial fits are not defined here; use 'lr'.")
    e = big._estimate()
    names = [big.names[j] for j in e.kept]
    beta = np.array([small.coef[small.names.index(n)] if n in small.names else 0.0 for n in names])
    beta = np.nan_to_num(beta)
    return score_statistic(big._problem(), e.scaling.to_fit(beta), big.control)
