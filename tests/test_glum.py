"""Penalised fits of gamma, Tweedie, negative binomial, inverse Gaussian and Poisson held to glum (reference/make_glum.py), and its numbers to our objective."""

import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

REFERENCE = json.loads((Path(__file__).parent / "reference" / "glum.json").read_text())
CASES, THETA, POWER = REFERENCE["cases"], REFERENCE["theta"], REFERENCE["power"]
RATIOS = (1.0, 0.5, 0.1)
FAMILY = {
    "poisson": em.families.Poisson(),
    "gamma": em.families.Gamma(),
    "tweedie": em.families.Tweedie(POWER),
    "negative_binomial": em.families.NegativeBinomial(theta=THETA),
    "inverse_gaussian": em.families.InverseGaussian(),
}
VARIANCE = {
    "poisson": lambda mu: mu,
    "gamma": lambda mu: mu**2,
    "tweedie": lambda mu: mu**POWER,
    "negative_binomial": lambda mu: mu + mu**2 / THETA,
    "inverse_gaussian": lambda mu: mu**3,
}
GRID = pytest.mark.parametrize(("name", "l1_ratio"), [(name, ratio) for name in CASES for ratio in RATIOS])


def points(name, l1_ratio):
    found = [f for f in CASES[name]["fits"] if f["l1_ratio"] == l1_ratio]
    if not found:
        pytest.skip("none of glum's answers was exact here")
    return sorted(found, key=lambda f: -f["alpha"])


def problem(name):
    """The columns, the response, and the arguments of a fit."""
    case, data = CASES[name], REFERENCE["data"][CASES[name]["data"]]
    more = {key: np.array(data[key], dtype=float) for key in (case["weights"], case["moved"]) if key}
    return np.array(data["X"]), np.array(data[case["response"]], dtype=float), {"family": FAMILY[case["family"]], "link": "log", **more}


def assert_same(coef, intercept, point):
    wanted = np.array(point["coef"])
    atol = 1e-6 * np.abs(wanted).max()
    np.testing.assert_allclose(coef, wanted, rtol=0, atol=atol, err_msg=f"alpha {point['alpha']}")
    np.testing.assert_allclose(intercept, point["intercept"], rtol=1e-6, atol=atol, err_msg=f"alpha {point['alpha']}")


@GRID
def test_the_reference_is_the_minimum_of_our_objective(name, l1_ratio):
    X, y, more = problem(name)
    w, offset = more.get("weights", np.ones(len(y))), more.get("offset", np.log(more["exposure"]) if "exposure" in more else 0.0)
    for point in points(name, l1_ratio):
        b, alpha = np.array(point["coef"]), point["alpha"]
        mu = np.exp(X @ b + point["intercept"] + offset)
        r = w * (y - mu) * mu / VARIANCE[CASES[name]["family"]](mu) / w.sum()
        slope = alpha * (1 - l1_ratio) * b - X.T @ r
        limit = REFERENCE["limit"] * alpha
        assert abs(r.sum()) < limit
        assert (np.abs(slope + alpha * l1_ratio * np.sign(b)) < limit)[b != 0].all()
        assert (np.abs(slope) < alpha * l1_ratio + limit)[b == 0].all()


@GRID
def test_fits_equal_glum(name, l1_ratio):
    X, y, more = problem(name)
    for point in points(name, l1_ratio):
        fit = em.fit(X, y, penalty=em.ElasticNet(alpha=point["alpha"], l1_ratio=l1_ratio), **more)
        assert fit.converged
        assert_same(fit.coef[1:], fit.coef[0], point)


@GRID
def test_paths_equal_glum(name, l1_ratio):
    X, y, more = problem(name)
    found = points(name, l1_ratio)
    path = em.glm_path(X=X, y=y, l1_ratio=l1_ratio, alphas=[f["alpha"] for f in found], **more)
    assert path.converged.all()
    for coef, intercept, point in zip(path.coefs, path.intercepts, found):
        assert_same(coef, intercept, point)


def test_every_number_of_glum_is_exact():
    fits = [f for case in CASES.values() for f in case["fits"]]
    assert len(fits) == REFERENCE["kept"]
    assert len(fits) + len(REFERENCE["dropped"]) == 504
    assert max(f["kkt"] for f in fits) < REFERENCE["limit"]
    assert {d["case"].split()[1] for d in REFERENCE["dropped"]} <= {"inverse_gaussian"}  # whose objective alone is not convex
