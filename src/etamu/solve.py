"""Choose a solver, find a start, and solve: what stands between a checked Problem and a Solution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu import checks
from etamu.design.columns import Levels
from etamu.errors import SpecificationError
from etamu.families import Gaussian
from etamu.inference.covariance import Scaling
from etamu.links import LINKS
from etamu.solvers.base import Control, Solution, Status
from etamu.solvers.gradient import GradientAscent, gradient_ascent
from etamu.solvers.lbfgs import LBFGS, lbfgs
from etamu.solvers.linalg import aliased_columns, aliased_of_gram, factorise
from etamu.solvers.newton import Newton, newton
from etamu.solvers.newton_cg import NewtonCG, newton_cg
from etamu.solvers.refine import refine
from etamu.sources.cells import compress
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, StreamSource, open_source
from etamu.standardise import standardise
from etamu.starting import Start, approach, default_start
from etamu.sums import Arrow, Request
from etamu.traits import traits

__all__ = ["Solved", "solve_problem"]

Array = np.ndarray[Any, Any]
_NAMES: dict[type, str] = {Newton: "newton", LBFGS: "lbfgs", NewtonCG: "newton-cg"}
_INFORMATION_LIMIT = 4000  # coefficients beyond which Newton does not form the information on its way


@dataclass(frozen=True)
class Solved:
    """The solution, on the columns and the scale it was found on."""

    problem: Problem | Streamed
    scaling: Scaling
    kept: tuple[int, ...]
    solution: Solution
    solver: str
    reason: str


def solve_problem(problem: Problem | Streamed, intercept: bool, method: Any, given: Array | None, control: Control) -> Solved:
    """Standardise, solve, and where the information is singular find the aliased columns and solve without them."""
    scaled, scaling = (problem, Scaling(None, None)) if isinstance(method, GradientAscent) else standardise(problem, intercept)
    kept = tuple(range(problem.design.width))
    if control.compress and isinstance(problem, Streamed):
        raise SpecificationError("`compress` is True, but the rows are read from files in every pass; fit a table in memory, or leave it to None.")
    cells = compress(scaled, control.compress) if isinstance(scaled, Problem) and not isinstance(method, GradientAscent) else None
    fitted = scaled if cells is None else cells
    solution, solver, reason = _solve(fitted, intercept, method, given, scaling, control)
    if cells is not None:
        reason += f"; {problem.rows:,} rows in {cells.rows:,} cells"
    if solution.status is Status.ILL_CONDITIONED:
        kept, fitted, scaling, solution = _by_factor(fitted, intercept, scaling, control, solution)
        scaled = scaled.keep(kept) if len(kept) < problem.design.width else scaled
        reason += "; columns judged by QR, as the information is close to singular"
    if solution.status is Status.CONVERGED and cells is None and _worth_refining(fitted, solution):
        solution = refine(open_source(fitted, control.threads).sum, solution)
    return Solved(scaled, scaling, kept, solution, solver, reason)


def _worth_refining(problem: Problem | Streamed, solution: Solution) -> bool:
    """Least squares on few numbers, or on moderately many that are nearly collinear."""
    if not (isinstance(problem.family, Gaussian) and problem.link is LINKS["identity"]):
        return False
    entries = problem.rows * problem.design.width
    if entries <= 2_000:
        return problem.rows > problem.design.width > 0
    factor = factorise(solution.sums) if entries <= 2_000_000 and problem.design.width <= 64 else None
    return factor is not None and factor.pivot < 1e-2


def _solve(problem: Problem | Streamed, intercept: bool, method: Any, given: Array | None, scaling: Scaling, control: Control) -> tuple[Solution, str, str]:
    """Choose a solver, find a start, run it; also the solver's name and why it was chosen."""
    source = open_source(problem, control.threads)
    known = problem.family.dispersion_known
    if isinstance(method, GradientAscent):
        beta = np.zeros(problem.shape) if given is None else given
        return gradient_ascent(source.sum, beta, control, method), "gradient ascent", f"{method.steps} steps of rate {method.rate:g}, as asked"
    start = scaling.to_fit(given) if given is not None else default_start(problem, source, intercept)
    method, reason = _choose(method, problem)
    if isinstance(method, LBFGS):
        solution = _confirmed(lbfgs(source.sum, start, control, method, _preconditioner(source, problem, start), known), source, control)
    elif isinstance(method, NewtonCG):
        solution = _confirmed(newton_cg(source.sum, start, control, method, _preconditioner(source, problem, start), known), source, control)
    else:
        begin = approach(source, problem, start, method.information, control) if given is None else Start(start)
        solution = newton(begin.knowing(source.sum), begin.beta, control, method, traits(problem), begin.factor, begin.stand_in).with_steps(begin.steps)
        if begin.steps and solution.status in (Status.NOT_FINITE, Status.MAX_ITERATIONS):  # it led astray: begin without it
            solution = newton(source.sum, start, control, method, traits(problem)).with_steps(solution.steps)
    return _checked(solution, problem), _NAMES[type(method)], reason


def _confirmed(found: Solution, source: Memory | StreamSource, control: Control) -> Solution:
    """A Newton step from where a score-only solver stopped: it sees what scores cannot, separation and dependent columns."""
    if found.beta.size - _apart(source.problem) > _INFORMATION_LIMIT or found.status is Status.NOT_FINITE:
        return found
    return newton(source.sum, found.beta, control, problem=traits(source.problem)).with_steps(found.steps)


def _choose(method: Any, problem: Problem | Streamed) -> tuple[Newton | LBFGS | NewtonCG, str]:
    """The solver asked for, or the one that fits the number of coefficients."""
    if method is not None:
        return method, "as asked"
    size = math.prod(problem.shape)
    if size - _apart(problem) <= _INFORMATION_LIMIT:
        return Newton(), f"auto: the information of {size} coefficients is quickly formed and solved"
    if problem.equations is not None:
        return NewtonCG(), f"auto: the information of {size} coefficients in {problem.equations} predictors is too large for every step"
    return LBFGS(), f"auto: the information of {size} coefficients is too large for every step"


def _apart(problem: Problem | Streamed) -> int:
    """Coefficients whose share of the information is a diagonal: the levels of the largest factor."""
    if problem.equations is not None:
        return 0
    return max((len(p.names) for p in problem.design.parts if isinstance(p, Levels) and len(p.names) >= 256), default=0)


def _checked(solution: Solution, problem: Problem | Streamed) -> Solution:
    """A solve that met non-finite sums: say so of the data, if it is their fault."""
    if solution.status in (Status.NOT_FINITE, Status.ILL_CONDITIONED):
        checks.refuse_bad_design(problem)
    return solution


def _preconditioner(source: Memory | StreamSource, problem: Problem | Streamed, start: Array) -> Any:
    """An approximate inverse information: of the start for one equation, Boehning's bound for many classes."""
    p = problem.design.width
    if problem.equations is None:
        if p > _INFORMATION_LIMIT:
            return None
        found = factorise(source.sum(Request(start, 2, "expected", "single")))
        return None if found is None else found.solve
    single = problem.change(family=Gaussian(), link=LINKS["identity"], equations=None, reference=None)
    found = factorise(open_source(single, source.threads).sum(Request(np.zeros(p), 2, "expected", "single")), single=True)
    if found is None:
        return None
    q = problem.equations
    classes = q + (problem.reference is not None)
    mix = np.linalg.inv(0.5 * (np.eye(q) - np.full((q, q), 1.0 / classes))) if problem.reference is not None else 2.0 * np.eye(q)

    def apply(score: Array) -> Array:
        solved = np.array([found.solve(row) for row in score.reshape(q, p)])
        return np.asarray((mix @ solved).ravel())

    return apply


def _by_factor(
    problem: Problem | Streamed, intercept: bool, scaling: Scaling, control: Control, before: Solution
) -> tuple[tuple[int, ...], Problem | Streamed, Scaling, Solution]:
    """Find aliased columns by QR and solve without them; when there are none, the start was bad or the columns nearly
    collinear: start again with damped steps, and by QR throughout if the information stays singular.
    """
    design = problem.design
    plain = problem.change(family=Gaussian(), link=LINKS["identity"], offset=None, equations=None, reference=None)
    gram = open_source(plain, control.threads).sum(Request(np.zeros(design.width), 2)).information if isinstance(before.sums.information, Arrow) else None
    triangle = None
    if gram is None:
        triangle = open_source(plain, control.threads).sum(Request(np.zeros(design.width), 2, "expected", form="factor")).information
        if triangle is None or not np.isfinite(triangle).all():
            return tuple(range(design.width)), problem, scaling, replace(before, status=Status.NOT_FINITE)
    dropped = set(aliased_columns(triangle[:-1, :-1]) if triangle is not None else aliased_of_gram(gram))  # type: ignore[arg-type]
    kept = tuple(j for j in range(design.width) if j not in dropped)
    if dropped:
        intercept = intercept and 0 in kept
        problem = problem.keep(kept)
        center = scaling.center[list(kept)] if scaling.center is not None and intercept else None
        scaling = Scaling(center, None if scaling.scale is None else scaling.scale[list(kept)])
    source = open_source(problem, control.threads)
    start = default_start(problem, source, intercept) if kept else np.zeros(problem.shape)
    if triangle is not None and not dropped and problem.equations is None and _nearly_collinear(triangle[:-1, :-1]):
        solution = newton(source.sum, start, control, problem=traits(problem, "factor")).with_steps(before.steps)
        if solution.status is Status.CONVERGED:
            return kept, problem, scaling, solution
    solution = newton(source.sum, start, control, problem=replace(traits(problem), damped=True)).with_steps(before.steps)
    if triangle is not None and solution.status is not Status.CONVERGED and problem.equations is None:
        again = newton(source.sum, solution.beta, control, problem=traits(problem, "factor")).with_steps(solution.steps)
        solution = again if again.status is Status.CONVERGED else solution
    return kept, problem, scaling, solution


def _nearly_collinear(triangle: Array) -> bool:
    """Whether some column keeps less than 1e-4 of its length once those before it are taken out."""
    length = np.sqrt((triangle * triangle).sum(axis=0))
    return bool((np.abs(np.diagonal(triangle)) < 1e-4 * length).any())
