"""Constraints on coefficients: against other solvers, exact enumeration, isotonic regression, reparametrised fits, and the KKT conditions."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etamu as em
from constraint_tools import CASES, conditions, draw, kkt, random_rows, reference, slsqp
from etamu.errors import FormulaError, LengthError, SpecificationError, UndefinedStatisticError, UnknownNameError

pytest.importorskip("daqp")

RNG = np.random.default_rng(11)


def table(n=400, seed=3):
    rng = np.random.default_rng(seed)
    x, z, t = rng.standard_normal(n), rng.standard_normal(n), rng.uniform(0, 10, n)
    g = rng.choice(list("abcde"), n)
    effect = dict(zip("abcde", (0.0, 0.6, 0.2, 0.9, 0.5)))
    eta = 0.3 + 0.4 * x - 0.2 * z + np.array([effect[v] for v in g]) + 0.3 * np.sin(t)
    return {"x": x, "z": z, "t": t, "g": g, "y": rng.poisson(np.exp(eta)), "u": eta + rng.standard_normal(n), "w": rng.uniform(0.5, 2, n), "o": 0.1 * z}


DATA = table()


# ---- the same minimum as other ways to it --------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_against_slsqp(case):
    x, y, w, offset, options = draw(case, 300, 4, 5)
    a = np.array([[0.0, 1, 1, 0, 0], [0, 1, -1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]])
    low, high = np.array([0.3, -np.inf, -0.05, 0.2]), np.array([0.3, 0.1, 0.05, np.inf])
    fit = em.fit(x, y, weights=w, offset=offset, constraints=em.Linear(a, low, high), **options)
    assert fit.converged
    objective, found = slsqp(case, x, y, w, offset, a, low, high)
    np.testing.assert_allclose(fit.coef, found, atol=2e-6)
    assert objective(fit.coef) <= objective(found) * (1 + 1e-8)  # which breaks rows by as much
    assert kkt(case, fit, x, y, w, offset, a, low, high) < 1e-10


def test_small_quadratic_programs_by_enumeration():
    rng = np.random.default_rng(0)
    for _ in range(40):
        x = rng.standard_normal((30, 3))
        y = x @ rng.standard_normal(3) + rng.standard_normal(30)
        a = rng.standard_normal((4, 3))
        low = a @ rng.standard_normal(3)
        best = min((found for found in _corners(x, y, a, low) if found is not None), key=lambda b: ((y - x @ b) ** 2).sum())
        fit = em.fit(x, y, intercept=False, constraints=em.Linear(a, lower=low))
        np.testing.assert_allclose(fit.coef, best, atol=1e-10)
        tight = np.flatnonzero(np.abs(a @ best - low) < 1e-9)
        assert sorted(row.description for row in fit.active) == [f"row {k} of the matrix" for k in tight]


def _corners(x, y, a, low):
    """The feasible least-squares points on every set of rows taken as equations."""
    h, s = x.T @ x, x.T @ y
    for size in range(4):
        for rows in itertools.combinations(range(len(a)), size):
            own = a[list(rows)]
            system = np.block([[h, own.T], [own, np.zeros((size, size))]])
            b = np.linalg.solve(system, np.r_[s, low[list(rows)]])[:3]
            yield b if (a @ b >= low - 1e-9).all() else None


def test_monotone_factor_is_isotonic_regression():
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    level = rng.integers(0, 12, 500)
    y, w = np.sqrt(level) + rng.standard_normal(500), rng.uniform(0.2, 3, 500)
    for direction, increasing in (("increasing", True), ("decreasing", False)):
        fit = em.glm("y ~ C(k)", {"y": y, "k": level}, weights=w, constraints=em.Monotone("k", direction))
        wanted = isotonic.IsotonicRegression(increasing=increasing).fit(level, y, sample_weight=w).predict(level)
        np.testing.assert_allclose(fit.predict(), wanted, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_nothing_changes_where_nothing_binds(case):
    x, y, w, offset, options = draw(case, 250, 3, 2)
    free = em.fit(x, y, weights=w, offset=offset, **options)
    fit = em.fit(x, y, weights=w, offset=offset, constraints=em.Box(-50, 50), **options)
    assert len(fit.active) == 0
    for name in ("coef", "deviance", "dispersion", "df_residual", "aic"):
        np.testing.assert_allclose(getattr(fit, name), getattr(free, name), rtol=1e-10)
    np.testing.assert_allclose(fit.vcov(), free.vcov(), rtol=1e-10)
    np.testing.assert_allclose(fit.vcov("HC1"), free.vcov("HC1"), rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_equations_are_the_reparametrised_fit(case):
    x, y, w, offset, options = draw(case, 300, 3, 4)
    fit = em.fit(x, y, weights=w, offset=offset, constraints="x0 + x1 = 0.4", names=["x0", "x1", "x2"], **options)
    # x1 = 0.4 - x0
    other = em.fit(np.c_[x[:, 0] - x[:, 1], x[:, 2]], y, weights=w, offset=offset + 0.4 * x[:, 1], **options)
    b = other.coef
    np.testing.assert_allclose(fit.coef, [b[0], b[1], 0.4 - b[1], b[2]], rtol=1e-9, atol=1e-10)
    t = np.array([[1.0, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    for kind in ("model", "observed", "HC0", "HC1"):
        np.testing.assert_allclose(fit.vcov(kind), t @ other.vcov(kind) @ t.T, rtol=2e-7, atol=1e-12)
    for name in ("deviance", "df_residual", "dispersion", "aic", "rank"):
        np.testing.assert_allclose(getattr(fit, name), getattr(other, name), rtol=1e-9)
    np.testing.assert_allclose(fit.residuals("standardized_pearson"), other.residuals("standardized_pearson"), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.test("x2", "lr").p_value, other.test("x2", "lr").p_value, rtol=1e-6)
    np.testing.assert_allclose(fit.confint(method="profile", which="x2"), other.confint(method="profile", which="x2"), rtol=1e-6)


def test_fixed_is_an_offset():
    fit = em.glm("y ~ x + z + g", DATA, family="poisson", constraints=em.Fixed({"x": 0.25}))
    other = em.glm("y ~ z + g", DATA, family="poisson", offset=0.25 * DATA["x"])
    np.testing.assert_allclose(np.delete(fit.coef, 1), other.coef, atol=1e-10)
    np.testing.assert_allclose(np.delete(fit.stderror(), 1), other.stderror(), rtol=1e-7)
    assert fit.coef[1] == 0.25
    assert fit.stderror()[1] == 0
    assert np.isnan(fit.coef_table().p_value[1])
    assert fit.test("z", "lr").p_value == pytest.approx(other.test("z", "lr").p_value, rel=1e-6)


def test_equations_tell_aliased_columns_apart():
    g = RNG.integers(0, 3, 60)
    x = np.eye(3)[g]
    y = np.array([1.0, 2, 4])[g] + RNG.standard_normal(60)
    fit = em.fit(x, y, names=["a", "b", "c"], constraints="a + b + c = 0")
    other = em.glm("y ~ C(g, sum)", {"y": y, "g": g})
    assert fit.aliased == ()
    np.testing.assert_allclose(fit.coef[:3], other.coef, atol=1e-10)
    np.testing.assert_allclose(fit.stderror()[:3], other.stderror(), rtol=1e-9)
    with pytest.raises(SpecificationError, match="'c', which is aliased"):
        em.fit(x, y, names=["a", "b", "c"], constraints=em.Sign(positive=["c"]))


# ---- multipliers, standard errors, what is told ---------------------------------------------------------------------


def test_multipliers_are_slopes_of_the_deviance():
    def at(value):
        return em.glm("y ~ x + z + g", DATA, family="poisson", constraints=[em.Box(upper={"x": value}), "z = 2*x - 1"])

    fit, h = at(0.2), 1e-4
    slope = (at(0.2 + h).deviance - at(0.2 - h).deviance) / (4 * h)
    upper = next(row for row in fit.active if row.kind == "upper")
    assert upper.description == "x <= 0.2"
    assert upper.multiplier == pytest.approx(slope, rel=1e-5)
    assert upper.multiplier < 0
    assert max(fit.active.primal, fit.active.dual, fit.active.complementarity) < 1e-10


def test_active_bounds_are_marked():
    fit = em.glm("y ~ x + z", DATA, family="poisson", constraints=em.Box(lower=0))
    assert [row.description for row in fit.active] == ["z >= 0"]
    assert fit.coef[2] == 0.0
    assert fit.rank == 2
    summary = str(fit.summary())
    assert "active constraints: z >= 0" in summary
    assert next(line for line in summary.splitlines() if line.startswith("z ")).split() == ["z", "0", "active"]
    own = em.glm("y ~ x", DATA, family="poisson")
    np.testing.assert_allclose(fit.coef[:2], own.coef, atol=1e-10)
    np.testing.assert_allclose(fit.stderror()[:2], own.stderror(), rtol=1e-8)
    np.testing.assert_allclose(fit.predict(se=True).stderror, own.predict(se=True).stderror, rtol=1e-7)


def test_weakly_active_and_repeated_rows():
    free = em.glm("u ~ x + z", DATA)
    fit = em.glm("u ~ x + z", DATA, constraints=[em.Box(upper={"x": float(free.coef[1])}), em.Sign(negative=["z"]), "z <= 0", "2*z <= 0"])
    np.testing.assert_allclose(fit.coef, free.coef, atol=1e-10)
    twice = em.glm("u ~ x + z", DATA, constraints=["x = 0.1", "2*x = 0.2", em.Fixed({"x": 0.1}), "x <= 0.1", "x >= 0"])
    assert twice.coef[1] == 0.1
    assert twice.rank == 2
    assert twice.active.dual < 1e-10


def test_every_coefficient_held():
    fit = em.glm("u ~ x", DATA, constraints=em.Fixed({"Intercept": 0.5, "x": 1.0}))
    assert fit.coef.tolist() == [0.5, 1.0]
    assert fit.deviance == pytest.approx(((DATA["u"] - 0.5 - DATA["x"]) ** 2).sum())
    assert (fit.vcov() == 0).all()
    assert fit.rank == 0


def test_what_makes_no_sense_is_refused():
    fit = em.glm("y ~ x + z", DATA, family="poisson", constraints=em.Box(lower=0))
    for ask in (
        lambda: fit.test("x", "lr"),
        lambda: fit.test("x", "score"),
        lambda: fit.confint(method="profile", which="x"),
        lambda: fit.confint(method="score", which="x"),
        lambda: fit.test("z"),
        fit.anova,
        fit.drop1,
        fit.separation,
        lambda: fit.vcov("bootstrap", draws=9),
    ):
        with pytest.raises((UndefinedStatisticError, SpecificationError)):
            ask()
    with pytest.raises(SpecificationError, match="multinomial"):
        em.glm("g ~ x", DATA, family="multinomial", constraints=em.Box(lower=0))
    with pytest.raises(SpecificationError, match="`solver`"):
        em.glm("y ~ x", DATA, solver="lbfgs", constraints=em.Box(lower=0))
    for more in ({"bias": "mean"}, {"ridge": 0.1}, {"separated": "drop"}):
        with pytest.raises(SpecificationError):
            em.glm("y ~ x", DATA, family="poisson", constraints=em.Box(lower=0), **more)
    with pytest.raises(SpecificationError, match="parameter is given"):
        em.glm("y ~ x", DATA, family=em.families.NegativeBinomial(theta=None), constraints=em.Box(lower=0))


def test_saved_and_loaded(tmp_path):
    fit = em.glm("y ~ x + z", DATA, family="poisson", constraints=em.Box(lower=0))
    fit.save(tmp_path / "m.json")
    again = em.load(tmp_path / "m.json")
    assert list(again.active) == list(fit.active)
    assert str(again.summary()) == str(fit.summary())
    content = json.loads((tmp_path / "m.json").read_text())
    content["active"]["value"] = []
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(em.errors.ModelFileError):
        em.load(tmp_path / "m.json")


def test_files_and_many_levels(tmp_path):
    pl = pytest.importorskip("polars")
    pl.DataFrame(DATA).write_parquet(tmp_path / "d.parquet")
    constraints = [em.Monotone("g"), "x + z = 0.3"]
    held = em.glm("y ~ x + z + g", DATA, family="poisson", weights="w", offset="o", constraints=constraints)
    read = em.glm("y ~ x + z + g", str(tmp_path / "d.parquet"), family="poisson", weights="w", offset="o", constraints=constraints)
    np.testing.assert_allclose(read.coef, held.coef, atol=1e-9)
    rng = np.random.default_rng(5)
    level = rng.integers(0, 400, 20_000)
    data = {"k": [f"k{v:03}" for v in level], "x": rng.standard_normal(20_000), "y": rng.poisson(np.exp(0.2 * np.sin(level)))}
    fit = em.glm("y ~ x + k", data, family="poisson", constraints=["x >= 0.05", "k[k001] = k[k002]"])
    other = em.glm("y ~ k", data | {"k": [k.replace("k002", "k001") for k in data["k"]]}, family="poisson", offset=0.05 * data["x"])
    assert fit.converged
    np.testing.assert_allclose(fit.coef[[0, 2, 4, 400]], other.coef[[0, 1, 2, 398]], atol=1e-8)
    np.testing.assert_allclose(fit.stderror()[[0, 2, 4, 400]], other.stderror()[[0, 1, 2, 398]], rtol=1e-6)


def test_bounds_hold_where_the_likelihood_has_no_maximum():
    data = {"x": [1.0, 2, 3, 4, 5, 6], "y": [0, 0, 0, 1, 1, 1]}
    assert em.glm("y ~ x", data, family="binomial").status.name == "SEPARATED"
    fit = em.glm("y ~ x", data, family="binomial", constraints=em.Box(upper=3))
    assert fit.converged
    assert fit.coef[1] == 3
    assert fit.coef[0] == pytest.approx(-10.5)
    assert em.glm("y ~ x", data, family="binomial", constraints=em.Box(lower=0)).status.name == "SEPARATED"


def test_links_whose_domain_has_an_edge():
    rng = np.random.default_rng(8)
    x = rng.uniform(0, 1, (200, 2))
    y = rng.poisson(1 + 2 * x[:, 0])
    fit = em.fit(x, y, family="poisson", link="identity", constraints=em.Box(lower=0))
    assert fit.converged
    a, low, high = np.eye(3)[1:], np.zeros(2), np.full(2, np.inf)
    objective, found = reference(lambda eta: eta - y * np.log(np.maximum(eta, 1e-300)), x, np.zeros(200), a, low, high, np.r_[1.0, 1, 1])
    np.testing.assert_allclose(fit.coef, found, atol=1e-5)
    assert objective(fit.coef) <= objective(found) * (1 + 1e-8)  # which breaks rows by as much


# ---- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", ["treatment", "sum", "helmert", "poly"])
@pytest.mark.parametrize("constraint", [em.Monotone("g"), em.Monotone("g", "decreasing"), em.Convex("g"), em.Concave("g")])
def test_factors_of_any_coding(contrast, constraint):
    fit = em.glm(f"y ~ x + C(g, {contrast})", DATA, family="poisson", constraints=constraint)
    plain = em.glm("y ~ x + g", DATA, family="poisson", constraints=constraint)
    assert fit.deviance == pytest.approx(plain.deviance, rel=1e-12)
    effect = fit.predict({"x": [0.0] * 5, "g": list("abcde")}, kind="link")
    order = 1 if isinstance(constraint, em.Monotone) else 2
    sign = -1 if isinstance(constraint, em.Concave) or getattr(constraint, "direction", "") == "decreasing" else 1
    assert (sign * np.diff(effect, n=order)).min() > -1e-10
    assert np.abs(np.diff(effect, n=order)).min() < 1e-10


def test_factor_without_an_intercept_and_with_its_own_base():
    whole = em.glm("y ~ g - 1", DATA, family="poisson", constraints=em.Monotone("g"))
    based = em.glm('y ~ C(g, base="c")', DATA, family="poisson", constraints=em.Monotone("g"))
    assert whole.deviance == pytest.approx(based.deviance, rel=1e-12)
    assert based.deviance == pytest.approx(em.glm("y ~ g", DATA, family="poisson", constraints=em.Monotone("g")).deviance, rel=1e-12)


def test_missing_levels_have_no_order():
    g = DATA["g"].astype(object)
    g[::17] = None
    data = DATA | {"g": g}
    fit = em.glm("y ~ g", data, family="poisson", missing="level", constraints=em.Monotone("g"))
    assert not any("missing" in row.description for row in fit.active)
    assert (np.diff(np.r_[0, fit.coef[1:5]]) > -1e-12).all()


@pytest.mark.parametrize(
    "term", ["bs(t, df=6)", "bs(t, df=5, degree=2)", "bs(t, df=4, degree=1)", "ns(t, df=5)", "cr(t, df=6)", "poly(t, 5)", "ns(log(t + 1), df=4)"]
)
@pytest.mark.parametrize("shape", ["increasing", "decreasing", "convex", "concave"])
def test_curves_have_their_shape_on_a_grid(term, shape):
    constraint = {"convex": em.Convex, "concave": em.Concave}.get(shape, lambda name: em.Monotone(name, shape))("t")
    if shape in ("convex", "concave") and "degree=1" in term:
        with pytest.raises(SpecificationError, match="nothing to be"):
            em.glm(f"y ~ x + {term}", DATA, family="poisson", constraints=constraint)
        return
    fit = em.glm(f"y ~ x + {term}", DATA, family="poisson", constraints=constraint)
    assert fit.converged
    assert len(fit.active)
    grid = np.linspace(DATA["t"].min(), DATA["t"].max(), 2001)
    if "log" in term:
        grid = np.exp(np.linspace(np.log1p(grid[0]), np.log1p(grid[-1]), 2001)) - 1
    eta = fit.predict({"x": np.zeros(2001), "t": grid}, kind="link")
    order, sign = (1 if shape.endswith("creasing") else 2), (-1 if shape in ("decreasing", "concave") else 1)
    assert (sign * np.diff(eta, n=order)).min() > -1e-11
    assert conditions(fit) < 1e-9


@pytest.mark.parametrize("term", ["bs(t, df=6)", "ns(t, df=5)", "cr(t, df=6)"])
def test_convexity_of_cubic_splines_is_exact(term):
    free = em.glm(f"u ~ {term}", DATA)
    fit = em.glm(f"u ~ {term}", DATA, constraints=em.Convex("t"))
    grid = np.linspace(DATA["t"].min(), DATA["t"].max(), 400)
    base = np.column_stack([_column(free, j, grid) for j in range(len(free.names))])
    rows = np.diff(base, n=2, axis=0)
    rows /= np.abs(rows).max()
    dense = em.glm(f"u ~ {term}", DATA, constraints=em.Linear(rows, lower=0))
    assert fit.deviance == pytest.approx(dense.deviance, rel=2e-4)  # a grid asks for a little less
    assert fit.deviance >= dense.deviance * (1 - 1e-10)
    assert dense.converged
    assert conditions(dense) < 1e-9


def _column(fit, j, grid):
    from etamu.design.encode import encode
    from etamu.design.frames import as_table

    return encode(fit.spec, as_table({"t": grid})).block(slice(0, len(grid)))[:, j]


def test_conditions_on_a_slope_are_all_but_necessary():
    rng = np.random.default_rng(2)
    t = np.sort(rng.uniform(0, 1, 300))
    data = {"t": t, "u": np.minimum(np.maximum(4 * t - 1, 0), 1) + 0.1 * rng.standard_normal(300)}
    fit = em.glm("u ~ bs(t, df=8)", data, constraints=em.Monotone("t"))
    grid = np.linspace(t[0], t[-1], 2000)
    base = np.column_stack([_column(fit, j, grid) for j in range(len(fit.names))])
    dense = em.glm("u ~ bs(t, df=8)", data, constraints=em.Linear(np.diff(base, axis=0) * 2000, lower=0))
    assert dense.deviance <= fit.deviance <= dense.deviance * 1.001


def test_numbers_ranges_and_names():
    assert em.glm("y ~ x + z", DATA, family="poisson", constraints=em.Monotone("z")).coef[2] == 0
    assert em.glm("y ~ x + log(t)", DATA, family="poisson", constraints=em.Monotone("t")).coef[2] >= 0
    assert em.fit(np.c_[DATA["z"]], DATA["u"], names=["z"], constraints=em.Monotone("z")).coef[1] == 0
    raw = em.glm("u ~ poly(t, 3, raw=True)", DATA, constraints=em.Monotone("t", between=(0, 10)))
    assert (np.diff(raw.predict({"t": np.linspace(0, 10, 500)})) > -1e-10).all()
    for formula, constraint, words in (
        ("u ~ poly(t, 3, raw=True)", em.Monotone("t"), "between="),
        ("u ~ x * g", em.Monotone("g"), "also in x:g"),
        ("u ~ x * g", em.Monotone("x:g"), "interaction"),
        ("u ~ t + bs(t, df=4)", em.Monotone("bs(t, df=4)"), "also in t"),
        ("u ~ log(t) + sqrt(t)", em.Monotone("t"), "several terms"),
        ("u ~ x + g", em.Convex("x"), "enters as a line"),
        ("u ~ x + g", em.Monotone("g", between=(0, 1)), "goes with a curve"),
    ):
        with pytest.raises(SpecificationError, match=words):
            em.glm(formula, DATA, constraints=constraint)
    with pytest.raises(UnknownNameError, match="Did you mean 'g'"):
        em.glm("u ~ x + g", DATA, constraints=em.Monotone("gg"))


# ---- what users write -------------------------------------------------------------------------------------------------


def test_ways_to_write_a_box():
    fits = [
        em.glm("y ~ x + z + g", DATA, family="poisson", constraints=c)
        for c in (
            em.Box(lower=0),
            em.Box(lower=[-np.inf, *[0] * 6]),
            em.Box(lower={"x": 0, "z": 0.0, "g": 0}),
            em.Sign(positive=["x", "z", "g"]),
            ["x>=0", "0<=z", em.Sign(positive="g")],
        )
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.coef, fits[0].coef)
    both = em.glm("y ~ x", DATA, family="poisson", constraints=em.Box(lower={"Intercept": 1}, upper=np.array([2.0, 0.1])))
    assert both.coef[1] == 0.1
    assert [row.description for row in both.active] == ["1 <= Intercept <= 2", "x <= 0.1"]


def test_relations_as_text():
    fit = em.glm("u ~ x + z + g", DATA, constraints=em.Linear("0 <= g[b] <= g[c] == g[d], x + 2*z >= 0.5", "x - z/2 = 0.1; g[e] < 1"))
    b = dict(zip(fit.names, fit.coef))
    assert b["g[b]"] >= -1e-12
    assert b["g[b]"] <= b["g[c]"] + 1e-12
    assert b["g[c]"] == pytest.approx(b["g[d]"], abs=1e-12)
    assert b["x"] - b["z"] / 2 == pytest.approx(0.1, abs=1e-12)
    matrix = em.Linear(np.eye(7)[1], upper=0.2)
    assert em.glm("u ~ x + z + g", DATA, constraints=matrix).coef[1] == 0.2
    for text, error in (
        ("x", FormulaError),
        ("x + <= 1", FormulaError),
        ("1 <= 2", SpecificationError),
        ("x - x = 0", SpecificationError),
        ("q <= 1", UnknownNameError),
    ):
        with pytest.raises(error):
            em.glm("u ~ x + z", DATA, constraints=text)
    with pytest.raises(FormulaError, match="inequality"):
        em.glm("u ~ x + z", DATA).test("x <= 0")


def test_bad_values_are_named():
    for make, words in (
        (lambda: em.Box(), "neither"),
        (lambda: em.Box(lower=2, upper=1), "above `upper`"),
        (lambda: em.Box(lower=np.nan), "`lower` is nan"),
        (lambda: em.Box(lower="0"), "pass a number"),
        (lambda: em.Box(lower=[[0, 1]]), "2 dimensions"),
        (lambda: em.Box(upper={"x": True}), "pass a number"),
        (lambda: em.Sign(), "names no coefficient"),
        (lambda: em.Sign(positive=["x"], negative=["x"]), "positive and negative"),
        (lambda: em.Sign(positive=3), "list of names"),
        (lambda: em.Fixed({}), "dict of coefficients"),
        (lambda: em.Fixed({"x": np.inf}), "finite"),
        (lambda: em.Linear(), "takes texts"),
        (lambda: em.Linear(np.eye(2)), "without bounds"),
        (lambda: em.Linear(np.zeros((1, 2)), lower=0), "restricts no coefficient"),
        (lambda: em.Linear([[np.nan]], lower=0), "not finite"),
        (lambda: em.Linear(np.eye(2), lower=[1, np.nan]), "is nan"),
        (lambda: em.Linear(np.eye(2), lower=1, upper=0), "swap"),
        (lambda: em.Linear("x = 1", lower=0), "go with a matrix"),
        (lambda: em.Monotone(3), "name of a term"),
        (lambda: em.Monotone("x", between=(1, 0)), "below"),
    ):
        with pytest.raises(SpecificationError, match=words):
            make()
    with pytest.raises(LengthError):
        em.Linear(np.eye(2), lower=[0, 0, 0])
    with pytest.raises(UnknownNameError):
        em.Monotone("x", "up")
    for constraints, words in ((em.Box, "holds a Box"), (3, "holds a int"), ([None], "holds a NoneType")):
        with pytest.raises(SpecificationError, match=words):
            em.glm("u ~ x", DATA, constraints=constraints)
    for constraints in (em.Box(lower=[0, 0, 0]), em.Linear(np.eye(3), lower=0)):
        with pytest.raises(LengthError):
            em.glm("u ~ x", DATA, constraints=constraints)
    for constraints in (em.Box(lower={"xx": 0}), em.Sign(negative=["xx"]), em.Fixed({"xx": 0})):
        with pytest.raises(UnknownNameError, match="Did you mean 'x'"):
            em.glm("u ~ x", DATA, constraints=constraints)
    with pytest.raises(SpecificationError, match="swap"):
        em.glm("u ~ x + z", DATA, constraints=em.Box(lower={"x": 1}, upper=0))


def test_contradictions_are_named():
    def clash(*constraints):
        with pytest.raises(SpecificationError) as caught:
            em.glm("u ~ x + z + g", DATA, constraints=constraints)
        return str(caught.value)

    text = clash(em.Box(lower=0), em.Fixed({"x": -1}), "z <= 5")
    assert "x >= 0 (Box) and x = -1 (Fixed) cannot hold together" in text
    text = clash("x + z >= 3", "x <= 1", "z <= 1", "g[b] <= g[c]", em.Monotone("g"))
    assert "x + z >= 3 (Linear), x <= 1 (Linear) and z <= 1 (Linear)" in text
    assert "g[" not in text
    text = clash(em.Monotone("g"), em.Fixed({"g[e]": 0.5}), "g[c] >= 0.75")
    assert "Monotone" in text
    assert "g[e] = 0.5 (Fixed)" in text
    assert "g[b]" not in text


# ---- conditions of a minimum on random problems -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1), st.sampled_from(CASES), st.integers(1, 6), st.integers(1, 12), st.booleans())
def test_conditions_of_a_minimum_hold(seed, case, width, count, repeat):
    x, y, w, offset, options = draw(case, 120, width, seed)
    a, low, high = random_rows(np.random.default_rng(seed), width, count, repeat)
    fit = em.fit(x, y, weights=w, offset=offset, constraints=em.Linear(a, low, high), **options)
    if fit.status.name == "SEPARATED":
        return
    assert fit.converged
    assert kkt(case, fit, x, y, w, offset, a, low, high) < 1e-8
    assert max(fit.active.primal, fit.active.dual, fit.active.complementarity) < 1e-8
