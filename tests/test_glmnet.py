"""Penalised fits held to glmnet, ncvreg and grpreg (reference/make_glmnet.R, make_ncvreg.R), and those numbers held to their objective."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse, special

import etamu as em

HERE = Path(__file__).parent / "reference"
REFERENCE = json.loads((HERE / "glmnet.json").read_text())
CASES = REFERENCE["cases"]
RATIOS = (1.0, 0.5, 0.1, 0.0)
CONCAVE = json.loads((HERE / "ncvreg.json").read_text())
MEAN = {"gaussian": lambda eta: eta, "binomial": special.expit, "poisson": np.exp, "multinomial": lambda eta: special.softmax(eta, axis=1)}
GRID = pytest.mark.parametrize(("name", "l1_ratio"), [(name, ratio) for name in CASES for ratio in RATIOS])


def numbers(values):
    """A list in which -inf and inf are text, as JSON has no such numbers."""
    return np.array([float(v) for v in np.atleast_1d(values)])


def bound(case, side):
    """The limit of every coefficient, or None."""
    return None if case[side] is None else np.broadcast_to(numbers(case[side]), np.array(REFERENCE["data"][case["data"]]["X"]).shape[1])


def points(name, l1_ratio):
    return [f for f in CASES[name]["fits"] if f["l1_ratio"] == l1_ratio and f["usable"]]


@GRID
def test_the_reference_is_the_minimum_of_our_objective(name, l1_ratio):
    case, data = CASES[name], REFERENCE["data"][CASES[name]["data"]]
    X, y = np.array(data["X"]), np.array(data[case["response"]], dtype=float)
    n, p = X.shape
    w = np.array(data[case["weights"]], dtype=float) if case["weights"] else np.ones(n)
    offset = np.array(data[case["offset"]]) if case["offset"] else np.log(data[case["exposure"]]) if case["exposure"] else np.zeros(n)
    factors = np.ones(p) if case["factors"] is None else np.array(case["factors"])
    spread = np.sqrt(np.average((X - np.average(X, axis=0, weights=w)) ** 2, axis=0, weights=w)) if case["standardize"] else np.ones(p)
    lower = -np.inf if case["lower"] is None else bound(case, "lower")[:, None]
    upper = np.inf if case["upper"] is None else bound(case, "upper")[:, None]
    for point in points(name, l1_ratio):
        b = np.array(point["coef"]).T.reshape(p, -1)  # a column for each class, or one
        eta = X @ b + np.atleast_1d(point["intercept"]) + offset[:, None]
        observed = np.eye(3)[y.astype(int)] if case["family"] == "multinomial" else y[:, None]
        r = w[:, None] * (observed - MEAN[case["family"]](eta)) / w.sum()
        l1, l2 = (point["alpha"] * share * factors for share in (l1_ratio * spread, (1 - l1_ratio) * spread**2))
        slope = l2[:, None] * b - X.T @ r
        if case["intercept"]:
            assert np.abs(r.sum(axis=0)).max() < 1e-9
        if case["grouped"]:
            size = np.linalg.norm(b, axis=1)
            on = size > 0
            assert np.abs(slope[on] + (l1[on] / size[on])[:, None] * b[on]).max(initial=0) < 1e-9
            assert (np.linalg.norm(slope[~on], axis=1) <= l1[~on] + 1e-9).all()
        else:
            up, down = slope + np.where(b >= 0, 1, -1) * l1[:, None], slope + np.where(b > 0, 1, -1) * l1[:, None]
            assert (up >= -1e-9)[b < upper].all()
            assert (down <= 1e-9)[b > lower].all()


@GRID
def test_fits_equal_glmnet(name, l1_ratio):
    case, data = CASES[name], REFERENCE["data"][CASES[name]["data"]]
    if case["grouped"] and "grouped" not in inspect.signature(em.ElasticNet).parameters:
        pytest.skip("ElasticNet has no `grouped`: one norm for the coefficients that a column has in the classes")
    X, y = np.array(data["X"]), np.array(data[case["response"]], dtype=float)
    names = [f"x{j + 1}" for j in range(X.shape[1])]
    more = {key: np.array(data[case[key]]) for key in ("weights", "offset", "exposure") if case[key]}
    if case["lower"] is not None or case["upper"] is not None:
        more["constraints"] = em.Box(**{side: dict(zip(names, bound(case, side))) for side in ("lower", "upper") if case[side] is not None})
    extra = {"standardize": True} if case["standardize"] else {}
    if case["grouped"]:
        extra["grouped"] = True
    if case["factors"] is not None:
        extra["weights"] = dict(zip(names, case["factors"]))
    family = em.families.Multinomial(reference=None) if case["family"] == "multinomial" else case["family"]
    design = sparse.csr_array(X) if case["sparse"] else X
    for point in points(name, l1_ratio):
        penalty = em.ElasticNet(alpha=point["alpha"], l1_ratio=l1_ratio, **extra)
        fit = em.fit(design, y, family=family, penalty=penalty, names=names, intercept=case["intercept"], **more)
        coef = fit.coef[1:] if case["intercept"] else fit.coef
        expected = np.array(point["coef"]).T
        size = np.abs(expected).max()
        np.testing.assert_allclose(coef, expected, rtol=0, atol=1e-6 * size, err_msg=f"alpha {point['alpha']}")
        assert (np.abs(coef[expected == 0]) <= 1e-6 * size).all()
        if case["intercept"]:
            constant, wanted = (v - v.mean() * (len(v) > 1) for v in (np.atleast_1d(fit.coef[0]), np.atleast_1d(point["intercept"])))
            np.testing.assert_allclose(constant, wanted, rtol=1e-6, atol=1e-6 * size)


@pytest.mark.parametrize("point", CONCAVE["fits"], ids=lambda f: f"{f['family']} {f['penalty']} {f.get('gamma', '')} {f['alpha']}")
def test_concave_and_group_penalties_equal_ncvreg_and_grpreg(point):
    kind = {"MCP": "MCP", "SCAD": "SCAD", "group": "GroupLasso"}[point["penalty"]]
    if not hasattr(em, kind):
        pytest.skip(f"etamu has no {kind}")
    data = CONCAVE["data"][point["data"]]
    X, y = np.array(data["X"]), np.array(data[point["family"]], dtype=float)
    names = [f"x{j + 1}" for j in range(X.shape[1])]
    if kind == "GroupLasso":
        groups = {}
        for name, group in zip(names, data["groups"]):
            groups.setdefault(f"g{group}", []).append(name)
        penalty = em.GroupLasso(alpha=point["alpha"], groups=list(groups.values()))
    else:
        penalty = getattr(em, kind)(alpha=point["alpha"], gamma=point["gamma"])
    fit = em.fit(X, y, family=point["family"], penalty=penalty, names=names)
    np.testing.assert_allclose(fit.coef[1:], point["coef"], rtol=0, atol=1e-6 * np.abs(point["coef"]).max())
    np.testing.assert_allclose(fit.coef[0], point["intercept"], rtol=1e-6, atol=1e-6)


def test_every_number_of_glmnet_has_converged():
    fits = [f for case in CASES.values() for f in case["fits"]]
    assert len(fits) == 688
    assert max(f["kkt"] for f in fits) < 1e-11
