"""Compression to cells is exact: every number of a fit equals that of the fit on the rows."""

import numpy as np
import pytest

import etamu as em
from etamu.core import core
from etamu.sources.cells import compress

pytestmark = pytest.mark.skipif(core is None, reason="rows are compressed by the native core, which was not built")
N = 5_000


def data(seed=0):
    rng = np.random.default_rng(seed)
    a, b, x = rng.integers(0, 5, N), rng.integers(0, 3, N), rng.integers(0, 4, N) * 0.5
    eta = -0.5 + 0.2 * a - 0.1 * b + 0.3 * x
    e = rng.uniform(0.1, 1, N)
    return {
        "a": a,
        "b": np.array(list("uvw"))[b],
        "x": x,
        "e": e,
        "w": rng.integers(0, 4, N).astype(float),
        "poisson": rng.poisson(np.exp(eta) * e).astype(float),
        "binomial": (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(int),
        "gamma": rng.gamma(2.0, np.exp(eta) * e / 2),
        "inverse_gaussian": rng.wald(np.exp(eta), 3.0),
        "tweedie(1.5)": np.where(rng.random(N) < 0.4, 0.0, rng.gamma(2.0, np.exp(eta))),
        "negative_binomial(2)": rng.poisson(rng.gamma(2.0, np.exp(eta) / 2)).astype(float),
        "quasi-poisson": rng.poisson(np.exp(eta)).astype(float),
        "gaussian": eta + rng.normal(size=N),
    }


MODELS = [
    ("poisson", "log"),
    ("poisson", "sqrt"),
    ("gamma", "log"),
    ("gamma", "inverse"),
    ("tweedie(1.5)", "log"),
    ("inverse_gaussian", "log"),
    ("negative_binomial(2)", "log"),
    ("quasi-poisson", "log"),
    ("gaussian", "identity"),
    ("binomial", "logit"),
    ("binomial", "cloglog"),
]


@pytest.mark.parametrize("extra", ["plain", "weights", "exposure"])
@pytest.mark.parametrize(("family", "link"), MODELS)
def test_cells_give_the_numbers_of_rows(family, link, extra):
    d = data()
    how = {"plain": {}, "weights": {"weights": "w"}, "exposure": {"exposure": "e", "weights": "w"}}[extra]
    if extra == "exposure" and link != "log":
        how = {"offset": "x", "weights": "w"} if link in ("logit", "cloglog", "identity") else {"weights": "w"}
    formula = f"`{family}` ~ C(a) + b * x"
    cells, rows = (em.glm(formula, d, family=family, link=link, control=em.Control(compress=c, tol=1e-12), **how) for c in (True, False))
    assert "cells" in cells.trace.reason
    assert "cells" not in rows.trace.reason
    scale = rows.stderror()
    np.testing.assert_allclose((cells.coef - rows.coef) / scale, 0, atol=1e-8)
    np.testing.assert_allclose(cells.stderror(), scale, rtol=2e-7)  # each side is current to 1e-7
    for name in ("deviance", "null_deviance", "pearson"):
        np.testing.assert_allclose(getattr(cells, name), getattr(rows, name), rtol=1e-7 if name == "pearson" else 1e-11)
    assert (cells.nobs, cells.df_residual) == (rows.nobs, rows.df_residual)
    np.testing.assert_allclose(cells.fitted, rows.fitted, rtol=1e-8)
    if rows.family.likelihood:
        np.testing.assert_allclose((cells.loglik, cells.aic), (rows.loglik, rows.aic), rtol=1e-10)


def test_a_continuous_exposure_folds_only_where_the_algebra_allows():
    d = data()
    how = {"exposure": "e", "control": em.Control(compress=True)}
    folded = em.glm("poisson ~ C(a)", d, family="poisson", **how).trace.reason
    kept = em.glm("poisson ~ C(a)", d, family="negative_binomial(2)", **how).trace.reason
    assert folded.endswith("5,000 rows in 5 cells")
    assert kept.endswith("5,000 rows in 5,000 cells")


def test_cells_are_chosen_where_rows_repeat():
    rng = np.random.default_rng(1)
    n = 40_000
    few = {"g": rng.integers(0, 50, n), "y": rng.poisson(1.0, n), "e": rng.uniform(0.5, 1, n)}
    many = {**few, "z": rng.normal(size=n)}
    assert "in 50 cells" in em.glm("y ~ C(g)", few, family="poisson", exposure="e").trace.reason
    assert "cells" not in em.glm("y ~ C(g) + z", many, family="poisson", exposure="e").trace.reason
    assert "cells" not in em.glm("y ~ C(g)", few, family="poisson", control=em.Control(compress=False)).trace.reason


def test_rows_that_hash_alike_are_told_apart():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, (3_000, 12)) * rng.normal(size=12)
    y = rng.normal(size=3_000)
    problem = em.fit(X, y, control=em.Control(compress=False)).problem
    cells = compress(problem, True)
    distinct, counts = np.unique(X, axis=0, return_counts=True)
    assert cells.rows == len(distinct)
    assert sorted(cells.weight.tolist()) == sorted(counts.tolist())
    np.testing.assert_array_equal(np.unique(cells.design.block(slice(0, cells.rows)), axis=0), np.unique(problem.design.block(slice(0, 3_000)), axis=0))


def test_aliased_columns_and_separation_on_cells():
    d = data()
    d["c"] = d["a"] + 1.0
    control = em.Control(compress=True)
    fit = em.glm("poisson ~ C(a) + c", d, family="poisson", control=control)
    assert fit.aliased == ("c",)
    d["poisson"] = np.where(d["b"] == "w", 0.0, d["poisson"])
    separated = em.glm("poisson ~ b + x", d, family="poisson", control=control)
    assert separated.status.name == "SEPARATED"
    assert separated.diverging == ("b[w]",)
    assert np.isfinite(fit.fitted).all()


def test_a_family_of_the_users_own_on_cells():
    class Geometric(em.Family):
        name = "geometric"
        support = mean_space = em.families.NONNEGATIVE
        canonical = default_link = "log"
        dispersion_known = True

        def variance(self, mu):
            return mu * (1 + mu)

    d = data()
    cells, rows = (em.glm("poisson ~ C(a) + x", d, family=Geometric(), control=em.Control(compress=c, tol=1e-12)) for c in (True, False))
    np.testing.assert_allclose(cells.coef, rows.coef, rtol=1e-9)
    np.testing.assert_allclose(cells.deviance, rows.deviance, rtol=1e-9)  # the family's deviance is a quadrature
