"""NIST Statistical Reference Datasets, linear: never fewer correct digits than R's lm, and Filip to seven."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

HERE = Path(__file__).parent / "reference" / "nist"
CERTIFIED = json.loads((HERE / "certified.json").read_text())
R = json.loads((HERE / "lm.json").read_text())
DEGREE = {"filip": 10, "pontius": 2, "wampler1": 5, "wampler2": 5, "wampler3": 5, "wampler4": 5, "wampler5": 5}


def load(name):
    with (HERE / f"{name}.csv").open() as file:
        header, *rows = csv.reader(file)
    data = dict(zip(header, np.array(rows, dtype=float).T, strict=True))
    x = data["x1"]
    if name in DEGREE:
        X = np.column_stack([x**k for k in range(1, DEGREE[name] + 1)])
    else:
        X = np.column_stack([data[c] for c in header[1:]])
    return X, data["y"]


def digits(got, certified):
    """Log relative error of the worst coefficient; the certified values have 15 digits."""
    got, want = np.array(got, dtype=float), np.array([float(v) for v in certified])
    with np.errstate(divide="ignore"):
        return float(np.minimum(15, -np.log10(np.abs(got - want) / np.abs(want))).min())


@pytest.mark.parametrize("name", CERTIFIED)
def test_no_fewer_digits_than_lm(name):
    X, y = load(name)
    fit = em.fit(X, y, intercept=not name.startswith("noint"))
    assert fit.aliased == ()
    ours, theirs = digits(fit.coef, CERTIFIED[name]["coef"]), digits(R[name]["coef"], CERTIFIED[name]["coef"])
    assert ours >= theirs or ours >= 13, (ours, theirs)  # from 13 on it is the rounding of the data
    if name not in ("wampler1", "wampler2"):  # exact fits: the certified standard errors are 0
        ours, theirs = digits(fit.stderror(), CERTIFIED[name]["stderror"]), digits(R[name]["stderror"], CERTIFIED[name]["stderror"])
        assert ours >= theirs or ours >= 13, (ours, theirs)


def test_filip():
    X, y = load("filip")
    assert digits(em.fit(X, y).coef, CERTIFIED["filip"]["coef"]) >= 7
