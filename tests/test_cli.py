"""The command line as a user types it."""

import csv
import json

import numpy as np
import pytest

import etamu as em

click_testing = pytest.importorskip("click.testing")
pytest.importorskip("pyarrow")
pytest.importorskip("rich")


def run(*arguments):
    from etamu.cli import main

    return click_testing.CliRunner().invoke(main, list(arguments))


@pytest.fixture
def claims(tmp_path):
    data = em.datasets.make_insurance(2000)
    path = tmp_path / "claims.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*(v.tolist() for v in data.values()), strict=True))
    return path, data


def test_fit_and_predict(claims, tmp_path):
    path, data = claims
    model = tmp_path / "model.json"
    result = run("fit", str(path), "claims ~ fuel + log(bonus)", "--family", "poisson", "--exposure", "exposure", "--out", str(model), "--trace")
    assert result.exit_code == 0, result.output
    assert "fuel[petrol]" in result.output
    assert "newton" in result.output
    direct = em.glm("claims ~ fuel + log(bonus)", data, family="poisson", exposure="exposure")
    np.testing.assert_allclose(em.load(model).coef, direct.coef, rtol=1e-12)
    result = run("predict", str(model), str(path))
    lines = result.output.splitlines()
    assert lines[0] == "prediction"
    np.testing.assert_allclose([float(v) for v in lines[1:]], direct.predict(data), rtol=1e-12)


def test_parquet_gives_the_same(claims, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path, data = claims
    parquet.write_table(pa.table({k: pa.array(v) for k, v in data.items()}), tmp_path / "claims.parquet")
    arguments = ("claims ~ fuel + area", "--family", "poisson", "--weights", "exposure")
    assert run("fit", str(path), *arguments).output == run("fit", str(tmp_path / "claims.parquet"), *arguments).output


def test_classes_are_predicted_by_name(tmp_path):
    path, model = tmp_path / "d.csv", tmp_path / "m.json"
    rows = zip(np.tile(["a", "b", "c,d"], 20).tolist(), np.random.default_rng(0).normal(size=60).tolist(), strict=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["k", "x"])
        writer.writerows(rows)
    assert run("fit", str(path), "k ~ x", "--family", "multinomial", "--out", str(model)).exit_code == 0
    assert run("predict", str(model), str(path)).output.splitlines()[0] == 'a,b,"c,d"'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "none.csv", "y ~ x"), "matches no file"),
        (("fit", "{data}", "y ~"), "formula"),
        (("fit", "{data}", "claims ~ nothing"), "column"),
        (("fit", "{data}", "claims ~ fuel", "--family", "poison"), "Did you mean 'poisson'"),
        (("fit", "{data}", "claims ~ fuel", "--out", "/no/such/folder/m.json"), "does not exist"),
        (("predict", "{data}", "{data}"), "not an etamu model"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(claims, arguments, words):
    path, _ = claims
    result = run(*(a.format(data=path) for a in arguments))
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_demo():
    result = run("demo")
    assert result.exit_code == 0
    assert "Simpson" in result.output
    assert "cloglog" in result.output


def test_model_files_are_plain_json(claims, tmp_path):
    path, _ = claims
    run("fit", str(path), "claims ~ fuel", "--family", "poisson", "--out", str(tmp_path / "m.json"))
    assert json.loads((tmp_path / "m.json").read_text())["etamu"] == 1


def test_robust_standard_errors_and_bias_reduction(claims):
    path, data = claims
    result = run("fit", str(path), "claims ~ fuel", "--family", "poisson", "--vcov", "HC1")
    assert result.exit_code == 0, result.output
    assert "standard errors: HC1" in result.output
    direct = em.glm("claims ~ fuel", data, family="poisson")
    assert f"{direct.stderror(vcov='HC1')[1]:.6f}"[:7] in result.output
    assert run("fit", str(path), "claims ~ fuel", "--family", "poisson", "--bias", "mean").exit_code == 0
    wrong = run("fit", str(path), "claims ~ fuel", "--family", "poisson", "--vcov", "HC8")
    assert wrong.exit_code != 0
    assert "HC3" in wrong.output
