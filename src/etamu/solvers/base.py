"""What every solver takes and returns: Control in, Solution out, with a status whose text is the advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.sums import Objective, Request, Sums

__all__ = ["Control", "Recorder", "Solution", "Status", "Step", "Trace"]

Array = np.ndarray[Any, np.dtype[np.float64]]


class Status(Enum):
    """How a fit ended; the value is what to do about it."""

    CONVERGED = "The fit converged."
    FIXED_STEPS = "The requested number of steps was taken; `trace` shows how far the score still is from zero."
    MAX_ITERATIONS = (
        "The limit on iterations was reached before the score was zero. Raise it with control=em.Control(max_iter=...), "
        "pass `start=`, or check for columns on wildly different scales."
    )
    SEPARATED = (
        "Some coefficients have no finite maximum-likelihood estimate: a combination of columns predicts some responses "
        "perfectly (separation), so estimates and standard errors of the columns in `diverging` only grow with the "
        "iterations. `fit.separation()` tells which rows and why; merge levels, or pass separated='drop', bias='mean' or ridge=."
    )
    NOT_FINITE = (
        "The deviance could not be lowered without leaving the range of finite numbers or the link's domain. Pass `start=`, "
        "choose a link that maps onto the family's means (log, logit), or rescale the columns."
    )
    ILL_CONDITIONED = "The information matrix is numerically singular; the columns are close to linearly dependent."

    @property
    def ok(self) -> bool:
        return self in (Status.CONVERGED, Status.FIXED_STEPS)


@dataclass(frozen=True)
class Control:
    """Limits of the iteration.

    Parameters
    ----------
    max_iter : most Newton-type iterations (each one pass over the rows).
    tol : largest predicted error of the coefficients at which the iteration stops, in standard errors (times sqrt(n/1000)
        for more than 1,000 rows, whose standard errors are smaller than the digits anyone reads).
    threads : threads that add rows; None uses every processor.  The result has the same bits for any number.
    progress : called after each pass with the newest :class:`Step`, on a path of penalties after each alpha (of a fold by the thread that follows
        it); it may raise to stop the fit.
    information : "expected" (R's glm) or "observed", the information behind standard errors.
    compress : True to fit on the distinct rows of the design (exact), False never to, None to decide by a sample of the rows.

    Examples
    --------
    >>> import etamu as em
    >>> em.Control(max_iter=50).tol
    1e-09
    """

    max_iter: int = 100
    tol: float = 1e-9
    threads: int | None = None
    progress: Callable[[Step], None] | None = None
    information: str = "expected"
    compress: bool | None = None

    def __post_init__(self) -> None:
        if self.max_iter < 1:
            raise SpecificationError(f"`max_iter` is {self.max_iter}; allow at least 1 iteration.")
        if not self.tol > 0:
            raise SpecificationError(f"`tol` is {self.tol}; pass a positive number of standard errors, e.g. 1e-9.")
        if self.threads is not None and self.threads < 1:
            raise SpecificationError(f"`threads` is {self.threads}; pass at least 1, or None for all processors.")
        if self.information not in ("expected", "observed"):
            raise SpecificationError(f"`information` is {self.information!r}; choose 'expected' or 'observed'.")


@dataclass(frozen=True)
class Step:
    """One pass: where, how much was asked, and what it showed."""

    rows: float
    order: int
    arithmetic: str
    deviance: float
    decrement: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Trace:
    """How the fit went. ``passes`` counts full passes over the rows; passes over a subsample count by their share."""

    solver: str
    reason: str
    steps: tuple[Step, ...] = ()
    total_rows: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> int:
        return sum(s.rows >= self.total_rows for s in self.steps)

    @property
    def row_visits(self) -> float:
        """Rows visited over rows there are, subsample passes included."""
        return sum(s.rows for s in self.steps) / max(self.total_rows, 1.0)

    def __str__(self) -> str:
        lines = [f"{self.solver}: {self.reason}", *self.notes]
        for k, s in enumerate(self.steps, 1):
            what = ("deviance", "score", "information")[s.order] + (" (float32)" if s.arithmetic == "single" else "")
            shown = "" if s.decrement is None else f"  decrement {s.decrement:.3g}"
            lines.append(f"{k:3d}  {s.rows:>12,.0f} rows  {what:<22} deviance {s.deviance:.10g}{shown}  {s.note}".rstrip())
        return "\n".join(lines)


@dataclass(frozen=True)
class Solution:
    """beta, the sums at the last full pass, how it ended, and the way there."""

    beta: Array
    sums: Sums
    status: Status
    steps: tuple[Step, ...] = ()
    decrement: float = 0.0
    error: float = np.inf  # predicted distance from the optimum, in units of `decrement`
    diverging: tuple[int, ...] = ()

    def with_steps(self, earlier: tuple[Step, ...]) -> Solution:
        return Solution(self.beta, self.sums, self.status, earlier + self.steps, self.decrement, self.error, self.diverging) if earlier else self


class Recorder:
    """Wraps an objective: remembers what each pass was and showed, and reports progress."""

    def __init__(self, objective: Objective, progress: Callable[[Step], None] | None = None) -> None:
        self.objective, self.progress = objective, progress
        self._made: list[tuple[Any, ...]] = []

    def __call__(self, request: Request, objective: Objective | None = None) -> Sums:
        """The sums, of another objective if one is given (a sample's)."""
        sums = (objective or self.objective)(request)
        self._made.append((sums.n, request.order, request.arithmetic if request.order > 1 else "double", sums.deviance, None, ""))
        return sums

    def note(self, decrement: float | None = None, text: str = "") -> None:
        """Say of the last pass how long its step is, or what became of it."""
        self._made[-1] = (*self._made[-1][:4], decrement, text)
        if self.progress is not None:
            self.progress(Step(*self._made[-1]))

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(*made) for made in self._made)
