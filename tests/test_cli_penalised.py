"""Penalised fits, paths and cross-validation as a user types them."""

import csv
import re

import numpy as np
import pytest

import etamu as em

click_testing = pytest.importorskip("click.testing")
pytest.importorskip("pyarrow")
pytest.importorskip("rich")

FORMULA = "claims ~ area + fuel + log(bonus) + bs(age, df=4)"
POISSON = ("--family", "poisson", "--exposure", "exposure")
ARGUMENTS = {"family": "poisson", "exposure": "exposure"}


def run(*arguments):
    from etamu.cli import main

    return click_testing.CliRunner().invoke(main, list(map(str, arguments)))


def write_csv(path, data):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(data)
        writer.writerows(zip(*(np.asarray(v).tolist() for v in data.values()), strict=True))
    return path


def shown(output, name):
    """The numbers of the line that begins with a name."""
    found = next(line for line in output.splitlines() if line.split("  ")[0] == name)
    return [float(text) for text in re.split(r"\s{2,}", found)[1:]]


@pytest.fixture(scope="module")
def data():
    return em.datasets.make_insurance(3000)


@pytest.fixture(scope="module")
def claims(tmp_path_factory, data):
    return write_csv(tmp_path_factory.mktemp("claims") / "claims.csv", data)


# ---- etamu fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "penalty"),
    [
        (("--penalty", "lasso", "--alpha", 0.002), em.Lasso(0.002)),
        (("--penalty", "ridge", "--alpha", 0.01), em.Ridge(0.01)),
        (("--penalty", "elastic-net", "--alpha", 0.004, "--l1-ratio", 0.3), em.ElasticNet(0.004, 0.3)),
        (("--penalty", "elastic-net", "--alpha", 0.004), em.ElasticNet(0.004)),
        (("--penalty", "lasso", "--alpha", 0), em.Lasso(0.0)),
    ],
)
def test_a_penalised_fit_is_printed_and_saved(claims, data, tmp_path, options, penalty):
    model = tmp_path / "model.json"
    result = run("fit", claims, FORMULA, *POISSON, *options, "--out", model)
    assert result.exit_code == 0, result.output
    direct = em.glm(FORMULA, data, **ARGUMENTS, penalty=penalty)
    assert str(direct.summary()) in result.output
    loaded = em.load(model)
    np.testing.assert_allclose(loaded.coef, direct.coef, rtol=1e-9, atol=1e-12)
    assert str(loaded.summary()) == str(direct.summary())
    predicted = [float(v) for v in run("predict", model, claims).output.splitlines()[1:]]
    np.testing.assert_allclose(predicted, direct.predict(data), rtol=1e-9)


def test_standard_errors_of_ridge_are_of_any_kind(claims, data):
    result = run("fit", claims, FORMULA, *POISSON, "--penalty", "ridge", "--alpha", 0.01, "--vcov", "HC1")
    assert result.exit_code == 0, result.output
    assert str(em.glm(FORMULA, data, **ARGUMENTS, penalty=em.Ridge(0.01)).summary(vcov="HC1")) in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--alpha 0.1", ("--alpha 0.1", "add --penalty lasso, ridge or elastic-net")),
        ("--l1-ratio 0.5", ("--l1-ratio 0.5", "add --penalty")),
        ("--penalty lasso", ("--penalty lasso", "add --alpha")),
        ("--penalty lasso --alpha -1", ("'--alpha'", "-1", "0 or more", "such as 0.01")),
        ("--penalty lasso --alpha nan", ("'--alpha'", "nan", "finite")),
        ("--penalty lasso --alpha inf", ("'--alpha'", "inf", "finite")),
        ("--penalty lasso --alpha strong", ("'--alpha'", "'strong'")),
        ("--penalty lasso --alpha 1 --l1-ratio 0.5", ("--l1-ratio 0.5", "lasso", "--penalty elastic-net")),
        ("--penalty ridge --alpha 1 --l1-ratio 0", ("--l1-ratio 0", "ridge", "drop it")),
        ("--penalty elastic-net --alpha 1 --l1-ratio 1.5", ("'--l1-ratio'", "1.5", "from 0 to 1")),
        ("--penalty net --alpha 1", ("'--penalty'", "'net'", "'elastic-net'")),
        ("--penalty lasso --alpha 1 --vcov HC1", ("--vcov HC1", "standard errors", "drop it")),
        ("--penalty lasso --alpha 1 --bias mean", ("--bias mean", "--penalty lasso", "drop one")),
        ("--penalty lasso --alpha 1 --separated drop", ("--separated drop", "drop it")),
        ("--penalty lasso --alpha 1 --out /no/such/folder/m.json", ("'--out'", "/no/such/folder", "create it first")),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors_before_the_data_are_read(options, words):
    result = run("fit", "there-is-no-such-file.csv", "y ~ x", *options.split())
    assert result.exit_code == 2
    assert result.output.startswith("Usage:")
    assert "Traceback" not in result.output
    assert "matches no file" not in result.output
    for word in words:
        assert word in result.output


# ---- etamu path ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["aic", "aicc", "bic", "ebic"])
@pytest.mark.parametrize("l1_ratio", [None, 0.5])
def test_a_path_shows_the_best_alpha_and_its_coefficients(claims, data, criterion, l1_ratio):
    options = () if l1_ratio is None else ("--l1-ratio", l1_ratio)
    result = run("path", claims, FORMULA, *POISSON, *options, "--alphas", 40, "--alpha-min-ratio", 0.001, "--criterion", criterion)
    assert result.exit_code == 0, result.output
    path = em.glm_path(FORMULA, data, **ARGUMENTS, l1_ratio=l1_ratio, n_alphas=40, alpha_min_ratio=0.001)
    best = path.best(criterion)
    k = path.index(best)
    row = next(line for line in result.output.splitlines() if line.endswith(f"least {criterion}")).split()
    alpha, df, ratio, value = map(float, row[:4])
    assert alpha == pytest.approx(best, rel=1e-6)
    assert df == path.df[k]
    assert ratio == pytest.approx(path.deviance_ratio[k], abs=1e-6)
    assert value == pytest.approx(path.criterion(criterion)[k], rel=1e-6)
    coefficients = path.coef(best)
    for name, value in coefficients.items():
        assert shown(result.output, name) == pytest.approx([value], rel=1e-4)
    assert f"{len(coefficients)} of {len(path.names) + 1} coefficients are not 0" in result.output
    given = re.search(r"--penalty .* --alpha (\S+)$", result.output, re.MULTILINE)
    assert float(given[1]) == best


def rows_of(output):
    return [line.split() for line in output.splitlines() if re.match(r"\s*[\d.e-]+\s+\d+\s+[\d.e-]+\s+[\d.e-]+", line)]


def test_a_dozen_alphas_are_shown_and_all_of_them_if_asked(claims, data):
    path = em.glm_path(FORMULA, data, **ARGUMENTS, n_alphas=40)
    few = run("path", claims, FORMULA, *POISSON, "--alphas", 40).output
    alphas = [float(row[0]) for row in rows_of(few)]
    assert 12 <= len(alphas) <= 13
    np.testing.assert_allclose([alphas[0], alphas[-1]], path.alphas[[0, -1]], rtol=1e-6)
    assert f"{len(alphas)} of 40 alphas; --all shows" in few
    every = rows_of(run("path", claims, FORMULA, *POISSON, "--alphas", 40, "--all").output)
    np.testing.assert_allclose([float(row[0]) for row in every], path.alphas, rtol=1e-6)
    assert [int(row[1]) for row in every] == path.df.tolist()
    assert len(rows_of(run("path", claims, FORMULA, *POISSON, "--alphas", 10).output)) == 10


def read_csv(path):
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    return names, np.array(rows, dtype=float)


def test_the_coefficients_of_a_path_are_written(claims, data, tmp_path):
    out = tmp_path / "path.csv"
    out.write_text("old")
    result = run("path", claims, FORMULA, *POISSON, "--alphas", 15, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"wrote {out}" in result.output
    path = em.glm_path(FORMULA, data, **ARGUMENTS, n_alphas=15)
    names, rows = read_csv(out)
    assert names == ["alpha", "df", "deviance_ratio", "Intercept", *path.names]
    np.testing.assert_allclose(rows[:, 0], path.alphas, rtol=1e-12)
    np.testing.assert_allclose(rows[:, 1], path.df)
    np.testing.assert_allclose(rows[:, 2], path.deviance_ratio, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rows[:, 3], path.intercepts, rtol=1e-9)
    np.testing.assert_allclose(rows[:, 4:], path.coefs, rtol=1e-9, atol=1e-12)
    assert [p.name for p in tmp_path.iterdir()] == ["path.csv"]


def test_a_path_that_fails_leaves_files_as_they_were(claims, tmp_path, monkeypatch):
    from etamu.cli import penalised

    def broken(*arguments):
        yield "alpha\n"
        raise OSError(28, "No space left on device", "path.csv")

    out = tmp_path / "path.csv"
    out.write_text("old")
    monkeypatch.setattr(penalised, "_lines", broken)
    result = run("path", claims, FORMULA, *POISSON, "--alphas", 3, "--out", out)
    assert result.exit_code == 2
    assert "No space left on device" in result.output
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["path.csv"]


def test_a_path_without_an_intercept(claims, data, tmp_path):
    out = tmp_path / "path.csv"
    result = run("path", claims, "claims ~ log(bonus) + power - 1", "--family", "poisson", "--alphas", 5, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Intercept" not in result.output
    names, rows = read_csv(out)
    path = em.glm_path("claims ~ log(bonus) + power - 1", data, family="poisson", n_alphas=5)
    assert names[3:] == list(path.names)
    np.testing.assert_allclose(rows[:, 3:], path.coefs, rtol=1e-9, atol=1e-12)


@pytest.fixture
def classes(tmp_path):
    rng = np.random.default_rng(3)
    kind = np.array(["a", "b", "c,d"])[rng.integers(0, 3, 300)]
    data = {"kind": kind, "x": rng.normal(size=300) + 1.5 * (kind == "b"), "z": rng.normal(size=300) - (kind == "a")}
    return write_csv(tmp_path / "classes.csv", data), data


def test_classes_are_named(classes, tmp_path):
    file, data = classes
    out = tmp_path / "path.csv"
    result = run("path", file, "kind ~ x + z", "--family", "multinomial", "--alphas", 8, "--out", out)
    assert result.exit_code == 0, result.output
    path = em.glm_path("kind ~ x + z", data, family="multinomial", n_alphas=8)
    names, rows = read_csv(out)
    assert names[3:] == ["b:Intercept", "b:x", "b:z", "c,d:Intercept", "c,d:x", "c,d:z"]
    np.testing.assert_allclose(rows[:, 4:6], path.coefs[:, :, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rows[:, 6], path.intercepts[:, 1], rtol=1e-9)
    k = path.index(path.best("bic"))
    assert shown(result.output, "b:x") == pytest.approx([path.coefs[k, 0, 0]], rel=1e-4)
    judged = run("cv", file, "kind ~ x + z", "--family", "multinomial", "--alphas", 8, "--folds", 3)
    assert judged.exit_code == 0, judged.output
    assert "c,d:Intercept" in judged.output


def test_ridge_is_chosen_by_its_effective_degrees_of_freedom(claims, data):
    result = run("path", claims, "claims ~ fuel", *POISSON, "--l1-ratio", 0, "--alphas", 5)
    assert result.exit_code == 0, result.output
    path = em.glm_path("claims ~ fuel", data, family="poisson", exposure="exposure", l1_ratio=0, n_alphas=5)
    assert f"--penalty ridge --alpha {path.best('bic')!r}" in result.output


def test_a_family_from_its_log_partition(claims, data):
    result = run("path", claims, FORMULA, "--log-partition", "exp(theta)", "--exposure", "exposure", "--alphas", 6)
    assert result.exit_code == 0, result.output
    path = em.glm_path(FORMULA, data, family=em.derive("exp(theta)").family, exposure="exposure", n_alphas=6)
    assert f"--alpha {path.best('bic')!r}" in result.output


# ---- etamu cv -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folds", "seed", "metric"), [(5, 0, "deviance"), (4, 7, "mse"), (3, 1, "mae")])
def test_cross_validation_shows_both_alphas(claims, data, folds, seed, metric):
    result = run("cv", claims, FORMULA, *POISSON, "--alphas", 30, "--folds", folds, "--seed", seed, "--metric", metric)
    assert result.exit_code == 0, result.output
    found = em.cross_validate(FORMULA, data, **ARGUMENTS, n_alphas=30, folds=folds, seed=seed, metric=metric)
    for name, alpha in (("best", found.best_alpha), ("1-SE", found.one_se_alpha)):
        k = found.path.index(alpha)
        assert shown(result.output, name) == pytest.approx([alpha, found.mean[k], found.se[k], found.path.df[k]], rel=1e-5)
    coefficients = found.path.coef(found.one_se_alpha)
    for name, value in coefficients.items():
        assert shown(result.output, name) == pytest.approx([value], rel=1e-4)
    assert f"{len(coefficients)} of {len(found.path.names) + 1} coefficients are not 0" in result.output
    assert f"--penalty lasso --alpha {found.one_se_alpha!r}" in result.output


def test_cross_validation_by_the_auc(data, tmp_path):
    late = {"late": (data["claims"] > 0).astype(int), "area": data["area"], "age": data["age"], "bonus": data["bonus"]}
    file = write_csv(tmp_path / "late.csv", late)
    options = ("--family", "binomial", "--metric", "auc", "--l1-ratio", 0.5, "--alphas", 10, "--folds", 3)
    result = run("cv", file, "late ~ area + age + log(bonus)", *options)
    assert result.exit_code == 0, result.output
    found = em.cross_validate("late ~ area + age + log(bonus)", late, family="binomial", metric="auc", l1_ratio=0.5, n_alphas=10, folds=3)
    assert shown(result.output, "best")[1] == pytest.approx(found.mean.max(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_fold_without_weight_is_named(tmp_path):
    file = write_csv(tmp_path / "few.csv", {"y": [0, 2, 1, 4, 3, 1], "x": [1, 2, 3, 4, 5, 4], "w": [1, 1, 1, 1, 1, 0]})
    result = run("cv", file, "y ~ x", "--weights", "w", "--folds", 6, "--alphas", 3)
    assert result.exit_code == 2
    assert "fewer folds" in result.output


# ---- both ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("path", "--alphas 0", ("'--alphas'", "0", "1 or more")),
        ("path", "--alpha-min-ratio 1", ("'--alpha-min-ratio'", "1", "between 0 and 1", "0.001")),
        ("path", "--l1-ratio -0.1", ("'--l1-ratio'", "-0.1", "from 0 to 1")),
        ("path", "--criterion cp", ("'--criterion'", "'cp'", "'ebic'")),
        ("path", "--out /no/such/folder/p.csv", ("'--out'", "create it first")),
        ("cv", "--folds 1", ("'--folds'", "1", "2 or more")),
        ("cv", "--seed -3", ("'--seed'", "-3", "0 or more")),
        ("cv", "--metric r2", ("'--metric'", "'r2'", "'deviance'")),
        ("cv", "--l1-ratio nan", ("'--l1-ratio'", "nan")),
    ],
)
def test_bad_options_are_usage_errors(command, options, words):
    result = run(command, "there-is-no-such-file.csv", "y ~ x", *options.split())
    assert result.exit_code == 2
    assert result.output.startswith("Usage:")
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


@pytest.mark.parametrize("command", ["path", "cv"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.csv", "y ~ x"), "matches no file"),
        (("{data}", "claims ~"), "formula"),
        (("{data}", "claims ~ nothing"), "column"),
        (("{data}", "claims ~ fuel", "--family", "poison"), "Did you mean 'poisson'"),
        (("{data}", "claims ~ fuel", "--set", "r=2"), "--log-partition"),
        (("{data}", "claims ~ s(age)"), "s()"),
    ],
)
def test_errors_are_one_line_and_exit_with_2(claims, command, arguments, words):
    result = run(command, *(a.format(data=claims) for a in arguments))
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("command", [("path", "--criterion", "aic"), ("cv", "--folds", 3)])
def test_parquet_gives_the_same(claims, data, tmp_path, command):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = pa.table({k: pa.array(v) for k, v in data.items()})
    for k in range(2):
        parquet.write_table(table.slice(k * 1500, 1500), tmp_path / f"claims{k}.parquet")
    name, *rest = command
    options = (FORMULA, *POISSON, "--alphas", 10, *rest)
    whole = run(name, claims, *options)
    assert whole.exit_code == 0, whole.output
    assert run(name, f"{tmp_path}/*.parquet", *options).output == whole.output


@pytest.mark.parametrize("command", [("path",), ("cv", "--folds", 3), ("fit", "--penalty", "lasso", "--alpha", 0.002)])
def test_files_that_are_read_part_by_part(claims, tmp_path, monkeypatch, command):
    from etamu.design import batches

    name, *rest = command
    options = (FORMULA, *POISSON, *(() if name == "fit" else ("--alphas", 8)), *rest)
    held = run(name, claims, *options)
    assert held.exit_code == 0, held.output
    monkeypatch.setattr("etamu.files._HELD", 400)
    monkeypatch.setattr(batches, "_ROWS", 700)
    monkeypatch.setattr(batches, "_BLOCK", 1 << 14)
    parts = run(name, claims, *options, "--cache", tmp_path, "--threads", 1)
    assert parts.exit_code == 0, parts.output
    if name != "cv":  # whose folds of files are others
        assert shown(parts.output, "Intercept") == pytest.approx(shown(held.output, "Intercept"), rel=1e-4)


def test_the_choices_are_those_of_the_library(data):
    from etamu import validation
    from etamu.cli import penalised

    assert penalised.METRICS == validation.METRICS
    path = em.glm_path("claims ~ fuel", data, family="poisson", n_alphas=2)
    with pytest.raises(em.errors.UnknownNameError) as error:
        path.criterion("none")
    assert ", ".join(sorted(penalised.CRITERIA)) in str(error.value)


def test_commands_that_fit_nothing_open_no_penalties():
    import subprocess
    import sys

    code = "import sys, etamu.cli; sys.exit(any(m in sys.modules for m in ('etamu.path', 'etamu.validation', 'pyarrow', 'sympy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
