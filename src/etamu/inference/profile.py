"""Intervals that follow the likelihood: all v whose best deviance under c'b = v is within the cutoff, or whose score test is.

    profile   sign(v - v^) sqrt((D(v) - D) / phi) between -q and q       score   s' H^-1 s / phi under c'b = v, likewise

q is the normal quantile (R's ``confint`` of a glm), or t's on request.  The signed root is nearly straight in v, so the secant
method needs three or four restricted fits a side; a limit that no finite v reaches is infinite.

References: Venables & Ripley (2002), 7.2; Venzon & Moolgavkar (1988), Appl. Statist. 37, doi:10.2307/2347496.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.hypotheses import Hypothesis
from etamu.inference.refit import Restriction, flat, on_fit_scale, score_statistic
from etamu.inference.rowwise import factor_of
from etamu.inference.under import criterion, under
from etamu.solvers.linalg import Factorised, FactorisedArrow

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["limits"]

Array = np.ndarray[Any, Any]
_CLOSE = 1e-9  # of a signed root, relative to the cutoff
_EVALUATIONS = 60
_FAR = 1e3  # standard errors beyond which a limit counts as infinite
_FLAT = 1e-3  # rise of the signed root over a doubling of the distance, below which it has levelled off


class _Path:
    """The signed root of one combination c'b, each point a restricted fit that starts from the nearest one before."""

    def __init__(self, fit: Fit, row: Array, method: str, factor: Factorised | FactorisedArrow) -> None:
        self.fit, self.factor, self.method = fit, factor, method
        self.base = on_fit_scale(fit, Hypothesis(row[None, :], np.zeros(1), "the combination"))
        self.gamma = flat(fit._estimate().gamma)
        self.estimate = float(self.base.matrix[0] @ self.gamma)
        solved = factor.solve(self.base.matrix[0])
        self.direction = solved / float(self.base.matrix[0] @ solved)
        self.stderror = math.sqrt(fit.dispersion * float(self.base.matrix[0] @ solved))
        self.least = criterion(fit)
        self.known: dict[float, Array] = {self.estimate: self.gamma}

    def at(self, v: float) -> float:
        """The signed root at v; infinite where no coefficients reach it."""
        restriction = Restriction(self.base.matrix, np.array([v]))
        near = min(self.known, key=lambda u: abs(u - v))
        start = self.known[near] + (v - near) * self._slope(near)
        beta, value, status = under(self.fit, restriction, self.factor, start)
        if not (status.ok and math.isfinite(value)):
            beta, value, status = under(self.fit, restriction, self.factor)
        if not math.isfinite(value) or status.name == "NOT_FINITE":
            return math.copysign(math.inf, v - self.estimate)
        self.known[v] = beta
        if self.method == "score":
            squared = score_statistic(self.fit._problem(), beta, self.fit.control) / self.fit.dispersion
        else:
            squared = max(value - self.least, 0.0)
        return math.copysign(math.sqrt(squared), v - self.estimate)

    def _slope(self, near: float) -> Array:
        """How the others follow v: between the two nearest points on that side, else as at the estimate."""
        if near == self.estimate:
            return self.direction
        other = max((u for u in self.known if (u - near) * (self.estimate - near) > 0), key=lambda u: -abs(u - near), default=self.estimate)
        return np.asarray((self.known[near] - self.known[other]) / (near - other))


def limits(fit: Fit, row: Array, cutoff: float, method: str, factor: Factorised | FactorisedArrow | None = None) -> tuple[float, float]:
    """Lower and upper limit of the combination ``row`` of the reported coefficients."""
    path = _Path(fit, row, method, factor or factor_of(fit))
    if not (math.isfinite(path.stderror) and path.stderror > 0):
        raise UndefinedStatisticError("the dispersion is 0 or not defined, so there is no interval; the fit leaves no residual.")
    low, high = (_limit(path.at, path.estimate, path.stderror, side * cutoff) for side in (-1.0, 1.0))
    return low, high


def _limit(root: Callable[[float], float], estimate: float, stderror: float, cutoff: float) -> float:
    """Where the root meets the cutoff: outwards until it is passed, then the secant method inside the bracket."""
    inside, inside_root = estimate, 0.0
    outside, outside_root = math.nan, math.nan
    last, last_root = estimate, 0.0
    v = estimate + stderror * cutoff
    for _ in range(_EVALUATIONS):
        z = root(v)
        if abs(z - cutoff) <= _CLOSE * abs(cutoff):
            return v
        level = abs(z - inside_root) < _FLAT * abs(cutoff) and abs(v - estimate) > 8 * stderror * abs(cutoff)
        if abs(z) < abs(cutoff):
            inside, inside_root = v, z
        else:
            outside, outside_root = v, z
        crossing = v + (cutoff - z) / (z - last_root) * (v - last) if math.isfinite(z) and z != last_root else math.nan
        last, last_root = (v, z) if math.isfinite(z) else (inside, inside_root)
        if math.isnan(outside):
            if level or abs(v - estimate) > _FAR * stderror * abs(cutoff):
                return math.copysign(math.inf, cutoff)
            step = crossing + 0.02 * (crossing - estimate) - v if math.isfinite(crossing) else math.inf
            most = v - estimate
            v += step if 0 < step / most < 1 else most
            continue
        if abs(outside - inside) <= 1e-13 * max(abs(outside), abs(inside)):
            return outside
        within = min(inside, outside) < crossing < max(inside, outside)
        share = 0.5 if not math.isfinite(outside_root) else min(max((cutoff - inside_root) / (outside_root - inside_root), 0.01), 0.99)
        v = crossing if within else inside + share * (outside - inside)
    return v
