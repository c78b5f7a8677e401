"""Inference held to R: sandwich, influence.measures, confint, anova, car, ...; reference/make_inference.R wrote the numbers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

HERE = Path(__file__).parent / "reference"
R = json.loads((HERE / "inference.json").read_text())
MODELS = {
    "gaussian": {"y": "y_gaussian", "family": "gaussian"},
    "gaussian weights": {"y": "y_gaussian", "family": "gaussian", "weights": "w"},
    "binomial": {"y": "y_binomial", "family": "binomial"},
    "binomial probit": {"y": "y_binomial", "family": "binomial", "link": "probit"},
    "binomial trials cloglog": {"y": "proportion", "family": "binomial", "link": "cloglog", "weights": "trials"},
    "poisson": {"y": "y_poisson", "family": "poisson"},
    "poisson offset": {"y": "y_poisson", "family": "poisson", "offset": "offset"},
    "gamma log": {"y": "y_gamma", "family": "gamma", "link": "log"},
    "gamma weights": {"y": "y_gamma", "family": "gamma", "link": "log", "weights": "w"},
    "inverse_gaussian log": {"y": "y_inverse_gaussian", "family": "inverse_gaussian", "link": "log"},
    "negative_binomial": {"y": "y_negative_binomial", "family": em.families.NegativeBinomial(3.0)},
    "quasi-poisson": {"y": "y_poisson", "family": "quasi-poisson"},
    "tweedie": {"y": "y_tweedie", "family": em.families.Tweedie(1.5)},
}


@pytest.fixture(scope="module")
def data():
    with (HERE / "families.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {k: np.array([r[k] for r in rows]) if k in ("g", "class") else np.array([float(r[k]) for r in rows]) for k in rows[0]}


def fitted(name, data, terms="x1 + x2 + g"):
    what = dict(MODELS[name])
    return em.glm(f"{what.pop('y')} ~ {terms}", data, **what)


@pytest.fixture(scope="module", params=MODELS)
def case(request, data):
    return fitted(request.param, data), R[request.param]


def close(got, want, rtol=1e-8, atol=0.0):
    np.testing.assert_allclose(got, np.array(want, dtype=float), rtol=rtol, atol=atol)


# ---- rows ---------------------------------------------------------------------------------------------------------

RESIDUALS = {
    "response": "response",
    "working": "working",
    "pearson": "pearson",
    "deviance": "deviance",
    "standardized_deviance": "standardised_deviance",
    "standardized_pearson": "standardised_pearson",
    "studentized": "studentised",
    "partial": "partial",
}


@pytest.mark.parametrize("kind", RESIDUALS)
def test_residuals(case, kind):
    fit, want = case
    name = RESIDUALS[kind]
    if kind == "studentized" and "studentised_dispersion1" in want["residuals"]:
        name = "studentised_dispersion1"
    close(fit.residuals(kind), want["residuals"][name], 1e-8, 1e-8)


def test_influence(case):
    fit, want = case
    found = fit.influence()
    close(found.leverage, want["influence"]["hat"])
    close(found.cooks_distance, want["influence"]["cook"], 1e-8, 1e-12)
    close(found.dffits, want["influence"]["dffits"], 1e-8, 1e-9)
    close(found.covariance_ratio, want["influence"]["covratio"])
    close(found.dfbeta, want["influence"]["dfbeta"], 1e-8, 1e-10)
    close(found.dfbetas, want["influence"]["dfbetas"], 1e-8, 1e-9)
    if "dfbeta_onestep" in want["influence"]:
        close(found.one_step, want["influence"]["dfbeta_onestep"], 1e-8, 1e-10)


# ---- covariances --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_hc(case, order):
    fit, want = case
    close(fit.vcov(f"HC{order}"), want["HC"][f"HC{order}"], 1e-8, 1e-12)


def test_clusters(case):
    fit, want = case
    c1, c2 = np.arange(200) // 8, np.arange(1, 201) % 10
    small = (fit.nobs - 1) / fit.df_residual
    close(fit.vcov("cluster", cluster=c1, correction="CR0"), want["CL0"], 1e-8, 1e-12)
    close(fit.vcov("cluster", cluster=c1, correction="CR1S"), want["CL1"], 1e-8, 1e-12)
    close(fit.vcov("cluster", cluster=c1) * small, want["CL1"], 1e-8, 1e-12)
    close(fit.vcov("cluster", cluster=[c1, c2], correction="CR1S"), want["CL_two"], 1e-8, 1e-12)


def test_hac(case):
    fit, want = case
    close(fit.vcov("HAC", lags=3), want["HAC3"], 1e-8, 1e-12)
    close(fit.vcov("HAC", lags=3, correction=True), want["HAC3_adjusted"], 1e-8, 1e-12)


@pytest.mark.parametrize("name", ["binomial", "poisson", "gamma log"])
def test_jackknife(data, name):
    fit = fitted(name, data)
    close(fit.vcov("jackknife"), R[name]["jackknife"], 1e-8, 1e-12)
    if "jackknife_c1" in R[name]:
        close(fit.vcov("jackknife", cluster=np.arange(200) // 8), R[name]["jackknife_c1"], 1e-8, 1e-12)
