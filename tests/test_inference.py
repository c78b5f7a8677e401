"""Inference as properties: repetition is frequency, order does not matter, every source gives the same, and what does not exist is refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from etamu.core import core
from etamu.errors import EtamuError, SpecificationError, UndefinedStatisticError, UnknownNameError
from etamu.inference.profile import _limit

FAMILIES = {
    "gaussian": lambda rng, mu: rng.normal(mu, 1.0),
    "binomial": lambda rng, mu: rng.binomial(1, mu / (1 + mu)).astype(float),
    "poisson": lambda rng, mu: rng.poisson(mu).astype(float),
    "gamma": lambda rng, mu: rng.gamma(2.0, mu / 2.0),
    "inverse_gaussian": lambda rng, mu: rng.wald(mu, 2.0),
    "quasi-poisson": lambda rng, mu: rng.poisson(mu).astype(float),
    "negative_binomial": lambda rng, mu: rng.negative_binomial(2, 2 / (2 + mu)).astype(float),
    "tweedie": lambda rng, mu: em.families.Tweedie(1.5).sample(mu, 1.0, np.ones_like(mu), rng),
}
LINK = {"gamma": "log", "inverse_gaussian": "log"}


def make(family, n=120, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    mu = np.exp(0.4 + 0.3 * x + 0.2 * (g == "b"))
    return {"x": x, "g": g, "y": FAMILIES[family](rng, mu), "f": rng.integers(1, 4, n), "c": rng.integers(0, 12, n)}


def fitted(family, data, **more):
    return em.glm("y ~ x + g", data, family=family, link=LINK.get(family), **more)


def answers(fit, cluster):
    """Numbers that do not depend on how rows are written down."""
    out = {kind: fit.vcov(kind) for kind in ("model", "observed", "HC0", "HC1", "HC2", "HC3")}
    out["cluster"] = fit.vcov("cluster", cluster=cluster)
    out["profile"] = fit.confint(method="profile")
    out["score"] = fit.confint(method="score")
    out |= {method: fit.test("g", method).statistic for method in ("wald", "lr", "score")}
    out["anova"], out["anova2"] = fit.anova()["statistic"], fit.anova(type=2)["statistic"]
    out["measures"] = [v for k, v in sorted(fit.measures().items())]
    return out


@pytest.mark.parametrize("family", FAMILIES)
def test_frequencies_are_repetitions(family):
    data = make(family)
    often = {k: np.repeat(v, data["f"]) for k, v in data.items()}
    a = answers(fitted(family, data, frequency="f"), data["c"])
    b = answers(fitted(family, often), often["c"])
    for name in a:
        if not (family == "tweedie" and name == "measures"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_frequency_are_alike(family):
    data = make(family)
    often = {k: np.repeat(v, data["f"]) for k, v in data.items()}
    short, long = fitted(family, data, frequency="f"), fitted(family, often)
    for kind in ("response", "pearson", "deviance", "standardized_deviance", "studentized", "anscombe", "partial"):
        np.testing.assert_allclose(np.repeat(short.residuals(kind), data["f"], axis=0), long.residuals(kind), rtol=1e-6, atol=1e-8, err_msg=kind)
    for measure in ("leverage", "cooks_distance", "dffits", "covariance_ratio", "dfbetas", "one_step"):
        got, want = getattr(short.influence(), measure), getattr(long.influence(), measure)
        np.testing.assert_allclose(np.repeat(got, data["f"], axis=0), want, rtol=1e-6, atol=1e-8, err_msg=measure)


@pytest.mark.parametrize("family", FAMILIES)
def test_sources_agree(family, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    data = make(family, 500)
    pq.write_table(pa.table(data), tmp_path / "rows.parquet", row_group_size=120)
    held, read = fitted(family, data), fitted(family, str(tmp_path / "rows.parquet"))
    for kind in ("HC1", "HC3"):
        np.testing.assert_allclose(held.vcov(kind), read.vcov(kind), rtol=1e-8)
    np.testing.assert_allclose(held.vcov("HAC", lags=2), read.vcov("HAC", lags=2), rtol=1e-8)
    np.testing.assert_allclose(held.residuals("deviance"), read.residuals("deviance"), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(held.influence().cooks_distance, read.influence().cooks_distance, rtol=1e-7)
    assert held.influence().most(count=3)["row"] == read.influence().most(count=3)["row"]


@pytest.mark.skipif(core is None, reason="the native core was not built")
def test_cells_give_the_covariances_of_their_rows():
    data = make("poisson", 400)
    data["x"] = np.round(data["x"])
    a = fitted("poisson", data, control=em.Control(compress=True))
    b = fitted("poisson", data, control=em.Control(compress=False))
    assert "cells" in a.trace.reason
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        np.testing.assert_allclose(a.vcov(kind), b.vcov(kind), rtol=1e-9)


def test_many_levels_as_an_arrow():
    rng = np.random.default_rng(1)
    level = np.r_[np.arange(300), rng.integers(0, 300, 2700)]
    data = {"g": np.array([f"l{k:03d}" for k in level]), "x": rng.normal(size=3000)}
    data["y"] = rng.poisson(np.exp(0.5 + 0.1 * data["x"])).astype(float) + 1
    fit = em.glm("y ~ x + g", data, family="poisson")
    design = em.encode("~ x + g", data)
    x = design.block(slice(0, 3000))
    mu = fit.fitted
    inverse = np.linalg.inv(x.T @ (mu[:, None] * x))
    leverage = mu * np.einsum("ij,jk,ik->i", x, inverse, x)
    np.testing.assert_allclose(fit.influence().leverage, leverage, rtol=1e-7)
    u = x * (data["y"] - mu)[:, None]
    np.testing.assert_allclose(fit.vcov("HC0"), inverse @ (u.T @ u) @ inverse, rtol=1e-6, atol=1e-10)


def test_multinomial_covariances():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 2))
    y = rng.integers(0, 3, 300)
    fit = em.fit(x, y, family="multinomial")
    mu = fit.fitted
    w = np.column_stack([np.ones(300), x])
    q = mu.shape[1] - 1
    indicator = (y[:, None] == np.arange(3)) - mu
    u = np.concatenate([indicator[:, a + 1 : a + 2] * w for a in range(q)], axis=1)
    bread = fit.vcov("expected")
    np.testing.assert_allclose(fit.vcov("HC0"), bread @ (u.T @ u) @ bread, rtol=1e-7)
    assert fit.test([f"{fit.labels[1]} = 0", f"{fit.labels[2]} = 0"], "lr").df == 2
    found = fit.predict(x[:5], se=True, interval="confidence")
    assert ((found.lower < found.fit) & (found.fit < found.upper)).all()
    step, base = 1e-6, fit.predict(x[:1])
    jacobian = []
    flat = fit.coef.T.ravel()
    for k in range(len(flat)):
        moved = flat.copy()
        moved[k] += step
        eta = np.c_[0.0, w[:1] @ moved.reshape(q, 3).T]
        e = np.exp(eta - eta.max())
        jacobian.append((e / e.sum() - base)[0] / step)
    j = np.array(jacobian).T
    np.testing.assert_allclose(found.stderror[0], np.sqrt(np.diagonal(j @ fit.vcov() @ j.T)), rtol=1e-4)
    with pytest.raises(UndefinedStatisticError, match="matrices"):
        fit.vcov("HC3")


@pytest.mark.parametrize("family", ["binomial", "poisson", "gamma", "gaussian", "inverse_gaussian", "negative_binomial", "tweedie"])
def test_quantile_residuals_of_a_right_model_are_normal(family):
    data = make(family, 3000, seed=5)
    own = {"negative_binomial": em.families.NegativeBinomial(2.0), "tweedie": em.families.Tweedie(1.5)}.get(family, family)
    link = {"gaussian": "log"}.get(family, LINK.get(family))
    if family == "gaussian":
        data["y"] = np.random.default_rng(1).normal(np.exp(0.4 + 0.3 * data["x"] + 0.2 * (data["g"] == "b")), 1.0)
    r = em.glm("y ~ x + g", data, family=own, link=link).residuals("quantile", seed=2)
    assert abs(r.mean()) < 0.06
    assert abs(r.std() - 1) < 0.05
    assert abs((r**3).mean()) < 0.25


def test_score_intervals_are_where_the_score_test_meets_the_cutoff():
    data = make("poisson")
    fit = fitted("poisson", data)
    for (low, high), name in zip(fit.confint(method="score"), fit.names, strict=True):
        for v in (float(low), float(high)):
            np.testing.assert_allclose(fit.test(f"{name} = {v!r}", "score").statistic, 1.959963984540054**2, rtol=1e-6)


def test_simultaneous_intervals():
    fit = fitted("poisson", make("poisson"))
    one, together = fit.confint(), fit.confint(adjust="max-t")
    bonferroni, sidak = fit.confint(adjust="bonferroni"), fit.confint(adjust="sidak")
    width = [np.ptp(v, axis=1)[0] for v in (one, together, sidak, bonferroni)]
    assert width == sorted(width)
    rng = np.random.default_rng(0)
    v = fit.vcov()
    draws = np.abs(rng.multivariate_normal(np.zeros(4), v / np.sqrt(np.outer(np.diagonal(v), np.diagonal(v))), 400_000)).max(axis=1)
    np.testing.assert_allclose(width[1] / (2 * fit.stderror()[0]), np.quantile(draws, 0.95), rtol=5e-3)


def test_contrasts_by_name():
    fit = fitted("poisson", make("poisson"))
    v, b = fit.vcov(), fit.coef
    ((low, high),) = fit.confint(which="g[b] - g[c]")
    np.testing.assert_allclose([low, high], b[2] - b[3] + np.array([-1, 1]) * 1.959963984540054 * np.sqrt(v[2, 2] + v[3, 3] - 2 * v[2, 3]), rtol=1e-9)
    ((low, high),) = fit.confint(which="g[b] - g[c]", method="profile")
    np.testing.assert_allclose(fit.test(f"g[b] - g[c] = {float(low)!r}", "lr").statistic, 1.959963984540054**2, rtol=1e-6)


def test_limits_of_a_root_that_levels_off_or_ends():
    """A signed root below the cutoff for ever has an infinite limit; one that ends where means leave their space has that end."""
    assert _limit(lambda v: 1.5 * np.tanh(v), 0.0, 1.0, 1.96) == np.inf
    assert _limit(lambda v: 1.5 * np.tanh(v), 0.0, 1.0, -1.96) == -np.inf
    assert _limit(lambda v: v if v < 1.2 else np.inf, 0.0, 1.0, 1.96) == pytest.approx(1.2, rel=1e-9)
    assert _limit(lambda v: np.sinh(v) / 2, 0.0, 1.0, 1.96) == pytest.approx(np.arcsinh(3.92), rel=1e-8)


@pytest.mark.parametrize("family", ["poisson", "gamma", "binomial"])
def test_prediction_intervals_cover(family):
    rng = np.random.default_rng(7)
    hits = []
    for seed in range(12):
        data = make(family, 60, seed)
        fit = em.glm("y ~ x", data, family=family, link=LINK.get(family))
        x = rng.normal(size=200)
        new = {"x": x}
        found = fit.predict(new, interval="prediction", level=0.9)
        y = FAMILIES[family](rng, np.exp(0.45 + 0.3 * x))
        hits.append(np.mean((y >= found.lower) & (y <= found.upper)))
    assert np.mean(hits) > 0.87


def test_effects_by_hand():
    data = make("poisson")
    fit = fitted("poisson", data)
    table = fit.effects()
    np.testing.assert_allclose(table.row("x")["estimate"], fit.coef[1] * fit.fitted.mean(), rtol=1e-8)
    a, b = (fit.predict(data | {"g": np.full(120, level)}).mean() for level in "ab")
    np.testing.assert_allclose(table["estimate"][1], b - a, rtol=1e-10)
    np.testing.assert_allclose(fit.adjusted("g")["estimate"][:2], [a, b], rtol=1e-10)
    np.testing.assert_allclose(fit.adjusted("g", contrast="ratio")["estimate"][0], b / a, rtol=1e-10)
    np.testing.assert_allclose(fit.relativities()["relativity"], [np.exp(fit.coef[0]), np.exp(fit.coef[1]), 1, *np.exp(fit.coef[2:])], rtol=1e-12)


def test_effects_of_a_spline_and_of_an_array():
    data = make("poisson")
    fit = em.glm("y ~ bs(x, df=5) + g", data, family="poisson")
    h = 1e-4
    up, down = (fit.predict(data | {"x": data["x"].clip(data["x"].min() + h, data["x"].max() - h) + s * h}).mean() for s in (1, -1))
    inside = data | {"x": data["x"].clip(data["x"].min() + h, data["x"].max() - h)}
    np.testing.assert_allclose(fit.effects("x", data=inside)["estimate"][0], (up - down) / (2 * h), rtol=1e-5)
    x = np.column_stack([data["x"], data["f"]])
    fit = em.fit(x, data["y"], family="poisson")
    np.testing.assert_allclose(fit.effects()["estimate"], fit.coef[1:] * fit.fitted.mean(), rtol=1e-8)


# ---- what does not exist ------------------------------------------------------------------------------------------


def test_refusals():
    data = make("quasi-poisson")
    quasi, fit = fitted("quasi-poisson", data), fitted("poisson", data)
    aliased = em.glm("y ~ x + x2", data | {"x2": 2 * data["x"]}, family="poisson")
    saturated = em.glm("y ~ g", {"y": [1.0, 2, 3, 4], "g": ["a", "a", "b", "c"]}, family="gaussian")
    cases = [
        (lambda: quasi.aic, UndefinedStatisticError, "quasi-likelihood"),
        (lambda: quasi.residuals("quantile"), UndefinedStatisticError, "distribution function"),
        (lambda: aliased.confint(which="x2"), UndefinedStatisticError, "aliased"),
        (lambda: aliased.confint(which="x2", method="profile"), UndefinedStatisticError, "aliased"),
        (lambda: aliased.test("x2 = 0"), UndefinedStatisticError, "aliased"),
        (lambda: saturated.vcov("HC3"), UndefinedStatisticError, "leverage"),
        (lambda: fit.vcov("cluster", cluster=np.arange(5)), EtamuError, "length 5"),
        (lambda: fit.vcov("cluster"), SpecificationError, "cluster"),
        (lambda: fit.vcov("HC9"), UnknownNameError, "HC3"),
        (lambda: fit.vcov("HC1", lags=2), SpecificationError, "lags"),
        (lambda: fit.vcov("HAC", lags=-1), SpecificationError, "lags"),
        (lambda: fit.vcov(np.eye(2)), EtamuError, "shape"),
        (lambda: fit.vcov(3), SpecificationError, "vcov"),
        (lambda: fit.test("z = 0"), UnknownNameError, "z"),
        (lambda: fit.test("x = x"), SpecificationError, "restricts"),
        (lambda: fit.test("x", "walt"), UnknownNameError, "wald"),
        (lambda: fit.test("x", "lr", vcov="HC1"), EtamuError, "vcov"),
        (lambda: fit.confint(level=2), SpecificationError, "level"),
        (lambda: fit.confint(method="bayes"), UnknownNameError, "profile"),
        (lambda: fit.confint(which="x = 1"), SpecificationError, "which"),
        (lambda: fit.residuals("raw"), UnknownNameError, "deviance"),
        (lambda: fit.anova(type=4), UnknownNameError, "type"),
        (lambda: fit.anova(fitted("gamma", make("gamma"))), SpecificationError, "other"),
        (lambda: fit.predict(interval="tolerance"), UnknownNameError, "interval"),
        (lambda: fit.predict(kind="link", interval="prediction"), SpecificationError, "new observation"),
        (lambda: fit.predict(weights=[1.0]), SpecificationError, "weights"),
        (lambda: fit.effects("z"), UnknownNameError, "z"),
        (lambda: fit.adjusted({"x": []}), SpecificationError, "grid"),
        (lambda: fit.adjusted("x"), SpecificationError, "grid"),
        (lambda: fitted("gaussian", make("gaussian")).relativities(), SpecificationError, "log"),
        (lambda: quasi.overdispersion(), SpecificationError, "poisson"),
        (lambda: fit.hosmer_lemeshow(), SpecificationError, "binomial"),
        (lambda: fit.influence().most("age"), UnknownNameError, "leverage"),
        (lambda: em.vcov.Bootstrap(draws=1), SpecificationError, "draws"),
        (lambda: em.vcov.HC(7), SpecificationError, "order"),
        (lambda: em.measures.auc([0.0, 2.0], [0.1, 0.2]), SpecificationError, "AUC"),
        (lambda: em.measures.gini([1.0], [1.0, 2.0]), EtamuError, "shape"),
    ]
    for make_it, kind, words in cases:
        with pytest.raises(kind, match=words):
            make_it()


@given(st.text(max_size=60))
def test_hypotheses_are_never_evaluated(text):
    with contextlib.suppress(EtamuError):
        _POISSON.test(text)


_POISSON = fitted("poisson", make("poisson"))


def test_a_loaded_model_says_what_it_lacks(tmp_path):
    _POISSON.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    np.testing.assert_allclose(loaded.confint(), _POISSON.confint(), rtol=1e-12)
    np.testing.assert_allclose(loaded.test("x").statistic, _POISSON.test("x").statistic, rtol=1e-9)
    for ask in (
        lambda: loaded.vcov("HC1"),
        lambda: loaded.residuals(),
        lambda: loaded.confint(method="profile"),
        lambda: loaded.anova(),
        lambda: loaded.effects(),
    ):
        with pytest.raises(UndefinedStatisticError, match="refit"):
            ask()
