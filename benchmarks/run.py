"""Time every case in every system on the same data, interleaved, and print medians, ratios, gradients, and the machine's limit.

make bench                               all cases
python benchmarks/run.py logistic        those whose name holds the word
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import etamu as em
import machine
from cases import CASES, Case
from systems import SLOW, SYSTEMS

SMALL_IN_A_ROW = 10  # small fits are timed as they follow one another, in turns of a few for each system


def largest_gradient(case: Case, X: np.ndarray, y: np.ndarray, intercept: np.ndarray, coef: np.ndarray) -> float:
    """max |mean over rows of (y - mu) x| (or (y - mu)/mu for gamma): how far a system stopped from the optimum."""
    eta = X @ coef + intercept
    if case.family == "multinomial":
        if eta.shape[1] < y.max() + 1:
            eta = np.c_[np.zeros(len(eta)), eta]
        mu = np.exp(eta - eta.max(axis=1, keepdims=True))
        residual = np.eye(eta.shape[1])[y] - mu / mu.sum(axis=1, keepdims=True)
    elif case.family == "binomial":
        residual = y - 1 / (1 + np.exp(-eta))
    else:
        residual = y - np.exp(eta) if case.family == "poisson" else y * np.exp(-eta) - 1
    return float(max(np.abs(X.T @ residual).max(), np.abs(residual.sum(axis=0)).max()) / len(y))


def measure(case: Case) -> None:
    X, y = case.make()
    runners = {}
    for name, build in SYSTEMS.items():
        if X.size <= SLOW.get(name, X.size):
            runner = build(case)
            if runner is not None:
                runners[name] = runner
    times: dict[str, list[float]] = {name: [] for name in runners}
    gradients = {}
    for round_ in range(case.runs + 1):  # the first round warms up and gives the gradients
        for name, runner in runners.items():
            gc.collect()
            time.sleep(0.1)  # let another library's spinning threads come to rest
            for _ in range(1 if X.size > 100_000 else SMALL_IN_A_ROW):
                start = time.perf_counter()
                found = runner(X, y)
                elapsed = time.perf_counter() - start
                if round_ > 0:
                    times[name].append(elapsed)
            if round_ == 0:
                gradients[name] = largest_gradient(case, X, y, *found)
    medians = {name: float(np.median(t)) for name, t in times.items()}
    mine = medians.pop("etamu")
    best = min(medians, key=medians.__getitem__)
    verdict = "ok" if medians[best] / mine >= case.floor else "BELOW"
    print(f"\n{case.name}: {medians[best] / mine:.1f} x the best peer ({best}); floor {case.floor:g} {verdict}")
    print(f"  {'etamu':<26}{1e3 * mine:10.2f} ms            largest mean gradient {gradients['etamu']:.1e}")
    for name, median in sorted(medians.items(), key=lambda kv: kv[1]):
        print(f"  {name:<26}{1e3 * median:10.2f} ms  {median / mine:6.1f} x  largest mean gradient {gradients[name]:.1e}")
    if not case.stderrors and machine.core is not None:
        found = machine.passes(case, X, y)
        least = max(found["read"], found["multiply-add"])
        print(
            f"  one full pass {1e3 * found['pass']:.1f} ms = {found['pass'] / least:.1f} x the machine's limit "
            f"(read {1e3 * found['read']:.1f} ms, multiply-add {1e3 * found['multiply-add']:.1f} ms); score only {1e3 * found['score pass']:.1f} ms"
        )


def memory() -> None:
    """Peak extra memory of a fit, each in a process of its own."""
    print("\npeak extra memory of a fit, as a share of X (1M x 20 Poisson):")
    for kind in ("C", "F", "float32", "frame"):
        out = subprocess.run([sys.executable, str(Path(__file__).with_name("memory.py")), kind], capture_output=True, text=True, check=True)
        print(f"  {kind:<8}{out.stdout.strip()}")


def import_time() -> None:
    print("\nimport time, cold process, median of 7:")
    medians = {}
    for name in ("etamu", "sklearn.linear_model", "numpy"):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
            times.append(time.perf_counter() - start)
        medians[name] = float(np.median(times))
        print(f"  {name:<22}{1e3 * medians[name]:8.0f} ms")
    print(f"  etamu / scikit-learn: {medians['etamu'] / medians['sklearn.linear_model']:.2f}")


def main() -> None:
    warnings.filterwarnings("ignore")
    words = sys.argv[1:]
    print(em.show_versions())
    if machine.core is not None:
        print(f"\nread {machine.bandwidth() / 1e9:.1f} GB/s, multiply-add {machine.peak(0) / 1e9:.0f} GFLOP/s, float32 {machine.peak(1) / 1e9:.0f} GFLOP/s")
    for case in CASES:
        if not words or any(w in case.name for w in words):
            measure(case)
    if not words or "memory" in words:
        memory()
    if not words or "import" in words:
        import_time()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(machine.cores()))
    main()
