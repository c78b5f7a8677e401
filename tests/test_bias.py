"""Bias-reduced fits held to brglm2 (reference/make_bias.R), and what they promise beside its numbers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import etamu as em
from etamu.errors import EtamuError, UndefinedStatisticError
from tables import read

HERE = Path(__file__).parent / "reference"
R = json.loads((HERE / "bias.json").read_text())
KINDS = {"AS_mean": "mean", "AS_median": "median", "AS_mixed": "mixed", "MPL_Jeffreys": "jeffreys"}
FAMILY = {"Gamma": "gamma", "inverse.gaussian": "inverse_gaussian"}


def fitted(entry, **more):
    own = entry["family"]
    family = em.families.NegativeBinomial(entry["theta"]) if own == "negative_binomial" else FAMILY.get(own, own)
    data = read(HERE / "bias" / entry["file"])
    return em.glm(entry["formula"], data, family=family, link=entry["link"], weights=entry["weights"], offset=entry["offset"], **more)


def r_names(fit):
    return ["(Intercept)" if name == "Intercept" else re.sub(r"\[(.*)\]", r"\1", name) for name in fit.names]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", R["fits"])
def test_brglm2(name, kind):
    entry = R["fits"][name]
    if kind not in entry["fits"]:
        pytest.skip("not in the reference")
    want = entry["fits"][kind]
    fit = fitted(entry, bias=KINDS[kind])
    assert fit.converged
    names = r_names(fit)
    np.testing.assert_allclose(fit.coef, [want["coef"][n] for n in names], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.stderror(), [want["stderror"][n] for n in names], rtol=1e-6)
    np.testing.assert_allclose([fit.dispersion, fit.deviance], [want["dispersion"], want["deviance"]], rtol=1e-7)


def test_penalised_tests_and_intervals():
    want = R["penalised"]
    fit = em.glm(want["formula"], read(HERE / "bias" / want["file"]), family="binomial", bias="firth")
    limits = fit.confint(method="profile")
    for k, name in enumerate(r_names(fit)):
        own = want["coefficients"][name]
        found = fit.test(fit.names[k], "lr")
        np.testing.assert_allclose([found.statistic, found.p_value], [own["statistic"], own["p_value"]], rtol=1e-7)
        np.testing.assert_allclose(limits[k], [own["lower"], own["upper"]], rtol=1e-6)


def test_what_does_not_exist():
    data = read(HERE / "bias" / "endometrial.csv")
    fit = em.glm("HG ~ NV + PI + EH", data, family="binomial", bias="median")
    with pytest.raises(UndefinedStatisticError, match="maximises no likelihood"):
        fit.confint(method="profile")
    with pytest.raises(UndefinedStatisticError, match="bias-reduced"):
        fit.anova()
    with pytest.raises(EtamuError, match="`bias`"):
        em.glm("HG ~ NV", data, family="binomial", bias="firm")
    with pytest.raises(EtamuError, match="quasi-binomial"):
        em.glm("HG ~ NV", data, family="quasi-binomial", bias="mean")


def test_repeated_rows_are_rows_of_that_frequency():
    data = read(HERE / "bias" / "endometrial.csv")
    twice = {k: np.repeat(v, 2) for k, v in data.items()}
    a = em.glm("HG ~ NV + PI + EH", twice, family="binomial", bias="mean")
    b = em.glm("HG ~ NV + PI + EH", data, family="binomial", bias="mean", frequency=np.full(79, 2))
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-9)
    np.testing.assert_allclose(a.vcov(), b.vcov(), rtol=1e-8)


@pytest.mark.parametrize(("family", "link"), [("binomial", None), ("poisson", None), ("gamma", "log"), ("gaussian", None)])
def test_ridge_is_stationary(family, link):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, 0.0]
    mu = np.exp(0.3 * x[:, 0])
    y = {"binomial": (rng.random(80) < mu / (1 + mu)).astype(float), "poisson": rng.poisson(mu) * 1.0, "gamma": rng.gamma(2, mu), "gaussian": rng.normal(mu)}[
        family
    ]
    fit = em.fit(x, y, family=family, link=link, ridge=0.05)
    assert fit.converged
    z = np.column_stack([np.ones(80), x])
    m = fit.fitted
    factor = {"binomial": np.ones(80), "poisson": np.ones(80), "gamma": 1 / m, "gaussian": np.ones(80)}[family]
    gradient = z.T @ ((y - m) * factor) / 80 - 0.05 * np.r_[0, fit.coef[1:]]
    np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_ridge_of_separated_data():
    data = read(HERE / "bias" / "endometrial.csv")
    fit = em.glm("HG ~ NV + PI + EH", data, family="binomial", ridge=0.01)
    assert fit.converged
    assert np.isfinite(fit.stderror()).all()
    assert np.abs(fit.coef).max() < 20
    for verb, given in (("confint", [0.95, "profile"]), ("anova", []), ("drop1", [])):
        with pytest.raises(UndefinedStatisticError):
            getattr(fit, verb)(*given)
    with pytest.raises(EtamuError, match="`ridge`"):
        em.glm("HG ~ NV", data, family="binomial", ridge=-1)
    with pytest.raises(EtamuError, match="two remedies"):
        em.glm("HG ~ NV", data, family="binomial", ridge=1.0, bias="mean")
    assert "ridge" in str(fit.summary())
