"""glm() and fit(): the two front doors, and the assembly of a Fit from what was solved.  The one file that knows all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu import checks
from etamu.arguments import Ingredients, read_start
from etamu.design.smooths import has_smooths, smooths
from etamu.errors import SeparationError, SpecificationError, chosen
from etamu.families import Family, resolve_family
from etamu.inference.covariance import Scaling, sum_to_zero
from etamu.links import Link
from etamu.model import Estimate, Fit
from etamu.reading import read_arrays, read_table
from etamu.solve import Solved, solve_problem
from etamu.solvers import resolve_solver
from etamu.solvers.base import Control, Solution, Status, Trace
from etamu.solvers.gradient import GradientAscent
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.standardise import standardise
from etamu.starting import default_start

if TYPE_CHECKING:
    from etamu.inference.existence import Separation

__all__ = ["fit", "fit_read", "glm", "separation"]

Array = np.ndarray[Any, Any]


def glm(
    formula: str,
    data: Any,
    *,
    family: str | Family = "gaussian",
    link: str | Link | None = None,
    weights: Any = None,
    frequency: Any = None,
    offset: Any = None,
    exposure: Any = None,
    solver: Any = "auto",
    start: Any = None,
    control: Control | None = None,
    missing: str = "raise",
    cache: bool | str | None = None,
    bias: str | None = None,
    ridge: float | None = None,
    penalty: Any = None,
    constraints: Any = None,
    smoothing: str = "reml",
    separated: str = "report",
) -> Fit:
    """Fit a generalized linear model given by a formula on a table or on files.

    Maximises the likelihood of ``g(E[y]) = X beta + offset`` with prior weights w; ``data`` is a dict of arrays, a pandas,
    polars, pyarrow or other Arrow table, or the path of a Parquet or CSV file, a folder or a pattern (``"claims/*.parquet"``),
    whose rows are read in every pass and never held in memory together.

    Parameters
    ----------
    formula : ``"y ~ x1 + log(x2) + C(group) * bs(age, df=5) + offset(log(n))"``; text columns are factors, ``- 1`` drops the
        intercept, ``cbind(successes, failures)`` is a binomial response.
    family, link : names or objects; the link defaults to R's.
    weights : prior weights (numbers of trials for a binomial proportion); array or column name.
    frequency : how often each row occurs; changes the number of observations and the degrees of freedom.
    offset, exposure : added to eta, and log(exposure) added to eta; array or column name.
    solver : "auto", a name, or an object of ``em.solvers``.
    start : starting coefficients on the user's scale.
    missing : "raise"; "drop" for rows with a missing value in any variable used; or "level", which makes the missing values
        of a factor a level of their own.
    bias : None for maximum likelihood; "mean" (Firth), "median", "mixed" or "jeffreys" for bias-reduced estimates, which are finite
        for separated data too.
    ridge : the alpha of a penalty ``alpha/2 |b|^2`` beside half the mean unit deviance, which keeps every coefficient finite.
    penalty : what is minimised beside half the mean unit deviance: ``em.ElasticNet(alpha, l1_ratio)``, ``em.Lasso``, ``em.Ridge``, ``em.GroupLasso``,
        ``em.Fused``, ``em.MCP``, ..., or a sum of them.
    constraints : bounds, signs, equations, shapes of effects: ``em.Box``, ``em.Linear``, ``em.Sign``, ``em.Fixed``, ``em.Monotone``, ``em.Convex``,
        ``em.Concave``, text such as ``"a + b = 1"``, or a list of these; ``fit.active`` tells which of them bind.
    smoothing : how the smoothness of each ``s(x)`` is chosen: "reml", marginal likelihood, or "gcv", generalised cross-validation (UBRE where the
        dispersion is known).
    separated : what to do where no finite estimate exists: "report" it in ``fit.status``, "raise", or "drop" the rows that are separated.
    cache : for files: True, or a folder, to keep the encoded rows on disk from the first pass to the last.

    Raises
    ------
    FormulaError, UnknownNameError, DataError and its kin, in words that name the argument, its value, the rule and the fix.

    References
    ----------
    Nelder & Wedderburn (1972), J. R. Statist. Soc. A 135, doi:10.2307/2344614.

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma")
    >>> fit.coef.round(5)
    array([-0.01655,  0.01534])
    """
    resolved, shape = _resolved(family)
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    read = read_table(formula, data, resolved, link, arrays, missing, cache, control)
    return _fit(*read, Wishes(solver, start, control, bias, ridge, separated, shape, constraints, smoothing, penalty))


def fit(
    X: Any,
    y: Any,
    *,
    family: str | Family = "gaussian",
    link: str | Link | None = None,
    weights: Any = None,
    frequency: Any = None,
    offset: Any = None,
    exposure: Any = None,
    intercept: bool = True,
    names: Sequence[str] | None = None,
    solver: Any = "auto",
    start: Any = None,
    control: Control | None = None,
    missing: str = "raise",
    bias: str | None = None,
    ridge: float | None = None,
    penalty: Any = None,
    constraints: Any = None,
    separated: str = "report",
) -> Fit:
    """Fit a generalized linear model on arrays: X of shape (n, p), y of shape (n,).

    X may be any strided NumPy array (float, int, bool, any memory order) or a frame of numeric columns; it is read in
    place.  Other arguments are those of :func:`glm`.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> fit = em.fit(np.array([[0.0], [1.0], [2.0], [3.0]]), [1, 3, 5, 7.0])
    >>> fit.coef.round(10)
    array([1., 2.])
    """
    resolved, shape = _resolved(family)
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    read = read_arrays(X, y, resolved, link, arrays, intercept, names, missing)
    return _fit(*read, Wishes(solver, start, control, bias, ridge, separated, shape, constraints, penalty=penalty))


def separation(
    formula: Any,
    data: Any,
    *,
    family: str | Family = "binomial",
    link: str | Link | None = None,
    weights: Any = None,
    frequency: Any = None,
    missing: str = "raise",
    intercept: bool = True,
) -> Separation:
    """Whether the maximum-likelihood estimate exists, and if not which rows, which direction and which coefficients say so.

    ``em.separation(formula, data)`` or ``em.separation(X, y)``; the arguments are those of :func:`glm` and :func:`fit`.

    Examples
    --------
    >>> import etamu as em
    >>> print(em.separation("y ~ x", {"x": [1.0, 2, 3, 4], "y": [0, 1, 0, 1]}, family="binomial"))
    The estimate exists: no direction separates the responses.
    """
    more = {"family": family, "link": link, "weights": weights, "frequency": frequency, "missing": missing}
    once = Control(max_iter=1)
    start = glm(formula, data, control=once, **more) if isinstance(formula, str) else fit(formula, data, control=once, intercept=intercept, **more)
    found: Separation = start.separation()
    return found


def fit_read(read: Any, penalty: Any, constraints: Any, control: Control) -> Fit:
    """The penalised fit of a problem that has been read."""
    built, problem, response = read
    return _fit(built, problem, response, Wishes("auto", None, control, None, None, "report", False, constraints, penalty=penalty))


# ---- the fitted model ---------------------------------------------------------------------------------------------


def _resolved(family: str | Family) -> tuple[Family, bool]:
    """The family with a value of its parameter, and whether that is only one to begin from."""
    found = resolve_family(family)
    return (found.with_shape(), True) if found.unknown_shape else (found, False)


@dataclass(frozen=True)
class Wishes:
    """How a fit is to be made, beside what it is of."""

    solver: Any
    start: Any
    control: Control | None
    bias: str | None
    ridge: float | None
    separated: str
    shape: bool  # whether the family's own parameter is estimated too
    constraints: Any = None
    smoothing: str = "reml"
    penalty: Any = None

    def limits(self) -> Control:
        """The control, checked."""
        if self.control is not None and not isinstance(self.control, Control):
            raise SpecificationError(f"`control` is a {type(self.control).__name__}; pass em.Control(...).")
        return self.control or Control()


@np.errstate(all="ignore")  # overflow on the way is dealt with where it shows, in the sums
def _fit(built: Ingredients, problem: Problem | Streamed, response: checks.Response, wishes: Wishes) -> Fit:
    control, method, separated = wishes.limits(), resolve_solver(wishes.solver), wishes.separated
    if wishes.penalty is not None:
        return _penalised(built, response, problem, wishes)
    gauge_free = problem.equations is not None and problem.reference is None and not isinstance(method, GradientAscent)
    chosen("separated", separated, ["report", "raise", "drop"])
    if wishes.shape and not (built.spec is not None and has_smooths(built.spec.formula)):
        return _with_shape(built, problem, response, replace(wishes, shape=False))
    whole = problem
    if gauge_free:  # solve with class 0 at zero, then report the member of the family whose rows sum to zero
        problem = problem.change(equations=(problem.equations or 1) - 1, reference=0)
    given = None if wishes.start is None else read_start(wishes.start, problem)
    chosen("smoothing", wishes.smoothing, ["reml", "gcv"])
    if built.spec is not None and has_smooths(built.spec.formula):
        return _smoothed(built, response, problem, given, wishes)
    if wishes.constraints is not None:
        return _constrained(built, response, problem, given, wishes)
    if wishes.ridge is not None and gauge_free:
        raise SpecificationError("`ridge` needs a class whose predictor stays at 0, and reference=None has none; give `reference` a class or 'first'.")
    if wishes.ridge is not None:
        return _shrunk(built, response, problem, given, wishes)
    if wishes.bias is not None:
        return _reduced(built, response, problem, given, control, wishes.bias)
    found = _assemble(built, response, solve_problem(problem, built.intercept, method, given, control), control, gauge_free)
    if found.status is not Status.SEPARATED or separated == "report":
        return found
    certificate: Separation = found.separation()
    if separated == "raise":
        raise SeparationError(f"the maximum-likelihood estimate does not exist. {certificate} Pass bias='mean', or separated='drop'.")
    return _without(built, whole, response, certificate, wishes)


def _with_shape(built: Ingredients, problem: Problem | Streamed, response: checks.Response, wishes: Wishes) -> Fit:
    """The fit whose family has a parameter of its own that is estimated too: from the fit at a first value, to both maxima."""
    from etamu.inference.shape import fit_shape

    if wishes.bias is not None or wishes.ridge is not None or wishes.constraints is not None:
        raise SpecificationError("`bias`, `ridge` and `constraints` go with a family whose parameter is given; fix theta or the power first.")
    start = _fit(built, problem, response, replace(wishes, separated="raise"))
    if not start.converged:
        return start
    found = fit_shape(start._problem(), start._estimate().gamma, start.control)
    begin = np.nan_to_num(start._estimate().scaling.to_user(found.gamma)) if len(start._estimate().kept) == len(start.names) else None
    known = replace(wishes, start=begin, separated="report")
    fit = _fit(replace(built, family=found.family), problem.change(family=found.family), response, known)
    return replace(fit, shape=found.shape)


def _without(built: Ingredients, problem: Problem | Streamed, response: checks.Response, certificate: Separation, wishes: Wishes) -> Fit:
    """The fit of the rows that are not separated: the others' means are their responses in the limit, and say nothing more."""
    if isinstance(problem, Streamed) or not certificate:
        raise SpecificationError("`separated` 'drop' sets rows aside, and these are read from files; leave out the rows of `fit.separation()` there.")
    weight = np.ones(problem.rows) if problem.weight is None else np.asarray(problem.weight, dtype=float)
    rest = problem.change(weight=np.where(certificate.separated, 0.0, weight))
    fit = _fit(built, rest, response, replace(wishes, separated="report"))
    return replace(fit, trace=replace(fit.trace, notes=(*fit.trace.notes, f"{len(certificate.rows):,} separated rows were dropped")))


def _begun(built: Ingredients, problem: Problem | Streamed, given: Array | None, control: Control) -> tuple[Solved, Array]:
    """The likelihood's own solve, which standardises and tells aliased columns, and where a remedy begins: there, if it ended well."""
    solved = solve_problem(problem, built.intercept, None, given, replace(control, compress=False))
    if solved.solution.status.ok:
        return solved, np.array(solved.solution.beta, dtype=float)
    source = open_source(solved.problem, control.threads)
    return solved, default_start(solved.problem, source, built.intercept and 0 in solved.kept)


def _shrunk(built: Ingredients, response: checks.Response, problem: Problem | Streamed, given: Array | None, wishes: Wishes) -> Fit:
    """The ridge fit: standardised and freed of aliased columns as the likelihood's, then solved with the penalty."""
    from etamu.inference.shrink import read_alpha, shrink

    if wishes.bias is not None:
        raise SpecificationError("`ridge` and `bias` are two remedies for the same; pass one of them.")
    alpha, control = read_alpha(wishes.ridge), wishes.limits()
    solved, start = _begun(built, problem, given, control)
    solution = shrink(solved.problem, start, alpha, solved.scaling, built.intercept and 0 in solved.kept, control)
    solved = replace(solved, solution=solution.with_steps(solved.solution.steps), reason=f"with a ridge penalty, alpha {alpha:g}")
    return replace(_assemble(built, response, solved, control, False), bias="ridge")


def _constrained(built: Ingredients, response: checks.Response, problem: Problem | Streamed, given: Array | None, wishes: Wishes) -> Fit:
    """The fit under constraints: standardised as the likelihood's, freed of aliased columns unless equations tell them apart."""
    from etamu.constraints import bind, clash, refuse_wishes, site_of
    from etamu.inference.constrain import Contradiction, constrained, identified

    refuse_wishes(problem.equations is not None, wishes.bias, wishes.ridge, wishes.separated, wishes.solver)
    control, site = wishes.limits(), site_of(built.design.names, built.spec, built.intercept)
    bound = bind(wishes.constraints, site)
    solved, start = _begun(built, problem, given, control)
    if len(solved.kept) < site.width and bound.rows.equal.any():
        scaled, scaling = standardise(problem, built.intercept)
        begin = default_start(scaled, open_source(scaled, control.threads), built.intercept)
        if identified(scaled, begin, bound.rows, scaling, control):
            none = replace(solved.solution, status=Status.ILL_CONDITIONED)
            solved, start = replace(solved, problem=scaled, scaling=scaling, kept=tuple(range(site.width)), solution=none), begin
    own = bound.without(site, solved.kept)
    intercept, before = built.intercept and 0 in solved.kept, solved.solution
    try:
        solution, active = constrained(solved.problem, start, own.rows, None, solved.scaling, intercept, control, own.descriptions, before)
    except Contradiction as error:
        raise clash(own, error) from None
    reason = f"under {len(own.rows)} constraints, of which {len(active)} are active"
    solved = replace(solved, solution=solution.with_steps(solved.solution.steps), solver="constrained newton", reason=reason)
    fit, active = _assemble(built, response, solved, control, False), active.widened(solved.kept, site.width)
    return replace(fit, coef=active.snapped(fit.coef), active=active, rank=fit.rank - active.rank)


def _penalised(built: Ingredients, response: checks.Response, problem: Problem | Streamed, wishes: Wishes) -> Fit:
    """The fit with a penalty: by coordinates, or where constraints need more than bounds by quadratic programs."""
    from etamu.penalised_fit import penalised_fit, refuse_wishes

    refuse_wishes(problem, built.spec, wishes)
    made, parts = penalised_fit(built, problem, wishes.penalty, wishes.constraints, wishes.limits())
    return replace(_assemble(built, response, made, wishes.limits(), False), bias="penalty", **parts)


def _smoothed(built: Ingredients, response: checks.Response, problem: Problem | Streamed, given: Array | None, wishes: Wishes) -> Fit:
    """The fit of a formula with ``s(x)``: standardised as the likelihood's, its lambdas chosen, then solved with the penalty."""
    from etamu.inference.smoothed import blocks_of, identified
    from etamu.inference.smoothing import choose_smoothness, refuse_wishes

    assert built.spec is not None
    refuse_wishes(problem.equations is not None, wishes.shape, wishes.solver, wishes.separated, (wishes.bias, wishes.ridge, wishes.constraints))
    control, own = wishes.limits(), smooths(built.spec)
    scaled, scaling = standardise(problem, built.intercept)
    kept = identified(scaled, blocks_of(own, scaling, range(problem.design.width)), control)
    if len(kept) < problem.design.width:
        scaled, scaling = scaled.keep(kept), scaling.keep(kept)
    start = default_start(scaled, open_source(scaled, control.threads), built.intercept) if given is None else scaling.to_fit(given[list(kept)])
    found = choose_smoothness(scaled, start, own, blocks_of(own, scaling, kept), wishes.smoothing, scaling, control)
    reason = f"penalised, {len(own)} smoothing parameters by {found.smoothing.criterion.upper()}"
    fit = _assemble(built, response, Solved(scaled, scaling, kept, found.solution, "newton", reason), control, False)
    return replace(fit, bias="smooth", smoothing=found.smoothing)


def _reduced(built: Ingredients, response: checks.Response, problem: Problem | Streamed, given: Array | None, control: Control, kind: str) -> Fit:
    """The bias-reduced fit: the likelihood's first, which tells aliased columns and mostly is a good start."""
    from etamu.inference.bias import read_kind, reduce_bias

    kind = read_kind(kind)
    solved, start = _begun(built, problem, given, control)
    reduced = reduce_bias(solved.problem, start, kind, solved.scaling, control)
    solution = replace(reduced.solution, steps=solved.solution.steps + reduced.solution.steps)
    solved = replace(solved, solution=solution, solver="quasi-Fisher scoring", reason=f"of the score adjusted for bias ({kind})")
    fit = _assemble(built, response, solved, control, False)
    known = {} if fit.family.dispersion_known else {"dispersion": reduced.dispersion}
    return replace(fit, bias=kind, known=known)


def _assemble(built: Ingredients, response: checks.Response, solved: Solved, control: Control, gauge_free: bool) -> Fit:
    """The Fit: coefficients on the user's columns and scale, with what it takes to answer for them."""
    problem, scaling, kept, solution = solved.problem, solved.scaling, solved.kept, solved.solution
    names = built.design.names
    beta = scaling.to_user(np.array(solution.beta))
    expansion = None
    if gauge_free:
        classes = beta.shape[1] + 1
        expansion = sum_to_zero(classes)
        beta = beta @ expansion.T
    gamma = np.asarray(solution.beta, dtype=np.float64)  # refinement leaves more digits than Fit keeps
    coef, aliased = np.asarray(beta, dtype=np.float64), _others(names, kept)
    if aliased:
        coef = np.full((len(names), *beta.shape[1:]), np.nan)
        coef[list(kept)] = beta
    nobs = problem.observations(solution.sums.n)
    error = solution.error if solution.status is Status.CONVERGED else math.inf
    class_names = None
    if problem.equations is not None:
        levels = [str(level) for level in response.levels or ()]
        class_names = tuple(levels if problem.reference is None or gauge_free else levels[: problem.reference] + levels[problem.reference + 1 :])
    return Fit(
        names=tuple(names),
        coef=coef,
        family=built.family,
        link=problem.link,
        status=solution.status,
        trace=Trace(solved.solver, solved.reason, solution.steps, solution.sums.n),
        deviance=solution.sums.deviance,
        nobs=int(nobs) if float(nobs).is_integer() else nobs,
        rank=len(kept),
        intercept=built.intercept,
        aliased=aliased,
        diverging=tuple(names[kept[j]] for j in _diverging(solution, scaling, len(kept))) if solution.diverging else (),
        spec=built.spec,
        offset_given=built.offset_given,
        exposure=built.exposure,
        offset=built.offset,
        response_levels=response.levels,
        class_names=class_names,
        estimate=Estimate(gamma, solution.sums, scaling, kept, error, expansion),
        problem=problem,
        control=control,
        data=built.data,
    )


def _others(names: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    """Names that are not among the kept."""
    if len(kept) == len(names):
        return ()
    own = set(kept)
    return tuple(name for j, name in enumerate(names) if j not in own)


def _diverging(solution: Solution, scaling: Scaling, width: int) -> list[int]:
    """Columns without a finite estimate; the intercept takes back what centred ones do."""
    moving = {j % width for j in solution.diverging}
    if scaling.center is not None and any(scaling.center[j] != 0 for j in moving):
        moving.add(0)
    return sorted(moving)
