"""After a penalty: relaxed refits, debiased estimates, splits, stability, ridge covariances, and what every verb says of a penalised fit."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

import etamu as em
from etamu.combining import combined
from etamu.errors import EtamuError, NotEnoughDataError, SpecificationError, UndefinedStatisticError, UnknownNameError
from etamu.inference.debiased import holm
from etamu.inference.nodewise import directions
from etamu.stability import unimodal_bound


def table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    g = rng.integers(0, 4, n)
    eta = 0.3 + 0.6 * x[:, 0] - 0.4 * x[:, 1] + 0.5 * (g >= 2)
    data = {f"x{j}": x[:, j] for j in range(6)} | {"g": np.array(list("abcd"))[g]}
    data |= {"y": eta + rng.normal(size=n), "c": rng.poisson(np.exp(eta)).astype(float), "b": (rng.uniform(size=n) < 1 / (1 + np.exp(-eta))).astype(float)}
    return data | {"w": rng.uniform(0.5, 2.0, n), "k": np.array(list("pqr"))[np.clip(np.round(eta + 0.5).astype(int), 0, 2)]}


DATA = table()
RIGHT = "x0 + x1 + x2 + x3 + x4 + x5 + g"
FAMILIES = {"gaussian": "y", "poisson": "c", "binomial": "b"}


def lasso(family="gaussian", alpha=0.1, **more):
    return em.glm(f"{FAMILIES[family]} ~ {RIGHT}", DATA, family=family, penalty=em.Lasso(alpha), **more)


def matrix(fit):
    """The fit's design in the user's units."""
    design = fit.problem.design
    return type(design)(design.parts, design.rows).block(slice(0, design.rows))


# ---- relaxed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weights", [None, "w"])
def test_relaxed_is_the_fit_of_the_selected_columns(family, weights):
    fit = lasso(family, 0.06, weights=weights)
    kept = np.flatnonzero(fit.coef)
    assert 1 < len(kept) < len(fit.names)
    found = fit.relaxed()
    direct = em.fit(matrix(fit)[:, kept[1:]], DATA[FAMILIES[family]], family=family, weights=None if weights is None else DATA[weights])
    np.testing.assert_allclose(found.coef[kept], direct.coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.stderror()[kept], direct.stderror(), rtol=1e-8)
    np.testing.assert_allclose(found.vcov("HC1")[np.ix_(kept, kept)], direct.vcov("HC1"), rtol=1e-7)
    for name in ("deviance", "df_residual", "dispersion", "loglik", "aic", "bic"):
        assert getattr(found, name) == pytest.approx(getattr(direct, name), rel=1e-9)
    gone = np.flatnonzero(fit.coef == 0)
    assert (found.coef[gone] == 0).all()
    assert np.isnan(found.stderror()[gone]).all()
    assert found.edf == fit.edf == len(kept)
    assert "given that choice" in str(found.summary())
    assert any("given that choice" in note for note in found.trace.notes)
    np.testing.assert_allclose(found.predict(DATA, se=True).stderror, direct.predict(se=True).stderror, rtol=1e-7)
    np.testing.assert_allclose(found.influence().leverage, direct.influence().leverage, rtol=1e-6)
    np.testing.assert_allclose(found.confint(method="profile")[kept], direct.confint(method="profile"), rtol=1e-6)
    assert found.test("x0", "lr").statistic == pytest.approx(direct.test("x1", "lr").statistic, rel=1e-6)


def test_relaxed_keeps_merged_levels_merged():
    fit = em.glm(f"c ~ {RIGHT}", DATA, family="poisson", penalty=em.Fused("g", 0.03))
    b = dict(zip(fit.names, fit.coef))
    assert b["g[b]"] == 0
    assert b["g[c]"] == b["g[d]"] != 0
    found = fit.relaxed()
    merged = DATA | {"g": np.where(np.isin(DATA["g"], ["a", "b"]), "ab", "cd")}
    direct = em.glm(f"c ~ {RIGHT}", merged, family="poisson")
    own = [fit.names.index(name) for name in fit.names if not name.startswith("g[")] + [fit.names.index("g[c]")]
    np.testing.assert_allclose(found.coef[own], direct.coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.stderror()[own], direct.stderror(), rtol=1e-7)
    assert found.coef[fit.names.index("g[d]")] == pytest.approx(found.coef[fit.names.index("g[c]")], rel=1e-12)
    assert found.coef[fit.names.index("g[b]")] == 0
    assert found.rank == direct.rank
    assert found.aic == pytest.approx(direct.aic, rel=1e-9)
    assert "g[d] = g[c]" in str(found.summary())


def test_relaxed_blends():
    fit = lasso()
    free = fit.relaxed()
    half = fit.relaxed(0.25)
    np.testing.assert_allclose(half.coef, 0.25 * fit.coef + 0.75 * free.coef, rtol=1e-12)
    y = DATA["y"]
    assert half.deviance == pytest.approx(((y - matrix(fit) @ half.coef) ** 2).sum(), rel=1e-10)
    np.testing.assert_allclose(fit.relaxed(1.0).coef, fit.coef, rtol=1e-12)
    with pytest.raises(UndefinedStatisticError, match="blend"):
        half.stderror()
    assert np.isnan(half.coef_table().stderror).all()


def test_relaxed_of_classes_refits_columns_that_some_class_has():
    fit = em.glm(f"k ~ {RIGHT}", DATA, family="multinomial", penalty=em.Lasso(0.05))
    kept = np.flatnonzero(np.abs(fit.coef).max(axis=1))
    assert len(kept) < len(fit.names)
    found = fit.relaxed()
    direct = em.fit(matrix(fit)[:, kept[1:]], DATA["k"], family="multinomial")
    np.testing.assert_allclose(found.coef[kept], direct.coef, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.stderror()[kept], direct.stderror(), rtol=1e-6)


def test_relaxed_refuses():
    with pytest.raises(UndefinedStatisticError, match="no `penalty`"):
        em.glm("y ~ x0", DATA).relaxed()
    with pytest.raises(UndefinedStatisticError, match="Ridge leaves them all"):
        em.glm("y ~ x0", DATA, penalty=em.Ridge(1.0)).relaxed()
    with pytest.raises(SpecificationError, match="`phi` is 2"):
        lasso().relaxed(2)
    with pytest.raises(UndefinedStatisticError, match="relaxed already"):
        lasso().relaxed().relaxed()
    with pytest.raises(UndefinedStatisticError, match="constraints"):
        em.glm("y ~ x0 + x1", DATA, penalty=em.Lasso(0.1), constraints=em.Box(lower=0)).relaxed()
    found = lasso().relaxed()
    dropped = next(n for n, b in zip(found.names, found.coef) if b == 0)
    for ask in (lambda: found.test(dropped), lambda: found.confint(which=dropped)):
        with pytest.raises(UndefinedStatisticError, match="was set to 0 by Lasso"):
            ask()
    with pytest.raises(UndefinedStatisticError, match="chosen by the same responses"):
        found.anova(em.glm("y ~ x0", DATA))


# ---- debiased -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_debiased_is_a_newton_step_where_observations_are_many(family):
    fit = lasso(family, 0.05, weights="w")
    X, y, w = matrix(fit), DATA[FAMILIES[family]], DATA["w"]
    eta = X @ fit.coef
    mu, slope = {"gaussian": (eta, np.ones_like(eta)), "poisson": (np.exp(eta),) * 2, "binomial": (1 / (1 + np.exp(-eta)),) * 2}[family]
    v = mu * (1 - mu) if family == "binomial" else slope
    h = X.T @ ((w * v)[:, None] * X)
    inverse = np.linalg.inv(h)
    s = w * (y - mu)
    estimate = (fit.coef + inverse @ (X.T @ s))[1:]
    phi = 1.0 if family != "gaussian" else (w * (y - mu) ** 2).sum() / (len(y) - np.count_nonzero(fit.coef))
    model = np.sqrt(phi * np.diagonal(inverse))[1:]
    meat = (X * (s**2)[:, None]).T @ X
    sandwich = np.sqrt(len(y) / (len(y) - np.count_nonzero(fit.coef)) * np.diagonal(inverse @ meat @ inverse))[1:]
    found = fit.debiased()
    np.testing.assert_allclose(found["estimate"], estimate, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found["model_se"], model, rtol=1e-8)
    np.testing.assert_allclose(found["sandwich_se"], sandwich, rtol=1e-8)
    np.testing.assert_allclose(found["z"], estimate / model, rtol=1e-7)
    np.testing.assert_allclose(found["p_value"], 2 * stats.norm.sf(np.abs(estimate / model)), rtol=1e-6)
    np.testing.assert_allclose(found["upper"], estimate + stats.norm.ppf(0.975) * model, rtol=1e-8)
    robust = fit.debiased("g", 0.9, vcov="sandwich")
    assert robust["coefficient"] == ["g[b]", "g[c]", "g[d]"]
    np.testing.assert_allclose(robust["lower"], estimate[-3:] - stats.norm.ppf(0.95) * sandwich[-3:], rtol=1e-8)


def test_debiased_rows_come_from_nodewise_lassos():
    rng = np.random.default_rng(5)
    n, p = 60, 90
    X = rng.normal(size=(n, p)) + rng.normal(size=(n, 1)) * 0.5
    y = X[:, 0] - X[:, 3] + rng.normal(size=n)
    fit = em.fit(X, y, penalty=em.Lasso(0.2))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    S = Z.T @ Z / n
    found = directions(S, n, range(p))
    rest = y - fit.coef[0] - X @ fit.coef[1:]
    D = np.array([one.direction(j) for j, one in enumerate(found)])
    for j, one in enumerate(found):  # each is the lasso it says
        slope = S @ one.g - S[j]
        others = np.arange(p) != j
        assert one.g[j] == 0
        assert np.abs(slope[others]).max() <= one.alpha + 1e-6
        used = others & (one.g != 0)
        np.testing.assert_allclose(slope[used], -one.alpha * np.sign(one.g[used]), atol=1e-6)
        assert one.alpha >= 0.5 * math.sqrt(math.log(p) / n) - 1e-12 or one.alpha == np.abs(S[j][others]).max()
        assert D[j] @ S[j] == pytest.approx(1, rel=1e-9)
    shown = fit.debiased()
    phi = (rest**2).sum() / (n - np.count_nonzero(fit.coef))
    estimate = fit.coef[1:] + D @ (Z.T @ rest) / n / X.std(axis=0)
    np.testing.assert_allclose(shown["estimate"], estimate, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(shown["model_se"], np.sqrt(phi / n * np.einsum("ij,jk,ik->i", D, S, D)) / X.std(axis=0), rtol=1e-6)
    meat = (Z * (rest**2)[:, None]).T @ Z / n**2 * n / (n - np.count_nonzero(fit.coef))
    np.testing.assert_allclose(shown["sandwich_se"], np.sqrt(np.einsum("ij,jk,ik->i", D, meat, D)) / X.std(axis=0), rtol=1e-6)
    some = fit.debiased(["x4", "x1"])
    np.testing.assert_allclose(some["estimate"], shown["estimate"][[3, 0]], rtol=1e-10)


@pytest.mark.parametrize(("family", "n", "p"), [("gaussian", 100, 130), ("binomial", 240, 60)])
def test_debiased_intervals_cover(family, n, p):
    """Of the columns that matter not, 95% up to the dependence between columns; of those that do, a little less, as theory has it for such n."""
    zero, active, false = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, p))
        X[:, 1:] += 0.4 * X[:, :-1]
        beta = np.zeros(p)
        beta[[0, 5]] = (1.0, -0.5) if family == "gaussian" else (0.8, -0.8)
        eta = X @ beta
        y = eta + rng.normal(size=n) if family == "gaussian" else (rng.uniform(size=n) < 1 / (1 + np.exp(-eta))).astype(float)
        found = em.fit(X, y, family=family, penalty=em.Lasso(0.15 if family == "gaussian" else 0.03)).debiased([f"x{j + 1}" for j in range(20)])
        inside = (found["lower"] <= beta[:20]) & (beta[:20] <= found["upper"])
        active.append(inside[[0, 5]])
        zero.append(np.delete(inside, [0, 5]))
        false.append((np.delete(found["p_holm"], [0, 5]) < 0.05).any())
    assert 0.92 < np.mean(zero) < 0.985
    assert np.sum(active) >= stats.binom.ppf(0.001, 80, 0.90)
    assert np.sum(false) <= stats.binom.ppf(0.999, 40, 0.05)


def test_holm():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.5])), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_debiased_refuses():
    for penalty, match in [
        (em.Ridge(0.1), "this penalty is Ridge"),
        (em.GroupLasso(0.1), "GroupLasso"),
        (em.Fused("g", 0.1), "Fused"),
        (em.MCP(0.1), "MCP"),
        (em.SCAD(0.1), "SCAD"),
        (em.AdaptiveLasso(0.1, pilot=em.glm(f"y ~ {RIGHT}", DATA)), "AdaptiveLasso"),
        (em.SparseGroupLasso(0.1), "SparseGroupLasso"),
        (em.Quadratic(np.eye(9), 0.1), "Quadratic"),
    ]:
        with pytest.raises(UndefinedStatisticError, match=match):
            em.glm(f"y ~ {RIGHT}", DATA, penalty=penalty).debiased()
    with pytest.raises(UndefinedStatisticError, match="has none"):
        em.glm("y ~ x0", DATA).debiased()
    with pytest.raises(UndefinedStatisticError, match="one equation"):
        em.glm(f"k ~ {RIGHT}", DATA, family="multinomial", penalty=em.Lasso(0.05)).debiased()
    with pytest.raises(UndefinedStatisticError, match="constraints"):
        em.glm("y ~ x0 + x1", DATA, penalty=em.Lasso(0.1), constraints=em.Box(lower=0)).debiased()
    with pytest.raises(UnknownNameError, match="x77"):
        lasso().debiased("x77")
    with pytest.raises(SpecificationError, match="intercept"):
        lasso().debiased("Intercept")
    with pytest.raises(SpecificationError, match="empty"):
        lasso().debiased([])
    with pytest.raises(UnknownNameError, match="vcov"):
        lasso().debiased(vcov="HC3")
    with pytest.raises(SpecificationError, match="level"):
        lasso().debiased(level=95)


# ---- splits -------------------------------------------------------------------------------------------------------


def test_a_split_is_selection_on_some_rows_and_a_fit_of_the_others():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 30))
    y = X[:, 0] + rng.normal(size=120)
    found = em.split_inference(X=X, y=y, alpha=0.15, seed=3)
    fit = found.fits[0]
    rest = np.asarray(fit.problem.weight) > 0
    assert rest.sum() == 60
    first = em.fit(X[~rest], y[~rest], penalty=em.Lasso(0.15))
    kept = np.flatnonzero(first.coef[1:])
    np.testing.assert_array_equal(np.flatnonzero(found.selected[0]), kept)
    direct = em.fit(X[rest][:, kept], y[rest]).coef_table()
    np.testing.assert_allclose(found.p_values[0, kept], direct.p_value[1:], rtol=1e-7)
    np.testing.assert_allclose(found.p_adjusted[kept], np.minimum(len(kept) * direct.p_value[1:], 1), rtol=1e-7)
    order = [found.table["coefficient"].index(f"x{j + 1}") for j in kept]
    np.testing.assert_allclose(found.table["lower"][order], direct.lower[1:], rtol=1e-7)
    assert (np.delete(found.p_adjusted, kept) == 1).all()


def test_combined_p_values_are_those_of_the_definitions():
    p = np.random.default_rng(1).uniform(size=(17, 5)) ** 2
    for j, column in enumerate(p.T):

        def q(g, column=column):
            return min(1.0, np.quantile(column / g, g, method="inverted_cdf"))

        assert combined(p, "median")[j] == pytest.approx(q(0.5))
        best = min(q(g) for g in np.linspace(0.05, 1, 2000))
        assert combined(p, "quantile")[j] == pytest.approx(min(1.0, (1 - math.log(0.05)) * best), rel=2e-2)
        assert combined(p, "quantile")[j] <= min(1.0, (1 - math.log(0.05)) * best) * (1 + 1e-9)


@pytest.mark.parametrize(("repeats", "combine"), [(1, "median"), (5, "median"), (5, "quantile")])
def test_split_p_values_keep_their_level(repeats, combine):
    errors = found_all = 0
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        X = rng.normal(size=(100, 40))
        y = X[:, 0] - X[:, 1] + rng.normal(size=100)
        p = em.split_inference(X=X, y=y, alpha=0.2, repeats=repeats, combine=combine, seed=seed).p_adjusted
        errors += bool((p[2:] < 0.05).any())
        found_all += bool((p[:2] < 0.05).all())
    assert errors <= stats.binom.ppf(0.999, 40, 0.05)
    assert found_all > 30


def test_split_limits_hold_the_truth():
    inside = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(100, 20))
        y = X[:, 0] + rng.normal(size=100)
        row = em.split_inference(X=X, y=y, alpha=0.2, repeats=3, seed=seed).table.row("x1")
        inside += row["lower"] <= 1 <= row["upper"]
    assert inside >= stats.binom.ppf(0.001, 40, 0.95)


def test_split_chooses_alpha_itself_and_reads_formulas():
    found = em.split_inference(f"c ~ {RIGHT}", DATA, family="poisson", penalty=em.GroupLasso(), weights="w", n_alphas=20, repeats=2)
    assert {"x0", "x1"} <= set(found.table["coefficient"])
    assert len(set(found.alphas)) == 2
    again = em.split_inference(f"c ~ {RIGHT}", DATA, family="poisson", penalty=em.GroupLasso(), weights="w", n_alphas=20, repeats=2)
    np.testing.assert_array_equal(found.p_adjusted, again.p_adjusted)
    binary = em.split_inference(f"b ~ {RIGHT}", DATA, family="binomial", alpha=0.02)
    rest = np.asarray(binary.fits[0].problem.weight) > 0
    assert abs(DATA["b"][rest].mean() - DATA["b"].mean()) < 0.01
    nothing = em.split_inference(f"c ~ {RIGHT}", DATA, family="poisson", alpha=50.0)
    assert len(nothing.table) == 0
    assert (nothing.p_adjusted == 1).all()
    assert str(nothing)


@pytest.mark.parametrize("penalty", [em.MCP(), em.SCAD()], ids=["MCP", "SCAD"])
def test_concave_penalties_select_too(penalty):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 20))
    y = X[:, 0] - X[:, 1] + rng.normal(size=120)
    split = em.split_inference(X=X, y=y, penalty=penalty, repeats=3)
    assert (split.p_adjusted[:2] < 0.05).all()
    assert (split.p_adjusted[2:] > 0.05).all()
    stable = em.stability_selection(X=X, y=y, penalty=penalty, draws=40)
    assert {"x1", "x2"} <= set(stable.stable)


def test_split_refuses(tmp_path):
    ask = {"X": np.random.default_rng(0).normal(size=(20, 30)), "y": np.arange(20.0)}
    for more, error, match in [
        ({"share": 1.0}, SpecificationError, "`share` is 1.0"),
        ({"repeats": 0}, SpecificationError, "`repeats` is 0"),
        ({"combine": "mean"}, UnknownNameError, "combine"),
        ({"penalty": em.Ridge()}, SpecificationError, "selects nothing"),
        ({"alpha": -1}, SpecificationError, "`alpha` is -1"),
        ({"alpha": 1e-3}, NotEnoughDataError, "cannot fit them"),
        ({"share": 0.01}, NotEnoughDataError, "at least 2"),
    ]:
        with pytest.raises(error, match=match):
            em.split_inference(**ask, **more)
    with pytest.raises(UndefinedStatisticError, match="one equation"):
        em.split_inference(f"k ~ {RIGHT}", DATA, family="multinomial")


# ---- stability ----------------------------------------------------------------------------------------------------


def test_stability_selection_finds_the_truth():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(150, 60))
    y = X[:, 4] - X[:, 9] + 0.8 * X[:, 30] + rng.normal(size=150)
    found = em.stability_selection(X=X, y=y, draws=40, seed=1)
    assert set(found.stable) == {"x5", "x10", "x31"}
    assert found.bound <= 1
    assert found.bound == pytest.approx(found.selected**2 / (0.5 * 60))
    assert found.frequencies.shape == (60, len(found.alphas))
    assert (np.diff(found.alphas) < 0).all()
    np.testing.assert_allclose(np.round(found.frequencies * 40), found.frequencies * 40, atol=1e-9)
    np.testing.assert_array_equal(found.frequencies, em.stability_selection(X=X, y=y, draws=40, seed=1).frequencies)
    assert found.table.row("x5")["stable"]


def test_stability_frequencies_are_those_of_fits_of_halves():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 8))
    y = X[:, 0] + rng.normal(size=60)
    found = em.stability_selection(X=X, y=y, alphas=[0.3, 0.1], draws=2, seed=7)
    order = np.random.default_rng(7).permutation(60)
    by_hand = np.zeros((8, 2))
    union = 0
    for half in (order[:30], order[30:]):
        ever = np.zeros(8, dtype=bool)
        for k, alpha in enumerate((0.3, 0.1)):
            on = em.fit(X[half], y[half], penalty=em.Lasso(alpha)).coef[1:] != 0
            by_hand[:, k] += on / 2
            ever |= on
        union += ever.sum() / 2
    np.testing.assert_array_equal(found.frequencies, by_hand)
    assert found.selected == union


def test_stability_keeps_false_selections_below_the_bound():
    count, bound = 0, 0.0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(80, 50))
        y = rng.normal(size=80)
        found = em.stability_selection(X=X, y=y, draws=20, seed=seed, n_alphas=25)
        count += len(found.stable)
        bound += found.bound
    assert count <= bound + 3 * math.sqrt(bound)


def test_the_unimodal_bound_is_shah_and_samworths():
    assert unimodal_bound(20, 1000, 0.7, 50) == pytest.approx(0.4 / (2 * (0.4 - 0.01)))
    assert unimodal_bound(20, 1000, 0.9, 50) == pytest.approx(4 * (0.1 + 0.01) / 1.02 * 0.4)
    assert math.isnan(unimodal_bound(700, 1000, 0.9, 50))


def test_stability_refuses():
    ask = {"X": np.random.default_rng(0).normal(size=(20, 3)), "y": np.arange(20.0)}
    for more, match in [
        ({"draws": 7}, "even number"),
        ({"draws": True}, "`draws` is True"),
        ({"share": 0.6}, "`share` is 0.6"),
        ({"threshold": 0.5}, "`threshold` is 0.5"),
        ({"false": 0}, "`false` is 0"),
        ({"penalty": em.Ridge()}, "selects nothing"),
    ]:
        with pytest.raises(SpecificationError, match=match):
            em.stability_selection(**ask, **more)


def test_files_are_refused_with_a_reason(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("etamu.files._HELD", 100)
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["y,x0,x1", *(f"{a},{b},{c}" for a, b, c in zip(DATA["y"], DATA["x0"], DATA["x1"]))]))
    for ask in (em.split_inference, em.stability_selection):
        with pytest.raises(SpecificationError, match="at random"):
            ask("y ~ x0 + x1", str(path))


# ---- ridge --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("kind", ["ridge", "quadratic"])
def test_ridge_covariances_are_those_of_the_algebra(family, kind):
    alpha, p = 0.07, 9
    rng = np.random.default_rng(8)
    half = rng.normal(size=(p, p))
    S = np.eye(p) if kind == "ridge" else half @ half.T
    penalty = em.Ridge(alpha) if kind == "ridge" else em.Quadratic(S, alpha)
    fit = em.glm(f"{FAMILIES[family]} ~ {RIGHT}", DATA, family=family, penalty=penalty, weights="w")
    X, y, w = matrix(fit), DATA[FAMILIES[family]], DATA["w"]
    eta = X @ fit.coef
    mu, v = (eta, np.ones_like(eta)) if family == "gaussian" else (np.exp(eta),) * 2
    H = X.T @ ((w * v)[:, None] * X)
    P = np.zeros((p + 1, p + 1))
    P[1:, 1:] = w.sum() * alpha * S
    np.testing.assert_allclose(X.T @ (w * (y - mu)), P @ fit.coef, atol=1e-7 * w.sum())
    A = np.linalg.inv(H + P)
    edf = np.trace(A @ H)
    assert fit.edf == pytest.approx(edf, rel=1e-8)
    phi = 1.0 if family == "poisson" else (w * (y - mu) ** 2).sum() / (len(y) - edf)
    assert fit.dispersion == pytest.approx(phi, rel=1e-8)
    np.testing.assert_allclose(fit.vcov(), phi * A, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fit.vcov("frequentist"), phi * A @ H @ A, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fit.stderror("frequentist"), np.sqrt(np.diagonal(phi * A @ H @ A)), rtol=1e-8)
    meat = (X * ((w * (y - mu)) ** 2)[:, None]).T @ X
    np.testing.assert_allclose(fit.vcov("HC0"), A @ meat @ A, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(fit.vcov("expected"), phi * A, rtol=1e-8, atol=1e-12)
    leverage = w * v * np.einsum("ij,jk,ik->i", X, A, X)
    np.testing.assert_allclose(fit.influence().leverage, leverage, rtol=1e-7)
    assert leverage.sum() == pytest.approx(fit.edf, rel=1e-8)
    np.testing.assert_allclose(fit.residuals("standardized_pearson"), (y - mu) * np.sqrt(w / v / phi / (1 - leverage)), rtol=1e-7)
    b = fit.coef[1]
    assert fit.test("x0", distribution="chi2").statistic == pytest.approx(b * b / (phi * A[1, 1]), rel=1e-7)
    assert "posterior" in str(fit.summary())
    loglik = stats.poisson.logpmf(y, mu) @ w if family == "poisson" else None
    if loglik is not None:
        assert fit.loglik == pytest.approx(loglik, rel=1e-9)
    assert fit.aic == pytest.approx(-2 * fit.loglik + 2 * (edf + (family == "gaussian")), rel=1e-10)
    assert fit.bic == pytest.approx(-2 * fit.loglik + math.log(len(y)) * (edf + (family == "gaussian")), rel=1e-10)


def test_frequentist_covariance_of_other_fits():
    plain = em.glm("c ~ x0 + g", DATA, family="poisson")
    np.testing.assert_allclose(plain.vcov("frequentist"), plain.vcov(), rtol=1e-6)
    old, new = em.glm("c ~ x0 + g", DATA, family="poisson", ridge=0.1), em.glm("c ~ x0 + g", DATA, family="poisson", penalty=em.Ridge(0.1))
    np.testing.assert_allclose(old.coef, new.coef, rtol=1e-7)
    np.testing.assert_allclose(old.vcov("frequentist"), new.vcov("frequentist"), rtol=1e-6)


# ---- every verb ---------------------------------------------------------------------------------------------------

PENALTIES = {
    "lasso": em.Lasso(0.05),
    "elastic_net": em.ElasticNet(0.05, 0.5),
    "ridge": em.Ridge(0.05),
    "group": em.GroupLasso(0.05),
    "fused": em.Fused("g", 0.05),
    "mcp": em.MCP(0.05),
}
OTHER = em.glm("c ~ x0", DATA, family="poisson")
# what each is of: "always", only of "quadratic" penalties, or "never" after a penalty
VERBS = {
    "vcov": ("quadratic", lambda m: m.vcov()),
    "stderror": ("quadratic", lambda m: m.stderror()),
    "HC3": ("quadratic", lambda m: m.vcov("HC3")),
    "observed": ("quadratic", lambda m: m.vcov("observed")),
    "frequentist": ("quadratic", lambda m: m.vcov("frequentist")),
    "score bootstrap": ("quadratic", lambda m: m.vcov("bootstrap", draws=10, method="score")),
    "bootstrap": ("never", lambda m: m.vcov("bootstrap", draws=10)),
    "jackknife": ("never", lambda m: m.vcov("jackknife")),
    "confint": ("quadratic", lambda m: m.confint()),
    "profile": ("never", lambda m: m.confint(method="profile")),
    "score interval": ("never", lambda m: m.confint(method="score")),
    "test": ("quadratic", lambda m: m.test("x0").p_value),
    "lr": ("never", lambda m: m.test("x0", "lr")),
    "score": ("never", lambda m: m.test("x0", "score")),
    "anova": ("never", lambda m: m.anova()),
    "anova 2": ("never", lambda m: m.anova(type=2)),
    "against": ("never", lambda m: m.anova(OTHER)),
    "against it": ("never", lambda m: OTHER.anova(m)),
    "drop1": ("never", lambda m: m.drop1()),
    "add1": ("never", lambda m: em.add1(m, "x0:x1")),
    "link_test": ("never", lambda m: m.link_test()),
    "overdispersion": ("never", lambda m: m.overdispersion()),
    "vuong": ("never", lambda m: m.vuong(OTHER)),
    "vuong of it": ("never", lambda m: OTHER.vuong(other=m)),
    "separation": ("never", lambda m: m.separation()),
    "influence": ("quadratic", lambda m: m.influence().cooks_distance),
    "dfbetas": ("quadratic", lambda m: m.influence().dfbetas),
    "effects": ("quadratic", lambda m: m.effects()["estimate"]),
    "adjusted": ("quadratic", lambda m: m.adjusted("g")["estimate"]),
    "relativities": ("always", lambda m: m.relativities()["relativity"]),
    "predict": ("always", lambda m: m.predict(DATA)),
    "predict terms": ("always", lambda m: m.predict(DATA, "terms")),
    "predict se": ("quadratic", lambda m: m.predict(DATA, se=True).stderror),
    "predict interval": ("quadratic", lambda m: m.predict(DATA, interval="prediction").upper),
    "loglik": ("always", lambda m: m.loglik),
    "aic": ("always", lambda m: m.aic),
    "bic": ("always", lambda m: m.bic),
    "measures": ("always", lambda m: list(m.measures().values())),
    "dispersion_by": ("always", lambda m: m.dispersion_by("pearson")),
    **{f"{k} residuals": ("always", lambda m, k=k: m.residuals(k)) for k in ("response", "working", "pearson", "deviance", "anscombe", "quantile", "partial")},
    **{f"{k} residuals": ("quadratic", lambda m, k=k: m.residuals(kind=k)) for k in ("standardized_pearson", "standardized_deviance", "studentized")},
}
FITS = {name: em.glm(f"c ~ {RIGHT}", DATA, family="poisson", penalty=penalty) for name, penalty in PENALTIES.items()}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_or_says_why_not(name, verb):
    when, ask = VERBS[verb]
    fit = FITS[name]
    if when == "always" or (when == "quadratic" and name == "ridge"):
        assert np.isfinite(np.asarray(ask(fit), dtype=float)).all()
        return
    with pytest.raises(EtamuError) as caught:
        ask(fit)
    text = str(caught.value)
    assert "bias-reduced" not in text
    assert any(word in text for word in ("Lasso", "ElasticNet", "Ridge", "Fused", "MCP", "maximum likelihood"))


@pytest.mark.parametrize("name", PENALTIES)
def test_criteria_count_effective_degrees_of_freedom(name):
    fit = FITS[name]
    mu = np.exp(matrix(fit) @ fit.coef)
    assert fit.loglik == pytest.approx(stats.poisson.logpmf(DATA["c"], mu).sum(), rel=1e-9)
    assert fit.aic == pytest.approx(-2 * fit.loglik + 2 * fit.penalised.edf, rel=1e-12)
    assert fit.df_residual == pytest.approx(fit.nobs - fit.penalised.edf)


@pytest.mark.parametrize("name", PENALTIES)
def test_tables_say_why_there_are_no_standard_errors(name):
    fit = FITS[name]
    shown, listed = str(fit.summary()), fit.coef_table()
    assert "penalty: " in shown
    np.testing.assert_array_equal(listed.estimate, fit.coef)
    if name == "ridge":
        assert "std. error" in shown
        assert np.isfinite(listed.stderror).all()
        return
    assert "std. error" not in shown
    assert "no standard errors after" in shown
    assert "no standard errors after" in listed.note
    assert np.isnan(listed.stderror).all()
    assert np.isnan(listed.p_value).all()
    assert listed.to_dict()["name"] == list(fit.names)
    assert fit.summary().to_markdown()
    assert fit.summary().to_latex()
    assert fit._repr_html_()
    with pytest.raises(UndefinedStatisticError):
        fit.summary(vcov="HC1")


@pytest.mark.parametrize("name", PENALTIES)
def test_files_keep_what_is_known_of_a_penalised_fit(name, tmp_path):
    fits = [FITS[name]] if name == "ridge" else [FITS[name], FITS[name].relaxed(), FITS[name].relaxed(0.5)]
    for fit in fits:
        fit.save(tmp_path / "fit.json")
        again = em.load(tmp_path / "fit.json")
        np.testing.assert_array_equal(again.predict(DATA), fit.predict(DATA))
        np.testing.assert_array_equal(again.coef, fit.coef)
        assert str(again.summary()) == str(fit.summary())
        for key in ("edf", "selects", "nonzero", "relaxed", "objective"):
            np.testing.assert_equal(getattr(again.penalised, key), getattr(fit.penalised, key))
        assert (again.aic, again.bic, again.edf) == (fit.aic, fit.bic, fit.edf)
        for ask in (again.relaxed, again.debiased):
            with pytest.raises(EtamuError):
                ask()
        if fit.penalised.selects:
            with pytest.raises(UndefinedStatisticError):
                again.stderror()
        else:
            np.testing.assert_array_equal(again.vcov(), fit.vcov())
        again.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_text() == (tmp_path / "fit.json").read_text()


def test_wide_summaries_count_zeros():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 100))
    fit = em.fit(X, X[:, 0] + rng.normal(size=50), penalty=em.Lasso(0.4))
    shown = str(fit.summary())
    assert "more, see coef_table()" in shown
    assert len(shown.splitlines()) < 40
    assert "x100 " in str(fit.summary(fold=None))


def test_a_ridge_of_all_classes_has_no_covariance():
    fit = em.glm("k ~ x0 + x1", DATA, family=em.families.Multinomial(reference=None), penalty=em.Ridge(0.1))
    with pytest.raises(UndefinedStatisticError, match="reference"):
        fit.vcov()
    assert "reference" in str(em.glm("k ~ x0", DATA, family="multinomial").summary()) or fit.predict(DATA).shape[1] == 3


def _after_first(penalty):
    """The same of the columns after the first."""
    return dataclasses.replace(penalty, weights=penalty.weights[1:]) if penalty.weights is not None else penalty


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("penalty", [em.ElasticNet(0.05, l1_ratio=0.5, weights=[0, 1, 1, 2]), em.Ridge(0.1), em.Lasso(0.02)])
def test_constraints_that_do_not_bind_leave_the_degrees_of_freedom_as_they_are(family, penalty):
    """And those that do take what the bounded coefficient had."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 4))
    y = rng.poisson(np.exp(0.3 * X[:, 0] - 0.2 * X[:, 1])).astype(float)
    free = em.fit(X, y, family=family, penalty=penalty)
    loose = em.fit(X, y, family=family, penalty=penalty, constraints=em.Box(upper=50.0))
    assert loose.penalised.edf == pytest.approx(free.penalised.edf, rel=1e-8)
    held = em.fit(X, y, family=family, penalty=penalty, constraints=em.Fixed({"x1": float(free.coef[1])}))
    rest = em.fit(X[:, 1:], y, family=family, offset=free.coef[1] * X[:, 0], penalty=_after_first(penalty)) if family == "poisson" else None
    assert held.penalised.edf < free.penalised.edf
    if rest is not None:
        assert held.penalised.edf == pytest.approx(rest.penalised.edf, rel=1e-6)


def test_a_summary_of_estimates_only_does_not_speak_of_standard_errors_within_constraints():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 3))
    y = X[:, 0] + rng.normal(size=200)
    lasso = str(em.fit(X, y, penalty=em.Lasso(0.05), constraints=em.Box(upper=0.5)).summary())
    assert "active constraints: x1 <= 0.5" in lasso
    assert "within them" not in lasso
    assert "standard errors are within them" in str(em.fit(X, y, constraints=em.Box(upper=0.5)).summary())
