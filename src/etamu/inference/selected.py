"""A penalised fit: the solution with what is known of it, and which statistics it still has.

Degrees of freedom are the number of coefficients that are not 0 for the lasso (Zou, Hastie & Tibshirani 2007, Ann. Statist. 35,
doi:10.1214/009053607000000127), and tr (H + P)^-1 H over those where there is a quadratic part P.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import SpecificationError, UndefinedStatisticError
from etamu.penalised import NotBounds, Prepared, columns_of, prepare, solve_at
from etamu.penalties.base import Both, Penalty
from etamu.penalties.pieces import Pieces
from etamu.solvers.base import Control, Solution, Status, Step
from etamu.solvers.columnwise import Point
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.standardise import standardise
from etamu.sums import Arrow, Request, Sums

if TYPE_CHECKING:
    from etamu.arguments import Ingredients
    from etamu.solve import Solved

__all__ = ["Penalised", "Recorded", "named", "penalised_fit", "refuse_selected", "refuse_wishes", "written"]

Array = np.ndarray[Any, Any]
_INFORMATION_MOST = 2_000  # coefficients whose information at the solution is summed


@dataclass(frozen=True)
class Penalised:
    """What is known of a penalised solution.

    ``objective`` is (1/sum w) sum w d/2 + penalty; ``residual`` the largest distance of the score from the penalty's subdifferential, in units of alpha;
    ``edf`` the effective degrees of freedom; ``selects`` whether coefficients are set to 0; ``constrained`` whether constraints hold beside the penalty.
    ``relaxed`` is None for the penalised solution itself, and for a refit of its columns the share phi of it that was kept (0: none).
    """

    penalty: Penalty
    objective: float
    residual: float
    edf: float
    selects: bool
    nonzero: tuple[str, ...]
    constrained: bool = False
    relaxed: float | None = None


@dataclass(frozen=True)
class Recorded(Penalty):
    """The penalty of a loaded model: the call that made it, as text."""

    text: str
    alpha: float = 1.0

    def pieces(self, columns: Any) -> Pieces:
        raise UndefinedStatisticError("this model was loaded from a file, which keeps its penalty as text only; refit it for that.")


def named(record: Penalised) -> str:
    """What users call the penalty."""
    penalty = record.penalty
    if isinstance(penalty, Recorded):
        return penalty.text.partition("(")[0]
    kind = type(penalty).__name__
    share = getattr(penalty, "l1_ratio", None)
    if isinstance(penalty, Both):
        return " + ".join(named(replace(record, penalty=part)) for part in penalty.parts)
    return {("ElasticNet", 1): "Lasso", ("ElasticNet", 0): "Ridge", ("SparseGroupLasso", 0): "GroupLasso"}.get((kind, share), kind)  # type: ignore[call-overload, no-any-return]


def written(record: Penalised) -> str:
    """The call that makes the penalty, with arrays and fits abridged."""
    penalty = record.penalty
    if isinstance(penalty, Recorded):
        return penalty.text
    if isinstance(penalty, Both):
        inside = " + ".join(written(replace(record, penalty=part)) for part in penalty.parts)
        return inside if penalty.alpha == 1.0 else f"{penalty.alpha!r} ({inside})"
    name, given = named(record), []
    for f in fields(penalty):  # type: ignore[arg-type]
        value = getattr(penalty, f.name)
        fixed = f.name == "l1_ratio" and name in ("Lasso", "Ridge", "GroupLasso")
        if f.name == "alpha" or not (fixed or (f.default is not MISSING and type(value) is type(f.default) and value == f.default)):
            given.append(f"{f.name}={_abridged(value)}")
    return f"{name}({', '.join(given)})"


def _abridged(value: Any) -> str:
    if hasattr(value, "coef"):
        return "<a fit>"
    if isinstance(value, np.ndarray):
        return f"<array {value.shape}>"
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


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
    refuse_aliased(problem, built.spec, built.intercept, penalty)
    if constraints is not None and problem.design.width <= 500:
        found = _by_programs(built, problem, penalty, constraints, control)
        if found is not None:
            return found
    from etamu.path import read_bounds

    prepared = prepare(problem, built.spec, built.intercept, penalty, control, read_bounds(constraints, built))
    point, _ = solve_at(prepared, penalty.alpha, penalty)
    gamma = prepared.gamma(point)
    solution, pieces = _solution(prepared, point, gamma, control), prepared.pieces.times(penalty.alpha)
    known = _known(prepared, penalty, pieces, point, gamma, solution.sums)
    known = replace(known, constrained=constraints is not None)
    if not known.selects:
        solution = replace(solution, sums=_with_quadratic(solution.sums, pieces))
    kept = tuple(range(problem.design.width))
    return Solved(prepared.problem, prepared.scaling, kept, solution, f"proximal newton ({prepared.solver})", prepared.reason), {"penalised": known}


def _solution(prepared: Prepared, point: Point, gamma: Array, control: Control) -> Solution:
    """The solution as solvers of fits give it: with the sums at it."""
    source = open_source(prepared.problem, control.threads)
    order = 2 if gamma.size <= _INFORMATION_MOST else 1
    sums = source.sum(Request(gamma, order, control.information))
    status = Status.CONVERGED if point.converged else Status.MAX_ITERATIONS
    return Solution(gamma, sums, status, (Step(sums.n, order, "double", sums.deviance, None, f"{point.steps} proximal steps before"),), 0.0, np.inf)


def _known(prepared: Prepared, penalty: Penalty, pieces: Pieces, point: Point, gamma: Array, sums: Sums) -> Penalised:
    flat = gamma if gamma.ndim == 1 else gamma.T.ravel()
    own = pieces if pieces.concave is None else replace(pieces, concave=None)
    value = own.value(flat) if pieces.concave is None else _concave_value(prepared, penalty, flat)
    design = prepared.problem.design
    beta = gamma if gamma.ndim == 1 else np.abs(gamma).max(axis=1)
    names = tuple(n for n, b in zip(design.names, beta) if b != 0)
    selects = not pieces.smooth
    return Penalised(penalty, 0.5 * sums.deviance / sums.sum_weight + value, point.residual, _freedom(prepared, pieces, flat, sums), selects, names)


def _concave_value(prepared: Prepared, penalty: Penalty, flat: Array) -> float:
    scale = np.ones(len(flat)) if prepared.scaling.scale is None else prepared.scaling.scale
    rule, weight = prepared.pieces.concave, prepared.pieces.l1 / scale
    return float(rule.value(penalty.alpha * weight, flat * scale).sum())


def _freedom(prepared: Prepared, pieces: Pieces, flat: Array, sums: Sums) -> float:
    """The effective degrees of freedom."""
    d = pieces.differences(flat)
    used = np.flatnonzero((d != 0) | ((pieces.l1 == 0) & ~np.isin(np.arange(len(d)), [j for g in pieces.groups for j in g])))
    q = 1 if prepared.problem.equations is None else prepared.problem.equations
    spare = int(q > 1 and prepared.problem.reference is None and prepared.intercept)  # of the classes' intercepts one is no freedom
    if sums.information is None or not (pieces.l2[used].any() or pieces.quadratic is not None):
        return float(len(used) - spare)
    h = sums.information.dense() if isinstance(sums.information, Arrow) else sums.information
    h = pieces.slopes_of_differences(pieces.slopes_of_differences(h / sums.sum_weight).T)
    p = np.diag(pieces.l2) if pieces.quadratic is None else np.diag(pieces.l2) + pieces.quadratic
    p = pieces.slopes_of_differences(pieces.slopes_of_differences(p).T)
    own = np.ix_(used, used)
    return float(np.trace(np.linalg.lstsq(h[own] + p[own], h[own], rcond=None)[0]))


def _with_quadratic(sums: Sums, pieces: Pieces) -> Sums:
    """The information with a quadratic penalty in it: that of the posterior whose prior the penalty is."""
    if sums.information is None:
        return sums
    h = sums.information.dense() if isinstance(sums.information, Arrow) else sums.information
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
        point, _ = solve_at(prepared, penalty.alpha, penalty)
        start = scaling.to_fit(prepared.coefficients(point))
    except NotBounds:
        pass
    try:
        solution, active = constrained(scaled, start, bound.rows, pieces, scaling, built.intercept, control, bound.descriptions)
    except Contradiction as error:
        raise clash(bound, error) from None
    beta = scaling.to_user(np.array(solution.beta, dtype=float))
    beta = active.snapped(beta)
    value = 0.5 * solution.sums.deviance / solution.sums.sum_weight + pieces.value(beta)
    names = tuple(n for n, b in zip(built.design.names, beta) if b != 0)
    moving = pieces.differences(beta)
    known = Penalised(penalty, value, active.dual, float(np.count_nonzero(np.abs(moving) > 1e-12) ), not pieces.smooth, names)
    reason = f"penalised, under {len(bound.rows)} constraints, of which {len(active)} are active"
    return Solved(scaled, scaling, tuple(range(problem.design.width)), solution, "constrained newton", reason), {"penalised": known, "active": active}


def refuse_aliased(problem: Problem | Streamed, spec: Any, intercept: bool, penalty: Penalty) -> None:
    """Columns that the intercept or each other give and that no penalty tells apart; and penalised ones that do not vary."""
    from etamu.design.columns import Column

    design = problem.sample.design
    if intercept:
        for part in design.parts:
            if isinstance(part, Column) and part.values is not None and len(part.values) and part.table is None:
                values = part.values
                if values[0] == values[-1] and values[len(values) // 2] == values[0] and bool((values == values[0]).all()):
                    raise SpecificationError(f"`penalty`: column {part.name!r} is constant, so it is aliased with the intercept, and penalising it has no meaning; drop the column.")


def refuse_selected(fit: Any, what: str) -> None:
    """After a penalty that sets coefficients to 0 no covariance describes the estimate."""
    record = getattr(fit, "penalised", None)
    if record is None:
        return
    if record.relaxed:
        raise UndefinedStatisticError(
            f"{what} is not defined of a blend: a share of {record.relaxed:g} is shrunk. Use fit.relaxed() without phi for standard errors given the selection."
        )
    if record.selects:
        raise UndefinedStatisticError(
            f"{what} is not defined after {named(record)}: which coefficients are 0 was chosen by the same data, and the others are shrunk. "
            "Use fit.relaxed() for an unpenalised refit, fit.debiased() for intervals that allow for the choice, or em.split_inference(...) for tests on other rows."
        )
    if record.relaxed is None and fit.class_names is not None and len(fit.class_names) == len(fit.response_levels or ()):
        raise UndefinedStatisticError(
            f"{what} after {named(record)} is of a model with a reference class; fit with family=em.families.Multinomial(reference='first')."
        )
