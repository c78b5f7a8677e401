"""Equality with R's glm on every family and link, and with multinom; the scripts that made the numbers lie in reference/."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

HERE = Path(__file__).parent / "reference"
R = json.loads((HERE / "families.json").read_text())
FAMILIES = {
    "gaussian": "gaussian",
    "binomial": "binomial",
    "poisson": "poisson",
    "gamma": "gamma",
    "inverse_gaussian": "inverse_gaussian",
    "tweedie": em.families.Tweedie(1.5),
    "negative_binomial": em.families.NegativeBinomial(3.0),
}
LINKS = [*(name for name in em.links.LINKS if name != "softmax"), "power(0.3)"]
DEFAULT = {"gaussian": "identity", "binomial": "logit"}


@pytest.fixture(scope="module")
def data():
    with (HERE / "families.csv").open() as file:
        rows = list(csv.DictReader(file))
    text = ("g", "class")
    return {k: np.array([r[k] for r in rows]) if k in text else np.array([float(r[k]) for r in rows]) for k in rows[0]}


def check(fit, expected, coef=1e-9, stderror=1e-7):
    # summary.glm estimates a dispersion for MASS's negative.binomial(theta); ours is 1, as summary of glm.nb
    scale = expected["dispersion"] ** 0.5 if fit.family.name == "negative_binomial" else 1.0
    np.testing.assert_allclose(fit.coef, expected["coef"], rtol=coef, atol=coef)
    np.testing.assert_allclose(fit.stderror() * scale, expected["stderror"], rtol=stderror)
    np.testing.assert_allclose(fit.deviance, expected["deviance"], rtol=1e-9)
    if "null_deviance" in expected and expected["null_deviance"] is not None:
        np.testing.assert_allclose(fit.null_deviance, expected["null_deviance"], rtol=1e-9)
        np.testing.assert_allclose(fit.dispersion * scale**2, expected["dispersion"], rtol=1e-7)
        assert fit.df_residual == expected["df_residual"]
    assert fit.converged


def test_the_table_is_complete():
    pairs = {f"{f} {link}" for f in FAMILIES for link in LINKS}
    assert pairs <= set(R)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_link(data, family, link):
    fit = em.glm(f"y_{family} ~ x1 + x2 + g", data, family=FAMILIES[family], link=link)
    expected = R[f"{family} {link}"]
    check(fit, expected)
    if family not in ("tweedie", "negative_binomial"):  # R has no likelihood for tweedie; MASS's aic is checked below
        np.testing.assert_allclose(fit.loglik, expected["loglik"], rtol=1e-9)
        np.testing.assert_allclose(fit.aic, expected["aic"], rtol=1e-9)


def test_negative_binomial_likelihood(data):
    fit = em.glm("y_negative_binomial ~ x1 + x2 + g", data, family=FAMILIES["negative_binomial"])
    # negative.binomial() lets glm count its fixed dispersion as estimated in logLik, not in aic
    np.testing.assert_allclose(fit.aic, R["negative_binomial log"]["aic"], rtol=1e-9)


VARIANTS = {
    "weights": dict(formula="y ~ x1 + x2 + g", weights="w"),
    "offset": dict(formula="y ~ x1 + x2 + g", offset="offset"),
    "no intercept": dict(formula="y ~ x1 + x2 + g - 1"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "binomial"])
def test_weights_offsets_and_no_intercept(data, family, variant):
    keywords = dict(VARIANTS[variant])
    formula = keywords.pop("formula").replace("y ~", f"y_{family} ~")
    fit = em.glm(formula, data, family=FAMILIES[family], link=DEFAULT.get(family, "log"), **keywords)
    expected = R[f"{family} {variant}"]
    check(fit, expected)
    if family not in ("tweedie", "negative_binomial"):
        np.testing.assert_allclose(fit.loglik, expected["loglik"], rtol=1e-9)


def test_binomial_proportions(data):
    fit = em.glm("proportion ~ x1 + x2 + g", data, family="binomial", weights="trials")
    check(fit, R["binomial trials"])
    np.testing.assert_allclose(fit.aic, R["binomial trials"]["aic"], rtol=1e-9)
    check(em.glm("proportion ~ x1 + x2", data, family="binomial", weights="trials", offset="offset"), R["binomial offset"])
    check(em.glm("proportion ~ x1 + g - 1", data, family="binomial", link="probit", weights="trials"), R["binomial no intercept"])


def test_quasi_families(data):
    check(em.glm("y_poisson ~ x1 + x2 + g", data, family="quasi-poisson"), R["quasi-poisson"])
    check(em.glm("proportion ~ x1 + x2 + g", data, family="quasi-binomial", weights="trials"), R["quasi-binomial"])
    check(em.glm("y_gamma ~ x1 + x2", data, family=em.families.Quasi(variance="mu^2"), link="log"), R["quasi(mu^2)"])
    own = em.families.Quasi(variance=lambda mu: mu**2)
    check(em.glm("y_gamma ~ x1 + x2", data, family=own, link="log"), R["quasi(mu^2)"])


def test_multinomial(data):
    fit = em.glm("class ~ x1 + x2 + g", data, family="multinomial")
    expected = R["multinomial"]
    # nnet optimises by BFGS and stops near 1e-6; the likelihoods agree to more
    np.testing.assert_allclose(fit.coef.T.ravel(), expected["coef"], atol=2e-5)
    np.testing.assert_allclose(fit.stderror().T.ravel(), expected["stderror"], rtol=2e-5)
    np.testing.assert_allclose(fit.deviance, expected["deviance"], rtol=1e-9)
    np.testing.assert_allclose(fit.loglik, expected["loglik"], rtol=1e-9)
