"""Write families.csv: 200 rows whose means lie in (0.15, 0.85), so that every family goes with every link.

Run from the repository root:  python tests/reference/make_families_data.py
"""

from pathlib import Path

import numpy as np

import etamu as em

rng = np.random.default_rng(20261123)
n = 200
x1, x2 = rng.uniform(-1, 1, n), rng.normal(size=n).clip(-2, 2)
g = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
mu = 0.45 + 0.12 * x1 + 0.05 * x2 + 0.05 * (g == "b")
one = np.ones(n)
families = {
    "gaussian": (em.families.Gaussian(), 0.01),
    "binomial": (em.families.Binomial(), 1.0),
    "poisson": (em.families.Poisson(), 1.0),
    "gamma": (em.families.Gamma(), 0.1),
    "inverse_gaussian": (em.families.InverseGaussian(), 0.15),
    "tweedie": (em.families.Tweedie(1.5), 0.3),
    "negative_binomial": (em.families.NegativeBinomial(3.0), 1.0),
}
columns = {"x1": x1, "x2": x2, "g": g}
for name, (family, phi) in families.items():
    columns[f"y_{name}"] = family.sample(mu, phi, one, rng)
trials = rng.integers(1, 12, n)
columns["trials"] = trials
columns["proportion"] = rng.binomial(trials, mu) / trials
columns["w"] = np.round(rng.uniform(0.2, 3, n), 3)
columns["offset"] = np.round(rng.uniform(-0.2, 0.2, n), 4)
columns["class"] = np.array(["p", "q", "r"])[(rng.random(n)[:, None] > np.c_[mu * 0.6, mu * 0.6 + 0.3]).sum(axis=1)]
lines = [",".join(columns)]
lines += [",".join(v if isinstance(v, str) else format(v, ".17g") for v in row) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
Path(__file__).with_name("families.csv").write_text("\n".join(lines) + "\n")
