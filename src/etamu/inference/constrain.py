"""A fit under linear constraints: the solve on the fit's scale, and what is active in the end (``active.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from etamu.inference.active import Active, ActiveRow
from etamu.inference.covariance import Scaling
from etamu.penalties.pieces import Pieces, nothing
from etamu.solvers.base import Control, Solution, Status
from etamu.solvers.constrained import Binding, with_equations
from etamu.solvers.constrained import constrained as solve
from etamu.solvers.linalg import factorise
from etamu.solvers.polyhedron import Contradiction, Rows
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Request
from etamu.traits import traits

__all__ = ["Contradiction", "constrained", "holds", "identified", "on_fit_scale"]

Array = np.ndarray[Any, Any]


def on_fit_scale(rows: Rows, kept: Sequence[int], scaling: Scaling) -> Rows:
    """Rows on the user's coefficients as rows on those that are solved for."""
    return replace(rows, matrix=scaling.rows(rows.matrix[:, list(kept)].copy()))


def identified(problem: Problem | Streamed, start: Array, rows: Rows, scaling: Scaling, control: Control) -> bool:
    """Whether the equations among the rows tell coefficients apart that the data do not."""
    sums = open_source(problem, control.threads).sum(Request(start, 2, "expected"))
    return factorise(with_equations(sums, on_fit_scale(rows, range(problem.design.width), scaling))) is not None


def holds(rows: Rows, beta: Array) -> bool:
    """Whether coefficients on the user's scale meet every row, none of which is an equation."""
    return not rows.equal.any() and not rows.violation(beta).any()


def constrained(
    problem: Problem | Streamed,
    start: Array,
    rows: Rows,
    pieces: Pieces | None,
    scaling: Scaling,
    intercept: bool,
    control: Control,
    descriptions: Sequence[str] = (),
    before: Solution | None = None,
) -> tuple[Solution, Active]:
    """The best coefficients that meet ``rows``, which are on the user's coefficients, and the rows that are active there.

    Minimises (1/sum w) sum w d/2 + pen(b); ``pieces`` is the penalty on the user's coefficients (of which the intercept's are ignored where
    there is an ``intercept``), ``start`` and the solution are on the fit's scale.  The sums of the solution have no penalty in them.
    ``before`` is the solution without rows and penalty, which is the answer where it meets the rows.
    """
    if before is not None and before.status is Status.CONVERGED and pieces is None and holds(rows, scaling.to_user(np.array(before.beta, dtype=float))):
        return before, Active((), np.zeros((0, problem.design.width)), np.zeros(0), bool(len(rows)))
    source = open_source(problem, control.threads)
    width = problem.design.width
    penalty = nothing(width) if pieces is None else _on_sums(pieces, source.sum(Request(start, 0)).sum_weight, scaling, intercept)
    known = traits(problem)
    solution, binding = solve(source.sum, start, on_fit_scale(rows, range(width), scaling), penalty, control, known.canonical, known.dispersion_known)
    return solution, _active(binding, rows, descriptions, scaling)


def _on_sums(pieces: Pieces, weight: float, scaling: Scaling, intercept: bool) -> Pieces:
    """The penalty of the fit's coefficients on the scale of the sums."""
    out = pieces.times(weight)
    if intercept:
        free = np.r_[0.0, np.ones(out.width - 1)]
        out = replace(out, l1=out.l1 * free, l2=out.l2 * free)
    return out if scaling.scale is None else out.scaled(scaling.scale)


def _active(binding: Binding, rows: Rows, descriptions: Sequence[str], scaling: Scaling) -> Active:
    at = list(binding.index)
    ends = np.where(np.array(binding.side, dtype=int) == 1, rows.upper[at], rows.lower[at])
    kinds = {-1: "lower", 1: "upper", 0: "equal"}
    text = descriptions or [f"row {k}" for k in range(len(rows))]
    found = [ActiveRow(text[k], kinds[s], float(v), float(mu)) for k, s, v, mu in zip(at, binding.side, ends, binding.multiplier)]
    matrix, value = rows.matrix[at], ends
    if binding.still is not None and len(binding.still):  # differences that an l1 penalty holds at 0
        scale = 1.0 if scaling.scale is None else scaling.scale
        matrix, value = np.vstack([matrix, binding.still / scale]), np.r_[value, np.zeros(len(binding.still))]
    inequalities = bool((~rows.equal).any())
    return Active(tuple(found), matrix, value, inequalities, binding.primal, binding.dual, binding.complementarity)
