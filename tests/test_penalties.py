"""Penalties: value, prox and subgradient distance, each on its own; then solutions against other programs and against the conditions of a minimum."""

import json
import pathlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import etamu as em
import etamu.penalised as regimes
from etamu.penalties import PENALTIES
from etamu.penalties.base import plain_columns

HERE = pathlib.Path(__file__).parent
GROUPS = [[0, 1, 2], [3], [4, 5]]
EACH = {
    "elastic_net": em.ElasticNet(0.7, 0.4, weights=[1.0, 2.0, 0.0, 1.0, 0.5, 1.0]),
    "lasso": em.Lasso(0.7),
    "ridge": em.Ridge(0.7),
    "adaptive_lasso": em.AdaptiveLasso(0.7, pilot=[1.0, 2.0, 0.5, 1.0, 3.0, 0.1]),
    "group_lasso": em.GroupLasso(0.7, groups=GROUPS),
    "sparse_group_lasso": em.SparseGroupLasso(0.7, 0.3, groups=GROUPS),
    "fused": em.Fused([["x0", "x1", "x2"], ["x3", "x4", "x5"]], 0.7),
    "mcp": em.MCP(0.7, gamma=3.0),
    "scad": em.SCAD(0.7, gamma=3.7),
    "quadratic": em.Quadratic(np.diag([1.0, 2, 3, 4, 5, 6]) - 0.2, 0.7),
}
vectors = st.lists(st.floats(-4, 4).map(lambda v: round(v, 3)), min_size=6, max_size=6).map(np.array)


def test_every_penalty_is_here():
    assert set(EACH) == set(PENALTIES)


@pytest.mark.parametrize("name", EACH)
@given(b=vectors, step=st.floats(0.05, 0.9), seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_the_prox_is_a_minimum(name, b, step, seed):
    """No point near it, nor a far one, has a smaller objective; and minus its gradient is in the subdifferential there."""
    penalty = EACH[name]
    x = penalty.prox(b, step)

    def objective(z):
        return ((z - b) ** 2).sum() / (2 * step) + penalty.value(z)

    rng = np.random.default_rng(seed)
    least = objective(x)
    for size in (1e-6, 1e-3, 0.1, 1.0):
        for _ in range(5):
            assert objective(x + size * rng.standard_normal(6)) >= least - 1e-10
    assert objective(b) >= least - 1e-10
    assert objective(np.zeros(6)) >= least - 1e-10
    assert penalty.distance(x, (x - b) / step).max() <= 1e-8


@pytest.mark.parametrize("name", EACH)
@given(b=vectors)
@settings(max_examples=30, deadline=None)
def test_the_value_has_the_slope_that_the_distance_says(name, b):
    """Where the penalty is smooth, minus its numerical gradient has distance 0."""
    penalty, h = EACH[name], 1e-6
    b = np.where(np.abs(b) < 0.05, 0.3, b)
    b = b + 0.011 * np.arange(6)
    assume(min(np.abs(b).min(), np.abs(np.diff(b)).min()) > 1e-4)  # no two neighbours equal, none 0
    gradient = np.array([(penalty.value(b + h * e) - penalty.value(b - h * e)) / (2 * h) for e in np.eye(6)])
    knots = name in ("mcp", "scad") and any(abs(abs(v) - k) < 1e-4 for v in b for k in (0.7, 2.1, 2.59))
    if not knots:
        assert penalty.distance(b, -gradient).max() <= 1e-5 * max(1, np.abs(gradient).max())


@pytest.mark.parametrize("name", EACH)
def test_alpha_multiplies(name):
    b = np.array([1.0, -2.0, 0.0, 0.5, 0.1, -3.0])
    penalty = EACH[name]
    if name not in ("mcp", "scad"):  # whose knots move with alpha
        assert penalty.at(1.4).value(b) == pytest.approx(2 * penalty.value(b), rel=1e-14)
    assert penalty.at(0.0).value(b) == 0.0


def test_sums_of_penalties():
    b = np.array([1.0, -2.0, 0.0, 0.5, 0.1, -3.0])
    both = em.Ridge(0.5) + em.Lasso(0.2)
    assert both.value(b) == pytest.approx(em.Ridge(0.5).value(b) + em.Lasso(0.2).value(b))
    assert both.at(2.0).value(b) == pytest.approx(2 * both.value(b))
    with pytest.raises(em.errors.SpecificationError, match="by itself and for its difference"):
        (em.Lasso(1.0) + em.Fused([["x0", "x1"]])).pieces(plain_columns(3))
    with pytest.raises(em.errors.SpecificationError, match="two groups"):
        (em.GroupLasso(1.0, groups=[[0, 1]]) + em.GroupLasso(1.0, groups=[[1, 2]])).pieces(plain_columns(3))


# ---- solutions ----------------------------------------------------------------------------------------------------

NCVREG = json.loads((HERE / "reference" / "ncvreg.json").read_text())


@pytest.mark.parametrize("case", NCVREG["fits"], ids=lambda c: f"{c['family']}-{c['penalty']}-{c.get('gamma', '')}-{c['alpha']}")
def test_ncvreg_and_grpreg(case):
    """MCP and SCAD by ncvreg, the group lasso by grpreg."""
    data = NCVREG["data"][case["data"]]
    X, y = np.array(data["X"]), np.array(data[case["family"]], dtype=float)
    if case["penalty"] == "group":
        groups = np.array(data["groups"])
        penalty = em.GroupLasso(case["alpha"], groups=[(np.flatnonzero(groups == g) + 1).tolist() for g in np.unique(groups)])
    else:
        penalty = (em.MCP if case["penalty"] == "MCP" else em.SCAD)(case["alpha"], gamma=case["gamma"])
    fit = em.fit(X, y, family=case["family"], penalty=penalty)
    np.testing.assert_allclose(fit.coef, [case["intercept"], *case["coef"]], rtol=0, atol=1e-7 * max(1, np.abs(case["coef"]).max()))


FAMILIES = {
    "gaussian": ("gaussian", None),
    "binomial": ("binomial", None),
    "probit": ("binomial", "probit"),
    "poisson": ("poisson", None),
    "gamma": ("gamma", "log"),
    "inverse_gaussian": ("inverse_gaussian", "log"),
    "tweedie": (em.families.Tweedie(power=1.5), None),
    "negative_binomial": (em.families.NegativeBinomial(theta=2.0), None),
    "quasi": ("quasipoisson", None),
}


def sample(name, n=150, p=12, seed=4):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.linspace(0.2, 3, p) + np.arange(p)
    eta = 0.4 * rng.standard_normal(n) + ((X - X.mean(0)) / X.std(0)) @ np.where(np.arange(p) % 3 == 0, 0.4, 0.0)
    mu = np.exp(eta)
    y = {
        "gaussian": eta, "binomial": (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0, "probit": (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0,
        "poisson": rng.poisson(mu), "gamma": mu * rng.gamma(3, size=n) / 3, "inverse_gaussian": mu * rng.gamma(3, size=n) / 3,
        "tweedie": np.where(rng.random(n) < 0.2, 0, mu * rng.gamma(3, size=n) / 3), "negative_binomial": rng.poisson(mu), "quasi": rng.poisson(mu),
    }[name]  # fmt: skip
    return X, np.asarray(y, dtype=float), rng.uniform(0.5, 2, n), 0.1 * rng.standard_normal(n)


def conditions(fit, X, y, w, offset, penalty):
    """The subgradient distance at the fit, by NumPy alone, over alpha."""
    terms = em.fit(X, y, family=fit.family, link=fit.link, weights=w, offset=offset, start=fit.coef, control=em.Control(max_iter=1)).family
    eta = fit.coef[0] + X @ fit.coef[1:] + offset
    link = fit.link
    h = 1e-6
    mu = link.mu(eta)
    slope = (link.mu(eta + h) - link.mu(eta - h)) / (2 * h)
    v = w * (y - mu) * slope / terms.variance(mu)
    gradient = -np.concatenate([[v.sum()], X.T @ v]) / w.sum()
    away = penalty.distance(fit.coef[1:], gradient[1:])
    return max(abs(gradient[0]), away.max()) / penalty.alpha


@pytest.mark.parametrize("regime", ["gramwise", "columnwise"])
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_conditions_of_a_minimum(name, regime, l1_ratio, monkeypatch):
    """Every family, in both regimes, with weights and offset: the subgradient contains 0."""
    monkeypatch.setattr(regimes, "_COLUMNWISE", 0 if regime == "columnwise" else 10**9)
    monkeypatch.setattr(regimes, "_ONE_PASS", 0)
    X, y, w, offset = sample(name)
    family, link = FAMILIES[name]
    penalty = em.ElasticNet(0.05, l1_ratio)
    fit = em.fit(X, y, family=family, link=link, weights=w, offset=offset, penalty=penalty)
    assert fit.converged
    assert regime in fit.trace.solver
    assert fit.penalised.residual < 1e-6
    assert conditions(fit, X, y, w, offset, penalty) < 1e-6


@pytest.mark.parametrize("name", ["gaussian", "binomial", "poisson"])
def test_regimes_agree(name, monkeypatch):
    """Dense, sparse and factor columns, over sums and over columns; with p > n too."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    X, y, w, offset = sample(name, 60, 90)
    X = np.where(rng.random(X.shape) < 0.3, X, 0.0)
    found = []
    for columnwise, matrix in ((0, X), (10**9, X), (0, csr_array(X)), (10**9, csr_array(X))):
        monkeypatch.setattr(regimes, "_choose", lambda problem, pieces, c=columnwise: (("gramwise" if c else "columnwise"), "as asked"))
        found.append(em.fit(matrix, y, family=name, weights=w, offset=offset, penalty=em.ElasticNet(0.1, 0.8)).coef)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-7 * np.abs(found[0]).max())


def table(n=800, seed=1):
    rng = np.random.default_rng(seed)
    d = {
        "age": rng.integers(18, 28, n),
        "bm": rng.integers(0, 6, n),
        "x": rng.standard_normal(n),
        "g": rng.choice(list("abcd"), n),
        "e": rng.uniform(0.2, 1, n),
    }
    d["y"] = rng.poisson(d["e"] * np.exp(0.2 + 0.1 * np.maximum(d["bm"] - 2, 0) + np.where(d["age"] < 22, 0.6, 0) + 0.2 * d["x"]))
    return d


def test_factors_are_codes_in_both_regimes(monkeypatch):
    d, found = table(), []
    for solver in ("gramwise", "columnwise"):
        monkeypatch.setattr(regimes, "_choose", lambda problem, pieces, s=solver: (s, "as asked"))
        found.append(em.glm("y ~ C(age) * g + C(bm):x", d, family="poisson", exposure="e", penalty=em.Lasso(0.004)))
    np.testing.assert_allclose(found[0].coef, found[1].coef, rtol=0, atol=1e-7)
    assert 1 < found[0].edf < len(found[0].names)


def test_fused_levels_merge():
    d = table()
    fit = em.glm("y ~ C(age) + x", d, family="poisson", exposure="e", penalty=em.Fused("C(age)", 0.01))
    steps = np.diff([0.0, *fit.coef[1:10]])
    assert 0 < (np.abs(steps) > 1e-9).sum() < 5
    merged = em.fit(np.column_stack([np.searchsorted(np.flatnonzero(np.abs(steps) > 1e-9) + 1 + 17, d["age"] - 0.5), d["x"]]), d["y"], family="poisson")
    assert merged.converged  # the merged levels make a model that is fitted as it stands
    other = em.glm("y ~ C(age, base=22) + x", d, family="poisson", exposure="e", penalty=em.Fused("C(age, base=22)", 0.01))
    np.testing.assert_allclose(other.predict(d), fit.predict(d), rtol=1e-6)  # whichever level is the base


def test_groups_enter_together():
    d = table()
    fit = em.glm("y ~ C(age) + g + C(bm) + x", d, family="poisson", exposure="e", penalty=em.GroupLasso(0.01))
    for term in ("age", "g", "bm"):
        used = [b != 0 for n, b in zip(fit.names, fit.coef) if n.startswith(f"{term}[")]
        assert all(used) or not any(used)


def test_bounds_with_a_penalty():
    X, y, _, _ = sample("gaussian")
    free = em.fit(X, y, penalty=em.Lasso(0.01)).coef
    fit = em.fit(X, y, penalty=em.Lasso(0.01), constraints=em.Box(lower=0))
    assert (fit.coef[1:] >= 0).all()
    assert (free[1:] < 0).any()
    path = em.glm_path(X=X, y=y, alphas=[0.01], constraints=em.Box(lower=0))
    np.testing.assert_allclose(path.coefs[0], fit.coef[1:], atol=1e-7)


def test_more_columns_than_rows():
    """A path far beyond saturation ends, with coefficients that are solutions."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 600))
    y = (X[:, 0] + rng.standard_normal(40) > 0) * 1.0
    for family in ("gaussian", "binomial", "poisson"):
        path = em.glm_path(X=X, y=y, family=family, n_alphas=30)
        assert path.converged.all()
        assert path.residuals.max() < 1e-3
        assert path.solver == "columnwise"
        assert path.df[0] == 1


def test_no_divergence_where_unit_newton_steps_would():
    """Poisson counts with a huge outlier and a gamma response over six orders of magnitude."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 30))
    counts = rng.poisson(1.0, 200).astype(float)
    counts[0] = 1e6
    X[0, 0] = 12.0
    for y, family, link in ((counts, "poisson", None), (10 ** rng.uniform(-3, 3, 200), "gamma", "log")):
        path = em.glm_path(X=X, y=y, family=family, link=link, n_alphas=20)
        assert path.converged.all()
        assert (np.diff(path.deviance) <= 1e-8 * path.deviance[0]).all()


BAD = {
    "alpha": (lambda: em.ElasticNet(-1.0), "`alpha` is -1.0"),
    "alpha nan": (lambda: em.Lasso(float("nan")), "`alpha` is nan"),
    "alpha text": (lambda: em.Ridge("a"), "`alpha` is 'a'"),
    "l1_ratio": (lambda: em.ElasticNet(1.0, 1.5), "`l1_ratio` is 1.5"),
    "gamma": (lambda: em.MCP(1.0, gamma=1.0), "`gamma` is 1.0"),
    "matrix": (lambda: em.Quadratic([[1.0, 2.0], [2.0, 1.0]]), "negative eigenvalues"),
    "alphas": (lambda: em.glm_path("y ~ x", table(), alphas=[0.1, np.nan]), "`alphas` holds nan"),
    "alphas negative": (lambda: em.glm_path("y ~ x", table(), alphas=[-0.1]), "`alphas` holds -0.1"),
    "no alphas": (lambda: em.glm_path("y ~ x", table(), alphas=[]), "`alphas` is empty"),
    "count": (lambda: em.glm_path("y ~ x", table(), n_alphas=0), "`n_alphas` is 0"),
    "ratio": (lambda: em.glm_path("y ~ x", table(), alpha_min_ratio=2), "`alpha_min_ratio` is 2"),
    "penalty": (lambda: em.glm("y ~ x", table(), penalty="lasso"), "`penalty` is a str"),
    "unknown term": (lambda: em.glm("y ~ x + g", table(), penalty=em.Lasso(weights={"G": 0})), "`penalty` 'G' does not exist"),
    "unknown chain": (lambda: em.glm("y ~ x + g", table(), penalty=em.Fused("h")), "`penalty` 'h' does not exist"),
    "not a factor": (lambda: em.glm("y ~ x + g", table(), penalty=em.Fused("x")), "no factor in treatment coding"),
    "dependent": (
        lambda: em.fit(np.arange(9.0)[:, None] * [1, 2, 0] + np.eye(9)[:, :3] * [0, 0, 1], np.arange(9.0) ** 2, penalty=em.Lasso(0.1, weights=[0, 0, 1])),
        "leaves column 'x2' free",
    ),
    "constant": (lambda: em.fit(np.ones((9, 1)), np.arange(9.0), penalty=em.Lasso(1.0)), "aliased with the intercept"),
    "contradiction": (lambda: em.glm("y ~ x", table(), penalty=em.Ridge(1.0), constraints=["x >= 1", "x <= 0"]), "contradict"),
    "ridge too": (lambda: em.glm("y ~ x", table(), penalty=em.Ridge(1.0), ridge=1.0), "do not go together"),
    "weights": (lambda: em.glm("y ~ x + g", table(), penalty=em.Lasso(weights=[1.0, -1.0, 1, 1])), "`weights` holds negative"),
    "weights shape": (lambda: em.glm("y ~ x + g", table(), penalty=em.Lasso(weights=[1.0])), "`weights` has shape"),
    "two doors": (lambda: em.glm_path("y ~ x", table(), X=np.ones((3, 1)), y=[1, 2, 3]), "either a formula and data"),
    "grouped": (lambda: em.glm("y ~ x", table(), penalty=em.ElasticNet(1.0, grouped=True)), "`grouped` joins"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, words = BAD[case]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert isinstance(caught.value, em.errors.EtamuError)
