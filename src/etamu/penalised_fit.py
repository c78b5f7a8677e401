"""A penalised fit: which other wishes it goes with, its solution, and what is known of that.

Degrees of freedom are the number of coefficients that are not 0 for the lasso (Zou, Hastie & Tibshirani 2007, Ann. Statist. 35,
doi:10.1214/009053607000000127), and tr (H + P)^-1 H over those where there is a quadratic part P.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.inference.selected import Penalised
from etamu.one_alpha import solve_at
from etamu.penalised import Prepared, prepare
from etamu.penalties.base import Penalty
from etamu.penalties.pieces import Pieces
from etamu.penalty_bounds import NotBoundsError, read_bounds
from etamu.penalty_columns import columns_of
from etamu.solvers.base import Control, Solution, Status, Step
from etamu.solvers.linalg import effective_df
from etamu.solvers.points import Point
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.standardise import standardise
from etamu.sums import Arrow, Request, Sums

if TYPE_CHECKING:
    from etamu.arguments import Ingredients
    from etamu.solve import Solved

__all__ = ["penalised_fit", "refuse_wishes"]

Array = np.ndarray[Any, Any]


def refuse_wishes(problem: Problem | Streamed, spec: Any, wishes: Any) -> None:
    """Other arguments of a fit that a penalty does not go with."""
    for name in ("bias", "ridge"):
        if getattr(wishes, name) is not None:
            raise SpecificationError(f"`penalty` and `{name}` do not go together; drop one of them.")
    if wishes.shape:
        raise SpecificationError("`penalty` goes with a family whose parameter is given; fix theta or the power first.")
    if wishes.separated != "report":
        raise SpecificationError(f"`separated` {wishes.separated!r} is of the fit without a penalty, under which estimates are finite; drop it.")
    if not (isinstance(wishes.solver, str) and wishes.solver == "auto"):
        raise SpecificationError(f"`solver` is {wishes.solver!r}, but penalties have solvers of their own; leave it at 'auto'.")
    if wishes.start is not None:
        raise SpecificationError("`start` does not go with `penalty`, whose solution does not depend on it; drop it.")
    if spec is not None:
        from etamu.design.smooths import has_smooths

        if has_smooths(spec.formula):
            raise SpecificationError("`penalty` does not go with s(x), whose penalty is chosen by REML or GCV; use bs(x, df=...) with em.Quadratic instead.")


def penalised_fit(built: Ingredients, problem: Problem | Streamed, penalty: Any, constraints: Any, control: Control) -> tuple[Solved, dict[str, Any]]:
    """The solution, and the fields that it adds to a Fit."""
    from etamu.solve import Solved

    if not isinstance(penalty, Penalty):
        raise SpecificationError(f"`penalty` is a {type(penalty).__name__}; pass em.ElasticNet(alpha=...), em.Lasso, em.Ridge, em.GroupLasso, ...")
    refuse_aliased(problem, built.intercept)
    if constraints is not None and problem.design.width <= 500:
        found = _by_programs(built, problem, penalty, constraints, control)
        if found is not None:
            return found
    prepared = prepare(problem, built.spec, built.intercept, penalty, control, read_bounds(constraints, built))
    point = solve_at(prepared, penalty.alpha)
    gamma = prepared.gamma(point)
    pieces = prepared.pieces.times(penalty.alpha)
    solution, information = _solution(prepared, pieces, point, gamma)
    known = _known(prepared, penalty, pieces, point, gamma, solution.sums, information)
    known = replace(known, constrained=constraints is not None)
    if not known.selects:
        solution = replace(solution, sums=_with_quadratic(solution.sums, pieces))
    kept = tuple(range(problem.design.width))
    return Solved(prepared.problem, prepared.scaling, kept, solution, f"proximal newton ({prepared.solver})", prepared.reason), {"penalised": known}


def _solution(prepared: Prepared, pieces: Pieces, point: Point, gamma: Array) -> tuple[Solution, Array | None]:
    """The solution as solvers of fits give it: with the sums at it, and the information where a covariance is made of it; and the information of the
    coefficients that are not 0, where nothing else is asked for.
    """
    order, problem, control = (2 if pieces.smooth else 1), prepared.problem, prepared.control
    used, information = np.flatnonzero(gamma), None
    alone = order == 1 and isinstance(problem, Problem) and problem.equations is None and problem.within is None and len(used) > 0
    if alone:  # the others add nothing to the predictor, and nobody asks for the score
        order = 2 if pieces.separable and _bends(pieces, used) else 0
        sums = open_source(problem.keep(used.tolist()), control.threads).sum(Request(gamma[used], order, control.information))
        information = None if sums.information is None else _dense(sums)
        sums = replace(sums, score=None, information=None)
    else:
        sums = open_source(problem, control.threads).sum(Request(gamma, order, control.information))
    status = Status.CONVERGED if point.converged else Status.MAX_ITERATIONS
    step = Step(sums.n, order, "double", sums.deviance, None, f"{point.steps} proximal steps before")
    return Solution(gamma, sums, status, (step,), 0.0, np.inf), information


def _dense(sums: Sums) -> Array:
    assert sums.information is not None
    return np.asarray(sums.information.dense() if isinstance(sums.information, Arrow) else sums.information)


def _bends(pieces: Pieces, used: Array) -> bool:
    """Whether the penalty of those coefficients is partly quadratic."""
    return bool(pieces.l2[used].any()) or pieces.quadratic is not None


def _known(prepared: Prepared, penalty: Penalty, pieces: Pieces, point: Point, gamma: Array, sums: Sums, information: Array | None) -> Penalised:
    flat = gamma if gamma.ndim == 1 else gamma.T.ravel()
    own = pieces if pieces.concave is None else replace(pieces, concave=None)
    value = own.value(flat) if pieces.concave is None else _concave_value(prepared, penalty, flat)
    design = prepared.problem.design
    beta = gamma if gamma.ndim == 1 else np.abs(gamma).max(axis=1)
    names = tuple(n for n, b in zip(design.names, beta) if b != 0)
    selects = not pieces.smooth
    freedom = _freedom(prepared, pieces, gamma, sums, information)
    return Penalised(penalty, 0.5 * sums.deviance / sums.sum_weight + value, point.residual, freedom, selects, names)


def _concave_value(prepared: Prepared, penalty: Penalty, flat: Array) -> float:
    scale = np.ones(len(flat)) if prepared.scaling.scale is None else prepared.scaling.scale
    rule, weight = prepared.pieces.concave, prepared.pieces.l1 / scale
    return float(rule.value(penalty.alpha * weight, flat * scale).sum())


def _freedom(prepared: Prepared, pieces: Pieces, gamma: Array, sums: Sums, information: Array | None) -> float:
    """The effective degrees of freedom; ``information`` is that of the coefficients that are not 0, if it is known."""
    flat = gamma if gamma.ndim == 1 else gamma.T.ravel()
    d = pieces.differences(flat)
    used = np.flatnonzero((d != 0) | ((pieces.l1 == 0) & ~np.isin(np.arange(len(d)), [j for g in pieces.groups for j in g])))
    q = 1 if prepared.problem.equations is None else prepared.problem.equations
    spare = int(q > 1 and prepared.problem.reference is None and prepared.intercept)  # of the classes' intercepts one is no freedom
    if not _bends(pieces, used):
        return float(len(used) - spare)
    p = np.diag(pieces.l2[used]) if pieces.separable else _quadratic_part(pieces)[np.ix_(used, used)]
    if information is None or len(information) != len(used):  # one that is free may be 0
        information = _information_of(prepared, pieces, gamma, used, sums)
    h = information / sums.sum_weight
    return effective_df(h, p) - spare


def _quadratic_part(pieces: Pieces) -> Array:
    """The second derivative of what is quadratic, in differences along chains."""
    p = np.diag(pieces.l2) if pieces.quadratic is None else np.diag(pieces.l2) + pieces.quadratic
    return pieces.slopes_of_differences(pieces.slopes_of_differences(p).T)


def _information_of(prepared: Prepared, pieces: Pieces, gamma: Array, used: Array, sums: Sums) -> Array:
    """The information of the coefficients used, as differences along chains: summed for them alone where they are columns."""
    problem, control = prepared.problem, prepared.control
    if pieces.separable and problem.equations is None and sums.information is None:
        return _dense(open_source(problem.keep(used.tolist()), control.threads).sum(Request(gamma[used], 2, control.information)))
    if sums.information is None:
        sums = open_source(problem, control.threads).sum(Request(gamma, 2, control.information))
    return np.asarray(pieces.slopes_of_differences(pieces.slopes_of_differences(_dense(sums)).T)[np.ix_(used, used)])


def _with_quadratic(sums: Sums, pieces: Pieces) -> Sums:
    """The information with a quadratic penalty in it: that of the posterior whose prior the penalty is."""
    if sums.information is None:
        return sums
    h = _dense(sums)
    more = np.diag(pieces.l2) if pieces.quadratic is None else np.diag(pieces.l2) + pieces.quadratic
    return replace(sums, information=h + sums.sum_weight * more)


def _by_programs(built: Ingredients, problem: Problem | Streamed, penalty: Penalty, constraints: Any, control: Control) -> tuple[Solved, dict[str, Any]] | None:
    """Under constraints: by quadratic programs, which tell what is active and its multipliers; None where the penalty has no such form."""
    from etamu.constraints import bind, clash, site_of
    from etamu.inference.constrain import Contradiction, constrained
    from etamu.solve import Solved
    from etamu.starting import default_start

    columns = columns_of(problem, built.spec, built.intercept, True)
    pieces = penalty.pieces(columns)
    if pieces.groups or pieces.concave is not None or problem.equations is not None:
        return None
    bound = bind(constraints, site_of(built.design.names, built.spec, built.intercept))
    scaled, scaling = standardise(problem, built.intercept)
    start = default_start(scaled, open_source(scaled, control.threads), built.intercept)
    try:
        prepared = prepare(problem, built.spec, built.intercept, penalty, control, bound.rows)
        point = solve_at(prepared, penalty.alpha)
        start = scaling.to_fit(prepared.coefficients(point))
    except NotBoundsError:
        pass
    try:
        solution, active = constrained(scaled, start, bound.rows, pieces, scaling, built.intercept, control, bound.descriptions)
    except Contradiction as error:
        raise clash(bound, error) from None
    beta = scaling.to_user(np.array(solution.beta, dtype=float))
    beta = active.snapped(beta)
    value = 0.5 * solution.sums.deviance / solution.sums.sum_weight + pieces.value(beta)
    names = tuple(n for n, b in zip(built.design.names, beta) if b != 0)
    to_fit = np.array([scaling.to_fit(column) for column in np.eye(len(beta))]).T
    information = to_fit.T @ _dense(solution.sums) @ to_fit / solution.sums.sum_weight
    known = Penalised(penalty, value, active.dual, _free_directions(pieces, beta, active.matrix, information), not pieces.smooth, names, constrained=True)
    reason = f"penalised, under {len(bound.rows)} constraints, of which {len(active)} are active"
    return Solved(scaled, scaling, tuple(range(problem.design.width)), solution, "constrained newton", reason), {"penalised": known, "active": active}


def _free_directions(pieces: Pieces, beta: Array, active: Array, information: Array) -> float:
    """In how many directions the solution could move with what is active and what is 0 as it is; tr (H + P)^-1 H in them where the penalty bends."""
    from scipy.linalg import null_space

    p = len(beta)
    differences = pieces.differences(np.eye(p))
    zero = (np.abs(pieces.differences(beta)) <= 1e-12) & (pieces.l1 > 0)
    rows = np.vstack([active.reshape(-1, p), differences[zero]])
    if not pieces.bends:
        return float(p - (np.linalg.matrix_rank(rows) if len(rows) else 0))
    free = null_space(rows) if len(rows) else np.eye(p)
    bend = differences.T @ (pieces.l2[:, None] * differences) + (0.0 if pieces.quadratic is None else pieces.quadratic)
    return effective_df(free.T @ information @ free, free.T @ bend @ free)


def refuse_aliased(problem: Problem | Streamed, intercept: bool) -> None:
    """Penalised columns that do not vary are the intercept again."""
    same = problem.sample.design.unvarying() if intercept else None
    if same is not None:
        raise SpecificationError(
            f"`penalty`: column {same!r} is constant, so it is aliased with the intercept, and penalising it has no meaning; drop the column."
        )
