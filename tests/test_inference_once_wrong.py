"""Inference that an independent review found wrong once, each with the case that showed it."""

import numpy as np
import pytest

import etamu as em
from etamu.core import core
from etamu.errors import EtamuError, SpecificationError, UndefinedStatisticError
from etamu.inference.tails import log_t

RNG = np.random.default_rng(8)
N = 60
X = RNG.normal(size=N)
F = RNG.integers(1, 5, N).astype(float)
OFTEN = np.repeat(np.arange(N), F.astype(int))
AMOUNT = RNG.gamma(2.0, 1.0, N) * np.exp(0.2 * X)
COUNT = RNG.poisson(2.0, N).astype(float)


def pair(y, family, link=None, **more):
    """The fit of rows with frequencies, and of the rows repeated."""
    return em.fit(X, y, family=family, link=link, frequency=F, **more), em.fit(X[OFTEN], y[OFTEN], family=family, link=link, **more)


@pytest.mark.parametrize("family", ["gaussian", "gamma", "inverse_gaussian"])
def test_dispersion_and_bias_with_frequencies(family):
    a, b = pair(AMOUNT, family, "log")
    np.testing.assert_allclose(a.dispersion_by("ml"), b.dispersion_by("ml"), rtol=1e-9)
    for kind in ("mean", "median", "mixed", "jeffreys"):
        a, b = pair(AMOUNT, family, "log", bias=kind)
        np.testing.assert_allclose(a.coef, b.coef, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(a.dispersion, b.dispersion, rtol=1e-8)


def test_tests_of_the_model_with_frequencies():
    a, b = pair(COUNT, "poisson")
    a2, b2 = pair(COUNT, em.families.NegativeBinomial(2.0))
    np.testing.assert_allclose(a.vuong(a2).statistic, b.vuong(b2).statistic, rtol=1e-9)
    np.testing.assert_allclose(a.overdispersion().statistic, b.overdispersion().statistic, rtol=1e-9)
    a, b = pair((COUNT > 2).astype(float), "binomial")
    np.testing.assert_allclose(a.hosmer_lemeshow().statistic, b.hosmer_lemeshow().statistic, rtol=1e-9)
    np.testing.assert_allclose(a.predict(kind="terms")[:, 0], em.fit(X[OFTEN], (COUNT > 2)[OFTEN], family="binomial").predict(X, "terms")[:, 0], rtol=1e-7)
    score = em.vcov.Bootstrap(4000, method="score")
    np.testing.assert_allclose(a.stderror(vcov=score), b.stderror(vcov=score), rtol=0.1)
    with pytest.raises(UndefinedStatisticError, match="frequency"):
        a.vcov("HAC", lags=2)


def test_combinations_as_many_as_coefficients():
    x = np.arange(20.0)
    data = {"x": x, "x2": 2 * x, "g": x % 3, "y": RNG.poisson(3, 20)}
    fit = em.glm("y ~ x + x2 + g", data, family="poisson")
    with pytest.raises(UndefinedStatisticError, match="aliased"):
        fit.confint(which=["Intercept", "x", "x2 + x", "g"])


def test_all_pairwise_contrasts_have_intervals():
    fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    limits = fit.confint(which=["tension[L]", "tension[M]", "tension[L] - tension[M]"], adjust="max-t")
    assert limits.shape == (3, 2)
    one = fit.confint(which=["tension[L]", "tension[M]", "tension[L] - tension[M]"])
    assert (np.ptp(limits, axis=1) > np.ptp(one, axis=1)).all()


def test_lags_beyond_the_rows():
    """R's NeweyWest keeps the weights of the bandwidth that was asked for."""
    fit = em.fit(X, COUNT, family="poisson")
    x = np.column_stack([np.ones(N), X])
    u = x * (COUNT - fit.fitted)[:, None]
    lag = np.abs(np.subtract.outer(np.arange(N), np.arange(N)))
    weight = 1 - lag / 201
    inverse = np.linalg.inv(x.T @ (fit.fitted[:, None] * x))
    np.testing.assert_allclose(fit.vcov("HAC", lags=200), inverse @ u.T @ weight @ u @ inverse, rtol=1e-6)


@pytest.mark.parametrize(
    ("power", "mu", "phi", "y", "tail", "want"),
    [(1.05, 1, 0.1, 10, 2, 8.9158e-61), (1.05, 100, 20, 1000, 2, 1.9241e-25), (1.5, 100, 0.1, 1, 0, 3.0944e-72), (1.5, 1, 0.1, 10, 2, 3.9830e-43)],
)
def test_tails_of_a_tweedie_far_out(power, mu, phi, y, tail, want):
    from scipy.special import gammainc, gammaincc, gammaln

    n = np.arange(1.0, 5000.0)
    claims, size, alpha = mu ** (2 - power) / ((2 - power) * phi), phi * (power - 1) * mu ** (power - 1), (2 - power) / (power - 1)
    chance = np.exp(n * np.log(claims) - claims - gammaln(n + 1))
    series = (chance * (gammaincc if tail == 2 else gammainc)(n * alpha, y / size)).sum() + (tail == 0) * np.exp(-claims)
    found = em.families.Tweedie(power).tails(np.array([float(y)]), np.array([float(mu)]), np.ones(1), phi)[tail][0]
    np.testing.assert_allclose([found, series], want, rtol=1e-3)
    np.testing.assert_allclose(found, series, rtol=1e-9)


def test_the_direction_of_badly_scaled_columns_separates():
    x1, x2 = np.arange(1.0, 9), np.array([1.0, -1, 2, 0, -2, 1, 0, 3])
    y = (x1 - 4.5 + x2 > 0).astype(float)
    x = np.column_stack([x1 * 1e5, x2 * 1e-5])
    found = em.separation(x, y, family="binomial")
    z = np.column_stack([np.ones(8), x]) @ [found.direction.get(name, 0.0) for name in ("Intercept", "x1", "x2")]
    assert ((2 * y - 1) * z > 0).all()


def test_clusters_without_weight_do_not_count():
    ids = np.arange(N) // 6
    w = (np.arange(N) < 36).astype(float)
    a = em.fit(X, COUNT, family="poisson", weights=w).vcov("cluster", cluster=ids)
    b = em.fit(X[:36], COUNT[:36], family="poisson").vcov("cluster", cluster=ids[:36])
    np.testing.assert_allclose(a, b, rtol=1e-7)
    with pytest.raises(UndefinedStatisticError, match="one cluster"):
        em.fit(X, COUNT, family="poisson", weights=(np.arange(N) < 6) * 1.0).vcov("cluster", cluster=ids)


def test_a_row_that_is_fitted_exactly_has_no_distance():
    fit = em.glm("y ~ g", {"y": [1.0, 2, 3, 4], "g": ["a", "a", "a", "b"]}, family="gaussian")
    found = fit.influence()
    assert np.isnan(found.cooks_distance[3])
    assert np.isnan(found.dfbetas[3]).all()


def test_a_p_value_of_nearly_one():
    np.testing.assert_allclose(log_t(1e-5, 1e7), -7.978846e-06, rtol=1e-5)


def test_comparisons_of_other_responses_are_refused():
    data = {"y": COUNT, "z": COUNT + 1, "x": X}
    small, big = em.glm("z ~ 1", data, family="poisson"), em.glm("y ~ x", data, family="poisson")
    for ask in (lambda: small.anova(big), lambda: small.vuong(big)):
        with pytest.raises(SpecificationError, match="responses"):
            ask()


def test_a_term_with_an_aliased_column():
    data = {"a": np.tile(["u", "v"], 30), "b": np.tile(["p", "q", "r"], 20), "y": COUNT}
    keep = ~((data["a"] == "v") & (data["b"] == "r"))
    fit = em.glm("y ~ a * b", {k: v[keep] for k, v in data.items()}, family="poisson")
    assert fit.aliased
    assert fit.test("a:b").df == 1
    np.testing.assert_allclose(fit.test("a:b", "lr").statistic, fit.anova(type=2)["statistic"][2], rtol=1e-6)


ODD = [None, "x", [], 1.5, np.array([1.0, 2.0]), float("nan"), {}, b"x"]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_odd_arguments_are_refused_by_name(value):
    fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    asks = [
        lambda: fit.predict(interval="confidence", level=value),
        lambda: fit.coef_table(level=value),
        lambda: fit.predict(interval="prediction", weights=-1 if isinstance(value, float) or value is None else value),
        lambda: fit.predict(kind=value),
        lambda: fit.predict(se=value),
        lambda: fit.residuals(value),
        lambda: fit.residuals("quantile", seed=value),
        lambda: fit.confint(method=value),
        lambda: fit.test("wool", value),
        lambda: fit.test((np.eye(4), value)),
        lambda: fit.test("wool", vcov=-np.eye(4)),
        lambda: fit.anova(value) if value is not None else fit.anova(3),
        lambda: fit.anova(type=value),
        lambda: fit.vuong(value),
        lambda: fit.overdispersion(np.inf if isinstance(value, float) else value),
        lambda: fit.influence().most(count=value),
        lambda: fit.influence().most(measure=value),
        lambda: fit.vcov(value),
        lambda: fit.vcov(em.vcov.HC),
        lambda: fit.vcov("cluster", cluster=value),
        lambda: fit.vcov("bootstrap", seed=value),
        lambda: fit.vcov("bootstrap", draws=3, progress=1),
        lambda: fit.dispersion_by(value),
        lambda: fit.effects(kind=value),
        lambda: fit.adjusted(value),
        lambda: em.measures.auc(["a", "b"], [0.1, 0.2]),
        lambda: em.glm("breaks ~ wool", em.datasets.warpbreaks(), family="poisson", separated=value),
        lambda: em.glm("breaks ~ wool", em.datasets.warpbreaks(), family="poisson", bias=value if value is not None else 1),
        lambda: em.glm("breaks ~ wool", em.datasets.warpbreaks(), family="poisson", ridge=0 if isinstance(value, float) or value is None else value),
    ]
    for k, ask in enumerate(asks):
        with pytest.raises(EtamuError):
            raise AssertionError(f"number {k} was accepted: {ask()!r}")


@pytest.mark.parametrize("text", ["1" * 400 + "*wool[B]", "wool[B] = 1e999", "wool[B]=1e400*0"])
def test_numbers_beyond_doubles_are_refused(text):
    fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    for method in ("wald", "lr", "score"):
        with pytest.raises(EtamuError):
            fit.test(text, method)


def test_saturated_fits_say_what_they_lack():
    fit = em.fit(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    for ask in (
        lambda: fit.vcov("cluster", cluster=[0, 1], correction="CR1S"),
        lambda: fit.vcov("HAC", correction=True),
        lambda: fit.vcov("HC1"),
        lambda: fit.residuals("quantile"),
        lambda: fit.predict(interval="prediction"),
        lambda: fit.drop1(),
    ):
        with pytest.raises(EtamuError):
            ask()
    assert fit.dispersion_by("ml") >= 0


@pytest.mark.skipif(core is None, reason="the native core was not built")
def test_a_covariance_that_no_memory_holds_is_refused():
    n = 20_500
    twice = np.tile(np.arange(n), 2)
    data = {"g": np.array([f"l{k}" for k in twice]), "x": RNG.normal(size=2 * n), "y": RNG.integers(1, 4, 2 * n) * 1.0}
    fit = em.glm("y ~ x + g", data, family="poisson")
    with pytest.raises(UndefinedStatisticError, match="GB"):
        fit.vcov("HC1")
    assert np.isfinite(fit.stderror()[1])


def test_a_saved_fit_keeps_its_dispersion_its_bias_and_its_shape(tmp_path):
    data = em.datasets.clotting()
    counts = em.fit(X, COUNT, family=em.families.NegativeBinomial(theta=None)) if COUNT.var() > COUNT.mean() else None
    fits = [em.glm("lot1 ~ log(u)", data, family="gamma", link="log", **more) for more in ({"bias": "median"}, {"ridge": 0.1}, {})]
    for fit in [*fits, *([] if counts is None else [counts])]:
        fit.save(tmp_path / "model.json")
        again = em.load(tmp_path / "model.json")
        np.testing.assert_allclose(again.stderror(), fit.stderror(), rtol=1e-12)
        assert (again.dispersion, again.bias, again.aic) == (fit.dispersion, fit.bias, fit.aic)
        assert (again.shape is None) == (fit.shape is None)


def test_the_fit_s_own_rows_are_predicted_with_their_trials():
    fit = em.glm("killed / n ~ dose", em.datasets.beetles(), family="binomial", weights="n")
    found = fit.predict(interval="prediction")
    given = fit.predict({"dose": em.datasets.beetles()["dose"]}, interval="prediction", weights=em.datasets.beetles()["n"])
    np.testing.assert_array_equal(found.lower, given.lower)
    assert (found.upper - found.lower < 0.5).all()


def test_resamples_of_a_fit_that_is_not_of_maximum_likelihood_are_refused():
    fit = em.glm("killed / n ~ dose", em.datasets.beetles(), family="binomial", weights="n", bias="mean")
    for kind in ("jackknife", "bootstrap"):
        with pytest.raises(SpecificationError, match="maximum likelihood"):
            fit.vcov(kind)
    with pytest.raises(UndefinedStatisticError, match="bias-reduced"):
        fit.link_test()
