"""The criterion of a fit under a restriction: its deviance, or that of the penalised likelihood where the fit maximises one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.bias import penalised_deviance, reduce_bias
from etamu.inference.refit import Restriction, restricted
from etamu.solvers.base import Status
from etamu.solvers.linalg import Factorised, FactorisedArrow
from etamu.sources.streamed import open_source
from etamu.sums import Request

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["criterion", "under"]

Array = np.ndarray[Any, Any]


def criterion(fit: Fit) -> float:
    """Deviance over phi at the estimate; for a penalised fit -2 of its criterion, up to a constant."""
    if fit.bias is None:
        return fit.deviance / fit.dispersion
    if not maximises(fit):
        what = "a ridge fit" if fit.bias == "ridge" else f"a fit with bias={fit.bias!r} here is the root of an adjusted score and"
        raise UndefinedStatisticError(
            f"{what} maximises no likelihood, so it has no likelihood ratio or profile; use Wald's, or bias='jeffreys' (also 'mean' under a "
            "canonical link), which maximises a penalised one."
        )
    e = fit._estimate()
    sums = open_source(fit._problem(), fit.control.threads).sum(Request(e.gamma, 2, "expected"))
    return penalised_deviance(sums, fit.dispersion)


def maximises(fit: Fit) -> bool:
    """Whether the fit maximises a (penalised) likelihood: always without a bias reduction, and for Jeffreys' penalty."""
    if fit.bias is None:
        return True
    canonical = fit.link.name == fit.family.canonical
    return fit.family.dispersion_known and (fit.bias == "jeffreys" or (fit.bias in ("mean", "mixed") and canonical))


def under(fit: Fit, restriction: Restriction, factor: Factorised | FactorisedArrow, start: Array | None = None) -> tuple[Array, float, Status]:
    """The best coefficients under a restriction, the criterion there, and how the solve ended."""
    if fit.bias is None:
        beta, solution = restricted(fit, restriction, factor, start)
        return beta, solution.sums.deviance / fit.dispersion, solution.status
    begin = restriction.nearest(fit._estimate().gamma, factor) if start is None else start
    begin = restriction.complete(begin[restriction.others])
    quiet = replace(fit.control, progress=None)
    reduced = reduce_bias(fit._problem(), begin, fit.bias, fit._estimate().scaling, quiet, restriction, fit.dispersion).solution
    if not reduced.status.ok:
        return reduced.beta, math.inf, reduced.status
    sums = open_source(fit._problem(), fit.control.threads).sum(Request(reduced.beta, 2, "expected"))
    return reduced.beta, penalised_deviance(sums, fit.dispersion), reduced.status
