"""Bias-reduced estimates: the root of an adjusted score, finite even where the maximum of the likelihood is not.

    U + A = 0,  A = 1/2 sum h_i (mu''/mu') x_i                      "mean": the bias of order 1/n removed (Firth)
                A + H b, b_j = (H^-1)_j sum h_ij (mu' V'/(6 V) - mu''/(2 mu')) x_i      "median": each estimate is as often too high as too low
                1/2 sum h_i (2 mu''/mu' - mu' V'/V) x_i             "jeffreys": the likelihood times det(H)^(1/2)

with h the leverages, h_ij those along coefficient j.  Where phi is estimated it solves an adjusted equation of its own; "mixed" takes
"mean" for the coefficients and "median" for phi.  Solved by quasi-Fisher scoring: a pass for H, a pass for the adjusted score.

References: Firth (1993), Biometrika 80, doi:10.1093/biomet/80.1.27; Kosmidis & Firth (2009), Biometrika 96, doi:10.1093/biomet/asp055;
Kenne Pagui, Salvan & Sartori (2017), Biometrika 104, doi:10.1093/biomet/asx046; Kosmidis, Kenne Pagui & Sartori (2020), Stat. Comput.
30, doi:10.1007/s11222-019-09860-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError, unknown
from etamu.families.base import Family
from etamu.inference.covariance import Scaling
from etamu.inference.refit import Restriction
from etamu.links import Mean
from etamu.rows import RowTerms, row_terms
from etamu.solvers.base import Control, Recorder, Solution, Status
from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, StreamSource, open_source
from etamu.sums import Arrow, Request, Sums

__all__ = ["KINDS", "Reduced", "normaliser", "penalised_deviance", "read_kind", "reduce_bias"]

Array = np.ndarray[Any, Any]
KINDS = ("mean", "median", "mixed", "jeffreys")
_SHAPED = ("gaussian", "gamma", "inverse_gaussian")  # whose log-density is known as a function of phi
_STEP = 1e-11  # length of a step, in standard errors, at which the iteration stops
_SHORT = 1e-6  # a step that is no longer says nothing of the one before


@dataclass(frozen=True)
class Reduced:
    """A bias-reduced solution and the dispersion that goes with it."""

    solution: Solution
    dispersion: float


def read_kind(kind: Any) -> str:
    """The name of an adjustment; "firth" is "mean"."""
    if isinstance(kind, str) and kind == "firth":
        return "mean"
    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown("bias", kind, [*KINDS, "firth"])
    return kind


def reduce_bias(
    problem: Problem | Streamed,
    start: Array,
    kind: str,
    scaling: Scaling,
    control: Control,
    restriction: Restriction | None = None,
    phi: float | None = None,
) -> Reduced:
    """The root of the adjusted score from ``start`` (under a restriction, if there is one)."""
    family = problem.family
    if problem.equations is not None:
        raise SpecificationError("`bias` is for one equation; a multinomial fit has none yet.")
    if not family.dispersion_known and family.name not in _SHAPED:
        raise SpecificationError(
            f"`bias` needs the likelihood as a function of the dispersion, which family {family.name!r} does not give; choose one of {', '.join(_SHAPED)}, "
            "or a family whose dispersion is 1."
        )
    source = open_source(problem, control.threads)
    run = Recorder(source.sum, control.progress)
    t = scaling.matrix(problem.design.width)
    beta, status, length = np.array(start, dtype=float), Status.MAX_ITERATIONS, math.inf
    phi = _first_phi(family, run(Request(beta, 0)), problem) if phi is None else phi
    last: Array | None = None
    for _ in range(control.max_iter * 5):
        sums = run(Request(beta, 2, "expected"))
        factor = factorise(sums) if math.isfinite(sums.deviance) else None
        adjusted = None if factor is None else _adjusted_score(source, beta, factor, kind, phi, t)
        ok = factor is not None and adjusted is not None and np.isfinite(adjusted).all()
        step, now = _step(adjusted, sums, factor, restriction) if ok else (None, math.inf)  # type: ignore[arg-type]
        if step is None or not now <= max(2 * length, _SHORT):
            if last is None or np.abs(last).max() < 1e-14:
                status = Status.NOT_FINITE
                break
            last = 0.5 * last
            beta = beta - last
            continue
        run.note(now)
        length = now
        new_phi, change = (phi, 0.0) if family.dispersion_known else _next_phi(source, problem, sums, kind, phi)
        if now <= _STEP * math.sqrt(len(beta)) * math.sqrt(phi) and change <= 1e-12:
            status = Status.CONVERGED
            break
        last, phi = step, new_phi
        beta = beta + step
    sums = run(Request(beta, 2, control.information))
    return Reduced(Solution(beta, sums, status, run.steps, length, length), phi)


def _step(adjusted: Array, sums: Sums, factor: Factorised | FactorisedArrow, restriction: Restriction | None) -> tuple[Array, float]:
    """Scoring step, within the restriction if there is one, and its length."""
    if restriction is None:
        step = factor.solve(adjusted)
        return step, math.sqrt(max(float(step @ adjusted), 0.0))
    free, bound, c = restriction.others, restriction.pivots, restriction.coupling
    whole = sums.information.dense() if isinstance(sums.information, Arrow) else sums.information
    assert whole is not None
    cross = c.T @ whole[np.ix_(bound, free)]
    information = whole[np.ix_(free, free)] + cross + cross.T + c.T @ whole[np.ix_(bound, bound)] @ c
    score = adjusted[free] + c.T @ adjusted[bound]
    out = np.zeros(len(adjusted))
    if len(free):
        out[free] = np.linalg.solve(information, score)
    out[bound] = c @ out[free]
    return out, math.sqrt(max(float(out[free] @ score), 0.0))


# ---- the coefficients' adjustment ---------------------------------------------------------------------------------


def _adjusted_score(source: Memory | StreamSource, beta: Array, factor: Factorised | FactorisedArrow, kind: str, phi: float, t: Array) -> Array:
    """U + phi A, with U and A unscaled by phi."""
    if isinstance(factor, FactorisedArrow):
        inverse = factor.inverse()
        half = np.linalg.cholesky(inverse)
    else:
        half = factor.half_inverse()

    def terms(part: Memory, rows: slice, eta: Array) -> RowTerms:
        y, w, _ = part.problem.vectors(rows)
        mean = Mean(part.problem.link, eta)
        own = row_terms(part.problem.family, part.problem.link, y, eta, w, "expected")
        with np.errstate(all="ignore"):
            bend = 0.5 * mean.curvature
            if kind == "jeffreys":
                bend = mean.curvature - 0.5 * part.problem.family.variance_slope(mean)
            adjustment = np.where(own.weight > 0, own.weight * part.forms(rows, half) * bend, 0.0)
        return RowTerms(own.deviance, own.pearson, own.score + phi * adjustment, own.weight)

    found = source.total(terms, Request(beta, 1)).score
    assert found is not None
    return found + phi * _median(source, beta, factor, t) if kind == "median" else found


def _median(source: Memory | StreamSource, beta: Array, factor: Factorised | FactorisedArrow, t: Array) -> Array:
    """H T^-1 b, the rest of the median's adjustment, whose b belongs to the user's coefficients."""
    c = factor.inverse() @ t.T  # column j is H^-1 t_j
    along = np.einsum("jk,kj->j", t, c)
    total = np.zeros(t.shape)
    batches = [source.problem] if isinstance(source, Memory) else source.problem.batches()
    for part in batches:
        held = Memory(part, 1)
        step = max(64, 1_000_000 // max(part.design.width, 1))
        for a in range(0, part.rows, step):
            rows = slice(a, min(a + step, part.rows))
            x, eta = part.design.block(rows), held.predictor(rows, beta)
            y, w, _ = part.vectors(rows)
            mean, weight = Mean(part.link, eta), row_terms(part.family, part.link, y, eta, w, "expected").weight
            with np.errstate(all="ignore"):
                bend = np.where(weight > 0, weight * (part.family.variance_slope(mean) / 6 - 0.5 * mean.curvature), 0.0)
            total += (((x @ c) ** 2 / along) * bend[:, None]).T @ x
    b = np.einsum("jk,kj->j", total, c)
    information = np.linalg.inv(factor.inverse())
    return np.asarray(information @ np.linalg.solve(t, b))


# ---- the dispersion's equation ------------------------------------------------------------------------------------


def normaliser(family: Family, zeta: Array) -> tuple[Array, Array, Array]:
    """Derivatives a', a'', a''' of the part of -2 log f that depends on zeta = -w/phi alone."""
    if family.name != "gamma":
        return -1 / zeta, 1 / zeta**2, -2 / zeta**3
    from scipy.special import polygamma, psi

    z = -zeta
    return -2 * psi(z) + 2 * np.log(z), 2 * polygamma(1, z) - 2 / z, -2 * polygamma(2, z) - 2 / z**2


def _first_phi(family: Family, sums: Sums, problem: Problem | Streamed) -> float:
    if family.dispersion_known:
        return 1.0
    df = sums.n - problem.design.width
    return sums.deviance / df if df > 0 and sums.deviance > 0 else 1.0


def _next_phi(source: Memory | StreamSource, problem: Problem | Streamed, sums: Sums, kind: str, phi: float) -> tuple[float, float]:
    """A scoring step of the dispersion's adjusted equation, and its relative size."""
    family, p = problem.family, problem.design.width
    first = second = third = 0.0
    for part in problem.batches():
        w = np.ones(part.rows) if part.weight is None else np.asarray(part.weight, dtype=float)
        f = np.ones(part.rows) if part.frequency is None else np.asarray(part.frequency, dtype=float)
        f, w = f[w > 0], w[w > 0]
        w = w / f  # the prior weight of one observation
        a1, a2, a3 = normaliser(family, -w / phi)
        first, second, third = (s + float((f * w**k * a).sum()) for s, k, a in ((first, 1, a1), (second, 2, a2), (third, 3, a3)))
    gradient = (sums.deviance - first) / (2 * phi**2)
    information = second / (2 * phi**4)
    mean = (p - 2) / (2 * phi) + third / (2 * phi**2 * second)
    median = p / (2 * phi) + third / (6 * phi**2 * second)
    jeffreys = -(p + 4) / (2 * phi) + third / (2 * phi**2 * second)
    adjustment = {"mean": mean, "median": median, "mixed": median, "jeffreys": jeffreys}[kind]
    step = (gradient + adjustment) / information
    new = phi + step if phi + step > 0.1 * phi else 0.1 * phi
    return min(new, 10 * phi), abs(step) / phi


def penalised_deviance(sums: Sums, phi: float) -> float:
    """-2 (log likelihood + log det(H)/2) up to a constant, for phi known."""
    information = sums.information
    dense = information.dense() if isinstance(information, Arrow) else information
    assert dense is not None
    sign, log_det = np.linalg.slogdet(dense)
    return sums.deviance / phi - float(log_det) if sign > 0 else math.inf
