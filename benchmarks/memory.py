"""Peak extra memory of one fit, relative to X, in this process: python benchmarks/memory.py C|F|float32|frame."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

import etamu as em


def peak() -> int:
    """Bytes at the high-water mark; ru_maxrss would start from that of the process that forked this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def build(kind: str):
    n, p = 1_000_000, 20
    rng = np.random.default_rng(0)
    order, dtype = ("F" if kind in ("F", "frame") else "C"), ("f4" if kind == "float32" else "f8")
    X = np.empty((n, p), dtype=dtype, order=order)
    for start in range(0, n, 1_000):  # in slabs, so that making X leaves no higher peak than X itself
        X[start : start + 1_000] = rng.normal(size=(1_000, p))
    y = np.empty(n)
    for start in range(0, n, 1_000):
        y[start : start + 1_000] = rng.poisson(0.5, 1_000)
    return X, y


def main() -> None:
    kind = sys.argv[1]
    X, y = build(kind)
    size = X.nbytes
    data = {f"x{j}": X[:, j] for j in range(X.shape[1])} if kind == "frame" else X
    em.fit(np.ones((50, 2)) * np.arange(50)[:, None], np.arange(50.0), family="poisson")  # load what loads once
    em.fit(X[:20_000], y[:20_000], family="poisson")
    before = peak()
    fit = em.fit(data, y, family="poisson")
    fit.stderror()
    print(f"{100 * (peak() - before) / size:.1f} %")


if __name__ == "__main__":
    main()
