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


# ---- intervals ----------------------------------------------------------------------------------------------------


def test_profile_intervals(case):
    fit, want = case
    if "profile" in want:
        close(fit.confint(method="profile"), want["profile"], 1e-7, 1e-8)


# ---- tests --------------------------------------------------------------------------------------------------------

HYPOTHESES = {"H1": "x1 = x2", "H2": "g", "H3": "2*x1 + x2 = 0.5"}


@pytest.mark.parametrize("name", HYPOTHESES)
def test_hypotheses(case, name):
    fit, want = case
    if name not in want.get("tests", {}):
        pytest.skip("not in the reference")
    want = want["tests"][name]
    for method, key in (("wald", "wald"), ("lr", "lr"), ("score", "rao")):
        if key in want:
            found = fit.test(HYPOTHESES[name], method, distribution="chi2")
            close([found.statistic, found.df, found.p_value], [want[key], want["df"], want[f"p_{key}"]], 1e-7, 1e-10)
            if f"{key}_F" in want:
                found = fit.test(HYPOTHESES[name], method)
                close([found.statistic, found.p_value], [want[f"{key}_F"], want[f"p_{key}_F"]], 1e-7, 1e-10)


def columns(table, **names):
    return {ours: np.array([np.nan if v is None else v for v in table[theirs]], dtype=float) for ours, theirs in names.items()}


def test_anova_in_sequence(case):
    fit, want = case
    if "anova" not in want:
        pytest.skip("not in the reference")
    table, want = fit.anova(), want["anova"]
    for ours, theirs in (
        ("df", "df"),
        ("deviance", "deviance"),
        ("resid_df", "resid_df"),
        ("resid_deviance", "resid_dev"),
        ("statistic", "statistic"),
        ("p_value", "p"),
    ):
        close(table[ours], columns(want, x=theirs)["x"], 1e-7, 1e-9)
    if "rao" in want:
        close(fit.anova(test="score")["statistic"], columns(want, x="rao")["x"], 1e-7, 1e-9)


def check_car(fit, want, terms=None):
    for key, kind, test in (("II LR", 2, "lr"), ("II Wald", 2, "wald"), ("III LR", 3, "lr"), ("III Wald", 3, "wald"), ("II F", 2, "f"), ("III F", 3, "f")):
        if key in want:
            table = fit.anova(type=kind, test=test)
            for k, term in enumerate(want[key]["terms"]):
                if term not in ("Residuals", "(Intercept)"):
                    row = table.row(terms.get(term, term) if terms else term)
                    close([row["statistic"], row["df"], row["p_value"]], [want[key][c][k] for c in ("statistic", "df", "p")], 1e-6, 1e-9)


def test_anova_by_term(case):
    fit, want = case
    check_car(fit, want.get("car", {}))


@pytest.mark.parametrize("name", ["binomial", "poisson", "gamma log"])
def test_anova_of_interactions(data, name):
    want = R[f"{name} interaction"]
    fit = fitted(name, data, "x1 * C(g, sum) + x2")
    close(sorted(fit.coef), sorted(want["coef"]), 1e-8, 1e-9)
    check_car(fit, want["car"], {"g": "C(g, sum)", "x1:g": "x1:C(g, sum)"})


def test_drop1(case):
    fit, want = case
    if "drop1" not in want:
        pytest.skip("not in the reference")
    for test, names in (("lr", ("lrt", "p_lrt")), ("f", ("F", "p_F"))):
        if names[0] in want["drop1"]:
            table = fit.drop1(test)
            close(table["deviance"], columns(want["drop1"], x="deviance")["x"], 1e-8)
            close(table["df"], columns(want["drop1"], x="df")["x"])
            for ours, theirs in zip(("statistic", "p_value"), names, strict=True):
                close(table[ours], columns(want["drop1"], x=theirs)["x"], 1e-7, 1e-9)
            if "aic" in want["drop1"]:
                aic = columns(want["drop1"], x="aic")["x"]
                close(table["aic"] - table["aic"][0], aic - aic[0], 1e-7, 1e-7)


# ---- predictions --------------------------------------------------------------------------------------------------


def test_predictions(case):
    fit, want = case
    want = want["prediction"]
    new = {k: np.array(v) for k, v in want["newdata"].items()}
    offset = {"offset": new["offset"]} if fit.offset_given or fit.offset else {}
    scale = 1.0
    for kind in ("link", "response"):
        found = fit.predict(new, kind, se=True, **offset)
        close(found.fit, want[kind]["fit"])
        close(found.stderror * scale, want[kind]["se"], 1e-7)
    found = fit.predict(new, "terms", se=True, **offset)
    assert list(fit.terms) == want["terms"]["names"]
    close(found.fit, want["terms"]["fit"], 1e-7, 1e-10)
    close(found.stderror, want["terms"]["se"], 1e-7, 1e-10)


# ---- shape --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " offset", " frequency"])
def test_theta(data, name):
    want = R["shape"][f"negative_binomial{name}"]
    more = {"offset": "offset"} if name == " offset" else {"weights": np.round(data["w"]) + 1} if name else {}
    fit = em.glm("y_negative_binomial ~ x1 + x2 + g", data, family=em.families.NegativeBinomial(theta=None), **more)
    close([fit.shape.estimate, fit.shape.stderror], [want["theta"], want["SE_theta"]], 1e-7)
    close(fit.coef, want["coef"], 1e-7, 1e-9)
    close(fit.stderror(), want["stderror"], 1e-7)
    close([fit.loglik, fit.deviance], [want["loglik"], want["deviance"]], 1e-8)
    low, high = fit.shape.confint()
    assert low < fit.shape.estimate < high
    close([fit.shape.profile(v) for v in (low, high)], [fit.loglik - 1.920729410347062] * 2, 1e-7)


@pytest.mark.parametrize("name", ["gamma log", "gamma weights"])
def test_gamma_shape(data, name):
    close(1 / fitted(name, data).dispersion_by("ml"), R[name]["gamma_shape"]["alpha"], 1e-7)


# ---- measures and tests of the model ------------------------------------------------------------------------------


def test_measures(case):
    fit, want = case
    want, found = want["measures"], fit.measures()
    for ours, theirs in (
        ("deviance_r2", "deviance_r2"),
        ("null_deviance", "null_deviance"),
        ("loglik", "loglik"),
        ("aic", "AIC"),
        ("bic", "BIC"),
        ("aicc", "AICc"),
    ):
        if theirs in want:
            close(found[ours], want[theirs], 1e-8)
    for ours, theirs in (
        ("mcfadden", "McFadden"),
        ("cox_snell", "CoxSnell"),
        ("nagelkerke", "Nagelkerke"),
        ("tjur", "Tjur"),
        ("brier", "Brier"),
        ("auc", "AUC"),
    ):
        if theirs in want:
            close(found[ours], want[theirs], 1e-8)


def test_diagnostics(case):
    fit, want = case
    want = want.get("diagnostics", {})
    found = fit.link_test()
    close([found.statistic, found.p_value], [want["link_test"]["statistic"], want["link_test"]["p"]], 1e-6)
    for power in (1, 2):
        key = f"dispersion_test_{power}"
        if key in want:
            found = fit.overdispersion(power)
            close([found.statistic, found.p_value], [want[key]["statistic"], want[key]["p"]], 1e-7)
    if "hosmer_lemeshow" in want:
        found, own = fit.hosmer_lemeshow(), want["hosmer_lemeshow"]
        close([found.statistic, found.df, found.p_value], [own["statistic"], own["df"], own["p"]], 1e-7)


def test_vuong(data):
    want = R["vuong"]["poisson negative_binomial(3)"]
    first = em.glm("y_negative_binomial ~ x1 + x2 + g", data, family="poisson")
    found = first.vuong(em.glm("y_negative_binomial ~ x1 + x2 + g", data, family=em.families.NegativeBinomial(3.0)))
    raw = want["raw"]["statistic"] if isinstance(want["raw"], dict) else want["raw"]
    close(found.statistic, raw, 1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_add1(name, data):
    want = R[name]
    if "add1" not in want:
        pytest.skip("not in the reference")
    small = fitted(name, data, "x1")
    for test, names in (("lr", ("lrt", "p_lrt")), ("f", ("F", "p_F"))):
        if names[0] in want["add1"]:
            table = em.add1(small, "x2 + g", test)
            for ours, theirs in (("deviance", "deviance"), ("df", "df"), ("statistic", names[0]), ("p_value", names[1])):
                close(table[ours], columns(want["add1"], x=theirs)["x"], 1e-7, 1e-9)
