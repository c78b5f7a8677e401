"""Where the iteration starts: a mean that is valid for every row, then the rough solution of a subsample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import LinkDomainError
from etamu.inference.likelihood import weighted_mean
from etamu.solvers.base import Control, Step
from etamu.solvers.linalg import SINGULAR, Factorised, FactorisedArrow, factorise
from etamu.solvers.stand_in import StandIn
from etamu.solvers.start import rough_newton
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, StreamSource
from etamu.sums import Objective, Request, Sums
from etamu.traits import cheap_arithmetic, is_wide

__all__ = ["Start", "approach", "default_start"]

Array = np.ndarray[Any, Any]
_NOISY = 0.2  # error of a sample's corrections above which they are not worth their passes
_SAMPLE_FROM = 300_000  # entries of X from which a subsample's solution is the cheaper start
_MEAN_ROWS = 8192  # that a first mean is taken from
_MOST = 10  # steps that the core makes on its own
_ENOUGH = 0.01  # length of a step, in standard errors, from whose end Newton's next is its last


def default_start(problem: Problem | Streamed, source: Memory | StreamSource, intercept: bool) -> Array:
    """The intercept-only mean where that is valid for every row, else a least-squares step towards g(y)."""
    beta = np.zeros(problem.shape)
    if problem.equations is not None:
        return beta
    if intercept:
        constant = _constant(problem)
        if math.isfinite(constant):
            beta[0] = constant
    if _always_valid(problem) or math.isfinite(source.sum(Request(beta, 0)).deviance):
        return beta
    return _least_squares_start(problem, source)


def _constant(problem: Problem | Streamed) -> float:
    """The intercept alone: g(mean of y), less the offset that the rows carry on average."""
    mean = _rough_mean(problem.sample)
    with np.errstate(all="ignore"):
        eta = float(problem.link.eta(np.array([mean]))[0])
        if problem.offset is None:
            return eta
        _, w, offset = problem.vectors(slice(None, None, max(1, problem.sample.rows // 65536)))
        if problem.link.name == "log":  # the mean of exp(offset), weighted, in logarithms
            top = float(offset[w > 0].max())
            return eta - top - float(np.log(np.add.reduce(w * np.exp(offset - top)) / w.sum()))
        return eta - float(np.add.reduce(w * offset) / w.sum())


def _rough_mean(problem: Problem) -> float:
    """The weighted mean of y in some of the rows, of all where these do not give one that the family can have."""
    step = problem.rows // _MEAN_ROWS
    if step > 1:
        y, w, _ = problem.vectors(slice(None, None, step))
        total = float(np.add.reduce(w))
        mean = float(np.add.reduce(w * y)) / total if total > 0 else math.nan
        if problem.family.mean_space.holds(mean):
            return mean
    return weighted_mean(problem)


def _always_valid(problem: Problem | Streamed) -> bool:
    """Links that map every eta into the family's mean space."""
    if problem.equations is not None:
        return True
    unit, space = ("logit", "probit", "cloglog", "loglog", "cauchit"), problem.family.mean_space
    if math.isinf(space.low):
        return problem.link.name in (*unit, "identity", "log")
    if math.isinf(space.high):
        return problem.link.name in (*unit, "log")
    return problem.link.name in unit


def _least_squares_start(problem: Problem | Streamed, source: Memory | StreamSource) -> Array:
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


def _projection_of_one(problem: Problem | Streamed) -> Array | None:
    """Coefficients whose predictor is closest to 1 in every row."""
    x = problem.design.sample(4096)
    if problem.design.center is not None:
        x = (x - problem.design.center) * problem.design.scale
    solution = np.linalg.lstsq(x, np.ones(len(x)), rcond=None)[0]
    return np.asarray(solution) if np.isfinite(solution).all() else None


@dataclass(frozen=True)
class Start:
    """Where to begin: coefficients, perhaps an approximate information, a sample that stands in for the rows, the first sums."""

    beta: Array
    factor: Factorised | FactorisedArrow | None = None
    stand_in: StandIn | None = None
    steps: tuple[Step, ...] = ()
    known: tuple[Request, Sums] | None = None  # what a pass at beta has told already

    def knowing(self, objective: Objective) -> Objective:
        """The objective, which need not make that pass again."""
        if self.known is None:
            return objective
        (asked, sums), beta = self.known, self.beta.tolist()

        def answer(request: Request) -> Sums:
            same = request.order == 2 and (request.information, request.arithmetic, request.form) == (asked.information, asked.arithmetic, asked.form)
            return sums if same and request.beta.tolist() == beta else objective(request)

        return answer


def approach(source: Memory | StreamSource, problem: Problem | Streamed, start: Array, curvature: str, control: Control) -> Start:
    """The shortest way to where Newton's last steps begin: solving subsamples of many rows, steps in the core on few."""
    size = math.prod(problem.shape)
    if problem.rows * size >= _SAMPLE_FROM and problem.sample.within is None:
        return _sample_start(source, problem, start, curvature, size)
    few = isinstance(source, Memory) and len(source.edges) == 2 and problem.equations is None
    unwatched = control.progress is None and control.max_iter > 2 * _MOST  # nobody is told of each pass, and no limit is near
    return _steps_in_core(source, start, curvature, control) if few and unwatched else Start(start)


def _steps_in_core(source: Memory | StreamSource, start: Array, curvature: str, control: Control) -> Start:
    """Newton steps for as long as each is a plain one; from the given start where one is not, since then Newton must see why."""
    assert isinstance(source, Memory)
    trace, beta = np.empty((_MOST, 2)), np.array(start)
    problem = source.problem
    there = control.information if problem.link.name == problem.family.canonical else curvature
    made, sums = source.approach(beta, curvature, there, SINGULAR, _ENOUGH, trace)
    steps = tuple(Step(float(source.problem.rows), 2, "double", deviance, decrement) for deviance, decrement in trace[:made].tolist())
    return Start(beta, steps=steps, known=None if sums is None else (Request(beta, 2, there), sums)) if made else Start(start)


def _sample_start(source: Memory | StreamSource, problem: Problem | Streamed, start: Array, curvature: str, size: int) -> Start:
    """Solve roughly on nested subsamples; rows are found by position, so none is copied."""
    rows, wide = problem.rows, is_wide(problem)
    share = _informative_share(problem)
    need = size / share  # rows that carry as much as `size` rows of a continuous response
    found, before = Start(start), None
    sizes = [min(count, problem.sample.rows) for count in _sample_sizes(rows, size, need)]
    for earlier, count in zip([1, *sizes], sizes, strict=False):
        sample, last, telling = source.sample(count), count == sizes[-1], count >= 40 * need
        known = None if before is None else before.on(count / earlier)
        rough = before = rough_newton(sample.sum, found.beta, curvature, cheap_arithmetic(problem) if wide else None, known, last and telling)
        steps = found.steps + rough.steps
        if rough.factor is None or rough.sums is None:
            return Start(start, steps=steps)
        scale = rows / problem.sample.rows * _total_weight(problem.sample) / rough.weight
        helper = StandIn(sample.sum, scale, count * share, rough.beta, rough.sums)
        if last and telling and not wide and helper.noise(size) <= _NOISY:
            found = Start(rough.beta, rough.factor.weighted(scale), helper, steps)
        else:
            found = Start(rough.beyond, rough.factor.weighted(scale) if telling else None, None, steps)
    if _always_valid(problem) or math.isfinite(source.sum(Request(found.beta, 0)).deviance):
        return found
    return Start(start, steps=found.steps)  # a mean that the sample allows may not be one of all rows


def _total_weight(problem: Problem) -> float:
    return float(problem.rows) if problem.weight is None else float(np.sum(problem.weight, dtype=float))


def _sample_sizes(rows: int, size: int, need: float) -> list[int]:
    """Rows of each stage, from few to more; none where the whole is small or the sample would not be."""
    if rows < 36 * need:
        return []
    most = max(rows // 10, int(40 * need))
    if most > rows // 5:  # one pass over all rows in float32 costs no more and says more
        return [int(12 * need)]
    first = max(most // 10, int(12 * need))
    return [first, most] if most >= 3 * first else [most]


def _informative_share(problem: Problem | Streamed) -> float:
    """How much a row says, relative to a continuous response: rare events are few rows in disguise."""
    y = np.asarray(problem.y[:: max(1, problem.sample.rows // 8192)], dtype=float)
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
