"""Newton's method with each step found by conjugate gradients: curvature along a direction is a difference of two scores.

For softmax with many classes the information has (K p)^2 entries; a product with it costs one pass without any.  The
preconditioner is Boehning's bound, H <= (1/2)(I - 11'/K) (x) X'X, of which only X'X is ever formed.

References: Boehning (1992), Ann. Inst. Statist. Math. 44, doi:10.1007/BF00048682; Nocedal & Wright (2006), section 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError
from etamu.solvers.base import Array, Control, Recorder, Solution, Status
from etamu.solvers.secant import flat, shaped
from etamu.sums import Objective, Request

__all__ = ["NewtonCG", "newton_cg"]


@dataclass(frozen=True)
class NewtonCG:
    """Inexact Newton steps by preconditioned conjugate gradients, for more coefficients than an information matrix should have.

    Examples
    --------
    >>> import numpy as np
    >>> import etamu as em
    >>> fit = em.fit(np.arange(6.0), [1.0, 2, 2, 5, 8, 20], family="poisson", solver=em.solvers.NewtonCG())
    >>> fit.coef.round(4)
    array([-0.316 ,  0.6465])
    """

    max_inner: int = 100

    def __post_init__(self) -> None:
        if self.max_inner < 1:
            raise SpecificationError(f"`max_inner` is {self.max_inner}; allow at least 1 conjugate-gradient step.")


def newton_cg(
    objective: Objective,
    start: Array,
    control: Control,
    method: NewtonCG,
    precondition: Callable[[Array], Array] | None = None,
    dispersion_known: bool = True,
) -> Solution:
    """Minimise the deviance; every pass asks for a score only, until the information at the end."""
    run = Recorder(objective, control.progress)
    beta = np.array(start, dtype=float)
    sums = run(Request(beta, 1))
    status = Status.MAX_ITERATIONS
    decrement = best = math.inf
    for _ in range(control.max_iter):
        if sums.score is None or not (math.isfinite(sums.deviance) and np.isfinite(sums.score).all()):
            status = Status.NOT_FINITE
            break
        score = flat(sums.score)
        step = _conjugate_gradients(run, beta, score, decrement, method.max_inner, precondition or _same)
        decrement = math.sqrt(max(float(score @ step), 0.0))
        run.note(decrement)
        sigma = 1.0 if dispersion_known else math.sqrt(sums.deviance / max(sums.n, 1.0)) or 1e-300
        if decrement <= control.tol * sigma or (decrement <= 1e-6 * sigma and decrement > 0.5 * best):
            status = Status.CONVERGED
            break
        best = min(best, decrement)
        length = 1.0
        while True:
            trial = beta + shaped(length * step, beta)
            after = run(Request(trial, 1))
            if math.isfinite(after.deviance) and after.deviance <= sums.deviance + 1e-10 * abs(sums.deviance):
                break
            run.note(text="halved")
            length *= 0.5
            if length < 1e-9:
                status = Status.NOT_FINITE
                break
        if status is Status.NOT_FINITE:
            break
        beta, sums = trial, after
    return Solution(beta, run(Request(beta, 2, control.information)), status, run.steps, decrement, decrement)


def _same(x: Array) -> Array:
    return x


def _conjugate_gradients(run: Recorder, beta: Array, score: Array, last: float, most: int, precondition: Callable[[Array], Array]) -> Array:
    """H step = score to a tolerance that tightens with the decrement (Eisenstat & Walker 1996)."""
    x = np.zeros_like(score)
    r = score.copy()
    z = precondition(r)
    d = z.copy()
    rz = first = float(r @ z)
    target = min(0.05, math.sqrt(min(last, 1.0))) ** 2
    for _ in range(most):
        if rz <= target * first or rz <= 0:
            break
        hd = _curvature_along(run, beta, d)
        bend = float(d @ hd)
        if bend <= 0:
            return x if x.any() else d
        a = rz / bend
        x += a * d
        r -= a * hd
        z = precondition(r)
        new = float(r @ z)
        d = z + new / rz * d
        rz = new
    return x


def _curvature_along(run: Recorder, beta: Array, direction: Array) -> Array:
    """H d = -(score(beta + h d) - score(beta - h d)) / 2h, exact to about 1e-10 of its size."""
    h = 6e-6 * max(1.0, float(np.abs(beta).max())) / max(float(np.abs(direction).max()), 1e-300)
    step = shaped(h * direction, beta)
    up, down = run(Request(beta + step, 1)), run(Request(beta - step, 1))
    return np.asarray((flat(down.score) - flat(up.score)) / (2 * h))  # type: ignore[arg-type, operator]
