"""Newton's method under linear restrictions, with penalties: each step solves a quadratic program, the last one on the active rows exactly.

    minimise  F(b) = deviance(b)/2 + sum_k l1_k |D_k b| + 1/2 b'(diag(l2) + S) b      subject to      lower <= A b <= upper

Step: Newton's own, v = H^-1 s with s = -(the slope of the smooth part), is moved to the nearest point, in the metric of H, that meets the
rows (``polyhedron.nearest``).  A penalised difference is a variable t_k >= |D_k b| of cost l1_k, held near its value by a weak spring.  The
rows that press then are taken as equations, and Newton's step among them is solved exactly, so that it converges quadratically and its
multipliers mu are those of the problem itself:

    s + A'mu - D'sigma l1 = 0,    mu >= 0 at lower bounds, <= 0 at upper ones, 0 elsewhere,    sigma_k = sign(D_k b), or in [-1, 1] at 0

The objective (while rows are broken, plus an exact penalty of the breach) never rises.

Reference: Nocedal & Wright, *Numerical Optimization*, 2nd ed. (2006), chapters 16 and 18.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties.pieces import Pieces
from etamu.solvers.active import Guess, Model, settle
from etamu.solvers.base import Control, Recorder, Solution, Status
from etamu.solvers.infinity import Signs
from etamu.solvers.linalg import Factorised, FactorisedArrow, damped, factorise
from etamu.solvers.polyhedron import Contradiction, Rows, contradiction, nearest
from etamu.sums import Arrow, Objective, Request, Sums

__all__ = ["Binding", "constrained", "with_equations"]

Array = np.ndarray[Any, Any]
_HALVINGS = 40
_SPRING = 1e-3  # slope that the spring of a penalised difference adds over the difference's size, relative to l1
_TOUCHES = 1e-9  # distance from a bound, in standard errors, that is none


@dataclass(frozen=True)
class Binding:
    """Rows that hold with equality at the end, and how well the conditions of a minimum are met.

    ``side`` is -1 at a lower bound, 1 at an upper one, 0 in an equation; ``multiplier`` the slope of F in the bound.  ``still`` are the
    penalised differences that are 0.  ``primal`` is the largest breach of a row, ``dual`` the length of what is left of the slope, and
    ``complementarity`` the largest product of multiplier and distance, in standard errors; the last two relative to the slope's length
    where that is above 1.
    """

    index: tuple[int, ...] = ()
    side: tuple[int, ...] = ()
    multiplier: Array = field(default_factory=lambda: np.zeros(0))
    still: Array | None = None
    primal: float = 0.0
    dual: float = 0.0
    complementarity: float = 0.0


@dataclass(frozen=True)
class _Task:
    """What is minimised: the sums and the penalty, on the scale of the sums."""

    run: Recorder
    rows: Rows
    pieces: Pieces
    differences: Array  # D (k, p)
    cost: Array  # l1 (k,)
    curvature: str

    def smooth(self, b: Array, sums: Sums) -> Array:
        """s: minus the slope of all that has one."""
        assert sums.score is not None
        s = sums.score - self.pieces.l2 * b
        return s if self.pieces.quadratic is None else s - self.pieces.quadratic @ b

    def value(self, b: Array, sums: Sums) -> float:
        """F."""
        total = 0.5 * sums.deviance + 0.5 * float((self.pieces.l2 * b * b).sum())
        if self.pieces.quadratic is not None:
            total += 0.5 * float(b @ (self.pieces.quadratic @ b))
        return total + float(self.cost @ np.abs(self.differences @ b))

    def factor(self, b: Array, sums: Sums) -> tuple[Factorised | FactorisedArrow, Sums]:
        """A positive definite H at b: observed information, else expected, else with what equations say, else from a QR, else damped."""
        found = factorise(self.penalised(sums))
        if found is None and self.curvature == "observed":
            sums = self.run(Request(b, 2, "expected"))
            found = factorise(self.penalised(sums))
        if found is None and self.rows.equal.any():
            found = factorise(with_equations(self.penalised(sums), self.rows))
        if found is None and not self.pieces.bends:
            found = factorise(self.run(Request(b, 2, "expected", form="factor")))
            found = replace(found, target=None) if isinstance(found, Factorised) and found.pivot > 1e-20 else None
        found = damped(self.penalised(sums)) if found is None else found
        if found is None:
            raise np.linalg.LinAlgError
        return found, sums

    def penalised(self, sums: Sums) -> Sums:
        """The information with that of the quadratic penalty."""
        h = sums.information
        if self.pieces.l2.any():
            h = h.plus(self.pieces.l2) if isinstance(h, Arrow) else h + np.diag(self.pieces.l2)
        if self.pieces.quadratic is not None:
            h = (h.dense() if isinstance(h, Arrow) else h) + self.pieces.quadratic
        return replace(sums, information=h)


def with_equations(sums: Sums, rows: Rows) -> Sums:
    """The information plus a multiple of A'A of the equations, which changes nothing where they hold: it makes up for columns that
    only the equations tell apart.
    """
    a = rows.matrix[rows.equal]
    h = sums.information.dense() if isinstance(sums.information, Arrow) else sums.information
    assert h is not None
    gram = a.T @ a
    return replace(sums, information=h + gram * (float(np.trace(h)) / float(np.trace(gram))))


def constrained(
    objective: Objective, start: Array, rows: Rows, pieces: Pieces, control: Control, canonical: bool = False, dispersion_known: bool = True
) -> tuple[Solution, Binding]:
    """The minimum of F and the rows that bind there; ``start`` needs a finite deviance but may break rows.

    ``pieces`` is the penalty on the scale of half the deviance.  Contradictory rows raise :class:`Contradiction`.
    """
    task = _task(objective, rows, pieces, control, canonical)
    loop = _Loop(task, control, np.array(start, dtype=float), dispersion_known)
    try:
        status = loop.go()
    except np.linalg.LinAlgError:
        status = Status.ILL_CONDITIONED
    return loop.end(status)


def _task(objective: Objective, rows: Rows, pieces: Pieces, control: Control, canonical: bool) -> _Task:
    if pieces.groups:
        raise SpecificationError(
            "`constraints` do not go with a penalty on groups of coefficients, whose norm no quadratic program knows; use ElasticNet, Ridge or a smoother."
        )
    if pieces.concave is not None:
        raise SpecificationError("`constraints` do not go with a concave penalty, which may have many minima under them; use ElasticNet or Ridge.")
    unit = np.eye(pieces.width)
    with_cost = np.flatnonzero(pieces.l1)
    difference = np.array([pieces.differences(column) for column in unit]).T if pieces.chains else unit
    curvature = "expected" if canonical else "observed"
    return _Task(Recorder(objective, control.progress), rows, pieces, difference[with_cost], pieces.l1[with_cost], curvature)


@dataclass
class _Loop:
    """Where the iteration stands."""

    task: _Task
    control: Control
    b: Array
    dispersion_known: bool
    guess: Guess | None = None
    breach_price: float = 0.0
    previous: float = math.inf
    signs: Signs = field(default_factory=Signs)
    moving: Array | None = None

    def go(self) -> Status:
        """Steps until one is too short to matter."""
        task = self.task
        sums = task.run(Request(self.b, 2, task.curvature))
        for _ in range(self.control.max_iter):
            if not (math.isfinite(sums.deviance) and np.isfinite(sums.score).all()):  # type: ignore[arg-type]
                return Status.NOT_FINITE
            factor, sums = task.factor(self.b, sums)
            model = Model(factor, task.smooth(self.b, sums), self.b, task.rows, task.differences, task.cost)
            step, exact = self.step(model)
            length = model.length(step)
            task.run.note(length)
            sigma = 1.0 if self.dispersion_known else math.sqrt(max(sums.deviance, 0.0) / max(sums.n, 1.0)) or 1e-300
            if exact and self.ends(length, sums, sigma):
                self.b = self.b + step
                return Status.CONVERGED
            size = float(np.abs(step).max(initial=0.0))
            if self.signs.crawl(exact, size, length, self.previous, sigma, 0.0) or self.signs.drift(sums, size, length**2, sigma, self.dispersion_known):
                self.moving = np.abs(step) > 0.1 * size
                return Status.SEPARATED
            self.previous = length
            moved = self.search(model, step, sums)
            if moved is None:  # rounding is all that is left
                return Status.CONVERGED if exact and length <= 1e-5 * sigma * math.sqrt(max(sums.n / 1000, 1.0)) else Status.NOT_FINITE
            sums = moved
        return Status.MAX_ITERATIONS

    def step(self, model: Model) -> tuple[Array, bool]:
        """Newton's step among the rows that press, if it is one; else the quadratic program's."""
        if self.guess is not None:
            found = settle(model, self.guess)
            if found is not None:
                self.guess, step = found
                return step, True
        multipliers = nearest(model.program(_SPRING))
        if multipliers is None:
            clash = contradiction(self.task.rows)
            if clash:
                raise Contradiction(clash)
            raise np.linalg.LinAlgError
        guess, step = model.read(multipliers)
        found = settle(model, guess)
        if found is None:
            self.guess = None
            self.breach_price = max(self.breach_price, 2 * float(np.abs(guess.multiplier).max(initial=0.0)))
            return step, False
        self.guess, step = found
        return step, True

    def ends(self, length: float, sums: Sums, sigma: float) -> bool:
        """Whether what would be left after this step is below the tolerance, or the step only stirs rounding."""
        many = max(1.0, math.sqrt(sums.n / 1000))
        floor = length <= 1e-12 * math.sqrt(sums.n) * sigma or (length >= 0.5 * self.previous and length <= 1e-7 * sigma * many)
        return length <= self.control.tol * sigma or floor

    def search(self, model: Model, step: Array, before: Sums) -> Sums | None:
        """Halve the step until the objective falls; None where it does not."""
        task, rows = self.task, self.task.rows
        if self.guess is not None:
            self.breach_price = max(self.breach_price, 2 * float(np.abs(self.guess.multiplier).max(initial=0.0)))
        breach = float(rows.violation(self.b).sum())
        now = task.value(self.b, before) + self.breach_price * breach
        bends = np.abs(task.differences @ (self.b + step)) - np.abs(task.differences @ self.b)
        fall = float(-model.slope @ step) + float(task.cost @ bends) - self.breach_price * breach
        noise = 1e-12 * abs(now) + 1e-300
        share = 1.0
        for tried in range(_HALVINGS):
            b = self.b + share * step
            sums = task.run(Request(b, 0 if tried else 2, task.curvature))
            value = task.value(b, sums) + self.breach_price * float(rows.violation(b).sum())
            if math.isfinite(value) and value <= now + 1e-4 * share * min(fall, 0.0) + noise:
                self.b = b
                return sums if not tried else task.run(Request(b, 2, task.curvature))
            task.run.note(text="halved")
            share *= 0.5
        return None

    def end(self, status: Status) -> tuple[Solution, Binding]:
        """The sums that are reported, and the conditions of a minimum as they are met."""
        task = self.task
        sums = task.run(Request(self.b, 2, self.control.information))
        diverging = () if self.moving is None else tuple(np.flatnonzero(self.moving).tolist())
        solution = Solution(self.b, sums, status, task.run.steps, diverging=diverging)
        if status is Status.NOT_FINITE or not math.isfinite(sums.deviance):
            return solution, Binding()
        try:
            factor, _ = task.factor(self.b, sums)
        except np.linalg.LinAlgError:
            return solution, Binding()
        model = Model(factor, task.smooth(self.b, sums), self.b, task.rows, task.differences, task.cost)
        guess = self.guess or model.read(np.zeros(len(task.rows) + 2 * len(task.cost)))[0]
        polished = settle(model, guess)
        guess = guess if polished is None else polished[0]
        binding = self.binding(model, guess)
        return replace(solution, decrement=self.previous, error=binding.dual), binding

    def binding(self, model: Model, guess: Guess) -> Binding:
        rows, length = self.task.rows, model.row_length
        value = rows.matrix @ self.b
        low, high = np.abs(value - rows.lower) / length, np.abs(value - rows.upper) / length
        reach = _TOUCHES * np.maximum(1.0, np.abs(value) / length)
        touching = (np.minimum(low, high) <= reach) | (guess.side != 0)
        side = np.where(rows.equal, 0, np.where(low <= high, -1, 1))
        multiplier = np.zeros(len(rows))
        multiplier[guess.index] = guess.multiplier[: len(guess.index)]
        rest = model.left(guess)
        gap = np.where(multiplier > 0, low, np.where(multiplier < 0, high, 0.0))
        at = np.flatnonzero(touching | rows.equal)
        return Binding(
            tuple(at.tolist()),
            tuple(side[at].tolist()),
            multiplier[at],
            self.task.differences[guess.still],
            float((rows.violation(self.b) / length).max(initial=0.0)),
            rest / max(1.0, model.size),
            float((np.abs(multiplier) * length * gap).max(initial=0.0)) / max(1.0, model.size),
        )
