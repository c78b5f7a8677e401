"""Insurance tables through formulas: etamu, glum with its native categoricals, and scikit-learn on one-hot columns.

make bench-tables, or python benchmarks/tables.py [words of the names]

Every system sees the same pandas frame; medians of runs that alternate.  "fit" is from encoded data to coefficients (for glum
from a tabmat matrix), "table" from the frame to coefficients with standard errors.
"""

from __future__ import annotations

import gc
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas as pd
from scipy import sparse

import etamu as em
from etamu.design.columns import Column, Design

ROWS = 678_013
LEVELS = {"area": 6, "brand": 11, "region": 22, "fuel": 2, "power": 7, "use": 6, "class_": 12}


def portfolio(numeric: bool = True, many: int = 0) -> pd.DataFrame:
    """Policies with factors of 6, 11, 22, 2, 7, 6 and 12 levels, two numbers, an exposure, and claims."""
    rng = np.random.default_rng(11)
    frame, eta = {}, np.full(ROWS, -2.2)
    levels = {**LEVELS, "agent": many} if many else LEVELS
    for name, m in levels.items():
        code = rng.choice(m, ROWS, p=rng.dirichlet(np.full(m, 5.0 if m < 100 else 100.0)))
        eta += rng.normal(size=m)[code] * 0.15
        frame[name] = pd.Categorical.from_codes(code, [f"{name}{j:04d}" for j in range(m)])
    if numeric:
        frame["age"], frame["bonus"] = rng.normal(45, 15, ROWS), rng.normal(60, 10, ROWS)
        eta += 0.005 * (frame["bonus"] - 60) - 0.003 * (frame["age"] - 45)
    frame["exposure"] = rng.uniform(0.05, 1, ROWS)
    frame["claims"] = rng.poisson(np.exp(eta) * frame["exposure"]).astype(float)
    return pd.DataFrame(frame)


@dataclass(frozen=True)
class Case:
    """A frame, a model, and the least ratios (glum over etamu) that are promised: of the fit alone, and frame to table."""

    name: str
    frame: Callable[[], pd.DataFrame]
    terms: str
    fit: float | None
    table: float | None
    runs: int = 5


MAIN = " + ".join(LEVELS)
CASES = [
    Case("seven factors, two numbers", portfolio, f"{MAIN} + age + bonus", 8, 5),
    Case("with interactions", portfolio, f"{MAIN} + age + bonus + area:brand + use:class_ + power:region", 4, None, 3),
    Case("one factor of 5,000 levels", lambda: portfolio(many=5000), "agent + area + fuel + age + bonus", 5, None, 3),
    Case("factors only", lambda: portfolio(numeric=False), "area + fuel + power + use", 20, None),
]


def etamu(case: Case, frame: pd.DataFrame) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    design = em.encode(f"~ {case.terms}", frame)
    y, exposure = frame["claims"].to_numpy(), frame["exposure"].to_numpy()

    def fit() -> np.ndarray:
        return em.fit(design, y, family="poisson", exposure=exposure).coef

    def table() -> np.ndarray:
        found = em.glm(f"claims ~ {case.terms}", frame, family="poisson", exposure="exposure")
        found.stderror()
        return found.coef

    return fit, table


def glum(case: Case, frame: pd.DataFrame) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    import tabmat
    from glum import GeneralizedLinearRegressor

    y, w = (frame["claims"] / frame["exposure"]).to_numpy(), frame["exposure"].to_numpy()
    X = tabmat.from_formula(f"1 + {case.terms}", frame, ensure_full_rank=True, cat_threshold=0, include_intercept=True)

    def fit() -> np.ndarray:
        model = GeneralizedLinearRegressor(family="poisson", alpha=0, gradient_tol=1e-6, fit_intercept=False).fit(X, y, sample_weight=w)
        return model.coef_

    def table() -> np.ndarray:
        model = GeneralizedLinearRegressor(family="poisson", alpha=0, gradient_tol=1e-6, formula=case.terms, drop_first=True).fit(frame, y, sample_weight=w)
        model.std_errors(frame, y, sample_weight=w)
        return np.r_[model.intercept_, model.coef_]

    return fit, table


def onehot(design: Design) -> sparse.csr_matrix:
    """The design with its factors as indicator columns, without the constant."""
    blocks = []
    for part in design.parts[1:]:
        if isinstance(part, Column):
            blocks.append(sparse.csr_matrix(part.values.astype(float)[:, None]))
            continue
        slot = part.slots[part.codes]
        rows = np.flatnonzero(slot >= 0)
        blocks.append(sparse.csr_matrix((np.ones(len(rows)), (rows, slot[rows])), shape=(design.rows, len(part.names))))
    return sparse.hstack(blocks).tocsr()


def sklearn(case: Case, frame: pd.DataFrame) -> Callable[[], np.ndarray]:
    from sklearn.linear_model import PoissonRegressor

    y, w = (frame["claims"] / frame["exposure"]).to_numpy(), frame["exposure"].to_numpy()
    X = onehot(em.encode(f"~ {case.terms}", frame))

    def fit() -> np.ndarray:
        model = PoissonRegressor(alpha=0, solver="lbfgs", tol=1e-6, max_iter=5000).fit(X, y, sample_weight=w)
        return np.r_[model.intercept_, model.coef_]

    return fit


def median(times: list[float]) -> float:
    return float(np.median(times))


def measure(case: Case) -> None:
    frame = case.frame()
    runners: dict[str, Callable[[], np.ndarray]] = {}
    runners["etamu fit"], runners["etamu table"] = etamu(case, frame)
    runners["glum fit"], glum_table = glum(case, frame)
    if case.table is not None:
        runners["glum table"] = glum_table
    runners["sklearn one-hot fit"] = sklearn(case, frame)
    times: dict[str, list[float]] = {name: [] for name in runners}
    found: dict[str, np.ndarray] = {}
    for round_ in range(case.runs + 1):
        for name, run in runners.items():
            if round_ != 1 and name.startswith("sklearn"):
                continue  # shown beside, once
            gc.collect()
            time.sleep(0.15)
            start = time.perf_counter()
            found[name] = run()
            if round_:
                times[name].append(time.perf_counter() - start)
    mine, theirs = median(times["etamu fit"]), median(times["glum fit"])
    print(f"\n{case.name}: {len(found['etamu fit'])} coefficients, {ROWS:,} rows")
    print(f"  fit alone: {theirs / mine:.1f} x glum (floor {case.fit:g} {'ok' if theirs / mine >= (case.fit or 0) else 'BELOW'})")
    if case.table is not None:
        ratio = median(times["glum table"]) / median(times["etamu table"])
        print(f"  frame in, table out: {ratio:.1f} x glum (floor {case.table:g} {'ok' if ratio >= case.table else 'BELOW'})")
    for name, t in times.items():
        print(f"  {name:<22}{1e3 * median(t):10.1f} ms")
    if len(found["glum fit"]) == len(found["etamu fit"]):
        print(f"  largest difference of sorted coefficients from glum's: {np.abs(np.sort(found['etamu fit']) - np.sort(found['glum fit'])).max():.1e}")


def main() -> None:
    warnings.filterwarnings("ignore")
    words = sys.argv[1:]
    print(em.show_versions())
    for case in CASES:
        if not words or any(w in case.name for w in words):
            measure(case)


if __name__ == "__main__":
    main()
