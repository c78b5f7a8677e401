"""The numbers that the lesson page must show, computed with the library: states of each figure, and the data it embeds.

``python -m etamu.lesson.fixtures`` prints them; ``tests/reference/lesson_page.json`` is that output, and the browser
tests put each state into the page and compare what it shows.

>>> sorted(fixtures()["data"]["fig2"])
['linear', 'logistic', 'poisson', 'x']
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from etamu.datasets import make_logistic, make_X
from etamu.derivation import Derivation, derive
from etamu.families import Binomial, Family, Gaussian, Multinomial, Poisson
from etamu.fit import fit
from etamu.solvers import GradientAscent

__all__ = ["data", "fixtures", "hill", "softmax_of", "sums_of_points"]

Array = np.ndarray[Any, Any]
State = dict[str, Any]

AT_TOP = 1e-10  # a gradient this short counts as zero on the page
ASCENT_LIMIT = 2000
START_TWO = (0.0, 0.4)
START_THREE = (1.5, -0.8)
RATE_THREE = 0.04


def data() -> dict[str, Any]:
    """The data that the page embeds: eight points for each model of figure 2, and the forty rows of figure 3."""
    x = np.round(1.0 + 1.1 * make_X(40, 1, bias=False, seed=1)[:, 0], 2)
    y = make_logistic(np.c_[np.ones(40), x], [-1.0, 1.2], y_seed=101).y
    return {
        "fig2": {
            "x": [-2.3, -1.7, -1.1, -0.4, 0.3, 0.9, 1.6, 2.3],
            "linear": [-1.9, -0.4, -1.2, 0.6, 0.1, 1.7, 0.9, 2.4],
            "logistic": [0, 0, 1, 0, 0, 1, 1, 1],
            "poisson": [1, 0, 1, 2, 1, 3, 6, 8],
        },
        "fig3": {"x": x.tolist(), "y": [int(v) for v in y]},
    }


# ---- figure 1: one function and its slopes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Slopes:
    """A log-partition with its three derivatives."""

    value: Callable[[Array], Array]
    mean: Callable[[Array], Array]
    variance: Callable[[Array], Array]
    third: Callable[[Array], Array]


@cache
def _derived(log_partition: str) -> Slopes:
    """What the library derives from the text alone."""
    found = derive(log_partition)
    assert isinstance(found, Derivation)
    family, link = found.generic, found.canonical_link()
    curvature = link.curvature
    assert curvature is not None
    return Slopes(family.log_partition, family.mean, link.dmu, lambda theta: np.asarray(curvature(theta) * link.dmu(theta)))


PRESETS: dict[str, tuple[str, list[float]]] = {
    "gaussian": ("theta^2/2", [-4.0, -1.3, 0.0, 2.5, 4.0]),
    "bernoulli": ("log(1 + exp(theta))", [-8.0, -1.25, 0.0, 0.4, 8.0]),
    "poisson": ("exp(theta)", [-4.0, -0.7, 0.0, 1.0, 2.5]),
    "gamma": ("-log(-theta)", [-4.0, -1.0, -0.3, -0.25]),
    "geometric": ("-log(1 - exp(theta))", [-4.0, -1.0, -0.3, -0.25]),
    "truncated": ("log(exp(exp(theta)) - 1)", [-4.0, -1.5, 0.0, 1.0, 2.5]),
    "inverse-gaussian": ("-sqrt(-2*theta)", [-4.0, -1.0, -0.3, -0.1]),
}


def slopes_of(preset: str) -> Slopes:
    """A log-partition of the page with its derivatives."""
    return _derived(PRESETS[preset][0])


# typed by hand: the same functions in other words, and multiples of them
TYPED: dict[str, tuple[str, float, list[float]]] = {
    "log1p(exp(θ))": ("bernoulli", 1.0, [-2.5, 3.75]),
    "12*log(1 + e**theta)": ("bernoulli", 12.0, [-1.5, 0.0]),
    "log(exp(theta/2) + exp(-theta/2)) + theta/2": ("bernoulli", 1.0, [-3.5, 0.5]),
    "theta*theta/2": ("gaussian", 1.0, [-3.0, 1.25]),
    "(2*theta)^2/8 + 0*pi": ("gaussian", 1.0, [1.5]),
    "-2.5*log(-theta)": ("gamma", 2.5, [-3.0, -0.5]),
    "-3*log(-expm1(theta))": ("geometric", 3.0, [-2.0, -0.5]),
    "log(expm1(exp(theta)))": ("truncated", 1.0, [-2.0, 1.0]),
    "-(-2*theta)^0.5": ("inverse-gaussian", 1.0, [-2.0, -0.5]),
}


def _slopes_at(slopes: Slopes, theta: float, factor: float = 1.0) -> dict[str, float]:
    at = np.array([theta])
    return {
        "fig1-show-theta": theta,
        "fig1-a": factor * float(slopes.value(at)[0]),
        "fig1-mu": factor * float(slopes.mean(at)[0]),
        "fig1-variance": factor * float(slopes.variance(at)[0]),
        "fig1-third": factor * float(slopes.third(at)[0]),
        "fig1-back": theta,
    }


def _figure_one() -> list[State]:
    states: list[State] = []
    for name, (_, places) in PRESETS.items():
        slopes = slopes_of(name)
        states += [{"set": {f"fig1-preset-{name}": True, "fig1-theta": theta}, "show": _slopes_at(slopes, theta)} for theta in places]
    for text, (name, factor, places) in TYPED.items():
        slopes = slopes_of(name)
        states += [{"set": {"fig1-expression": text, "fig1-theta": theta}, "show": _slopes_at(slopes, theta, factor)} for theta in places]
    return states


# ---- figure 2: residuals add up to the gradient -----------------------------------------------------------------------

MODELS: dict[str, Family] = {"linear": Gaussian(), "logistic": Binomial(), "poisson": Poisson()}


def _line(x: list[float]) -> Array:
    return np.column_stack([np.ones(len(x)), np.asarray(x, dtype=float)])


def _score(family: Family, X: Array, y: Array, b: Array) -> Array:
    return np.asarray(X.T @ (y - family.mean(X @ b)))


def _loglik(family: Family, X: Array, y: Array, b: Array) -> float:
    """At dispersion one, which is what the page assumes of the linear model."""
    return float(family.log_density(y, family.mean(X @ b), np.ones(len(y)), 1.0).sum())


def sums_of_points(model: str, x: list[float], y: list[float], b0: float, b1: float) -> dict[str, float]:
    """What figure 2 shows for any points and any line."""
    X, observed, b = _line(x), np.asarray(y, dtype=float), np.array([b0, b1])
    family = MODELS[model]
    score = _score(family, X, observed, b)
    return {"fig2-show-b0": b0, "fig2-show-b1": b1, "fig2-g0": float(score[0]), "fig2-g1": float(score[1]), "fig2-loglik": _loglik(family, X, observed, b)}


def _figure_two() -> list[State]:
    points = data()["fig2"]
    states: list[State] = []
    for model, family in MODELS.items():
        x, y = points["x"], points[model]
        X = _line(x)
        radio = {"fig2-model-" + model: True}
        for b0, b1 in [START_TWO, (-0.6, 0.9), (1.2, -0.55), (0.0, 0.0)]:
            states.append({"set": radio | {"fig2-b0": b0, "fig2-b1": b1}, "show": sums_of_points(model, x, y, b0, b1)})
        for rate, steps in [(0.03, 1), (0.02, 5)]:
            climbed = fit(X, y, family=family, intercept=False, start=list(START_TWO), solver=GradientAscent(rate=rate, steps=steps))
            shown = sums_of_points(model, x, y, float(climbed.coef[0]), float(climbed.coef[1]))
            line = {"fig2-b0": START_TWO[0], "fig2-b1": START_TWO[1], "fig2-rate": rate}
            states.append({"set": radio | line, "press": ["fig2-step"] * steps, "show": shown | {"fig2-show-rate": rate}})
        best = fit(X, y, family=family, intercept=False)
        top = sums_of_points(model, x, y, float(best.coef[0]), float(best.coef[1])) | {"fig2-g0": 0.0, "fig2-g1": 0.0}
        states.append({"set": radio | {"fig2-b0": 0.3, "fig2-b1": -0.2}, "press": ["fig2-top"], "show": top})
    return states


# ---- figure 3: gradient ascent and Newton on the same hill ------------------------------------------------------------


def _newton_step(family: Family, X: Array, y: Array, b: Array) -> Array:
    """One step with the information X'WX, halved while the likelihood would fall."""
    mu = family.mean(X @ b)
    step = np.linalg.solve(X.T @ (X * family.variance(mu)[:, None]), X.T @ (y - mu))
    before = _loglik(family, X, y, b)
    while _loglik(family, X, y, b + step) < before - 1e-12 * abs(before):
        step = step / 2
    return np.asarray(b + step)


def hill(start: tuple[float, float], rate: float, steps: int | None) -> dict[str, float]:
    """What figure 3 shows after some steps of each method, or after a run to the top (``None``)."""
    rows = data()["fig3"]
    X, y = _line(rows["x"]), np.asarray(rows["y"], dtype=float)
    family = Binomial()

    def length(b: Array) -> float:
        return float(np.linalg.norm(_score(family, X, y, b)))

    newton = [np.array(start)]
    while length(newton[-1]) >= AT_TOP and (steps is None or len(newton) <= steps):
        newton.append(_newton_step(family, X, y, newton[-1]))
    goal = max(length(newton[-1]), AT_TOP)
    needed, b = 0, np.array(start)
    while length(b) > goal:
        b = b + rate * _score(family, X, y, b)
        needed += 1
    if steps is None:
        taken, b = 0, np.array(start)
        while length(b) >= AT_TOP and taken < ASCENT_LIMIT:
            b = b + rate * _score(family, X, y, b)
            taken += 1
        steps = taken
    ascent = np.array(start)
    if steps:
        ascent = fit(X, y, family=family, intercept=False, start=list(start), solver=GradientAscent(rate=rate, steps=steps)).coef
    last = newton[-1] if length(newton[-1]) >= AT_TOP else fit(X, y, family=family, intercept=False).coef
    shown = {"fig3-newton-k": float(len(newton) - 1), "fig3-needed": float(needed), "fig3-show-rate": rate}
    for name, at, count in (("ascent", ascent, steps), ("newton", last, len(newton) - 1)):
        shown |= {f"fig3-{name}-steps": float(count), f"fig3-{name}-b0": float(at[0]), f"fig3-{name}-b1": float(at[1])}
        shown |= {f"fig3-{name}-loglik": _loglik(family, X, y, at), f"fig3-{name}-length": length(at)}
    return shown


def _figure_three() -> list[State]:
    cases: list[tuple[float, int | None]] = [(RATE_THREE, 0), (RATE_THREE, 1), (RATE_THREE, 3), (0.02, 4), (RATE_THREE, None), (0.06, None)]
    states: list[State] = []
    for rate, steps in cases:
        pressed = ["fig3-reset"] + (["fig3-run"] if steps is None else ["fig3-step"] * steps)
        states.append({"set": {"fig3-rate": rate}, "press": pressed, "show": hill(START_THREE, rate, steps)})
    return states


# ---- figure 4: three classes on a triangle ----------------------------------------------------------------------------


def softmax_of(theta: list[float]) -> dict[str, float]:
    """What figure 4 shows for three thetas: means, and the two forms that differ by a constant only."""
    at = np.array([theta])
    family = Multinomial()
    mu = family.mean(at)[0]
    shown = {"fig4-a": float(family.log_partition(at)[0])}
    for k in range(3):
        shown |= {
            f"fig4-show-theta{k + 1}": theta[k],
            f"fig4-mu{k + 1}": float(mu[k]),
            f"fig4-first{k + 1}": theta[k] - theta[0],
            f"fig4-zero{k + 1}": theta[k] - float(np.mean(theta)),
        }
    return shown


def _figure_four() -> list[State]:
    states: list[State] = []
    for base in ([0.0, 0.0, 0.0], [0.4, 1.3, -0.5], [-2.5, 3.0, 1.75], [2.0, -2.0, -2.95]):
        for gauge in (0.0, 1.7, -3.0):
            put = {"fig4-gauge": 0.0} | {f"fig4-theta{k + 1}": base[k] for k in range(3)}
            # two settings of the gauge: zero before the thetas, and then its own
            state: State = {"set": put, "then": {"fig4-gauge": gauge}, "show": softmax_of([v + gauge for v in base]) | {"fig4-show-gauge": gauge}}
            states.append(state)
    return states


def fixtures() -> dict[str, Any]:
    """For each figure a list of states: inputs to ``set`` (and ``then``), buttons to ``press``, and the numbers they must ``show``."""
    return {
        "data": data(),
        "figures": {"fig1": _figure_one(), "fig2": _figure_two(), "fig3": _figure_three(), "fig4": _figure_four()},
    }


if __name__ == "__main__":
    print(json.dumps(fixtures(), indent=1, ensure_ascii=False))
