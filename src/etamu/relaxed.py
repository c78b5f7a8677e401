"""The relaxed fit: the columns that a penalty left, fitted again by maximum likelihood.

With A the coefficients that are not 0 (levels that a Fused penalty made equal staying equal)

    relaxed(0) = argmax of the likelihood over b_A,  the others 0        relaxed(phi) = phi penalised + (1 - phi) relaxed(0)

Standard errors of relaxed(0) are those of the model on A as if A had been known: they say nothing of how A was chosen.

References: Meinshausen (2007), Comput. Stat. Data Anal. 52, doi:10.1016/j.csda.2006.12.019; the blend as in Hastie, Tibshirani &
Tibshirani (2020), Statist. Sci. 35, doi:10.1214/19-STS733.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError
from etamu.inference.active import Active, ActiveRow
from etamu.inference.covariance import Scaling, sum_to_zero
from etamu.inference.refit import Restriction
from etamu.inference.selected import named
from etamu.penalties.pieces import Pieces
from etamu.solvers.base import Solution, Status, Trace
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request
from etamu.traits import traits

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Support", "pieces_of", "refit", "relaxed", "support_of", "touched"]

Array = np.ndarray[Any, Any]
NOTE = "refitted without the penalty on the columns that {0} left; standard errors hold given that choice, as if other data had made it"


@dataclass(frozen=True)
class Support:
    """What a penalty left: positions of the columns that stay, and runs of positions whose coefficients are equal."""

    kept: tuple[int, ...]
    equal: tuple[tuple[int, ...], ...] = ()


def relaxed(fit: Fit, phi: float) -> Fit:
    """The fit of the columns that the penalty left, or its blend with the penalised one."""
    if isinstance(phi, bool) or not isinstance(phi, (int, float, np.number)) or not 0 <= phi <= 1:
        raise SpecificationError(f"`phi` is {phi!r}; pass a share of the penalised fit from 0 (none, maximum likelihood) to 1.")
    _refuse(fit)
    found = refit(fit, fit._problem(), support_of(fit))
    if phi == 0:
        return found
    if not found.status.ok:
        raise UndefinedStatisticError(f"the refit without a penalty ended {found.status.name}, so there is nothing to blend with. {found.status.value}")
    return _blend(fit, found, float(phi))


def _refuse(fit: Fit) -> None:
    record = fit.penalised
    if record is None:
        raise UndefinedStatisticError("`relaxed` refits what a penalty selected, and this fit has no `penalty`; it is unpenalised already.")
    if record.relaxed is not None:
        raise UndefinedStatisticError("this fit is relaxed already; ask the penalised fit for another phi.")
    if not record.selects:
        raise UndefinedStatisticError(f"`relaxed` refits the columns that a penalty left, and {named(record)} leaves them all; fit without `penalty` for that.")
    if record.constrained or fit.active is not None:
        raise UndefinedStatisticError("`relaxed` would forget the constraints that this fit is under; fit its nonzero columns with `constraints=` yourself.")


def support_of(fit: Fit) -> Support:
    """The columns that are not 0 (of several classes: in any), or that the penalty does not touch; and the levels that it made equal."""
    record, pieces = fit.penalised, pieces_of(fit)
    size = np.abs(fit.coef) if fit.coef.ndim == 1 else np.abs(fit.coef).max(axis=1)
    kept = tuple(np.flatnonzero((size != 0) | ~touched(pieces)).tolist())
    if not kept:
        raise UndefinedStatisticError(f"{named(record)} left no coefficient, so there is nothing to refit; lower alpha.")
    equal = _runs(pieces.chains, fit.coef, set(kept))
    if equal and fit.coef.ndim == 2:
        raise UndefinedStatisticError("levels that are equal in one class and not in another cannot be merged; relax fits of one equation.")
    return Support(kept, equal)


def pieces_of(fit: Fit) -> Pieces:
    """The fit's penalty on its coefficients, in the user's units."""
    from etamu.penalty_columns import columns_of

    penalty = fit.penalised.penalty
    spread = any(getattr(part, "standardize", False) for part in getattr(penalty, "parts", (penalty,)))
    return penalty.pieces(columns_of(fit._problem(), fit.spec, fit.intercept, spread))  # type: ignore[no-any-return]


def touched(pieces: Pieces) -> Array:
    """Coefficients that the penalty can set to 0, (p,)."""
    out = np.asarray(pieces.l1 > 0)
    out[[j for group in pieces.groups for j in group]] = True
    return out


def _runs(chains: Sequence[Sequence[int]], coef: Array, kept: set[int]) -> tuple[tuple[int, ...], ...]:
    """Neighbours in a chain with the same coefficient, which is not 0."""
    out: list[tuple[int, ...]] = []
    for chain in chains:
        run: list[int] = []
        for j in chain:
            if run and j in kept and np.array_equal(coef[j], coef[run[-1]]):
                run.append(j)
                continue
            out.append(tuple(run))
            run = [j] if j in kept else []
        out.append(tuple(run))
    return tuple(run for run in out if len(run) > 1)


def refit(fit: Fit, problem: Problem | Streamed, support: Support) -> Fit:
    """Maximum likelihood of the problem's rows on some columns, reported on all names of the fit."""
    plain = problem.change(design=problem.design.standardised(None, None))  # type: ignore[arg-type]
    if len(support.kept) < plain.design.width:
        plain = plain.keep(support.kept)
    gauge_free = plain.equations is not None and plain.reference is None
    if gauge_free:  # as fit.py: class 0 at zero, then the member of the family whose rows sum to zero
        plain = plain.change(equations=(plain.equations or 1) - 1, reference=0)
    scaled, scaling, kept, solution, active = _solved(fit, plain, support)
    beta = scaling.to_user(np.array(solution.beta))
    expansion = sum_to_zero(beta.shape[1] + 1) if gauge_free else None
    beta = beta if expansion is None else beta @ expansion.T
    coef = np.zeros(fit.coef.shape)
    coef[list(support.kept)] = np.nan
    coef[list(kept)] = beta
    sums, gamma = solution.sums, np.asarray(solution.beta, dtype=np.float64)
    error = solution.error if solution.status is Status.CONVERGED else math.inf
    counted, rank = problem.observations(sums.n), len(kept) - (0 if active is None else active.rank)
    record = replace(
        fit.penalised,
        objective=0.5 * sums.deviance / sums.sum_weight,
        residual=math.nan,
        edf=float(rank * fit.equations),
        selects=False,
        nonzero=tuple(fit.names[j] for j in support.kept),
        relaxed=0.0,
    )
    note = NOTE.format(named(fit.penalised))
    return replace(
        fit,
        coef=coef,
        status=solution.status,
        trace=Trace("newton", f"on {len(support.kept):,} of {len(fit.names):,} columns", solution.steps, sums.n, (note,)),
        deviance=sums.deviance,
        nobs=int(counted) if float(counted).is_integer() else counted,
        rank=rank,
        aliased=tuple(fit.names[j] for j in support.kept if j not in kept),
        diverging=tuple(fit.names[kept[j]] for j in sorted({k % len(kept) for k in solution.diverging})),
        bias=None,
        active=active,
        penalised=record,
        estimate=replace(fit._estimate(), gamma=gamma, sums=sums, scaling=scaling, kept=tuple(kept), step_error=error, expansion=expansion),
        problem=scaled,
        known={},
    )


def _solved(fit: Fit, plain: Problem | Streamed, support: Support) -> tuple[Problem | Streamed, Scaling, list[int], Solution, Active | None]:
    """The solution with the problem and scale it was found on, the columns of the fit that it has, and the equal levels as what is active."""
    control = replace(fit.control, progress=None)
    if not support.equal:
        from etamu.solve import solve_problem

        solved = solve_problem(plain, fit.intercept, None, None, control)
        return solved.problem, solved.scaling, [support.kept[k] for k in solved.kept], solved.solution, None
    from etamu.standardise import standardise
    from etamu.starting import default_start

    scaled, scaling = standardise(plain, fit.intercept)
    source, place = open_source(scaled, control.threads), {j: k for k, j in enumerate(support.kept)}
    pairs = [(a, b) for run in support.equal for a, b in itertools.pairwise(run)]
    matrix = np.zeros((len(pairs), len(place)))
    for k, (a, b) in enumerate(pairs):
        matrix[k, place[b]], matrix[k, place[a]] = 1.0, -1.0
    within = Restriction(scaling.rows(matrix.copy()), np.zeros(len(pairs)))
    start = default_start(scaled, source, fit.intercept)  # whose levels are equal
    quiet = replace(control, compress=False)
    found = newton(
        within.within(source.sum, scaled.shape), start[within.others], quiet, problem=replace(traits(scaled), damped=True, constant=False, wide=False)
    )
    gamma = within.complete(np.asarray(found.beta, dtype=float))
    sums = source.sum(Request(gamma, 2, control.information))
    multiplier = np.linalg.lstsq(within.matrix.T, -np.asarray(sums.score), rcond=None)[0]
    rows = tuple(ActiveRow(f"{fit.names[b]} = {fit.names[a]}", "equal", 0.0, float(m)) for (a, b), m in zip(pairs, multiplier))
    active = Active(rows, matrix, np.zeros(len(pairs))).widened(support.kept, len(fit.names))
    return scaled, scaling, list(support.kept), replace(found, beta=gamma, sums=sums), active


def _blend(fit: Fit, free: Fit, phi: float) -> Fit:
    """Phi of the penalised coefficients and 1 - phi of the refitted ones, with the sums there."""
    e, problem = fit._estimate(), fit._problem()
    coef = phi * fit.coef + (1 - phi) * np.nan_to_num(free.coef)
    gamma = e.scaling.to_fit(coef.copy())
    sums = open_source(problem, fit.control.threads).sum(Request(gamma, 1 if e.sums.information is None else 2, fit.control.information))
    edf = phi * fit.penalised.edf + (1 - phi) * free.edf
    record = replace(fit.penalised, objective=math.nan, residual=math.nan, edf=edf, relaxed=phi)
    note = f"a blend: {phi:g} of the fit penalised by {named(fit.penalised)}, {1 - phi:g} of its refit by maximum likelihood"
    return replace(
        fit,
        coef=coef,
        deviance=sums.deviance,
        trace=replace(free.trace, notes=(note,)),
        penalised=record,
        estimate=replace(e, gamma=gamma, sums=sums, step_error=math.inf),
    )
