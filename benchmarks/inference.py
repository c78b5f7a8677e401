"""Fit, HC1, leverage and Cook's distance on 300,000 x 30, beside statsmodels; and the same on Parquet files of any size.

python benchmarks/inference.py            both systems, time and peak memory, each in a process of its own
python benchmarks/inference.py FILE ROWS  writes ROWS rows to FILE if it is not there, and measures etamu on it
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def data(rows: int = 300_000, columns: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(rows, columns))
    mu = np.exp(0.5 + x @ rng.normal(0, 0.1, columns))
    return x, rng.gamma(2.0, mu / 2.0)


def etamu(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import etamu as em

    fit = em.fit(x, y, family="gamma", link="log")
    found = fit.influence()
    return fit.stderror(vcov="HC1"), found.leverage, found.cooks_distance


def statsmodels(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import statsmodels.api as sm

    fit = sm.GLM(y, sm.add_constant(x), family=sm.families.Gamma(sm.families.links.Log())).fit(cov_type="HC1", tol=1e-10)
    found = fit.get_influence(observed=False)
    return fit.bse, found.hat_matrix_diag, found.cooks_distance[0]


def one(name: str, times: int) -> None:
    """Seconds of each run, peak memory beyond the data, and the results' sums."""
    run = {"etamu": etamu, "statsmodels": statsmodels}[name]
    x, y = data()
    run(x[:2000], y[:2000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, found = [], ()
    for _ in range(times):
        start = time.perf_counter()
        found = run(x, y)
        seconds.append(time.perf_counter() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": statistics.median(seconds), "peak": peak, "sums": [float(np.sum(v)) for v in found]}))


def on_files(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    import etamu as em

    if not path.exists():
        rng = np.random.default_rng(3)
        writer = None
        for _ in range(0, rows, 1_000_000):
            x = rng.normal(size=(1_000_000, 8))
            columns = {f"x{j}": x[:, j] for j in range(8)} | {"y": rng.poisson(np.exp(-1 + 0.1 * x.sum(axis=1))).astype(float)}
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()
    terms = " + ".join(f"x{j}" for j in range(8))
    steps = []
    start = time.perf_counter()
    fit = em.glm(f"y ~ {terms}", str(path), family="poisson")
    steps.append(("fit", time.perf_counter() - start))
    start = time.perf_counter()
    fit.stderror(vcov="HC1")
    steps.append(("HC1", time.perf_counter() - start))
    start = time.perf_counter()
    most = fit.influence().most("cooks_distance", 5)
    steps.append(("leverage and Cook, streamed", time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{rows:,} rows: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in steps) + f"; peak memory {peak:.2f} GB; most influential {most['row']}")


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] in ("etamu", "statsmodels"):
        one(sys.argv[1], int(sys.argv[2]))
    elif len(sys.argv) == 3:
        on_files(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        found = {}
        for name, times in (("etamu", 7), ("statsmodels", 2)):
            out = subprocess.run([sys.executable, __file__, name, str(times)], capture_output=True, text=True, check=True)
            found[name] = json.loads(out.stdout.splitlines()[-1])
            print(f"{name:12s} {found[name]['seconds']:7.3f} s, peak {found[name]['peak']:7.0f} MB beyond the data, sums {found[name]['sums']}")
        ours, theirs = found["etamu"], found["statsmodels"]
        print(f"ratio {theirs['seconds'] / ours['seconds']:.1f} x, memory {100 * ours['peak'] / theirs['peak']:.1f} %")


if __name__ == "__main__":
    main()
