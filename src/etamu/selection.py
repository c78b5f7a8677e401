"""Which term to add: the fit with each candidate in turn, as R's ``add1``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from etamu.design.encode import encode, learn
from etamu.design.smooths import has_smooths
from etamu.design.terms import Formula, read_formula
from etamu.errors import FormulaError, SpecificationError, UndefinedStatisticError, chosen
from etamu.inference.anova import columns_of_rows, extract_aic, method_of, note_of
from etamu.inference.table import Table
from etamu.inference.tails import log_chi2, log_f
from etamu.inference.tests import refuse_reduced, require_converged
from etamu.model import Fit
from etamu.solve import solve_problem
from etamu.sources.problem import Problem

__all__ = ["add1"]

Array = np.ndarray[Any, Any]


def add1(fit: Fit, scope: str, test: str | None = None) -> Table:
    """The fit with each term of ``scope`` ("x2 + g + x1:g") that it lacks, one at a time: deviance, AIC and test.

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool", em.datasets.warpbreaks(), family="poisson")
    >>> em.add1(fit, "tension + wool:tension").columns["df"]
    [None, 2, 4]
    """
    method = method_of(fit, test)
    chosen("test", method, ["lr", "f"])
    require_converged(fit, "add1")
    refuse_reduced(fit, "add1")
    problem = fit._problem()
    if fit.spec is None or fit.data is None or not isinstance(problem, Problem) or fit.class_names is not None:
        raise SpecificationError("add1 reads new terms from the table of a formula fit of one equation in memory; fit with em.glm(formula, table).")
    left, _, right = fit.spec.formula.text.partition("~")
    have = {frozenset(term) for term in fit.spec.formula.terms}
    wanted = [term for term in read_formula(f"~ {scope}").terms if frozenset(term) not in have]
    if not wanted:
        raise FormulaError(f"`scope` {scope[:80]!r} has no term that the fit lacks.")
    if has_smooths(read_formula(f"~ {scope}")):
        raise FormulaError(f"`scope` {scope[:80]!r} has s(), whose terms are chosen by their lambda and not by such tests; fit with it and see fit.smooths.")
    rows: list[list[Any]] = [["<none>", None, fit.deviance, extract_aic(fit, fit.deviance, fit.rank), None, None]]
    for term in wanted:
        name = ":".join(_written(node) for node in term)
        deviance, rank = _with(fit, problem, read_formula(f"{left}~{right} + {name}"))
        rows.append([name, rank - fit.rank, deviance, extract_aic(fit, deviance, rank), *_tested(fit, method, deviance, rank)])
    names = ("term", "df", "deviance", "aic", "statistic", "p_value")
    note = "F tests, dispersion from the bigger model's deviance" if method == "f" else note_of(fit, method)
    return Table(columns_of_rows(names, rows), "Single-term additions", note)


def _written(node: Any) -> str:
    from etamu.design.parser import write

    return write(node)


def _with(fit: Fit, problem: Problem, formula: Formula) -> tuple[float, int]:
    """Deviance and rank of the fit of another formula on the same rows."""
    design = encode(learn(formula, fit.data), fit.data)
    if design.rows != problem.rows:
        raise SpecificationError("add1 needs the rows of the fit as they are in its table.")
    solved = solve_problem(problem.change(design=design), formula.intercept, None, None, fit.control)
    if not solved.solution.status.ok:
        raise UndefinedStatisticError(
            f"{formula.text[:80]!r} ended {solved.solution.status.name}, so its deviance is no maximum. {solved.solution.status.value}"
        )
    return solved.solution.sums.deviance, len(solved.kept)


def _tested(fit: Fit, method: str, deviance: float, rank: int) -> tuple[float, float]:
    df, residual = rank - fit.rank, fit.nobs - rank
    if df <= 0:
        return math.nan, math.nan
    if method == "f":  # R divides by the bigger model's deviance estimate of phi
        statistic = (fit.deviance - deviance) / df / (deviance / residual)
        return statistic, math.exp(log_f(statistic, df, residual))
    gaussian = fit.family.name == "gaussian"
    change = fit.nobs * math.log(fit.deviance / deviance) if gaussian else (fit.deviance - deviance) / fit.dispersion
    return max(change, 0.0), math.exp(log_chi2(max(change, 0.0), df))
