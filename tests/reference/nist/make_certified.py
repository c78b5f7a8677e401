"""Write certified.json: the least-squares solution of each NIST StRD data set in 80-digit arithmetic, rounded to 17 digits.

The data are those of the NIST Statistical Reference Datasets (public domain); the published 15-digit certified values are
these numbers rounded, which the script asserts for the ones quoted below.  R's own lm is added by nist.R.
Run from the repository root:  python tests/reference/nist/make_certified.py
"""

import csv
import json
from pathlib import Path

from mpmath import lu_solve, matrix, mp, mpf, sqrt

mp.dps = 80
HERE = Path(__file__).parent
DEGREE = {"filip": 10, "pontius": 2, "wampler1": 5, "wampler2": 5, "wampler3": 5, "wampler4": 5, "wampler5": 5}
QUOTED = {
    "filip": ("-1467.48961422980", "298.084530995537"),
    "longley": ("-3482258.63459582", "890420.383607373"),
    "norris": ("-0.262323073774029", "0.232818234301152"),
    "noint1": ("2.07438016528926", "0.165289256198347E-01"),
    "noint2": ("0.727272727272727", "0.420827318078432E-01"),
    "pontius": ("0.673565789473684E-03", "0.107938612033077E-03"),
}


def design(name, row):
    x = [mpf(v) for v in row[1:]]
    if name.startswith("noint"):
        return x
    return [mpf(1)] + ([x[0] ** k for k in range(1, DEGREE[name] + 1)] if name in DEGREE else x)


def solve(name):
    with (HERE / f"{name}.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    X = matrix([design(name, r) for r in rows])
    y = matrix([mpf(r[0]) for r in rows])
    gram = X.T * X
    beta = lu_solve(gram, X.T * y)
    residual = y - X * beta
    n, p = X.rows, X.cols
    inverse = gram**-1
    sigma2 = sum(r * r for r in residual) / (n - p)
    error = [sqrt(abs(sigma2 * inverse[j, j])) for j in range(p)]
    if name in QUOTED:
        for got, quoted in zip((beta[0], error[0]), QUOTED[name], strict=True):
            assert abs(got / mpf(quoted) - 1) < mpf(10) ** -13, (name, got, quoted)
    return {"coef": [mp.nstr(b, 17) for b in beta], "stderror": [mp.nstr(e, 17) for e in error]}


names = sorted(p.stem for p in HERE.glob("*.csv"))
(HERE / "certified.json").write_text(json.dumps({name: solve(name) for name in names}, indent=1) + "\n")
