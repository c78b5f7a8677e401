"""The data of each benchmark, the same for every system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """A problem, and the least ratio (best peer over etamu) the project promises for it."""

    name: str
    family: str
    link: str | None
    make: Callable[[], tuple[np.ndarray, np.ndarray]]
    floor: float
    runs: int = 7
    stderrors: bool = False


def design(n: int, p: int, seed: int, correlated: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    if correlated:
        X += rng.normal(size=(n, 5)) @ rng.normal(size=(5, p)) * 0.7
    return X


def poisson(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    X = design(n, p, 1)
    rng = np.random.default_rng(2)
    return X, rng.poisson(np.exp(X @ (rng.normal(size=p) * 0.2) - 1.0)).astype(float)


def logistic(n: int, p: int, correlated: bool = False) -> tuple[np.ndarray, np.ndarray]:
    X = design(n, p, 3, correlated)
    rng = np.random.default_rng(4)
    eta = X @ (rng.normal(size=p) * (0.3 / np.sqrt(p) if correlated else 0.2))
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)


def gamma(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    X = design(n, p, 5) * 0.5
    rng = np.random.default_rng(6)
    mu = np.exp(X @ (rng.normal(size=p) * 0.2) + 1.0)
    return X, rng.gamma(2.0, mu / 2.0)


def softmax(n: int, p: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    X = design(n, p, 7)
    rng = np.random.default_rng(8)
    eta = X @ (rng.normal(size=(p, classes)) * 0.3)
    share = np.exp(eta - eta.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return X, (rng.random(n)[:, None] > share.cumsum(axis=1)).sum(axis=1)


CASES = [
    Case("poisson 1M x 5", "poisson", None, lambda: poisson(1_000_000, 5), 8),
    Case("poisson 1M x 20", "poisson", None, lambda: poisson(1_000_000, 20), 10),
    Case("logistic 1M x 20", "binomial", None, lambda: logistic(1_000_000, 20), 8),
    Case("logistic 200k x 200 correlated", "binomial", None, lambda: logistic(200_000, 200, True), 4, 5),
    Case("logistic 50k x 500 correlated", "binomial", None, lambda: logistic(50_000, 500, True), 3, 5),
    Case("gamma-log 300k x 30", "gamma", "log", lambda: gamma(300_000, 30), 8),
    Case("logistic 1000 x 4 with standard errors", "binomial", None, lambda: logistic(1_000, 4), 5, 11, stderrors=True),
    Case("softmax 100k x 50 x 10", "multinomial", None, lambda: softmax(100_000, 50, 10), 4, 5),
]
