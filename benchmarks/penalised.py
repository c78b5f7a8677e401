"""Time penalised fits beside glmnet, adelie, celer, skglm, glum and scikit-learn, and hold every answer against one objective.

python benchmarks/penalised.py                                   everything; an hour
python benchmarks/penalised.py --workloads 1,5 --only glmnet,adelie
python benchmarks/penalised.py --report FILE                     adds the tables to FILE as they come

A workload is drawn once and lies in a temporary folder; each contestant is a process of its own (rivals/), which loads it, warms up on a
corner of it, and solves on request, so that runs alternate and only the solve is timed.  Speed is compared at the rivals' default
tolerances; the tight ones show what their answers are worth and serve the comparison of objectives: the judge computes

    1/n sum unit deviance / 2 + alpha (l1_ratio |b|_1 + (1 - l1_ratio)/2 |b|^2)

of every contestant's coefficients at every alpha in float64.  "excess" is the worst over alphas of (theirs - best)/best, best being the
lowest that anybody reached; beside it stand etamu's worst excess over this one, which must stay below 1e-10, and this one's over etamu's.

The rivals live in benchmarks/.peers, made from requirements/bench-peers.txt when it is missing, or in the environment that ETAMU_PEERS
names; glmnet is that of the Rscript found on the path (R packages glmnet, jsonlite).
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

HERE = Path(__file__).parent
RUNS, BUDGET, LIMIT = 5, 30.0, 240.0  # runs of each; seconds after which a contestant is not asked again; seconds that one solve may take
ALLOWED = 1e-10  # etamu's excess over anybody
SOLVED = 0.01  # a contestant whose objective is further above the best has not solved the problem, and is not the fastest rival
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- workloads ----


@dataclass
class Workload:
    """Data, a family and alphas; ``number`` is that of --workloads."""

    number: int
    name: str
    kind: str  # path, single, cv, table
    family: str
    X: Any  # column-major, or CSC
    y: np.ndarray
    alphas: np.ndarray
    l1_ratio: float = 1.0
    folds: np.ndarray | None = None
    exposure: np.ndarray | None = None
    frame: Any = None
    terms: str = ""
    without: dict[str, str] = field(default_factory=dict)  # contestants left out, and why


def dense(n: int, p: int, rng: np.random.Generator, rho: float = 0.5) -> np.ndarray:
    """Columns of unit variance, each correlated rho with the one before."""
    X = np.empty((n, p), order="F")
    for j in range(p):
        fresh = rng.standard_normal(n)
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho * rho) * fresh if j else fresh
    return X


def thin(n: int, p: int, density: float, rng: np.random.Generator, rho: float = 0.5) -> sparse.csc_matrix:
    """Columns of about n * density normal entries, each entry with chance rho the one that the column before has."""
    k = max(1, round(n * density))
    rows, values = rng.integers(0, n, (p, k)), rng.standard_normal((p, k))
    origin = np.maximum.accumulate(np.where((rng.random((p, k)) >= rho) | (np.arange(p) == 0)[:, None], np.arange(p)[:, None], 0), axis=0)
    slots = np.broadcast_to(np.arange(k), (p, k))
    X = sparse.csc_matrix((values[origin, slots].ravel(), (rows[origin, slots].ravel(), np.repeat(np.arange(p), k))), shape=(n, p))
    X.sum_duplicates()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X


def response(X: Any, family: str, nonzero: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """y of a sparse truth; eta has the standard deviation ``spread``, gaussian noise 1."""
    n, p = X.shape
    b = np.zeros(p)
    b[rng.choice(p, nonzero, replace=False)] = rng.choice([-1.0, 1.0], nonzero) * rng.uniform(0.5, 1.5, nonzero)
    eta = np.asarray(X @ b)
    eta *= spread / eta.std()
    return (rng.random(n) < 1 / (1 + np.exp(-eta - 0.3))).astype(float) if family == "binomial" else 1 + eta + rng.standard_normal(n)


def largest(X: Any, y: np.ndarray) -> float:
    """The least alpha of a lasso at which nothing enters."""
    return float(np.abs(X.T @ (y - y.mean())).max() / len(y))


def grid(X: Any, y: np.ndarray, n_alphas: int, ratio: float = 0.01) -> np.ndarray:
    return largest(X, y) * np.geomspace(1, ratio, n_alphas)


FULL_GRAM = "keeps a p x p matrix"
NO_CONSTANT = "its logistic regression has no intercept"
SAGA = "saga, one alpha at a time"


def workloads(numbers: set[int]) -> Iterator[Workload]:
    def draw(number: int, variant: int = 0) -> np.random.Generator:
        return np.random.default_rng([41, number, variant])

    left_out = {"binomial": {"celer": NO_CONSTANT, "sklearn": SAGA}, "gaussian": {}}
    wide = {family: names | {"glum": FULL_GRAM} for family, names in left_out.items()}
    for number, family in ((1, "binomial"), (2, "gaussian")):
        if number in numbers:
            rng = draw(1)  # the same X for both
            X = dense(1000, 10_000, rng)
            y = response(X, family, 30, 2.0, rng)
            yield Workload(
                number,
                f"{family} lasso path, 1,000 x 10,000, 100 alphas",
                "path",
                family,
                X,
                y,
                grid(X, y, 100),
                without=wide[family],
            )
    if 3 in numbers:
        for family in ("binomial", "gaussian"):
            rng = draw(3)
            X = thin(2000, 100_000, 0.005, rng)
            y = response(X, family, 50, 2.0, rng)
            yield Workload(
                3,
                f"{family} lasso path, sparse 2,000 x 100,000, 50 alphas",
                "path",
                family,
                X,
                y,
                grid(X, y, 50),
                without=wide[family],
            )
    if 4 in numbers:
        for family in ("binomial", "gaussian"):
            rng = draw(4)
            X = dense(100_000, 500, rng)
            y = response(X, family, 40, 1.5, rng)
            if family == "binomial":
                alphas = np.array([0.01 * largest(X, y)])
                yield Workload(4, "binomial lasso, 100,000 x 500, one alpha", "single", family, X, y, alphas, without={"celer": NO_CONSTANT})
            yield Workload(4, f"{family} lasso path, 100,000 x 500, 50 alphas", "path", family, X, y, grid(X, y, 50), without=left_out[family])
    if 5 in numbers:
        for p in (1000, 2000):
            rng = draw(5, p)
            X = dense(1000, p, rng)
            y = response(X, "gaussian", 20, 2.0, rng)
            for share in (0.1, 0.01):
                alphas = np.array([share * largest(X, y)])
                yield Workload(5, f"gaussian lasso, 1,000 x {p:,}, alpha {share:g} of the largest", "single", "gaussian", X, y, alphas)
    if 6 in numbers:
        for family in ("binomial", "gaussian"):
            rng = draw(6)
            X = dense(50_000, 200, rng)
            y = response(X, family, 30, 1.5, rng)
            folds = rng.permutation(np.arange(len(y), dtype=np.int32) % 5)
            without = left_out[family] | {"skglm": "no cross-validation of its own"}
            yield Workload(6, f"{family} lasso, 5-fold CV, 50,000 x 200, 50 alphas", "cv", family, X, y, grid(X, y, 50), folds=folds, without=without)
    if 7 in numbers:
        yield from insurance()


def insurance() -> Iterator[Workload]:
    """The insurance table: factors with their first level as the base, two numbers in standard units, exposure."""
    import pandas as pd

    import etamu as em

    data = em.datasets.make_insurance(678_000)
    factors = ["area", "fuel", "use", "brand", "region", "power"]
    frame = pd.DataFrame({name: pd.Categorical(np.asarray(data[name]).astype(str), categories=list(map(str, np.unique(data[name])))) for name in factors})
    for name in ("age", "vehicle_age", "bonus"):
        values = np.asarray(data[name], dtype=float)
        frame[name] = (values - values.mean()) / values.std()
    frame["claims"], frame["exposure"] = np.asarray(data["claims"], dtype=float), data["exposure"]
    columns = [sparse.csc_matrix(pd.get_dummies(frame[name], drop_first=True, dtype=float).to_numpy()) for name in factors]
    X = sparse.hstack([*columns, sparse.csc_matrix(frame[["age", "vehicle_age", "bonus"]].to_numpy())]).tocsc()
    y, e = frame["claims"].to_numpy(), frame["exposure"].to_numpy()
    top = float(np.abs(X.T @ (y - e * y.sum() / e.sum())).max() / len(y) / 0.5)
    terms = " + ".join([*factors, "age", "vehicle_age", "bonus"])
    without = dict.fromkeys(("adelie", "celer", "skglm", "sklearn"), "no factors, or no Poisson with exposure")
    for name, alphas in (("one alpha", np.array([0.01 * top])), ("20 alphas", top * np.geomspace(1, 0.001, 20))):
        yield Workload(
            7, f"poisson elastic net (1/2), insurance table of 678,000 rows, {name}", "table", "poisson", X, y, alphas, 0.5, None, e, frame, terms, without
        )


def save(w: Workload, folder: Path) -> None:
    if sparse.issparse(w.X):
        arrays = {"X.data": w.X.data, "X.indices": w.X.indices.astype(np.int32), "X.indptr": w.X.indptr.astype(np.int32)}
    else:
        arrays = {"X": w.X}
    arrays |= {"y": w.y, "alphas": w.alphas}
    arrays |= {name: v for name, v in (("folds", w.folds), ("exposure", w.exposure)) if v is not None}
    columns: dict[str, list[str] | None] = {}
    for name in w.frame if w.frame is not None else ():
        v = w.frame[name]
        columns[name] = list(v.cat.categories) if v.dtype == "category" else None
        arrays[f"frame.{name}"] = (v.cat.codes if columns[name] else v).to_numpy()
    for name, v in arrays.items():
        np.save(folder / f"{name}.npy", v)
    told = {"kind": w.kind, "family": w.family, "l1_ratio": w.l1_ratio, "shape": w.X.shape, "terms": w.terms, "threads": THREADS, "columns": columns}
    (folder / "task.json").write_text(json.dumps(told))


# ---- contestants ----


@dataclass(frozen=True)
class Contestant:
    """A program of rivals/ with options, and the workloads it is for beyond those that leave its first name out."""

    name: str
    program: str
    options: dict[str, Any] = field(default_factory=dict)
    fits: Callable[[Workload], bool] = lambda w: True

    def takes(self, w: Workload) -> bool:
        return self.name.split()[0] not in w.without and self.fits(w)


def tall_gaussian(w: Workload) -> bool:
    return w.family == "gaussian" and w.X.shape[0] > w.X.shape[1]


CONTESTANTS = [
    Contestant("etamu", "by_etamu.py"),
    Contestant("glmnet", "by_glmnet.R"),
    Contestant("glmnet covariance", "by_glmnet.R", {"type.gaussian": "covariance"}, lambda w: tall_gaussian(w) and w.X.shape[1] >= 500),  # else its default
    Contestant("adelie", "by_adelie.py"),
    Contestant("adelie one thread", "by_adelie.py", {"threads": 1}),
    Contestant("adelie covariance", "by_adelie.py", {"covariance": True}, lambda w: tall_gaussian(w) and w.kind != "cv"),
    Contestant("celer", "by_celer.py"),
    Contestant("skglm", "by_skglm.py"),
    Contestant("glum", "by_glum.py"),
    Contestant("sklearn", "by_sklearn.py"),
]


def peers() -> Path:
    """The rivals' Python; their environment is made when it is missing."""
    chosen = os.environ.get("ETAMU_PEERS")
    root = Path(chosen) if chosen else HERE / ".peers"
    python = root / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        if chosen:
            sys.exit(f"ETAMU_PEERS is {chosen}, where there is no {python}")
        print(f"making {root} from requirements/bench-peers.txt ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
        wanted = HERE.parent / "requirements" / "bench-peers.txt"
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(wanted)], check=True)
    return python


class Process:
    """A contestant at work on one workload."""

    def __init__(self, contestant: Contestant, folder: Path, python: Path) -> None:
        program = HERE / "rivals" / contestant.program
        if program.suffix == ".R":
            launch = [shutil.which("Rscript") or "Rscript", str(program)]
        else:
            launch = [sys.executable if contestant.name == "etamu" else str(python), str(program)]
        self.log = (folder / f"{contestant.name}.log").open("w+")
        environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen(
            [*launch, str(folder), json.dumps(contestant.options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, bufsize=0, env=environment
        )
        self.rest = b""
        first = self.answer(600)
        self.fault = first.get("error") if "error" in first else None

    def answer(self, limit: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        end = time.monotonic() + limit
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                self.close()
                return {"late": limit}
            got = os.read(self.process.stdout.fileno(), 1 << 16)
            if not got:
                self.log.seek(0)
                return {"error": f"{self.log.read()[-400:]}\nended with {self.process.wait()}"}
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def solve(self, tolerance: str, out: Path) -> dict[str, Any]:
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return {"error": f"ended with {self.process.poll()}"}
        self.process.stdin.write(f"{tolerance} {out}\n".encode())
        return self.answer(LIMIT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


# ---- the judge ----


def objectives(w: Workload, out: Path) -> np.ndarray | None:
    """The objective at every alpha, nan where a path ended early; None where no coefficients were left."""
    found, p = Path(f"{out}.coefs"), w.X.shape[1]
    if not found.exists():
        return None
    coefs = np.fromfile(found).reshape(-1, p)
    intercepts = np.fromfile(f"{out}.intercepts")
    total = np.full(len(w.alphas), np.nan)
    eta = np.asarray(w.X @ coefs.T) + intercepts
    y = w.y[:, None]
    if w.family == "binomial":
        half = np.logaddexp(0, np.where(y > 0.5, -eta, eta))
    elif w.family == "gaussian":
        half = 0.5 * (y - eta) ** 2
    else:
        assert w.exposure is not None
        mu = np.exp(eta) * w.exposure[:, None]
        half = mu - y + np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mu), 0)
    penalty = w.l1_ratio * np.abs(coefs).sum(axis=1) + (1 - w.l1_ratio) / 2 * (coefs**2).sum(axis=1)
    total[: len(coefs)] = half.mean(axis=0) + w.alphas[: len(coefs)] * penalty
    return total


@dataclass
class Result:
    seconds: list[float] = field(default_factory=list)
    value: np.ndarray | None = None  # objectives along the path
    held_out: np.ndarray | None = None  # mean deviance of cross-validation
    active: int | None = None  # nonzero coefficients at the last alpha
    fault: str | None = None


def collect(w: Workload, out: Path, result: Result) -> None:
    result.value = objectives(w, out)
    if Path(f"{out}.coefs").exists():
        result.active = int((np.fromfile(f"{out}.coefs").reshape(-1, w.X.shape[1])[-1] != 0).sum())
    if Path(f"{out}.deviance").exists():
        result.held_out = np.fromfile(f"{out}.deviance")


def measure(w: Workload, chosen: list[Contestant], python: Path, folder: Path, tight: bool) -> dict[tuple[str, str], Result]:
    save(w, folder)
    results: dict[tuple[str, str], Result] = {}
    running: dict[str, Process] = {}
    for c in chosen:
        if c.takes(w):
            running[c.name] = Process(c, folder, python)
            results[c.name, "default"] = Result(fault=running[c.name].fault)

    def ask(name: str, tolerance: str, first: bool) -> None:
        result, out = results[name, tolerance], folder / f"{name.replace(' ', '_')}.{tolerance}"
        time.sleep(0.1)  # let another library's spinning threads come to rest
        told = running[name].solve(tolerance, out)
        if "seconds" in told:
            result.seconds.append(told["seconds"])
            if first:
                collect(w, out, result)
        else:
            result.fault = f"> {told['late']:.0f} s" if "late" in told else told["error"].strip()

    for round_ in range(RUNS):
        for name in running:
            result = results[name, "default"]
            if result.fault is None and sum(result.seconds) < BUDGET:
                ask(name, "default", round_ == 0)
    for name in running:
        result = results[name, "default"]
        if tight and name != "adelie one thread" and result.fault is None:
            results[name, "tight"] = Result()
            ask(name, "tight", True)
    for process in running.values():
        process.close()
    return results


def worst(a: np.ndarray | None, b: np.ndarray | None) -> str:
    """The worst relative excess of a over b."""
    if a is None or b is None or not np.isfinite(a - b).any():
        return "-"
    return f"{np.nanmax((a - b) / b):.1e}"


def report(w: Workload, results: dict[tuple[str, str], Result]) -> str:
    values = [r.value for r in results.values() if r.value is not None]
    best = np.nanmin(values, axis=0) if values else None
    medians = {name: float(np.median(r.seconds)) for (name, tolerance), r in results.items() if tolerance == "default" and r.seconds}
    off = {name for (name, tolerance), r in results.items() if tolerance == "default" and r.value is not None and np.nanmax((r.value - best) / best) > SOLVED}
    rivals = {name: t for name, t in medians.items() if name != "etamu" and name not in off}
    fastest = min(rivals, key=rivals.__getitem__) if rivals else None
    mine = results.get(("etamu", "default"))
    lines = [f"\n{w.number}. {w.name}"]
    if fastest and "etamu" in medians:
        lines[0] += f": {rivals[fastest] / medians['etamu']:.1f} x the fastest rival ({fastest})"
    head = f"  {'':<20}{'tolerance':<10}{'median s':>10}{'runs':>5}{'x fastest':>10}{'excess':>10}{'nonzero':>9}"
    lines.append(head + (f"{'etamu over it':>15}{'it over etamu':>15}" if mine else ""))
    order = sorted(results, key=lambda key: (key[1], np.median(results[key].seconds) if results[key].seconds else np.inf))
    for name, tolerance in order:
        r = results[name, tolerance]
        line = f"  {name:<20}{tolerance:<10}"
        if not r.seconds:
            lines.append(line + f"  {(r.fault or '').splitlines()[-1][:110]}")
            continue
        t = float(np.median(r.seconds))
        nonzero = "-" if r.active is None else str(r.active)
        line += f"{t:>10.4g}{len(r.seconds):>5}{t / rivals[fastest] if fastest else 1:>10.2f}{worst(r.value, best):>10}{nonzero:>9}"
        if mine and name != "etamu":
            excess = worst(mine.value, r.value)
            over = excess != "-" and float(excess) > ALLOWED
            line += f"{excess + (' ABOVE' if over else ''):>15}{worst(r.value, mine.value):>15}"
        if r.value is not None and np.isnan(r.value).any():
            line += f"   ended after {int(np.isfinite(r.value).sum())} of {len(w.alphas)} alphas"
        lines.append(line)
    for key in (("glmnet", "tight"), ("glmnet", "default")):
        judge = results[key].held_out if key in results else None
        if judge is not None:
            same = {f"{n} {t}": r.held_out for (n, t), r in results.items() if r.held_out is not None and len(r.held_out) == len(judge)}
            gaps = ", ".join(f"{n} {np.abs(v / judge - 1).max():.1e}" for n, v in same.items())
            lines.append(f"  mean held-out deviance, largest relative difference from glmnet's ({key[1]}): {gaps}")
            break
    if w.without:
        lines.append("  left out: " + "; ".join(f"{name} ({why})" for name, why in w.without.items()))
    return "\n".join(lines)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--workloads", default="1,2,3,4,5,6,7", help="numbers, with commas")
    ask.add_argument("--match", default="", help="a word of the workloads' names")
    ask.add_argument("--only", default="", help="contestants, with commas: etamu, glmnet, adelie, celer, skglm, glum, sklearn")
    ask.add_argument("--report", type=Path, help="a file to which tables are added")
    ask.add_argument("--no-tight", action="store_true", help="default tolerances only")
    told = ask.parse_args()
    names = set(filter(None, told.only.split(",")))
    chosen = [c for c in CONTESTANTS if not names or c.name in names or c.name.split()[0] in names]
    if shutil.which("Rscript") is None:
        print("no Rscript on the path: glmnet is left out")
        chosen = [c for c in chosen if not c.program.endswith(".R")]
    python = peers() if any(c.name != "etamu" and c.program.endswith(".py") for c in chosen) else Path(sys.executable)
    for w in workloads({int(k) for k in told.workloads.split(",")}):
        if told.match not in w.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = report(w, measure(w, chosen, python, Path(folder), not told.no_tight))
        print(text, flush=True)
        if told.report:
            with told.report.open("a") as file:
                file.write(text + "\n")


if __name__ == "__main__":
    main()
