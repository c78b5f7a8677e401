"""glm() and fit(): resolve the arguments, find a start, solve, and put the pieces together.  The one file that knows all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu import checks
from etamu.design.columns import Design
from etamu.design.encode import DesignSpec, encode, learn, offset_of
from etamu.design.frames import Table, as_table
from etamu.design.inputs import read_matrix
from etamu.design.parser import Binary, Call, Name, Node, parse
from etamu.design.terms import Formula, evaluate, read_formula
from etamu.errors import FormulaError, LengthError, LinkDomainError, SpecificationError, unknown
from etamu.families import Family, Multinomial, resolve_family
from etamu.inference.covariance import Scaling, sum_to_zero
from etamu.inference.likelihood import weighted_mean
from etamu.links import LINKS, Link, resolve_link
from etamu.model import Estimate, Fit
from etamu.solvers import resolve_solver
from etamu.solvers.base import Control, Solution, Status, Step, Trace
from etamu.solvers.gradient import GradientAscent, gradient_ascent
from etamu.solvers.lbfgs import LBFGS, lbfgs
from etamu.solvers.linalg import Factorised, aliased_columns, factorise
from etamu.solvers.newton import WIDE, Newton, newton
from etamu.solvers.newton import Problem as NewtonProblem
from etamu.solvers.newton_cg import NewtonCG, newton_cg
from etamu.solvers.start import rough_newton
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sums import Request

__all__ = ["fit", "glm"]

Array = np.ndarray[Any, Any]
_SAMPLE_FROM = 300_000  # entries of X from which a subsample's solution is the cheaper start
_INFORMATION_LIMIT = 4000  # coefficients beyond which Newton does not form the information on its way


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
) -> Fit:
    """Fit a generalized linear model given by a formula on a table.

    Maximises the likelihood of ``g(E[y]) = X beta + offset`` with prior weights w; ``data`` is a dict of arrays or a
    pandas, polars, pyarrow or other Arrow table.

    Parameters
    ----------
    formula : ``"y ~ x1 + log(x2) + C(group) + offset(log(n))"``; text columns are factors, ``- 1`` drops the intercept,
        ``cbind(successes, failures)`` is a binomial response.
    family, link : names or objects; the link defaults to R's.
    weights : prior weights (numbers of trials for a binomial proportion); array or column name.
    frequency : how often each row occurs; changes the number of observations and the degrees of freedom.
    offset, exposure : added to eta, and log(exposure) added to eta; array or column name.
    solver : "auto", a name, or an object of ``em.solvers``.
    start : starting coefficients on the user's scale.
    missing : "raise", or "drop" for rows with a missing value in any variable used.

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
    table = as_table(data)
    parsed = read_formula(formula)
    if parsed.response is None:
        raise FormulaError(f"formula {formula!r} has no response; write 'response ~ terms'.")
    resolved = resolve_family(family)
    named = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    arrays = {name: _from_table(value, table, name) for name, value in named.items()}
    table, arrays = _without_missing(table, parsed, arrays, missing)
    y, trials = _response(parsed.response, table, resolved)
    spec = learn(parsed, table)
    design = encode(spec, table)
    inside = offset_of(spec, table)
    exposure_name = exposure if isinstance(exposure, str) else None
    given = offset is not None or (exposure is not None and exposure_name is None)
    built = _Ingredients(design, y, resolved, link, trials, parsed.intercept, inside, arrays, spec, given, exposure_name)
    return _fit(built, solver, start, control)


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
    if missing not in ("raise", "drop"):
        raise unknown("missing", missing, ["raise", "drop"])
    design = read_matrix(X, names, intercept)
    arrays = {"weights": weights, "frequency": frequency, "offset": offset, "exposure": exposure}
    if missing == "drop":
        design, y, arrays = _drop_rows(design, y, arrays)
    given = offset is not None or exposure is not None
    built = _Ingredients(design, y, resolve_family(family), link, None, intercept, None, arrays, None, given, None)
    return _fit(built, solver, start, control)


@dataclass(frozen=True)
class _Ingredients:
    """Arguments of either front door, read but not yet checked against each other."""

    design: Design
    y: Any
    family: Family
    link: str | Link | None
    trials: Array | None
    intercept: bool
    inside_offset: Array | None
    arrays: dict[str, Any]
    spec: DesignSpec | None
    offset_given: bool  # predictions need an offset passed again
    exposure: str | None  # or an exposure column, which predictions read


# ---- from arguments to a problem ----------------------------------------------------------------------------------


def _from_table(value: Any, table: Table, name: str) -> Any:
    """An argument that may be a column name or an expression of columns."""
    if not isinstance(value, str):
        return value
    if value in table.columns:
        return table.numbers(value)
    return evaluate(parse(value), table)


def _response(node: Node, table: Table, family: Family) -> tuple[Any, Array | None]:
    """y, and the number of trials where the formula gives it."""
    if isinstance(node, Call) and node.function == "cbind":
        if len(node.arguments) != 2 or family.support.high != 1:
            raise FormulaError("formula: cbind(successes, failures) is a binomial response of two columns.")
        good, bad = (np.asarray(evaluate(a, table), dtype=float) for a in node.arguments)
        trials = good + bad
        return np.divide(good, trials, out=np.zeros_like(trials), where=trials > 0), trials
    if isinstance(node, Name):
        labelled = isinstance(family, Multinomial) or (family.support.high == 1 and table.is_text(node.value))
        return (table.columns[node.value] if labelled and node.value in table.columns else table.numbers(node.value)), None
    if isinstance(node, Binary) and node.operator == "/":
        over = evaluate(node, table)
        return over, None
    return evaluate(node, table), None


def _problem(built: _Ingredients) -> tuple[Problem, checks.Response, Array | None]:
    """The checked problem on the columns as they are."""
    family, rows = built.family, built.design.rows
    link = _resolve_link(built.link, family)
    response = checks.read_response(built.y, family, rows)
    checks.check_support(response, family)
    w = None if built.arrays["weights"] is None else checks.read_weights("weights", built.arrays["weights"], rows)
    if built.trials is not None:
        w = built.trials if w is None else built.trials * w
        w = checks.read_weights("trials", w, rows)
    f = None if built.arrays["frequency"] is None else checks.read_weights("frequency", built.arrays["frequency"], rows)
    weight = w if f is None else f if w is None else w * f
    if weight is not None and float(weight.max()) == 0:
        checks.read_weights("weights", weight, rows)
    used = None if weight is None or weight.min() > 0 else weight > 0
    checks.check_variation(response, family, used)
    offset = checks.combine_offset(built.arrays["offset"], built.arrays["exposure"], link, rows)
    if built.inside_offset is not None:
        offset = built.inside_offset if offset is None else offset + built.inside_offset
    equations = reference = None
    if isinstance(family, Multinomial):
        if offset is not None:
            raise SpecificationError("`offset` with family='multinomial' would shift every class alike; drop it.")
        levels = list(response.levels or ())
        reference = family.reference_code(levels)
        equations = len(levels) - (reference is not None)
    problem = Problem(built.design, response.y, family, link, weight, offset, equations, reference)
    return problem, response, f


def _resolve_link(link: str | Link | None, family: Family) -> Link:
    """The link asked for, or the family's own."""
    if link is None:
        link = family.default_link
    if link == "canonical":
        link = family.canonical
    if link == "nb" and hasattr(family, "canonical_link"):
        return family.canonical_link()  # type: ignore[no-any-return]
    found = resolve_link(link)
    if (found is LINKS["softmax"]) != isinstance(family, Multinomial):
        raise SpecificationError(f"`link` {found.name!r} does not go with family {family.name!r}; softmax and multinomial belong together.")
    return found


# ---- missing rows -------------------------------------------------------------------------------------------------


def _without_missing(table: Table, formula: Formula, arrays: dict[str, Any], missing: str) -> tuple[Table, dict[str, Any]]:
    if missing == "raise":
        return table, arrays
    if missing != "drop":
        raise unknown("missing", missing, ["raise", "drop"])
    from etamu.design.missing import complete_rows, take

    keep = complete_rows(table, formula, arrays)
    return (table, arrays) if keep.all() else take(table, arrays, keep)


def _drop_rows(design: Design, y: Any, arrays: dict[str, Any]) -> tuple[Design, Any, dict[str, Any]]:
    from etamu.design.missing import drop_rows

    return drop_rows(design, y, arrays)


# ---- solving ------------------------------------------------------------------------------------------------------


def _fit(built: _Ingredients, solver: Any, start: Any, control: Control | None) -> Fit:
    control = control or Control()
    method = resolve_solver(solver)
    problem, response, frequency = _problem(built)
    gauge_free = problem.equations is not None and problem.reference is None and not isinstance(method, GradientAscent)
    if gauge_free:  # solve with class 0 at zero, then report the member of the family whose rows sum to zero
        problem = replace(problem, equations=(problem.equations or 1) - 1, reference=0)
    given = None if start is None else _read_start(start, problem)
    kept = tuple(range(problem.design.width))
    scaled, scaling = _standardise(problem, built.intercept, plain=isinstance(method, GradientAscent))
    solution, reason = _solve(scaled, built, method, given, scaling, control)
    if solution.status is Status.ILL_CONDITIONED:
        kept, scaled, scaling, solution = _by_factor(scaled, built, scaling, control, solution)
        reason += "; information by QR (ill-conditioned columns)"
    return _assemble(built, response, frequency, scaled, scaling, kept, solution, reason, control, gauge_free)


def _read_start(start: Any, problem: Problem) -> Array:
    beta = np.array(start, dtype=float)
    if beta.shape != problem.shape:
        raise LengthError(f"`start` has shape {beta.shape} but the model has coefficients of shape {problem.shape}.")
    if not np.isfinite(beta).all():
        raise SpecificationError("`start` holds nan or inf; pass finite starting coefficients.")
    return beta


def _standardise(problem: Problem, intercept: bool, plain: bool) -> tuple[Problem, Scaling]:
    """The problem on centred, scaled columns (scaled only without an intercept), placed by a sample of the rows."""
    design = problem.design
    if plain or design.width == 0:
        return problem, Scaling(None, None)
    x = design.sample()
    with np.errstate(all="ignore"):
        center = np.add.reduce(x, axis=0) / len(x) if intercept else np.zeros(design.width)
        if intercept:
            center[0] = 0.0
        x -= center
        spread = np.sqrt(np.einsum("ij,ij->j", x, x) / len(x))
    if not np.isfinite(spread).all():
        error = checks.describe_bad_design(design)
        if error is not None:
            raise error
        center, spread = np.where(np.isfinite(center), center, 0.0), np.where(np.isfinite(spread), spread, 1.0)
    scale = np.where(spread > 1e-12 * np.abs(center), 1.0 / np.where(spread > 0, spread, 1.0), 1.0)
    return replace(problem, design=design.standardised(center, scale)), Scaling(center if intercept else None, scale)


def _solve(problem: Problem, built: _Ingredients, method: Any, given: Array | None, scaling: Scaling, control: Control) -> tuple[Solution, str]:
    """Choose a solver, find a start, run it."""
    source = Memory(problem, control.threads)
    known = problem.family.dispersion_known
    if isinstance(method, GradientAscent):
        beta = np.zeros(problem.shape) if given is None else given
        return gradient_ascent(source.sum, beta, control, method), f"{method.steps} steps of rate {method.rate:g} as asked"
    start = scaling.to_fit(given) if given is not None else _default_start(problem, source, built.intercept)
    size = int(np.prod(problem.shape))
    if method is None and size > _INFORMATION_LIMIT:
        method = NewtonCG() if problem.equations is not None else LBFGS()
        reason = f"auto: {size} coefficients, too many to form the information at every step"
    else:
        reason = "auto: the information fits easily" if method is None else "as asked"
    if isinstance(method, (LBFGS, NewtonCG)):
        precondition = _preconditioner(source, problem, start)
        run = lbfgs if isinstance(method, LBFGS) else newton_cg
        solution = run(source.sum, start, control, method, precondition, known)  # type: ignore[operator]
        return _checked(solution, problem), reason
    method = method or Newton()
    factor: Factorised | None = None
    early: tuple[Step, ...] = ()
    if given is None:
        start, factor, early = _sample_start(source, problem, start, method.information)
    solution = newton(source.sum, start, control, method, _traits(problem), factor)
    return _checked(solution.with_steps(early), problem), reason


def _traits(problem: Problem, form: str = "gram") -> NewtonProblem:
    """What Newton may know of the model."""
    return NewtonProblem(
        canonical=problem.equations is not None or problem.link.name == problem.family.canonical,
        quadratic=problem.family.name == "gaussian" and problem.link is LINKS["identity"],
        dispersion_known=problem.family.dispersion_known,
        form=form,
    )


def _checked(solution: Solution, problem: Problem) -> Solution:
    """A solve that met non-finite sums: say so of the data, if it is their fault."""
    if solution.status in (Status.NOT_FINITE, Status.ILL_CONDITIONED):
        error = checks.describe_bad_design(problem.design)
        if error is not None:
            raise error
    return solution


def _default_start(problem: Problem, source: Memory, intercept: bool) -> Array:
    """The intercept-only mean where that is valid for every row, else a least-squares step towards g(y)."""
    beta = np.zeros(problem.shape)
    if problem.equations is not None:
        return beta
    if intercept:
        with np.errstate(all="ignore"):
            eta = float(problem.link.eta(np.array([weighted_mean(problem)]))[0])
        shift = 0.0 if problem.offset is None else float(np.mean(problem.offset))
        if math.isfinite(eta):
            beta[0] = eta - shift
    if _always_valid(problem) or math.isfinite(source.sum(Request(beta, 0)).deviance):
        return beta
    return _least_squares_start(problem, source)


def _always_valid(problem: Problem) -> bool:
    """Links that map every eta into the family's mean space."""
    unit, space = ("logit", "probit", "cloglog", "loglog", "cauchit"), problem.family.mean_space
    if math.isinf(space.low):
        return problem.link.name in (*unit, "identity", "log")
    if math.isinf(space.high):
        return problem.link.name in (*unit, "log")
    return problem.link.name in unit


def _least_squares_start(problem: Problem, source: Memory) -> Array:
    """Least squares of g(starting mean), then of a constant, whichever keeps every row in the link's domain."""
    sums = source.start()
    triangle = factorise(sums)
    candidates = []
    if triangle is not None and sums.score is not None:
        candidates.append(triangle.solve(sums.score))
        mean = weighted_mean(problem)
        with np.errstate(all="ignore"):
            eta = float(problem.link.eta(np.array([mean]))[0])
        ones = _projection_of_one(problem)
        if ones is not None:
            candidates.append(eta * ones)
    for beta in candidates:
        if np.isfinite(beta).all() and math.isfinite(source.sum(Request(beta, 0)).deviance):
            return np.asarray(beta)
    raise LinkDomainError(
        f"no starting coefficients were found that keep every mean of family {problem.family.name!r} inside {problem.family.mean_space} under "
        f"link {problem.link.name!r}; pass `start=`, or choose a link that maps onto it."
    )


def _projection_of_one(problem: Problem) -> Array | None:
    """Coefficients whose predictor is closest to 1 in every row."""
    x = problem.design.sample(4096)
    if problem.design.center is not None:
        x = (x - problem.design.center) * problem.design.scale
    solution = np.linalg.lstsq(x, np.ones(len(x)), rcond=None)[0]
    return np.asarray(solution) if np.isfinite(solution).all() else None


def _sample_start(source: Memory, problem: Problem, start: Array, curvature: str) -> tuple[Array, Factorised | None, tuple[Step, ...]]:
    """Solve roughly on nested subsamples when the whole is large; rows are found by position, so none is copied."""
    size, rows = int(np.prod(problem.shape)), problem.rows
    need = size / _informative_share(problem)  # rows that carry as much as `size` rows of a continuous response
    begin, steps = start, ()
    factor: Factorised | None = None
    for count in _sample_sizes(rows, size, need):
        sample = source.sample(count)
        begin, found, weight, made = rough_newton(sample.sum, begin, curvature, size >= WIDE)
        steps += made
        if found is None:
            return start, None, steps
        total = float(rows) if problem.weight is None else float(np.sum(problem.weight, dtype=float))
        factor = found.weighted(total / weight) if count >= 40 * need else None
    return begin, factor, steps


def _sample_sizes(rows: int, size: int, need: float) -> list[int]:
    """Rows of each stage, from few to more; none where the whole is small or the sample would not be."""
    if rows * size < _SAMPLE_FROM or rows < 36 * need:
        return []
    most = max(rows // 10, int(40 * need))
    if most > rows // 5:  # one pass over all rows in float32 costs no more and says more
        return [int(12 * need)]
    first = max(most // 10, int(12 * need))
    return [first, most] if most >= 3 * first else [most]


def _informative_share(problem: Problem) -> float:
    """How much a row says, relative to a continuous response: rare events are few rows in disguise."""
    y = np.asarray(problem.y[:: max(1, problem.rows // 8192)], dtype=float)
    if problem.equations is not None:
        return min(1.0, 2.0 * float(np.unique(y, return_counts=True)[1].min()) * (problem.equations + 1) / len(y) + 1e-3)
    space, support = problem.family.mean_space, problem.family.support
    share = 1.0
    if math.isfinite(space.high):
        m = float(np.mean(y))
        share = 4.0 * m * (1.0 - m)
    elif space.low == 0 and support.low_included:
        share = float(np.mean(y > 0))
    return min(1.0, max(share, 1e-3))


def _preconditioner(source: Memory, problem: Problem, start: Array) -> Any:
    """An approximate inverse information: of the start for one equation, Boehning's bound for many classes."""
    p = problem.design.width
    if problem.equations is None:
        if p > 4 * _INFORMATION_LIMIT:
            return None
        found = factorise(source.sum(Request(start, 2, "expected", "single")))
        return None if found is None else found.solve
    single = replace(problem, family=resolve_family("gaussian"), link=LINKS["identity"], equations=None, reference=None)
    found = factorise(Memory(single, source.threads).sum(Request(np.zeros(p), 2, "expected", "single")), single=True)
    if found is None:
        return None
    q = problem.equations
    classes = q + (problem.reference is not None)
    mix = np.linalg.inv(0.5 * (np.eye(q) - np.full((q, q), 1.0 / classes))) if problem.reference is not None else 2.0 * np.eye(q)

    def apply(score: Array) -> Array:
        solved = found.solve(score.reshape(q, p).T)  # (p, q)
        return np.asarray((solved @ mix).T.ravel())

    return apply


def _by_factor(
    problem: Problem, built: _Ingredients, scaling: Scaling, control: Control, before: Solution
) -> tuple[tuple[int, ...], Problem, Scaling, Solution]:
    """Find aliased columns by QR, drop them, and solve what is left; by QR throughout when it stays ill-conditioned."""
    design = problem.design
    ranked = problem
    if problem.equations is not None:
        ranked = replace(problem, family=resolve_family("gaussian"), link=LINKS["identity"], equations=None, reference=None)
    beta = before.beta if problem.equations is None else np.zeros(design.width)
    triangle = Memory(ranked, control.threads).sum(Request(beta, 2, "expected", form="factor")).information
    if triangle is None or not np.isfinite(triangle).all():
        beta = np.zeros(design.width)
        plain = replace(ranked, family=resolve_family("gaussian"), link=LINKS["identity"], offset=None)
        triangle = Memory(plain, control.threads).sum(Request(beta, 2, "expected", form="factor")).information
    assert triangle is not None
    dropped = set(aliased_columns(triangle[:-1, :-1]))
    kept = tuple(j for j in range(design.width) if j not in dropped)
    if dropped:
        intercept = built.intercept and 0 in kept
        problem = replace(problem, design=design.keep(kept))
        center = scaling.center[list(kept)] if scaling.center is not None and intercept else None
        scaling = Scaling(center, None if scaling.scale is None else scaling.scale[list(kept)])
        source = Memory(problem, control.threads)
        start = _default_start(problem, source, intercept) if kept else np.zeros(problem.shape)
        solution = newton(source.sum, start, control, problem=_traits(problem)).with_steps(before.steps)
    else:
        source = Memory(problem, control.threads)
        solution = replace(before)
    if solution.status is Status.ILL_CONDITIONED and problem.equations is None:
        solution = newton(source.sum, solution.beta, control, problem=_traits(problem, "factor")).with_steps(solution.steps)
    return kept, problem, scaling, solution


# ---- the fitted model ---------------------------------------------------------------------------------------------


def _assemble(
    built: _Ingredients,
    response: checks.Response,
    frequency: Array | None,
    problem: Problem,
    scaling: Scaling,
    kept: tuple[int, ...],
    solution: Solution,
    reason: str,
    control: Control,
    gauge_free: bool,
) -> Fit:
    names = built.design.names
    beta = scaling.to_user(np.array(solution.beta))
    expansion = None
    if gauge_free:
        classes = beta.shape[1] + 1
        expansion = sum_to_zero(classes)
        beta = beta @ expansion.T
    coef = np.full((len(names), *beta.shape[1:]), np.nan)
    coef[list(kept)] = beta
    nobs = solution.sums.n if frequency is None else float(np.sum(frequency[_used(problem)], dtype=float))
    error = solution.error if solution.status is Status.CONVERGED else math.inf
    class_names = None
    if problem.equations is not None:
        levels = [str(level) for level in response.levels or ()]
        class_names = tuple(levels if problem.reference is None or gauge_free else levels[: problem.reference] + levels[problem.reference + 1 :])
    notes = ("the last pass gathered the reported information",) if solution.status is Status.CONVERGED else ()
    solver_name = "gradient ascent" if solution.status is Status.FIXED_STEPS else "newton"
    return Fit(
        names=tuple(names),
        coef=coef,
        family=built.family,
        link=problem.link,
        status=solution.status,
        trace=Trace(solver_name, reason, solution.steps, solution.sums.n, notes),
        deviance=solution.sums.deviance,
        nobs=int(nobs) if float(nobs).is_integer() else nobs,
        rank=len(kept),
        intercept=built.intercept,
        aliased=tuple(n for j, n in enumerate(names) if j not in set(kept)),
        diverging=tuple(names[kept[j % len(kept)]] for j in solution.diverging),
        spec=built.spec,
        offset_given=built.offset_given,
        exposure=built.exposure,
        response_levels=response.levels,
        class_names=class_names,
        estimate=Estimate(solution.beta, solution.sums, scaling, kept, error, expansion),
        problem=problem,
        frequency=frequency,
        control=control,
    )


def _used(problem: Problem) -> Any:
    return slice(None) if problem.weight is None else problem.weight > 0
