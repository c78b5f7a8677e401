"""What every contestant shares: the task read from a folder, a warm-up on a corner of it, and runs on request.

A contestant is a process that loads its data once and then answers lines "TOLERANCE OUTPUT" on its input, TOLERANCE being default or tight,
with one line of JSON, {"seconds": of the solve alone}; what it found lies in OUTPUT.coefs, OUTPUT.intercepts and OUTPUT.deviance as raw
doubles.  So runs of several contestants can alternate, and none waits for another's compiler.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse


@dataclass
class Task:
    """A workload as a contestant sees it; X is column-major or CSC, alphas fall."""

    kind: str  # path, single, cv, table
    family: str
    l1_ratio: float
    X: Any
    y: np.ndarray
    alphas: np.ndarray
    folds: np.ndarray | None = None
    exposure: np.ndarray | None = None
    frame: Any = None  # a table's own columns; X is then its design
    terms: str = ""
    threads: int = 2
    options: dict[str, Any] | None = None

    @property
    def binary(self) -> bool:
        return self.family == "binomial"

    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to learn from and rows to judge by, for every fold."""
        assert self.folds is not None
        return [(np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)) for k in range(self.folds.max() + 1)]

    def corner(self) -> Task:
        """A small piece of the same types, to compile and import whatever is compiled and imported late."""
        n, p = min(len(self.y), 400), min(self.X.shape[1], 30)
        X = self.X[:n][:, :p]
        X = sparse.csc_matrix(X) if sparse.issparse(X) else np.asfortranarray(X)
        rows = None if self.folds is None else np.arange(n, dtype=np.int32) % 5
        frame = None if self.frame is None else self.frame.iloc[:n]
        exposure = None if self.exposure is None else self.exposure[:n]
        X = self.X[:n] if self.frame is not None else X
        return replace(self, X=X, y=self.y[:n], alphas=self.alphas[:2], folds=rows, frame=frame, exposure=exposure)


Found = tuple[Any, Any, Any]  # coefficients (alphas, p), intercepts (alphas,), mean deviance held out (alphas,): None where there is none
Solve = Callable[[], Found]


def read(folder: Path) -> Task:
    told = json.loads((folder / "task.json").read_text())

    def array(name: str) -> np.ndarray | None:
        path = folder / f"{name}.npy"
        return np.load(path) if path.exists() else None

    X = array("X")
    if X is None:
        X = sparse.csc_matrix((array("X.data"), array("X.indices"), array("X.indptr")), shape=told["shape"])
    frame = None
    if told["columns"]:  # numbers, or codes with their levels: pyarrow is no friend of adelie's NumPy
        import pandas as pd

        plain = {name: array(f"frame.{name}") for name in told["columns"]}
        frame = pd.DataFrame(
            {name: v if levels is None else pd.Categorical.from_codes(v, levels) for (name, levels), v in zip(told["columns"].items(), plain.values())}
        )
    y, alphas = array("y"), array("alphas")
    assert y is not None
    assert alphas is not None
    return Task(told["kind"], told["family"], told["l1_ratio"], X, y, alphas, array("folds"), array("exposure"), frame, told["terms"], told["threads"])


def serve(build: Callable[[Task, bool], Solve]) -> None:
    """Answer requests; ``build(task, tight)`` prepares a solve (layouts, objects) and what it returns is timed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a package prints goes with its warnings
    warnings.filterwarnings("ignore")
    task = read(Path(sys.argv[1]))
    task.options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}

    def say(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=answers, flush=True)

    try:
        build(task.corner(), False)()
    except Exception:
        say({"error": traceback.format_exc(limit=-3)})
        return
    say({"ready": True})
    solves: dict[str, Solve] = {}
    for line in sys.stdin:
        tolerance, out = line.split()
        try:
            if tolerance not in solves:
                solves[tolerance] = build(task, tolerance == "tight")
            gc.collect()
            start = time.perf_counter()
            found = solves[tolerance]()
            seconds = time.perf_counter() - start
        except Exception:
            say({"error": traceback.format_exc(limit=-3)})
            continue
        for name, values in zip(("coefs", "intercepts", "deviance"), found):
            if values is not None:
                dense = values.toarray() if sparse.issparse(values) else values
                np.ascontiguousarray(dense, dtype=float).tofile(f"{out}.{name}")
        say({"seconds": seconds})


def deviance(family: str, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Unit deviances of rows under predictors eta (rows, alphas)."""
    y = y[:, None]
    if family == "binomial":
        return 2 * np.logaddexp(0, np.where(y > 0.5, -eta, eta))
    return (y - eta) ** 2
