"""Newton's method on sums: solve H step = score, never rise, and buy exact sums only where they matter.

The score is always exact, so H may be cheap while far from the solution: a subsample's, one from an earlier beta, or
one of float32 products.  Only the last pass asks for the information that is reported.  Everything the iteration
knows is in units of standard errors: the decrement lambda = sqrt(score' H^-1 score) is the length of the step, and

    lambda_next = rho * lambda,   rho = kappa * lambda for a fresh H (quadratic), the measured ratio for a stale one.

It stops when the predicted lambda_next is below ``tol`` and the information is current to a few 1e-8.

Reference: Nocedal & Wright, *Numerical Optimization*, 2nd ed. (2006), chapters 3, 7 and 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from etamu.solvers.base import Array, Control, Recorder, Solution, Status
from etamu.solvers.linalg import Factorised, factorise
from etamu.sums import Objective, Request, Sums

__all__ = ["Newton", "newton"]

_CURRENT = 5e-8  # relative age at which information and dispersion still count as those at the solution
_HALVINGS = 30
_WIDE = 48  # parameters from which a pass with information costs several passes without


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


def flat(x: Array) -> Array:
    """(p,) as it is, (p, q) with equations outermost, as the information is laid out."""
    return x if x.ndim == 1 else x.T.ravel()


def shaped(x: Array, like: Array) -> Array:
    return x if like.ndim == 1 else x.reshape(like.shape[1], like.shape[0]).T


@dataclass
class _State:
    """What the iteration remembers."""

    beta: Array
    factor: Factorised | None
    fresh: bool = False
    kappa: float = 0.0
    previous: float = math.inf  # the last decrement
    rho: float = 0.3  # contraction expected of the factor at hand


def newton(
    objective: Objective,
    start: Array,
    control: Control,
    *,
    method: Newton | None = None,
    canonical: bool = False,
    quadratic: bool = False,
    dispersion_known: bool = True,
    factor: Factorised | None = None,
    form: str = "gram",
) -> Solution:
    """Minimise the deviance from ``start``.

    ``canonical`` says that expected and observed information agree, ``quadratic`` that one step is exact;
    ``factor`` is an approximate information to begin with; ``form`` is how information is to be gathered.
    """
    run = Recorder(objective, control.progress)
    curvature = (method or Newton()).information
    if form == "factor":
        curvature = "expected"
    reported = control.information
    wide = start.size >= _WIDE and form == "gram"
    exact = canonical or curvature == reported
    state = _State(np.array(start, dtype=float), factor, rho=0.1)
    accepted: tuple[Array, float] | None = None  # the beta and deviance that the next one must not exceed
    direction = np.zeros_like(state.beta)
    final = not wide and exact and form == "gram"
    stalled = 0
    for _ in range(control.max_iter):
        request = _next_request(state, wide, final, curvature, reported, form)
        sums = run(request)
        halvings = 0
        while _rises(sums, accepted) and halvings < _HALVINGS:
            run.note(text="halved")
            direction = 0.5 * direction
            halvings += 1
            state.beta = accepted[0] + direction  # type: ignore[index]
            sums = run(Request(state.beta, 0))
        if halvings:
            if _rises(sums, accepted):
                return _give_up(run, accepted, state, objective, reported, control)  # type: ignore[arg-type]
            sums = run(request.__class__(state.beta, request.order, request.information, request.arithmetic, form))
            state.previous, state.rho = math.inf, 0.3
        if not _finite(sums):
            return Solution(state.beta, sums, Status.NOT_FINITE, tuple(run.steps))
        if request.order == 2:
            found = factorise(sums, request.arithmetic == "single")
            if found is None and request.information == "observed" and not canonical:
                sums = run(Request(state.beta, 2, "expected", form=form))
                found = factorise(sums)
            if found is None and request.arithmetic == "single":
                sums = run(Request(state.beta, 2, reported, form=form))
                found = factorise(sums)
            if found is None:
                return Solution(state.beta, sums, Status.ILL_CONDITIONED, tuple(run.steps))
            mismatch = final and not exact and state.factor is not None  # keep the better curvature for the step
            state.fresh = not mismatch
            if not mismatch:
                state.factor = found
        else:
            state.fresh = False
        assert state.factor is not None and sums.score is not None
        score = flat(sums.score)
        step = state.factor.solve(score)
        squared = float(score @ step)
        decrement = math.sqrt(max(squared, 0.0))
        run.note(decrement)
        sigma = 1.0 if dispersion_known else math.sqrt(max(sums.deviance, 0.0) / max(sums.n, 1.0)) or 1e-300
        _learn(state, decrement, math.sqrt(sums.n), sigma, quadratic, halvings > 0)
        after = state.rho * decrement
        floor = _rounding(state, sums)
        direction = shaped(step, state.beta)
        at_rounding = decrement <= 4 * floor
        small = after <= control.tol * sigma or at_rounding or (squared <= 1e-30 * sums.deviance) or sums.deviance == 0.0
        current = decrement <= _CURRENT * math.sqrt(sums.n) * sigma or quadratic or at_rounding
        size = float(np.max(np.abs(step))) if len(step) else 0.0
        drifting = size > 1e-2 and decrement < 1e-3 * sigma
        stalled = stalled + 1 if drifting else 0
        perfect = dispersion_known and sums.deviance < 1e-8 * sums.n * 1e-3 and size > 1e-2 and not quadratic
        if stalled >= 3 or (perfect and decrement**2 > 1e-3 * sums.deviance):
            moving = tuple(int(j) for j in np.flatnonzero(np.abs(step) > 0.1 * size))
            return Solution(state.beta, _with_information(run, sums, state, reported, form), Status.SEPARATED, tuple(run.steps), decrement, np.inf, moving)
        if small and current and not drifting and request.order == 2 and (final or form == "factor") and request.arithmetic == "double":
            end = state.beta + direction if decrement > 0 and not (at_rounding and state.previous < decrement) else state.beta
            done = Sums(sums.n, sums.sum_weight, sums.deviance - max(squared, 0.0), sums.pearson, sums.score, sums.information, sums.form)
            if squared > 1e-6 * sums.deviance:
                done = sums
            return Solution(end, done, Status.CONVERGED, tuple(run.steps), decrement, after)
        accepted = (state.beta, sums.deviance)
        state.beta = state.beta + direction
        state.previous = decrement
        final = _may_be_final(state, after, sigma, sums.n, control, wide, exact, quadratic, floor)
    return Solution(state.beta, sums, Status.MAX_ITERATIONS, tuple(run.steps), decrement, after)


def _next_request(state: _State, wide: bool, final: bool, curvature: str, reported: str, form: str) -> Request:
    """What the coming pass is asked for: all when it may be the last, else as little as keeps the contraction good."""
    if form == "factor":
        return Request(state.beta, 2, "expected", form="factor")
    if final:
        return Request(state.beta, 2, reported)
    if not wide:
        return Request(state.beta, 2, curvature)
    if state.factor is None or state.rho > 0.2:
        return Request(state.beta, 2, curvature, "single")
    return Request(state.beta, 1)


def _may_be_final(state: _State, after: float, sigma: float, n: float, control: Control, wide: bool, exact: bool, quadratic: bool, floor: float) -> bool:
    """Whether the next pass is likely to be the last, so that it should gather what is reported."""
    if not wide and exact:
        return True
    root = math.sqrt(n)
    current = after <= _CURRENT * root * sigma or after <= floor
    contraction = state.kappa * after if (exact or quadratic) else max(state.kappa * after, state.kappa * state.previous, 1e-12)
    return current and (contraction * after <= control.tol * sigma or after <= floor) or quadratic


def _learn(state: _State, decrement: float, root_n: float, sigma: float, quadratic: bool, halved: bool) -> None:
    """Update kappa and rho from the last two decrements."""
    if quadratic and state.fresh:
        state.kappa, state.rho = 0.0, 1e-12
        return
    guess = 10.0 / (root_n * sigma)
    ratio = decrement / state.previous if math.isfinite(state.previous) and state.previous > 0 else None
    if state.fresh:
        if ratio is not None and not halved and decrement > 1e-10 * sigma:
            state.kappa = max(min(state.kappa or guess, 10 * guess), 3 * ratio / state.previous)
        state.kappa = state.kappa or guess
        state.rho = min(state.kappa * decrement, 0.9)
    else:
        state.kappa = state.kappa or guess
        state.rho = min(ratio, 0.9) if ratio is not None else state.rho


def _rounding(state: _State, sums: Sums) -> float:
    """The decrement that rounding alone can leave: that of a score with relative errors of a few eps in each row."""
    assert state.factor is not None
    weight = np.abs(flat(state.beta)) @ (1.0 / state.factor.scale) * math.sqrt(state.factor.weight)
    return float(2.3e-16 * math.sqrt(len(state.factor.scale)) * (math.sqrt(max(sums.pearson, 0.0)) + weight))


def _finite(sums: Sums) -> bool:
    return math.isfinite(sums.deviance) and (sums.score is None or bool(np.isfinite(sums.score).all()))


def _rises(sums: Sums, accepted: tuple[Array, float] | None) -> bool:
    if accepted is None:
        return False
    if not math.isfinite(sums.deviance):
        return True
    return sums.deviance > accepted[1] + 1e-9 * abs(accepted[1]) + 1e-300


def _with_information(run: Recorder, sums: Sums, state: _State, reported: str, form: str) -> Sums:
    if sums.information is not None:
        return sums
    return run(Request(state.beta, 2, reported, form=form))


def _give_up(run: Recorder, accepted: tuple[Array, float], state: _State, objective: Objective, reported: str, control: Control) -> Solution:
    """No halving helped: report the last good point."""
    sums = run(Request(accepted[0], 2, reported))
    return Solution(accepted[0], sums, Status.NOT_FINITE, tuple(run.steps))
