"""What the machine could do at best: read bandwidth, multiply-add peak, and one pass measured against both."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cases import Case
from etamu.core import core, cores


def best(run, repeats: int = 9) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def bandwidth() -> float:
    """Bytes per second that all threads together read from memory."""
    threads = cores()
    data = np.ones(40_000_000)
    parts = np.array_split(data, threads)
    with ThreadPoolExecutor(threads) as pool:
        return data.nbytes / best(lambda: list(pool.map(np.max, parts)))


def peak(arithmetic: int) -> float:
    """Floating-point operations per second of multiply-adds on registers."""
    threads = cores()
    loops = 3_000_000
    work = sum(core.peak(arithmetic, 10) for _ in range(threads)) / 10 * loops
    with ThreadPoolExecutor(threads) as pool:
        return work / best(lambda: list(pool.map(lambda _: core.peak(arithmetic, loops), range(threads))))


def passes(case: Case, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Seconds of one full pass (deviance, score and information) and the seconds the machine needs at least for it."""
    import etamu as em
    from etamu.sources.memory import Memory
    from etamu.sums import Request

    fit = em.fit(X, y, family=case.family, link=case.link)
    source, beta = Memory(fit.problem), fit.estimate.gamma
    p, q = beta.shape[0], 1 if beta.ndim == 1 else beta.shape[1]
    flops = len(y) * p * (p + 1) * q * (q + 1) / 2 + 4 * len(y) * p * q
    return {
        "pass": best(lambda: source.sum(Request(beta, 2))),
        "score pass": best(lambda: source.sum(Request(beta, 1))),
        "read": (X.nbytes + y.nbytes) / bandwidth(),
        "multiply-add": flops / peak(0),
    }
