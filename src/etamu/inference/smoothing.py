"""Smoothness chosen by the data: the lambdas of a formula's ``s(x)`` by REML or by generalised cross-validation, and the fit that goes with them.

The generalised Fellner-Schall update lambda_j <- lambda_j phi (rank S_j - lambda_j tr A^-1 S_j) / (lambda_j b'S_j b) brings every lambda to
where it belongs within a factor of two or so; Newton's method on log lambda then makes the criterion what it is at its optimum.  A lambda
at its upper end (1e8 times what the data know of its columns) makes the smooth a polynomial.

References: Wood & Fasiolo (2017), Biometrics 73, doi:10.1111/biom.12666; Wood (2011), doi:10.1111/j.1467-9868.2010.00749.x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu.design.smooths import Smooth
from etamu.errors import NotEnoughDataError, SpecificationError, UndefinedStatisticError
from etamu.inference.covariance import Scaling
from etamu.inference.descent import minimise
from etamu.inference.penalised import with_penalty
from etamu.inference.reml import Gcv, Reml
from etamu.inference.smooth_terms import Smoothing, describe
from etamu.inference.smoothed import At, Block, Task, open_task
from etamu.solvers.base import Control, Solution, Status
from etamu.solvers.newton import Newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request

__all__ = ["Smoothed", "choose_smoothness", "refuse_wishes"]

Array = np.ndarray[Any, Any]
_STRAIGHT, _ROUGH = 1e8, 1e-6  # ends of a lambda, relative to the data's information on its columns
_EXACT = 1e-20  # of the deviance at the start, below which there is none
_UPDATES = 10
_ROUGHER = 5.0  # of log lambda: cross-validation often has a second minimum there, so it is sought from both
_NEAR = 0.5  # of log lambda, from where Newton takes over


@dataclass(frozen=True)
class Smoothed:
    """The penalised solution (its information with the penalty, its deviance without) and what is told of the smooths."""

    solution: Solution
    smoothing: Smoothing


def refuse_wishes(classes: bool, shape: bool, solver: Any, separated: str, others: Sequence[Any]) -> None:
    """Errors for arguments that do not go with ``s(x)``."""
    if classes:
        raise SpecificationError("`formula` has s(), which is for one equation, and family='multinomial' has several; take bs() or ns().")
    if shape:
        raise SpecificationError("`family` has a parameter that is to be estimated, which s() in the formula does not go with; give theta or the power.")
    if not (solver is None or (isinstance(solver, str) and solver in ("auto", "newton")) or isinstance(solver, Newton)):
        raise SpecificationError(f"`solver` is {solver!r}, and formulas with s() are solved by Newton's method; leave it out.")
    if separated != "report":
        raise SpecificationError(f"`separated` is {separated!r}, which is for fits without a penalty, and s() has one; leave it out.")
    for name, value in zip(("bias", "ridge", "constraints"), others, strict=True):
        if value is not None:
            raise SpecificationError(
                f"`{name}` does not go with s() in the formula, which has a penalty of its own; leave it out, or take bs() or ns() for s()."
            )


def choose_smoothness(
    problem: Problem | Streamed,
    start: Array,
    smooths: Sequence[Smooth],
    blocks: tuple[Block, ...],
    kind: str,
    scaling: Scaling,
    control: Control,
) -> Smoothed:
    """The lambdas that are best by a criterion, and the fit at them."""
    task = open_task(problem, start, blocks, control)
    rho, box = _begin(task, start)
    first = task.at(rho, start)
    if not first.ok:
        return _told(task, first, None, smooths, kind, scaling)
    n = problem.observations(first.sums.n)
    if n <= task.unpenalised:
        raise NotEnoughDataError(f"`data` has {n:g} observations for {task.unpenalised} coefficients without a penalty; smoothness needs more rows than these.")
    task = task.anchored(first.beta)
    first = task.at(rho, first.beta)
    if first.sums.deviance <= _EXACT * task.run(Request(start, 0)).deviance:
        raise UndefinedStatisticError(
            f"`formula` fits every row exactly with s() (deviance {first.sums.deviance:.3g}), so nothing tells how smooth it is; take bs() for s()."
        )
    reml = Reml(task, first, n)
    criterion = reml if kind == "reml" else Gcv(task, n)
    rho, near = _updated(task, reml, rho, first, box)

    def evaluate(x: Array, by: At) -> tuple[float, At]:
        there = task.at(x, by.beta)
        return (criterion.value(there) if there.ok else math.inf), there

    starts = [(rho, near)] if kind == "reml" else [(rho, near), (there := np.clip(rho - _ROUGHER, *box), task.at(there, near.beta))]
    found = [minimise(evaluate, criterion.slope, (criterion.value(at), at), x, box) for x, at in starts if at.ok]
    _, best, ended = min(found, key=lambda one: criterion.value(one[1]))
    best = _straightened(evaluate, criterion, best, box[1])
    if not ended:
        best = replace(best, solution=replace(best.solution, status=Status.MAX_ITERATIONS))
    return _told(task, best, criterion, smooths, kind, scaling)


def _begin(task: Task, start: Array) -> tuple[Array, tuple[Array, Array]]:
    """Log lambdas at which penalty and data weigh the same, and the ends between which they are sought."""
    diagonal = task.objective(Request(start, 2)).information.diagonal()
    middle, low, high = (np.zeros(len(task.blocks)) for _ in range(3))
    for k, block in enumerate(task.blocks):
        bent = block.diagonal > 0
        ratio = np.maximum(diagonal[block.columns[bent]], 1e-300) / block.diagonal[bent] if bent.any() else np.ones(1)
        middle[k], low[k], high[k] = math.log(np.median(ratio)), math.log(_ROUGH * ratio.min()), math.log(_STRAIGHT * ratio.max())
    return middle, (low, high)


def _updated(task: Task, reml: Reml, rho: Array, at: At, box: tuple[Array, Array]) -> tuple[Array, At]:
    """A few steps of Fellner and Schall, the last that was well."""
    for _ in range(_UPDATES):
        left = np.maximum(reml.ranks - at.shares, 1e-10)
        step = np.clip(np.log(reml.phi(at) * left / np.maximum(at.bending, 1e-300)), -4.0, 4.0)
        new = np.clip(rho + step, *box)
        there = task.at(new, at.beta)
        if not there.ok:
            break
        moved, rho, at = float(np.abs(new - rho).max()), new, there
        if moved < _NEAR:
            break
    return rho, at


def _straightened(evaluate: Any, criterion: Any, best: At, most: Array) -> At:
    """A smooth that kept next to nothing beyond its polynomial made one, where the criterion is none the worse."""
    left = np.array([block.rank for block in best.task.blocks]) - best.shares
    flat = (left < 1e-3) & (best.rho < most)
    if not flat.any():
        return best
    value, there = evaluate(np.where(flat, most, best.rho), best)
    return there if value <= criterion.value(best) + 1e-9 else best


def _told(task: Task, at: At, criterion: Reml | Gcv | None, smooths: Sequence[Smooth], kind: str, scaling: Scaling) -> Smoothed:
    """The solution on the rows themselves, and the smooths' record."""
    penalty = task.penalty(at.rho)
    source = open_source(task.problem, task.control.threads)
    plain = source.sum(Request(at.beta, 2, task.control.information))
    solution = replace(at.solution, beta=at.beta, sums=with_penalty(plain, penalty), steps=task.run.steps)
    score = math.nan if criterion is None else criterion.score(at, scaling)
    if kind == "gcv" and task.problem.family.dispersion_known:
        kind = "ubre"
    return Smoothed(solution, describe(kind, score, smooths, task.blocks, at, plain, penalty))
