"""Penalised smooths s(x): held to mgcv (reference/make_smooths.R wrote the numbers), at the ends of lambda, on files, and refused in words."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import etamu as em
from etamu.design.encode import learn
from etamu.design.frames import as_table
from etamu.design.smooths import smooths
from etamu.design.terms import read_formula
from etamu.errors import DataError, FormulaError, NotEnoughDataError, SpecificationError, UndefinedStatisticError, UnknownNameError
from etamu.inference.descent import minimise
from etamu.inference.reml import Gcv, Reml
from etamu.inference.smooth_test import tail
from etamu.inference.smoothed import blocks_of, open_task

R = json.loads((Path(__file__).parent / "reference" / "smooths.json").read_text())
DATA = {k: np.array(v) for k, v in R["data"].items()}
NEW = {k: np.array(v) for k, v in R["new"].items()}
ROWS = slice(0, None, 5)  # whose fitted values R wrote
BOTH, WITH_LEVELS = "s(x) + s(z)", "g + s(x) + s(z, df=12)"
MODELS = {
    "gaussian": {"formula": "y ~ s(x)"},
    "gaussian gcv": {"formula": "y ~ s(x)", "smoothing": "gcv"},
    "gaussian weights": {"formula": f"y ~ {WITH_LEVELS}", "weights": "w"},
    "gaussian weights gcv": {"formula": f"y ~ {WITH_LEVELS}", "weights": "w", "smoothing": "gcv"},
    "gaussian other orders": {"formula": "y ~ z + s(x, df=15, degree=2, order=3)"},
    "gaussian by level": {"formula": "y ~ g + s(x, df=10):g"},
    "gaussian log": {"formula": "half ~ s(x)", "link": "log"},
    "binomial": {"formula": f"hit ~ {BOTH}", "family": "binomial"},
    "binomial gcv": {"formula": f"hit ~ {BOTH}", "family": "binomial", "smoothing": "gcv"},
    "binomial trials probit": {"formula": "share ~ s(x)", "family": "binomial", "link": "probit", "weights": "trials"},
    "binomial trials cloglog gcv": {"formula": "share ~ s(x)", "family": "binomial", "link": "cloglog", "weights": "trials", "smoothing": "gcv"},
    "poisson offset": {"formula": f"count ~ {WITH_LEVELS} + offset(offset)", "family": "poisson"},
    "poisson offset gcv": {"formula": f"count ~ {WITH_LEVELS} + offset(offset)", "family": "poisson", "smoothing": "gcv"},
    "gamma log": {"formula": f"amount ~ {BOTH}", "family": "gamma", "link": "log"},
    "gamma log gcv": {"formula": f"amount ~ {BOTH}", "family": "gamma", "link": "log", "smoothing": "gcv"},
    "gamma log weights": {"formula": "amount ~ g + s(x)", "family": "gamma", "link": "log", "weights": "w"},
    "inverse_gaussian log": {"formula": "half ~ s(x)", "family": "inverse_gaussian", "link": "log"},
    "quasi-poisson": {"formula": "count ~ s(x) + offset(offset)", "family": "quasi-poisson"},
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    model = MODELS[request.param]
    return em.glm(data=DATA, **model), R["fits"][request.param]


def close(got, want, rtol, atol=0.0):
    np.testing.assert_allclose(got, np.array(want, dtype=float), rtol=rtol, atol=atol)


# ---- as mgcv ------------------------------------------------------------------------------------------------------


def test_the_chosen_smoothness_is_mgcvs(case):
    fit, want = case
    assert fit.converged
    close(fit.smoothing.score, want["score"], 1e-10)
    close(fit.smooths["lambda"], want["smoothing"], 1e-6)
    close(fit.smooths["edf"], want["edf"], 1e-6)
    close(fit.smooths["ref_df"], want["ref_df"], 1e-6)


def test_the_fit_is_mgcvs(case):
    fit, want = case
    close(fit.edf, want["total"], 1e-6)
    close(fit.dispersion, want["dispersion"], 1e-7)
    close(fit.deviance, want["deviance"], 1e-7)
    close(fit.fitted[ROWS], want["fitted"], 1e-6)
    close(fit.df_residual, len(DATA["y"]) - want["total"], 1e-7)


def test_bayesian_standard_errors_are_mgcvs_on_old_and_new_rows(case):
    fit, want = case
    close(fit.predict(kind="link", se=True).stderror[ROWS], want["se"], 1e-6)
    if "by level" not in fit.spec.formula.text:
        ahead = fit.predict(NEW, kind="link", se=True)
        close(ahead.fit, want["new"], 1e-6, 1e-7)
        close(ahead.stderror, want["new_se"], 1e-6)


def test_p_values_are_mgcvs_to_the_accuracy_of_its_sums_of_chi_squares(case):
    fit, want = case
    close(fit.smooths["p_value"], want["p"], 0, 3e-5)


@pytest.mark.parametrize("name", ["gaussian", "gaussian weights", "binomial", "poisson offset", "binomial gcv"])
def test_aic_counts_effective_degrees_of_freedom(name):
    close(em.glm(data=DATA, **MODELS[name]).aic, R["fits"][name]["aic"], 1e-9)


# ---- the criteria -------------------------------------------------------------------------------------------------


def task_of(formula, **how):
    """The task of a formula, with a fit to begin from."""
    fit = em.glm(formula, DATA, **how)
    own, e = smooths(fit.spec), fit._estimate()
    task = open_task(fit._problem(), e.gamma, blocks_of(own, e.scaling, e.kept), fit.control)
    return task, e.gamma, np.log(fit.smooths["lambda"])


@pytest.mark.parametrize(
    ("formula", "how"),
    [
        ("y ~ s(x) + s(z)", {}),
        ("hit ~ s(x) + s(z)", {"family": "binomial", "link": "probit"}),
        ("amount ~ s(x) + s(z)", {"family": "gamma", "link": "log"}),
        ("count ~ s(x)", {"family": em.families.Tweedie(1.5), "link": "log"}),
    ],
)
@pytest.mark.parametrize("kind", ["reml", "gcv"])
def test_slopes_are_those_of_the_criterion(formula, how, kind):
    task, start, best = task_of(formula, **how)
    rho, step = best + 0.7, 1e-3
    at = task.at(rho, start)
    n = float(len(DATA["y"]))
    criterion = Reml(task, at, n) if kind == "reml" else Gcv(task, n)
    wanted = []
    for j in range(len(rho)):
        values = []
        for times in (-2, -1, 1, 2):
            moved = rho.copy()
            moved[j] += times * step
            values.append(criterion.value(task.at(moved, start)))
        wanted.append((values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step))
    close(criterion.slope(at), wanted, 1e-6, 1e-6)


def test_nothing_near_the_optimum_is_better():
    task, start, best = task_of("amount ~ s(x) + s(z)", family="gamma", link="log")
    at = task.at(best, start)
    criterion = Reml(task, at, float(len(DATA["y"])))
    least = criterion.value(at)
    for direction in np.random.default_rng(0).normal(size=(8, 2)):
        for size in (1e-3, 0.1, 1.0):
            assert criterion.value(task.at(best + size * direction, start)) > least - 1e-9


def test_the_search_stops_at_an_end_of_its_box_and_finds_a_minimum_within():
    def evaluate(x, near):
        return float((x[0] - 1) ** 4 + (x[0] - 1) ** 2 + np.exp(-x[1])), x

    def slope(x):
        return np.array([4 * (x[0] - 1) ** 3 + 2 * (x[0] - 1), -np.exp(-x[1])])

    start = np.array([-1.5, 0.0])
    x, _, ended = minimise(evaluate, slope, evaluate(start, None), start, (np.array([-5.0, -5.0]), np.array([5.0, 3.0])))
    assert ended
    close(x, [1.0, 3.0], 0, 1e-5)


# ---- the ends of lambda -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_large_lambda_gives_the_polynomial_and_none_the_b_spline(order):
    fit = em.glm(f"count ~ s(x, df=12, order={order})", DATA, family="poisson")
    own, e = smooths(fit.spec), fit._estimate()
    task = open_task(fit._problem(), e.gamma, blocks_of(own, e.scaling, e.kept), fit.control)
    straight = em.glm("count ~ poly(x, 2)" if order == 3 else "count ~ x" if order == 2 else "count ~ 1", DATA, family="poisson")
    bent = em.fit(fit._problem().design.block(slice(0, 240))[:, 1:], DATA["count"], family="poisson")
    for rho, other in ((26.0, straight), (-26.0, bent)):
        at = task.at(np.array([rho]), e.gamma)
        close(at.sums.deviance, other.deviance, 1e-8)


def test_a_straight_line_is_found_to_be_one():
    x = DATA["x"]
    y = 1 + 2 * x + np.where(np.argsort(np.argsort(x)) % 2, 0.2, -0.2)  # errors that alternate: no smooth follows them
    fit, line = em.glm("y ~ s(x)", {"x": x, "y": y}), em.glm("y ~ x", {"x": x, "y": y})
    close(fit.edf, 2, 1e-5)
    close(fit.fitted, line.fitted, 1e-6)
    close(fit.predict(se=True).stderror, line.predict(se=True).stderror, 1e-6)
    assert np.isfinite(fit.stderror()).all()


def test_smooths_of_the_same_variable_and_its_line_are_told_apart():
    alone = em.glm("y ~ s(x)", DATA)
    beside = em.glm("y ~ x + s(x)", DATA)
    assert beside.aliased == ("s(x)[1]",)
    close(beside.fitted, alone.fitted, 1e-6)
    close(beside.edf, alone.edf, 1e-6)


def test_no_parametrisation_of_the_factor_changes_the_fit():
    one, other = em.glm("y ~ g + s(x)", DATA), em.glm("y ~ g + s(x) - 1", DATA)
    close(other.fitted, one.fitted, 1e-6)
    close(other.edf, one.edf, 1e-6)
    scaled = em.glm("y ~ g + s(k)", {**DATA, "k": 1000 + 1e-4 * DATA["x"]})
    close(scaled.fitted, one.fitted, 1e-6)
    close(scaled.smooths["lambda"], one.smooths["lambda"], 1e-5)


def test_frequencies_are_repeated_rows():
    f = 1 + np.arange(240) % 3
    rows = np.repeat(np.arange(240), f)
    for kind in ("reml", "gcv"):
        once = em.glm("amount ~ s(x)", {**DATA, "f": f}, family="gamma", link="log", frequency="f", smoothing=kind)
        again = em.glm("amount ~ s(x)", {k: v[rows] for k, v in DATA.items()}, family="gamma", link="log", smoothing=kind)
        close(once.smooths["lambda"], again.smooths["lambda"], 1e-5)
        close(once.edf, again.edf, 1e-6)
        close(once.dispersion, again.dispersion, 1e-6)


# ---- what is told of the smooths ----------------------------------------------------------------------------------


def test_the_penalty_of_a_formula_is_that_of_differences():
    spec = learn(read_formula("y ~ g + s(x, df=9) + z"), as_table(DATA))
    (own,) = smooths(spec)
    assert (own.term, own.columns, own.null) == ("s(x, df=9)", tuple(range(3, 11)), 1)
    matrix = np.reshape(spec.learnt[0][1]["matrix"], (9, 8))
    differences = np.diff(np.eye(9), n=2, axis=0) @ matrix
    close(differences.T @ differences, own.matrix, 0, 1e-10)
    design = em.encode("~ s(x, df=9)", DATA).block(slice(0, 240))
    close(design[:, 1:].mean(axis=0), np.zeros(8), 0, 1e-12)


def test_a_model_that_was_saved_says_the_same(tmp_path):
    fit = em.glm(f"count ~ {WITH_LEVELS} + offset(offset)", DATA, family="poisson")
    fit.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    assert str(loaded) == str(fit)
    assert str(loaded.smooths) == str(fit.smooths)
    close(loaded.predict(NEW, kind="link", se=True).stderror, fit.predict(NEW, kind="link", se=True).stderror, 1e-12)
    assert (loaded.edf, loaded.df_residual, loaded.aic) == (fit.edf, fit.df_residual, fit.aic)


def test_the_summary_has_a_line_for_each_smooth():
    text = str(em.glm(f"y ~ {WITH_LEVELS}", DATA))
    assert "s(z, df=12) " in text
    assert "[1]" not in text
    assert "REML" in text
    assert "g[b]" in text
    summary = em.glm("y ~ s(x)", DATA).summary()
    assert "s(x)" in summary._repr_html_()
    assert "| s(x) |" in summary.to_markdown()


def test_a_file_read_in_parts_gives_the_fit_of_its_table(tmp_path, monkeypatch):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    from etamu.design import batches

    rows = np.arange(240 * 8) % 240
    table = {k: v[rows] for k, v in DATA.items()}
    pq.write_table(pa.table(table), tmp_path / "rows.parquet", row_group_size=300)
    monkeypatch.setattr("etamu.files._HELD", 400)
    monkeypatch.setattr(batches, "_ROWS", 330)
    monkeypatch.setattr(batches, "_BLOCK", 1 << 14)
    for kind in ("reml", "gcv"):
        how = {"family": "gamma", "link": "log", "smoothing": kind}
        read, held = em.glm("amount ~ g + s(x)", str(tmp_path / "rows.parquet"), **how), em.glm("amount ~ g + s(x)", table, **how)
        assert type(read.problem).__name__ == "Streamed"
        close(read.smooths["lambda"], held.smooths["lambda"], 1e-5)
        close(read.smoothing.score, held.smoothing.score, 1e-10)
        close(read.edf, held.edf, 1e-6)
        close(read.predict(NEW, kind="link"), held.predict(NEW, kind="link"), 1e-6, 1e-6)


def test_covariances_of_other_kinds_keep_the_penalty():
    fit = em.glm("amount ~ s(x)", DATA, family="gamma", link="log")
    close(fit.vcov("expected"), fit.vcov(), 1e-6, 1e-10)
    plain = em.glm("hit ~ s(x)", DATA, family="binomial")
    close(plain.vcov("observed"), plain.vcov(), 1e-6, 1e-10)
    assert fit.influence().leverage.sum() == pytest.approx(fit.edf, rel=1e-6)


def test_sums_of_chi_squares():
    assert tail(5.991464547107979, 2, 0.0, None) == pytest.approx(0.05, rel=1e-9)
    assert tail(3.0, 2, 1e-9, None) == pytest.approx(tail(3.0, 2, 0.0, None), rel=1e-3)
    # by mgcv:::psum.chisq, to its 2e-5: 0.00037486 and 0.00972157
    assert tail(20.0, 3, 0.5, None) == pytest.approx(0.00037537, rel=1e-4)
    assert tail(20.0, 3, 0.5, 12.0) == pytest.approx(0.0097229, rel=1e-4)
    assert 0 < tail(900.0, 3, 0.5, None) < 1e-150
    assert tail(8.0, 3, 0.3, 1e6) == pytest.approx(tail(8.0, 3, 0.3, None), rel=1e-4)


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "error", "words"),
    [
        ("y ~ s(x, df=3)", FormulaError, "`df` of s() is 3"),
        ("y ~ s(x, df=5, order=5)", FormulaError, "must be at least 6"),
        ("y ~ s(x, degree=0)", FormulaError, "`degree` of s()"),
        ("y ~ s(trials)", DataError, "at least 20 distinct values"),
        ("y ~ s(g)", DataError, "`g` holds"),
        ("y ~ s(2)", FormulaError, "names no column"),
        ("y ~ s(x, knots=3)", UnknownNameError, "argument of s()"),
        ("y ~ s(x):s(z)", FormulaError, "has no penalty here"),
        ("y ~ s(x):poly(z, 2)", FormulaError, "has no penalty here"),
        ("y ~ log(s(x))", FormulaError, "cannot stand inside another expression"),
    ],
)
def test_formulas_that_are_refused(formula, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        em.glm(formula, DATA)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"smoothing": "foo"}, UnknownNameError, "`smoothing` 'foo'"),
        ({"ridge": 1.0}, SpecificationError, "`ridge`"),
        ({"bias": "mean"}, SpecificationError, "`bias`"),
        ({"solver": "lbfgs"}, SpecificationError, "`solver`"),
        ({"penalty": em.Lasso(0.1)}, SpecificationError, "`penalty`"),
        ({"constraints": "x1 = 0"}, SpecificationError, "`constraints`"),
        ({"separated": "drop"}, SpecificationError, "`separated`"),
        ({"family": em.families.Tweedie(power=None)}, SpecificationError, "`family`"),
    ],
)
def test_arguments_that_are_refused(how, error, words):
    with pytest.raises(error, match=words):
        em.glm("amount ~ s(x)", DATA, **how)
    with pytest.raises(UnknownNameError, match="`smoothing`"):
        em.glm("amount ~ x", DATA, smoothing=None)


def test_data_that_tell_nothing_of_smoothness_are_refused():
    few = {k: v[:22] for k, v in DATA.items()}
    with pytest.raises(NotEnoughDataError, match="without a penalty"):
        em.glm("y ~ bs(z, df=21, degree=1) + s(x)", few)
    with pytest.raises(UndefinedStatisticError, match="fits every row exactly"):
        em.glm("y ~ s(x)", {"x": DATA["x"], "y": 2 * DATA["x"] - 1})
    with pytest.raises(SpecificationError, match="multinomial"):
        em.glm("g ~ s(x)", DATA, family="multinomial")


VERBS = {
    "anova": lambda fit: fit.anova(),
    "drop1": lambda fit: fit.drop1(),
    "compare": lambda fit: fit.anova(em.glm("amount ~ g", DATA, family="gamma", link="log")),
    "profile": lambda fit: fit.confint(method="profile"),
    "score interval": lambda fit: fit.confint(method="score"),
    "lr": lambda fit: fit.test("g", "lr"),
    "score": lambda fit: fit.test("g", "score"),
    "wald of a smooth": lambda fit: fit.test("s(x)"),
    "link test": lambda fit: fit.link_test(),
    "separation": lambda fit: fit.separation(),
    "jackknife": lambda fit: fit.vcov("jackknife"),
    "add1": lambda fit: em.add1(em.glm("amount ~ g", DATA, family="gamma"), "s(x)"),
    "no smooths": lambda fit: em.glm("amount ~ g", DATA, family="gamma").smooths,
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_that_make_no_sense_are_refused(verb):
    fit = em.glm("amount ~ g + s(x)", DATA, family="gamma", link="log")
    with pytest.raises((UndefinedStatisticError, SpecificationError, FormulaError), match=r"s\(|smooth|penal"):
        VERBS[verb](fit)
    assert fit.test("g").p_value < 1
    assert replace(fit, known={}).edf == fit.edf
