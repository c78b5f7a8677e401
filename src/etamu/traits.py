"""What a solver may know of a model before it starts: which information is exact, which is cheap, what stays the same."""

from __future__ import annotations

from etamu.design.columns import Column, Levels
from etamu.families import Gaussian
from etamu.links import LINKS
from etamu.rows import constant_weight
from etamu.solvers.newton import Problem as NewtonProblem
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["cheap_arithmetic", "is_wide", "traits"]

_WIDE = 48
_CLOSE, _CLOSE_ENOUGH, _FEW = 1e-10, 1e-7, 100_000  # one more pass over few rows in NumPy costs nothing that anybody notices
_DENSE = 300  # multiply-adds that take as long as a row of a pass


def traits(problem: Problem | Streamed, form: str = "gram") -> NewtonProblem:
    """What Newton may know of the model."""
    wide, canonical = is_wide(problem), problem.equations is not None or problem.link.name == problem.family.canonical
    return NewtonProblem(
        canonical=canonical,
        quadratic=isinstance(problem.family, Gaussian) and problem.link is LINKS["identity"],
        dispersion_known=problem.family.dispersion_known,
        wide=wide,
        cheap=cheap_arithmetic(problem) if wide else "double",
        constant=not canonical and constant_weight(problem.family, problem.link),
        form=form,
        current=_CLOSE if problem.family.kernel is None and problem.rows <= _FEW else _CLOSE_ENOUGH,
    )


def cheap_arithmetic(problem: Problem | Streamed) -> str:
    """In which an information that only makes steps is summed: float32 where stored columns are all there is."""
    return "single" if problem.equations is not None or problem.design.single else "double"


def is_wide(problem: Problem | Streamed) -> bool:
    """Whether a pass with information costs several passes without: many stored columns, or many levels beside the largest
    factor's, whose share of the information is a diagonal.
    """
    stored = sum(isinstance(part, Column) for part in problem.design.parts) if problem.equations is None else problem.design.width
    if stored * (problem.equations or 1) >= _WIDE:
        return True
    if stored == len(problem.design.parts) or problem.equations is not None:
        return False
    levels = sorted((len(part.names) for part in problem.design.parts if isinstance(part, Levels)), reverse=True)
    return sum(levels[1:]) ** 3 > _DENSE * problem.rows
