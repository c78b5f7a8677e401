"""Newton's method on sums: solve H step = score, never rise, and buy exact sums only where they matter.

The score is always exact, so H may be cheap while far from the solution: a subsample's, one from an earlier beta, or
one of float32 products, corrected by the score changes seen since.  Only the last pass asks for the information that is
reported.  All lengths are in standard errors: the decrement lambda = sqrt(score' H^-1 score) is that of the step, and

    lambda_next = rho * lambda,   rho = kappa * lambda for a fresh H (quadratic), the measured ratio for a stale one.

The iteration stops when the predicted lambda_next is below ``tol`` and the information is current to ``Problem.current``.

Reference: Nocedal & Wright, *Numerical Optimization*, 2nd ed. (2006), chapters 3, 6 and 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from etamu.solvers.base import Array, Control, Recorder, Solution, Status
from etamu.solvers.infinity import Signs
from etamu.solvers.linalg import Factorised, FactorisedArrow, damped, factorise
from etamu.solvers.secant import Pairs, flat, shaped
from etamu.solvers.stand_in import StandIn
from etamu.sums import Objective, Request, Sums

__all__ = ["Newton", "Problem", "newton"]

_HALVINGS = 30
_SLOW = 0.5  # contraction above which a stale information is renewed


@dataclass(frozen=True)
class Newton:
    """The default solver: Newton steps with the observed information, safeguarded by the expected one and by halving.

    Parameters
    ----------
    information : "observed" (quadratic convergence for every link) or "expected" (Fisher scoring, as R's glm).

    Examples
    --------
    >>> import etamu as em
    >>> em.solvers.Newton(information="expected")
    Newton(information='expected')
    """

    information: str = "observed"


@dataclass(frozen=True)
class Problem:
    """What the solver may know of the model: whether expected and observed information agree (``canonical``), one step is
    exact (``quadratic``), the dispersion is known, and in which ``form`` the information is to be gathered.
    """

    canonical: bool = False
    quadratic: bool = False
    constant: bool = False  # the expected information is the same everywhere
    dispersion_known: bool = True
    current: float = 1e-7  # relative change up to which information and dispersion still count as those at the solution
    wide: bool = False  # a pass with information costs several passes without
    cheap: str = "single"  # the arithmetic of an information that only makes steps, where it is wide
    form: str = "gram"
    damped: bool = False  # the columns are known to be independent: a singular information is a bad place, not a bad model


@dataclass
class _Iteration:
    """Where the iteration stands and what it has learnt of its own speed."""

    run: Recorder
    control: Control
    problem: Problem
    curvature: str  # the information that steps are made with
    beta: Array
    factor: Factorised | FactorisedArrow | None
    stand_in: StandIn | None = None
    pairs: Pairs = field(default_factory=Pairs)
    fresh: bool = False
    kappa: float = 0.0  # lambda_next / lambda^2 of a fresh information
    rho: float = 0.3  # lambda_next / lambda expected of the information at hand
    previous: float = math.inf  # the last decrement, and whether a fresh information made the step from there
    was_fresh: bool = False
    signs: Signs = field(default_factory=Signs)
    exact_step: bool = False  # the factor is of the observed information, undamped: Newton's own step
    stalled: int = 0
    shortened: bool = False  # the last factor was damped
    rough: bool = False  # it is of the expected information, where steps are made with the observed one
    expected: Any = None  # the expected information, where it is the same everywhere
    diagonal: Array | None = None  # of the last information
    rate: float | None = None  # relative change of the information per unit of decrement, once two have been seen
    accepted: tuple[Array, Sums] | None = None

    @property
    def exact(self) -> bool:
        """The information behind the steps is the one reported."""
        return self.problem.canonical or self.curvature == self.control.information

    @property
    def reports_constant(self) -> bool:
        """The reported information is the same everywhere, so that any pass may bring it; the first does, whose step is a rough one."""
        return self.problem.constant and not self.exact and self.control.information == "expected" and not self.wide

    @property
    def wide(self) -> bool:
        return self.problem.wide and self.problem.form == "gram"

    # ---- asking -------------------------------------------------------------------------------------------------

    def request(self, last: bool) -> Request:
        """All that is reported when the pass may be the last, else as little as keeps the contraction good."""
        if self.problem.form == "factor":
            return Request(self.beta, 2, "expected", form="factor")
        if last:
            return Request(self.beta, 2, self.control.information) if self.expected is None else Request(self.beta, 1)
        if self.stand_in is not None and self.reports_constant and self.expected is None:
            return Request(self.beta, 2, "expected")
        if not self.wide:
            return Request(self.beta, 2, self.curvature)
        if self.factor is None or (self.rho > _SLOW and not self.fresh):
            return Request(self.beta, 2, self.curvature, self.problem.cheap)
        return Request(self.beta, 1)

    def evaluate(self, request: Request) -> tuple[Sums | None, Request]:
        """The sums at beta, after halving the step while the deviance rises, and what was asked for in the end.

        None when no step is short enough.  After a halving the information is asked for anew: the old one overshot.
        """
        sums = self.run(request)
        if self.accepted is None or not _rises(sums, self.accepted[1]):
            return sums, request
        if request.order < 2:
            request = Request(self.beta, 2, self.curvature, self.problem.cheap, request.form)
        for _ in range(_HALVINGS):
            self.run.note(text="halved")
            self.beta = 0.5 * (self.accepted[0] + self.beta)
            sums = self.run(Request(self.beta, 0))
            if not _rises(sums, self.accepted[1]):
                self.previous, self.rho, self.pairs = math.inf, 0.3, Pairs()
                request = Request(self.beta, request.order, request.information, request.arithmetic, request.form)
                return self.run(request), request
        return None, request

    def renew(self, sums: Sums, request: Request, last: bool) -> Sums | None:
        """Factorise the information that came; where it is indefinite ask again for one that is not. None when none is."""
        self.shortened = False
        if request.order < 2:
            self.fresh = self.rough = False
            return sums if self.expected is None else replace(sums, information=self.expected)
        found = factorise(sums, request.arithmetic == "single")
        self.exact_step = found is not None and (self.problem.canonical or request.information == "observed")
        if found is None and (request.arithmetic == "single" or request.information == "observed"):
            sums = self.run(Request(self.beta, 2, "expected", form=self.problem.form))
            found = factorise(sums)
        if found is None and self.problem.damped:
            found = damped(sums)
            self.shortened = True
        if found is None:
            return None
        self.rough = self.reports_constant and request.information == "expected" and not self.shortened
        if self.rough:
            self.expected = sums.information
        if self.expected is not None and sums.information is not self.expected:
            sums = replace(sums, information=self.expected)
        keep = last and not self.exact and self.factor is not None  # the observed one makes the better step
        self.signs.first = self.signs.first or found
        self.fresh = not keep
        if not keep:
            self.factor, self.pairs = found, Pairs()
            self.observe_change(sums)
        return sums

    def observe_change(self, sums: Sums) -> None:
        """How fast the information moves, from the last two of one kind."""
        if sums.information is None or self.problem.form != "gram" or not self.exact:
            return
        last, self.diagonal = self.diagonal, sums.information.diagonal()
        if last is not None and 0 < self.previous < math.inf and len(last):
            self.rate = float(np.abs(self.diagonal / np.where(last > 0, last, np.inf) - 1.0).max()) / self.previous

    def vanished(self, sums: Sums) -> Array | None:
        """Columns without a finite estimate, found late."""
        return None if self.problem.quadratic else self.signs.vanished(sums, self.factor, len(self.run.steps), self.shortened)

    def separates(self, sums: Sums, size: float, decrement: float, sigma: float, floor: float) -> bool:
        """Whether the steps so far say that the maximum lies at infinity."""
        if self.problem.quadratic or self.shortened:
            return False
        crawls = self.signs.crawl(self.fresh and self.exact_step, size, decrement, self.previous, sigma, floor)
        return self.signs.drift(sums, size, decrement * decrement, sigma, self.problem.dispersion_known) or crawls

    def age(self, decrement: float) -> float:
        """Relative change of the information over a step of that decrement: as last seen, or the change of eta in the rows
        of the column that the fewest tell of.
        """
        assert self.factor is not None
        reach = decrement * max(self.factor.scale.tolist(), default=0.0) / math.sqrt(self.factor.weight)
        return reach if self.rate is None else max(self.rate * decrement, 0.1 * reach)

    # ---- judging ------------------------------------------------------------------------------------------------

    def learn(self, decrement: float, n: float, sigma: float) -> None:
        """Update kappa and rho from the last two decrements."""
        guess = 10.0 / (math.sqrt(n) * sigma)
        ratio = decrement / self.previous if 0 < self.previous < math.inf else None
        self.kappa = self.kappa or guess
        if self.problem.quadratic and self.fresh:
            self.kappa, self.rho = 1e-300, 1e-11  # one exact step leaves what its arithmetic does
        elif self.fresh:
            if ratio is not None and self.was_fresh and decrement > 1e-10 * sigma:
                self.kappa = max(min(self.kappa, guess), 3 * ratio / self.previous)
            self.rho = min(self.kappa * decrement, 0.9)
        elif ratio is not None:  # a step that a sample improved says nothing of the factor that is now stale
            self.rho = min(ratio if self.stand_in is None else max(ratio, 2 * self.kappa * self.previous), 0.9)

    def rounding(self, sums: Sums) -> float:
        """The decrement that rounding alone can leave: that of a score with a few eps of error in each row."""
        assert self.factor is not None
        reach = np.abs(flat(self.beta)) @ (1.0 / self.factor.scale) * math.sqrt(self.factor.weight)
        return float(2.3e-16 * math.sqrt(self.beta.size) * (math.sqrt(max(sums.pearson, 0.0)) + reach))

    def tolerance(self, n: float, sigma: float) -> float:
        """``tol`` in standard errors; of many rows these are small, so that more of them are still the same digits."""
        return self.control.tol * sigma * max(1.0, math.sqrt(n / 1000))

    def may_end(self, after: float, sigma: float, n: float, floor: float, change: float) -> bool:
        """Whether the next pass is likely to be the last."""
        if self.problem.form == "factor" or self.problem.quadratic or (self.exact and not self.wide):
            return True
        if after <= floor:
            return True
        age = after if self.exact else max(after, self.previous)
        return change <= self.problem.current and self.kappa * age * after <= self.tolerance(n, sigma)

    def solution(self, beta: Array, sums: Sums, status: Status, decrement: float = 0.0, error: float = math.inf, moving: Any = None) -> Solution:
        """The end of the iteration; sums that lack the information are completed."""
        if sums.information is None:
            sums = self.run(Request(self.beta, 2, self.control.information))
        diverging = () if moving is None else tuple(int(j) for j in np.flatnonzero(moving))
        return Solution(beta, sums, status, self.run.steps, decrement, error, diverging)


def newton(
    objective: Objective,
    start: Array,
    control: Control,
    method: Newton | None = None,
    problem: Problem | None = None,
    factor: Factorised | FactorisedArrow | None = None,
    stand_in: StandIn | None = None,
) -> Solution:
    """Minimise the deviance from ``start``; ``factor`` is an approximate information to begin with, ``stand_in`` a sample."""
    problem = problem or Problem()
    curvature = "expected" if problem.form == "factor" else (method or Newton()).information
    it = _Iteration(Recorder(objective, control.progress), control, problem, curvature, np.array(start, dtype=float), factor, stand_in)
    last = it.may_end(math.inf, 1.0, 1.0, 0.0, math.inf)
    sums = None
    for _ in range(control.max_iter):
        sums, request = it.evaluate(it.request(last))
        if sums is None or not _finite(sums):
            beta, at = it.accepted or (it.beta, sums)
            it.beta = beta
            assert at is not None
            return it.solution(beta, at, Status.NOT_FINITE)
        renewed = it.renew(sums, request, last)
        if renewed is None:
            return Solution(it.beta, sums, Status.ILL_CONDITIONED, it.run.steps)
        sums = renewed
        ended = _advance(it, sums, last and request.arithmetic == "double")
        if isinstance(ended, Solution):
            return ended
        last = ended
    final = it.run(Request(it.beta, 2, control.information))
    if it.accepted is not None and _rises(final, it.accepted[1]):
        it.beta = it.accepted[0]
        final = it.run(Request(it.beta, 2, control.information))
    gone = it.vanished(final)
    return it.solution(it.beta, final, Status.MAX_ITERATIONS if gone is None else Status.SEPARATED, math.inf, math.inf, gone)


def _advance(it: _Iteration, sums: Sums, complete: bool) -> Solution | bool:
    """Take the step, or end.  Returns whether the next pass may be the last."""
    assert it.factor is not None
    assert sums.score is not None
    score = flat(sums.score)
    if it.accepted is not None and it.accepted[1].score is not None and not it.fresh:
        it.pairs = it.pairs.add(flat(it.beta - it.accepted[0]), flat(it.accepted[1].score) - score)
    step = it.pairs.solve(score, it.factor.solve)
    squared = max(float(score @ step), 0.0)
    decrement = math.sqrt(squared)
    it.run.note(decrement)
    sigma = 1.0 if it.problem.dispersion_known else math.sqrt(max(sums.deviance, 0.0) / max(sums.n, 1.0)) or 1e-300
    it.learn(decrement, sums.n, sigma)
    if it.shortened:
        it.rho, it.kappa = 0.9, 0.0
    if it.rough:
        it.rho = 0.5
    nothing = squared <= 1e-24 * sums.n
    after, floor = it.rho * decrement, it.rounding(sums) if decrement < 1e-3 * sigma or nothing else 0.0
    size = max(map(abs, step.tolist()), default=0.0)
    if it.separates(sums, size, decrement, sigma, floor):
        return it.solution(it.beta, sums, Status.SEPARATED, decrement, math.inf, np.abs(step) > 0.1 * size)
    tiny = nothing or squared <= 1e-12 * sums.deviance
    it.stalled = it.stalled + 1 if decrement >= 0.5 * it.previous and tiny and size <= 1e-4 else 0
    known_end = squared <= (0.5 if it.problem.quadratic else 1e-6) * sums.deviance
    at_rounding = (decrement <= 4 * floor and tiny) or sums.deviance == 0.0 or squared <= 1e-30 * sums.deviance or it.stalled >= 3
    age = it.age(decrement) if decrement < 0.05 else 1.0  # far away it is of no interest
    current = at_rounding or it.problem.quadratic or it.expected is not None or age <= it.problem.current
    steady = complete and not (it.signs.drifting or it.shortened)
    ends = steady and current and (at_rounding or (known_end and after <= it.tolerance(sums.n, sigma)))
    if not ends and it.stand_in is not None and it.fresh and not (it.shortened or it.rough) and (it.exact or age * after > it.problem.current * decrement):
        moves = it.exact and steady and known_end and age * it.stand_in.moving_noise() <= it.problem.current
        improved = it.stand_in.improve(it.run, it.beta, step, it.factor.solve, it.curvature, it.exact and not current)
        if improved is not None and squared > 0:
            step, after = improved.step, it.stand_in.noise(len(step)) * improved.correction
            it.kappa = 2 * improved.correction / squared
            ends = steady and known_end and (current or moves) and after <= it.tolerance(sums.n, sigma)
            if ends and not current:
                sums = it.stand_in.moved(sums, improved)
    if ends and (vanished := it.vanished(sums)) is not None:
        return it.solution(it.beta, sums, Status.SEPARATED, decrement, math.inf, vanished)
    if ends:
        stay = at_rounding and it.previous < decrement
        return it.solution(it.beta if stay else it.beta + shaped(step, it.beta), _at_end(it, sums, squared), Status.CONVERGED, decrement, after)
    if not it.fresh:
        it.diagonal = None  # the next information will not be one step away from it
    it.accepted, it.previous, it.was_fresh = (it.beta, sums), decrement, it.fresh and it.stand_in is None
    it.beta = it.beta + shaped(step, it.beta)
    return it.may_end(after, sigma, sums.n, floor, age * after / decrement if decrement > 0 and it.expected is None else 0.0)


def _at_end(it: _Iteration, sums: Sums, squared: float) -> Sums:
    """The sums after the last step, whose fall in deviance is the squared decrement (exactly, for a quadratic)."""
    if squared > 0.5 * sums.deviance:  # at rounding level of a perfect fit there is no fall to speak of
        return sums
    pearson = sums.pearson - squared if it.problem.quadratic else sums.pearson
    return Sums(sums.n, sums.sum_weight, sums.deviance - squared, pearson, sums.score, sums.information, sums.form)


def _finite(sums: Sums) -> bool:
    return math.isfinite(sums.deviance) and (sums.score is None or math.isfinite(float(sums.score.sum())) or bool(np.isfinite(sums.score).all()))


def _rises(sums: Sums, before: Sums) -> bool:
    return not sums.deviance <= before.deviance + 1e-9 * abs(before.deviance) + 1e-300
