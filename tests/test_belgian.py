"""A real portfolio of 163,212 policies against R's glm (tests/reference/belgian), where the data are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

import etamu as em

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "belgian_motor_1997.parquet"
REFERENCE = {m["name"]: m for m in json.loads((HERE / "reference" / "belgian" / "belgian.json").read_text())["models"]}
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the Belgian motor portfolio is not part of the project")

MODELS = {
    "frequency1": ("nclaims ~ coverage + ageph + bm + power + agec + fuel + use + fleet + sex + offset(log(expo))", "all", {"family": "poisson"}),
    "frequency2": (
        "nclaims ~ coverage + bs(ageph, df=5) + ns(bm, knots=[1, 6]) + fuel*power + use + offset(log(expo))",
        "all",
        {"family": "poisson"},
    ),
    "severity1": ("average ~ coverage + ageph + bm + fuel", "claims", {"family": "gamma", "link": "log", "weights": "nclaims"}),
    "severity2": ("average ~ coverage + bs(ageph, df=5) + sex*fuel", "claims", {"family": "gamma", "link": "log", "weights": "nclaims"}),
    "logistic": ("hit ~ coverage + ns(ageph, df=4) + bm + offset(log(expo))", "all", {"family": "binomial", "link": "cloglog"}),
    "postcode": ("nclaims ~ coverage + ageph + C(postcode2) + offset(log(expo))", "all", {"family": "poisson"}),
}


@pytest.fixture(scope="module")
def tables():
    whole = pq.read_table(DATA)
    columns = {name: whole[name].to_numpy() for name in whole.column_names}
    columns |= {"hit": (columns["nclaims"] > 0).astype(int), "postcode2": columns["postcode"] // 100}
    return {"all": columns, "claims": {name: values[columns["nclaims"] > 0] for name, values in columns.items()}}


@pytest.mark.parametrize("name", MODELS)
def test_equals_r(name, tables):
    formula, which, how = MODELS[name]
    fit, expected = em.glm(formula, tables[which], **how), REFERENCE[name]
    assert fit.nobs == expected["rows_used"]
    order, theirs = np.argsort(fit.coef), np.argsort(expected["coef"])  # names and the order of spline interactions differ
    np.testing.assert_allclose(fit.coef[order], np.array(expected["coef"])[theirs], rtol=1e-9)
    np.testing.assert_allclose(fit.stderror()[order], np.array(expected["stderror"])[theirs], rtol=1e-7)
    np.testing.assert_allclose(fit.deviance, expected["deviance"], rtol=1e-12)
    np.testing.assert_allclose(fit.null_deviance, expected["null_deviance"], rtol=1e-12)
    np.testing.assert_allclose(fit.dispersion, expected["dispersion"], rtol=1e-7)


def test_the_file_gives_the_numbers_of_the_table(tables, monkeypatch):
    formula, which, how = MODELS["frequency2"]
    monkeypatch.setattr("etamu.files._HELD", 20_000)
    streamed, held = em.glm(formula, DATA, **how), em.glm(formula, tables[which], **how)
    np.testing.assert_allclose(streamed.coef, held.coef, rtol=1e-9)
    np.testing.assert_allclose(streamed.stderror(), held.stderror(), rtol=2e-7)


def test_every_postcode():
    fit = em.glm("nclaims ~ coverage + ageph + C(postcode) + offset(log(expo))", DATA, family="poisson")
    assert len(fit.names) == 586
    assert fit.status.name == "SEPARATED"  # some postcodes have no claim at all, and are named
    assert "postcode[2387]" in fit.diverging
