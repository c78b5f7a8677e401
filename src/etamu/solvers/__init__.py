"""Solvers: ``solve(objective, start, control) -> Solution``; an objective answers a Request with Sums and is all they see."""

from __future__ import annotations

from etamu.errors import SpecificationError, unknown
from etamu.solvers.base import Control, Solution, Status, Step, Trace
from etamu.solvers.gradient import GradientAscent
from etamu.solvers.lbfgs import LBFGS
from etamu.solvers.newton import Newton
from etamu.solvers.newton_cg import NewtonCG

__all__ = ["LBFGS", "SOLVERS", "Control", "GradientAscent", "Newton", "NewtonCG", "Solution", "Status", "Step", "Trace", "resolve_solver"]

SOLVERS: dict[str, type] = {"newton": Newton, "newton-cg": NewtonCG, "lbfgs": LBFGS, "gradient-ascent": GradientAscent}


def resolve_solver(solver: object) -> object | None:
    """The solver object a name stands for; None for "auto"."""
    if isinstance(solver, str):
        if solver == "auto":
            return None
        if solver not in SOLVERS:
            raise unknown("solver", solver, ["auto", *SOLVERS])
        return SOLVERS[solver]()  # type: ignore[no-any-return]
    if isinstance(solver, tuple(SOLVERS.values())):
        return solver
    raise SpecificationError(f"`solver` is a {type(solver).__name__}; pass a name or an em.solvers object, e.g. em.solvers.Newton().")
