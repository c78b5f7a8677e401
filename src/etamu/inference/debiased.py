"""The debiased (desparsified) lasso: estimates with normal limits after an l1 penalty, for more columns than rows, too.

With S = X'HX / W the information per weight at the lasso b, u = X's / W its score and D an approximate inverse of S,

    b~ = b + D u        cov_model = phi/W D S D'        cov_sandwich = n/(n - df) D (sum_i s_i^2 x_i x_i') D' / W^2

D is S^-1, one Newton step from the lasso towards maximum likelihood, where observations are at least ten times the coefficients and S is well
conditioned; else each row of D comes from a lasso of its column on the others (nodewise.py).  The intercept is free, so it is taken out of S and u first.
Where phi is estimated it is Pearson's sum over n less the number of coefficients that are not 0.

References: van de Geer, Buhlmann, Ritov & Dezeure (2014), Ann. Statist. 42, doi:10.1214/14-AOS1221; Zhang & Zhang (2014), J. R. Statist.
Soc. B 76, doi:10.1111/rssb.12026; Holm (1979), Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.core import cores
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen, unknown
from etamu.inference.nodewise import directions
from etamu.inference.penalised import dense
from etamu.inference.residuals import partial_columns
from etamu.inference.rowwise import slabs
from etamu.inference.selected import named
from etamu.inference.table import Table
from etamu.inference.wald import interval, p_values
from etamu.penalties import ElasticNet
from etamu.solvers.linalg import factorise
from etamu.sources.streamed import open_source
from etamu.sums import Request, Sums

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["debiased", "holm"]

Array = np.ndarray[Any, Any]
_MOST = 5_000  # coefficients whose information is formed
_ENOUGH = 10  # observations for each coefficient from which the information itself is inverted
_SOUND = 1e-6  # squared pivot of the scaled information below which it is not


def debiased(fit: Fit, columns: Any, level: float, vcov: str) -> Table:
    """Estimates, standard errors, tests and limits of the columns asked for."""
    chosen("vcov", vcov, ["model", "sandwich"])
    _refuse(fit)
    wanted = _wanted(fit, columns)
    lines = _lines(fit, wanted)
    scale = np.ones(len(fit.names)) if fit._estimate().scaling.scale is None else np.asarray(fit._estimate().scaling.scale)
    own = scale[wanted]
    estimate = fit.coef[wanted] + own * lines.step
    errors = {"model": own * np.sqrt(fit.dispersion * lines.model), "sandwich": own * _sandwich(fit, lines)}
    stderror = errors[vcov]
    with np.errstate(all="ignore"):
        z = estimate / stderror
    p, limits = p_values(z, None), interval(estimate, stderror, level, None)
    shown: dict[str, Any] = {
        "coefficient": [fit.names[j] for j in wanted],
        "estimate": estimate,
        "stderror": stderror,
        "model_se": errors["model"],
        "sandwich_se": errors["sandwich"],
        "z": z,
        "p_value": p,
        "p_holm": holm(p),
        "lower": limits[:, 0],
        "upper": limits[:, 1],
    }
    return Table(shown, f"Debiased estimates after {named(fit.penalised)}", _note(fit, lines, vcov))


def holm(p: Array) -> Array:
    """Holm's adjusted p-values: max over the smaller ones of (k - rank) p, at most 1.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return out


def _refuse(fit: Fit) -> None:
    record = fit.penalised
    if record is None or record.relaxed is not None:
        raise UndefinedStatisticError("`debiased` takes out the bias of an l1 penalty, and this fit has none; its own standard errors are those of the model.")
    name = named(record)
    fit._problem()
    if not isinstance(record.penalty, ElasticNet) or record.penalty.grouped or not record.selects:
        raise UndefinedStatisticError(
            f"debiasing is proved for the lasso and the elastic net (van de Geer et al. 2014), and this penalty is {name}; fit em.Lasso or "
            "em.ElasticNet(l1_ratio > 0) for it, or use em.split_inference(...), which is valid after any selection."
        )
    if fit.class_names is not None:
        raise UndefinedStatisticError(
            "debiasing is of one equation, and a multinomial fit has several; fit one class against the others, or use fit.relaxed()."
        )
    if record.constrained or fit.active is not None:
        raise UndefinedStatisticError("debiasing steps off the constraints that this fit is under; drop `constraints` for it.")
    if not fit.converged:
        raise UndefinedStatisticError(f"debiasing starts from a solution, and this fit ended {fit.status.name}. {fit.status.value}")
    if len(fit.names) > _MOST:
        raise UndefinedStatisticError(
            f"debiasing forms the information of all columns, and that of {len(fit.names):,} takes {8e-9 * len(fit.names) ** 2:.0f} GB; at most {_MOST:,} "
            "are taken. Screen columns on other rows first, or use em.split_inference(...)."
        )
    if not fit.df_residual > 0:
        raise UndefinedStatisticError(f"debiasing needs residual degrees of freedom, and {fit.edf:g} coefficients are not 0; raise alpha.")


def _wanted(fit: Fit, columns: Any) -> list[int]:
    """Positions of the columns asked for: all but the intercept, or those of names and terms."""
    first = int(fit.intercept)
    if columns is None:
        return list(range(first, len(fit.names)))
    terms, places = partial_columns(fit), {name: j for j, name in enumerate(fit.names)}
    out: list[int] = []
    for name in [columns] if isinstance(columns, str) else list(columns):
        if name not in terms and name not in places:
            raise unknown("columns", name, [*terms, *fit.names[first:]])
        out += [j for j in (terms[name] if name in terms else [places[name]]) if j not in out]
    if first and 0 in out:
        raise SpecificationError("`columns` names the intercept, which no penalty biases; drop it.")
    if not out:
        raise SpecificationError("`columns` is empty; name at least one column, or pass None for all.")
    return out


@dataclass(frozen=True)
class _Lines:
    """For each wanted column: the row of D on all of the fit's columns (k, p), the step D u, the variance D S D' / W, and how D was made."""

    rows: Array
    step: Array
    model: Array
    weight: float
    how: str


def _lines(fit: Fit, wanted: list[int]) -> _Lines:
    sums = open_source(fit._problem(), fit.control.threads).sum(Request(fit._estimate().gamma, 2, "expected"))
    h, u = dense(sums.information) / sums.sum_weight, np.asarray(sums.score) / sums.sum_weight
    first = int(fit.intercept)
    out = np.zeros((len(h) - first, len(h)))  # columns less their mean, in terms of all
    out[:, first:] = np.eye(len(h) - first)
    if first:
        out[:, 0] = -h[0, 1:] / h[0, 0]
    s = h[first:, first:] + np.multiply.outer(out[:, 0], h[0, 1:]) if first else h
    size = np.sqrt(np.maximum(np.diagonal(s), 0.0))
    _refuse_flat(fit, wanted, size, first)
    unit = np.where(size > 0, size, 1.0)
    s, u = s / unit / unit[:, None], (out @ u) / unit
    at = [j - first for j in wanted]
    rows, how = _inverse(s, fit.nobs, at, fit.control.threads or cores())
    model = np.einsum("ij,jk,ik->i", rows, s, rows, optimize=True) / sums.sum_weight
    scaled = rows / unit / unit[at][:, None]
    return _Lines(scaled @ out, rows @ u / unit[at], model / unit[at] ** 2, sums.sum_weight, how)


def _refuse_flat(fit: Fit, wanted: list[int], size: Array, first: int) -> None:
    flat = [fit.names[j] for j in wanted if not size[j - first] > 1e-10 * size.max(initial=0.0)]
    if flat:
        raise UndefinedStatisticError(f"column {flat[0]!r} does not vary over the rows of the fit, so nothing can be said of it; leave it out of `columns`.")


def _inverse(s: Array, n: float, at: list[int], threads: int) -> tuple[Array, str]:
    """Rows of S^-1, exact or by lassos."""
    if n >= _ENOUGH * (len(s) + 1):
        factor = factorise(Sums(n, 1.0, 0.0, 0.0, None, s))
        if factor is not None and factor.pivot > _SOUND:
            return factor.inverse()[at], "the inverse information (one Newton step)"
    found = directions(s, n, at, threads)
    rows = np.array([one.direction(j) for one, j in zip(found, at)])
    return rows, "nodewise lassos, each alpha by the bias and noise factors of Zhang & Zhang"


def _sandwich(fit: Fit, lines: _Lines) -> Array:
    """Standard errors by the squares of the row scores, on the fit's scale."""
    total = np.zeros(len(lines.rows))
    for slab in slabs(fit):
        score, f = slab.pull("expected")[0], slab.frequency
        total += (f * score**2) @ (slab.block() @ lines.rows.T) ** 2
    return np.asarray(np.sqrt(fit.nobs / fit.df_residual * total) / lines.weight)


def _note(fit: Fit, lines: _Lines, vcov: str) -> str:
    phi = "dispersion 1" if fit.family.dispersion_known else f"dispersion {fit.dispersion:.5g}, Pearson's sum over {fit.df_residual:g} degrees of freedom"
    kind = f"standard errors of the model, {phi}" if vcov == "model" else "sandwich standard errors, times n/(n - df)"
    return f"by {lines.how}; {kind}; p_holm adjusts for the {len(lines.rows):,} columns shown"
