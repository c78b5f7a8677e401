"""Fits of a Parquet file larger than one wants in memory: python benchmarks/stream.py ROWS [FOLDER].

Prints the time of a whole fit, of one pass against the plain cost of reading the same columns, and the peak memory.  The
file is made in FOLDER (a temporary one by default) and made anew only when it is not there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memory import peak

GROUP = 1_000_000
FORMULA = "claims ~ area + fuel + C(power) + age + bonus + density + offset(log(exposure))"
COLUMNS = ["claims", "area", "fuel", "power", "age", "bonus", "density", "exposure"]


def make(path: Path, rows: int) -> None:
    """Ten columns, of which a model reads eight; row groups of a million."""
    areas, fuels = pa.array([f"area {c}" for c in "ABCDEFGHIJKL"]), pa.array(["diesel", "petrol"])
    writer = None
    for first in range(0, rows, GROUP):
        rng = np.random.default_rng([7, first])
        n = min(GROUP, rows - first)
        area, fuel, power = rng.integers(0, 12, n), rng.integers(0, 2, n), rng.integers(4, 16, n)
        age, bonus, density = rng.normal(45, 15, n), rng.normal(60, 10, n), rng.exponential(5, n)
        exposure = rng.uniform(0.05, 1, n)
        eta = -2 + 0.03 * area - 0.1 * fuel + 0.02 * power - 0.004 * (age - 45) + 0.01 * (bonus - 60) + 0.01 * density
        table = pa.table(
            {
                "claims": rng.poisson(np.exp(eta) * exposure).astype("i1"),
                "area": pa.DictionaryArray.from_arrays(pa.array(area.astype("i1")), areas),
                "fuel": pa.DictionaryArray.from_arrays(pa.array(fuel.astype("i1")), fuels),
                "power": power.astype("i2"),
                "age": age,
                "bonus": bonus,
                "density": density,
                "exposure": exposure,
                "region": rng.integers(0, 100, n).astype("i2"),
                "value": rng.normal(size=n),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def read(path: Path) -> float:
    """Seconds to decode the columns, and nothing else."""
    start = time.perf_counter()
    file = pq.ParquetFile(path, pre_buffer=False)
    for _ in file.iter_batches(batch_size=1 << 18, columns=COLUMNS, use_threads=True):
        pass
    return time.perf_counter() - start


def main() -> None:
    rows = int(float(sys.argv[1]))
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    path = folder / f"portfolio_{rows}.parquet"
    if not path.exists():
        make(path, rows)
    import etamu as em
    from etamu.sources.streamed import open_source
    from etamu.sums import Request

    before = peak()
    start = time.perf_counter()
    fit = em.glm(FORMULA, path, family="poisson", cache=str(folder))
    whole = time.perf_counter() - start
    fit.stderror()
    highest = peak()
    source, beta = open_source(fit.problem), fit.estimate.gamma
    passes, plain, again = [], [], []
    direct = open_source(em.glm(FORMULA, path, family="poisson", control=em.Control(max_iter=1)).problem)
    for _ in range(3):
        plain.append(read(path))
        start = time.perf_counter()
        direct.sum(Request(beta, 2))
        again.append(time.perf_counter() - start)
        start = time.perf_counter()
        source.sum(Request(beta, 2))
        passes.append(time.perf_counter() - start)
    one, decoded, reading = (float(np.median(t)) for t in (passes, again, plain))
    print(f"\n{rows:,} rows x 8 columns of a Parquet file of {path.stat().st_size / 1e9:.2f} GB: {fit.status.name.lower()}, {fit.trace.passes} full passes")
    print(f"  whole fit {whole:.1f} s; reading the columns {reading:.2f} s")
    print(f"  one pass over cached rows {one:.2f} s = {one / reading:.2f} x reading, {rows / one / 1e6:.1f} M rows/s")
    print(f"  one pass that decodes the file {decoded:.2f} s = {decoded / reading:.2f} x reading")
    print(f"  peak memory {highest / 1e9:.2f} GB ({(highest - before) / 1e9:.2f} GB above the interpreter and its libraries)")


if __name__ == "__main__":
    main()
