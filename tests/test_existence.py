"""Separation: certificates held to answers known beforehand, and to what the definition says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from tables import read

HERE = Path(__file__).parent / "reference"
R = json.loads((HERE / "bias.json").read_text())["existence"]
CORREIA = Path(__file__).parents[2] / "shared" / "data" / "separation"


def r_name(name):
    return "(Intercept)" if name == "Intercept" else re.sub(r"Intercept$", "(Intercept)", re.sub(r"\[(.*)\]", r"\1", name))


@pytest.mark.parametrize("name", R)
def test_known_answers(name):
    want = R[name]
    data = read(HERE / "bias" / want["file"])
    link = None if want["family"] == "multinomial" else want["link"]
    found = em.separation(want["formula"], data, family=want["family"], link=link, weights=want["weights"])
    assert bool(found) == want["separated"]
    assert found.rows.tolist() == want["separated_rows"]
    if want["separated"]:
        assert [r_name(n) for n in found.finite] == want["finite"]
        if name != "multinomial":
            check_direction(data, want, found)


def check_direction(data, want, found):
    design = em.encode(want["formula"].replace("y ~", "~"), data)
    z = design.block(slice(0, design.rows)) @ np.array([found.direction.get(n, 0.0) for n in design.names])
    used = np.ones(len(z), dtype=bool) if want["weights"] is None else data[want["weights"]] > 0
    y = data["y"]
    inside = found.separated
    assert (np.abs(z[~inside & used]) < 1e-7).all()
    assert (np.where(y[inside] > 0, z[inside], -z[inside])[used[inside]] > 1e-7).all()


@given(st.integers(0, 10**6), st.integers(4, 40), st.integers(1, 4))
def test_a_certificate_and_a_fit_agree(seed, n, p):
    """Where a fit converges nothing is separated, and where it says SEPARATED something is."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (n, p)).astype(float)
    y = (x @ rng.normal(size=p) + rng.logistic(size=n) * rng.choice([0.1, 1.0]) > 0).astype(float)
    if y.min() == y.max():
        return
    fit = em.fit(x, y, family="binomial")
    found = em.separation(x, y, family="binomial")
    assert bool(found) == (fit.status.name == "SEPARATED")
    if found:
        assert set(found.infinite) | set(found.finite) == {name for name in fit.names if name not in fit.aliased}


@pytest.mark.parametrize("number", range(1, 19))
def test_correia(number):
    """The Poisson sets with labelled rows of Correia, Guimaraes & Zylkin, where they are at hand."""
    path = CORREIA / f"{number:02d}.csv"
    if not path.exists():
        pytest.skip("the benchmark's data are not on this machine")
    data = read(path)
    terms = [k if k.startswith("x") else f"C({k})" for k in data if k not in ("y", "separated")]
    found = em.separation(f"y ~ {' + '.join(terms)}", data, family="poisson")
    np.testing.assert_array_equal(found.separated, data["separated"] == 1)


def test_families_without_infinite_estimates():
    data = {"y": [1.0, 2.0, 3.0, 0.5], "x": [1.0, 2.0, 3.0, 4.0]}
    for family in ("gaussian", "gamma", "inverse_gaussian"):
        assert not em.separation("y ~ x", data, family=family)
    assert not em.separation("y ~ x", {"y": [0.0, 0, 1, 2], "x": [1.0, 2, 3, 4]}, family="poisson", link="identity")


def test_many_rows_need_few_programs():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60_000, 6))
    y = (x[:, 0] + rng.logistic(size=60_000) > 0).astype(float)
    rare = np.zeros(60_000)
    rare[1234] = 1.0
    found = em.separation(np.column_stack([x, rare]), y, family="binomial")
    assert found.rows.tolist() == [1234]
    assert found.infinite == ("x7",)
    assert not em.separation(x, y, family="binomial")


@pytest.mark.parametrize("name", ["level", "proportions", "poisson_level", "poisson_continuous", "poisson_two_factors"])
def test_dropping_separated_rows(name):
    want = R[name]
    data = read(HERE / "bias" / want["file"])
    with pytest.raises(em.errors.SeparationError, match="rows are separated"):
        em.glm(want["formula"], data, family=want["family"], weights=want["weights"], separated="raise")
    fit = em.glm(want["formula"], data, family=want["family"], weights=want["weights"], separated="drop")
    assert fit.converged
    assert "separated rows were dropped" in str(fit.trace)
    known = {r_name(n): v for n, v in zip(fit.names, fit.coef, strict=True) if not np.isnan(v)}
    for label in want["finite"]:
        np.testing.assert_allclose(known[label], want["finite_coef"][label], rtol=1e-6, atol=1e-9)
