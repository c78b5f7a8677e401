"""The criterion of a fit under a restriction: its deviance, or that of the penalised likelihood where the fit maximises one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.bias import penalised_deviance, reduce_bias
from etamu.inference.hypotheses import Hypothesis
from etamu.inference.refit import Restriction, on_fit_scale, restricted
from etamu.solvers.base import Status
from etamu.solvers.linalg import Factorised, FactorisedArrow
from etamu.solvers.polyhedron import independent
from etamu.sources.streamed import open_source
from etamu.sums import Request

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["criterion", "refuse_inequalities", "under"]

Array = np.ndarray[Any, Any]


def criterion(fit: Fit) -> float:
    """Deviance over phi at the estimate; for a penalised fit -2 of its criterion, up to a constant."""
    if fit.bias is None:
        return fit.deviance / fit.dispersion
    _refuse_without_maximum(fit)
    e = fit._estimate()
    sums = open_source(fit._problem(), fit.control.threads).sum(Request(e.gamma, 2, "expected"))
    return penalised_deviance(sums, fit.dispersion)


def _refuse_without_maximum(fit: Fit) -> None:
    if fit.bias == "smooth":
        raise UndefinedStatisticError(
            "a fit with s() penalises its likelihood by lambdas chosen for it, so likelihood ratios and profiles have no known law; use Wald's, whose "
            "covariance is the Bayesian one, and fit.smooths for the smooths."
        )
    if not maximises(fit):
        what = "a ridge fit" if fit.bias == "ridge" else f"a fit with bias={fit.bias!r} here is the root of an adjusted score and"
        raise UndefinedStatisticError(
            f"{what} maximises no likelihood, so it has no likelihood ratio or profile; use Wald's, or bias='jeffreys' (also 'mean' under a "
            "canonical link), which maximises a penalised one."
        )


def _within_equations(fit: Fit, restriction: Restriction) -> Restriction:
    """The restriction beside the fit's own equations."""
    assert fit.active is not None
    refuse_inequalities(fit, "a likelihood ratio or profile")
    own = on_fit_scale(fit, Hypothesis(fit.active.matrix, fit.active.value, "constraints"))
    matrix = np.vstack([restriction.matrix, own.matrix])
    used = independent(matrix)
    if len(restriction.value) and not np.isin(np.arange(len(restriction.value)), used).all():
        raise UndefinedStatisticError("the hypothesis restricts a combination of coefficients that the fit's constraints fix already.")
    return Restriction(matrix[used], np.concatenate([restriction.value, own.value])[used])


def _onto(restriction: Restriction, gamma: Array) -> Array:
    """Coefficients moved onto a restriction, as little as can be: the fit's own factor moves none across its equations."""
    return np.asarray(gamma + np.linalg.lstsq(restriction.matrix, restriction.value - restriction.matrix @ gamma, rcond=None)[0])


def refuse_inequalities(fit: Fit, what: str) -> None:
    """Under inequalities likelihood ratios follow mixtures of chi-squared distributions, not these."""
    if fit.active is not None and fit.active.inequalities:
        raise UndefinedStatisticError(
            f"{what} under inequality constraints follows a mixture of chi-squared distributions whose weights depend on the truth, so no p-value or "
            "limit is given; compare fits by deviance, or use Wald's, which is conditional on the active constraints."
        )


def maximises(fit: Fit) -> bool:
    """Whether the fit maximises a (penalised) likelihood: always without a bias reduction, and for Jeffreys' penalty."""
    if fit.bias is None:
        return True
    canonical = fit.link.name == fit.family.canonical
    return fit.family.dispersion_known and (fit.bias == "jeffreys" or (fit.bias in ("mean", "mixed") and canonical))


def under(fit: Fit, restriction: Restriction, factor: Factorised | FactorisedArrow, start: Array | None = None) -> tuple[Array, float, Status]:
    """The best coefficients under a restriction (and the equations that the fit was under), the criterion there, and how the solve ended."""
    if fit.active is not None:
        restriction = _within_equations(fit, restriction)
        start = _onto(restriction, fit._estimate().gamma) if start is None else start
    if fit.bias is None:
        beta, solution = restricted(fit, restriction, factor, start)
        return beta, solution.sums.deviance / fit.dispersion, solution.status
    _refuse_without_maximum(fit)
    begin = restriction.nearest(fit._estimate().gamma, factor) if start is None else start
    begin = restriction.complete(begin[restriction.others])
    quiet = replace(fit.control, progress=None)
    reduced = reduce_bias(fit._problem(), begin, fit.bias, fit._estimate().scaling, quiet, restriction, fit.dispersion).solution
    if not reduced.status.ok:
        return reduced.beta, math.inf, reduced.status
    sums = open_source(fit._problem(), fit.control.threads).sum(Request(reduced.beta, 2, "expected"))
    return reduced.beta, penalised_deviance(sums, fit.dispersion), reduced.status
