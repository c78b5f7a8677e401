"""Coverage of intervals in small samples, by simulation: the table of docs/inference.md.

    python benchmarks/coverage.py [REPLICATIONS]

Each line simulates from the model (or from one that errs in the variance), fits, and counts how often the intervals of the slope hold
its true value.  A separated sample has no interval and is counted apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import etamu as em
from etamu.errors import EtamuError

LEVELS = (0.90, 0.95)
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def logistic(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return (rng.random(len(x)) < 1 / (1 + np.exp(-(0.2 + 0.8 * x)))).astype(float)


def poisson(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return rng.poisson(np.exp(0.3 + 0.5 * x)).astype(float)


def gamma(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return rng.gamma(2.0, np.exp(0.3 + 0.5 * x) / 2.0)


def even(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return 1.0 + 0.5 * x + rng.normal(size=len(x))


def uneven(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return 1.0 + 0.5 * x + rng.normal(size=len(x)) * (0.3 + np.abs(x))


CASES: dict[str, tuple[str, str | None, int, Draw, float]] = {
    "logistic, n = 30": ("binomial", None, 30, logistic, 0.8),
    "Poisson, n = 15": ("poisson", None, 15, poisson, 0.5),
    "gamma (log), n = 15": ("gamma", "log", 15, gamma, 0.5),
    "gaussian, n = 15": ("gaussian", None, 15, even, 0.5),
    r"gaussian, variance grows with \|x\|, n = 30": ("gaussian", None, 30, uneven, 0.5),
}
METHODS: dict[str, Callable[[em.Fit, float], np.ndarray]] = {
    "Wald": lambda fit, level: fit.confint(level, which="x1"),
    "profile": lambda fit, level: fit.confint(level, "profile", which="x1"),
    "profile, t": lambda fit, level: fit.confint(level, "profile", which="x1", distribution="t"),
    "score": lambda fit, level: fit.confint(level, "score", which="x1"),
    "HC1": lambda fit, level: fit.confint(level, which="x1", vcov="HC1"),
    "HC3": lambda fit, level: fit.confint(level, which="x1", vcov="HC3"),
}


def intervals(replications: int) -> None:
    print("| coverage of the slope, 90 / 95 % | " + " | ".join([*METHODS, "bootstrap"]) + " | no estimate |")
    print("|---" * (len(METHODS) + 3) + "|")
    for name, (family, link, n, draw, slope) in CASES.items():
        rng = np.random.default_rng(20240601)
        held = {m: np.zeros(2) for m in (*METHODS, "bootstrap")}
        tried = dict.fromkeys(held, 0)
        lost = 0
        for k in range(replications):
            x = rng.normal(size=n)
            try:
                fit = em.fit(x, draw(rng, x), family=family, link=link)
            except EtamuError:
                fit = None
            if fit is None or not fit.converged:
                lost += 1
                continue
            kinds: dict[str, Any] = dict(METHODS)
            if k < replications // 4:
                kinds["bootstrap"] = None
            for m, make in kinds.items():
                try:
                    vcov = fit.vcov("bootstrap", draws=199, seed=k) if make is None else None
                    found = [(fit.confint(level, which="x1", vcov=vcov) if make is None else make(fit, level))[0] for level in LEVELS]
                except EtamuError:
                    continue
                tried[m] += 1
                held[m] += [low <= slope <= high for low, high in found]
        cells = [" / ".join(f"{100 * v / max(tried[m], 1):.1f}" for v in held[m]) + ("" if tried[m] else " (none)") for m in held]
        print(f"| {name} | " + " | ".join(cells) + f" | {100 * lost / replications:.1f} % |", flush=True)


def predictions(replications: int) -> None:
    print("\n| coverage of a new observation | 90 % | 95 % |\n|---|---|---|")
    for name, (family, link, n, draw, _) in list(CASES.items())[1:4]:
        rng = np.random.default_rng(20240602)
        hits = []
        for _ in range(replications):
            x, new = rng.normal(size=n), rng.normal(size=50)
            fit = em.fit(x, draw(rng, x), family=family, link=link)
            if fit.converged:
                y = draw(rng, new)
                found = [fit.predict(new, interval="prediction", level=level) for level in LEVELS]
                hits.append([np.mean((y >= p.lower) & (y <= p.upper)) for p in found])
        ninety, ninety_five = 100 * np.mean(hits, axis=0)
        print(f"| {name} | {ninety:.1f} | {ninety_five:.1f} |", flush=True)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    intervals(count)
    predictions(max(count // 10, 50))
