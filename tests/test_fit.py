"""Properties of a fit that hold for every family and every way the data come in, and the lesson's three experiments."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

import etamu as em
from etamu.design.columns import Column, Design, Levels
from etamu.solvers.base import Status
from etamu.sources import native
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sums import Request

FAMILIES = {
    "gaussian": (em.datasets.make_linear, "gaussian", None),
    "binomial": (em.datasets.make_logistic, "binomial", None),
    "probit": (em.datasets.make_logistic, "binomial", "probit"),
    "cloglog": (em.datasets.make_logistic, "binomial", "cloglog"),
    "poisson": (em.datasets.make_poisson, "poisson", None),
    "gamma": (em.datasets.make_gamma, "gamma", "log"),
    "inverse_gaussian": (em.datasets.make_inverse_gaussian, "inverse_gaussian", "log"),
    "tweedie": (em.datasets.make_tweedie, "tweedie(1.5)", None),
    "negative_binomial": (em.datasets.make_negative_binomial, "negative_binomial(2)", None),
    "quasi-poisson": (em.datasets.make_poisson, "quasi-poisson", None),
    "multinomial": (em.datasets.make_softmax, "multinomial", None),
}


def simulated(name, n=400, seed=0):
    make, family, link = FAMILIES[name]
    data = make(n, seed=seed, y_seed=seed + 1000)
    return data.X[:, 1:], data.y, {"family": family, "link": link}


def same(a, b, rtol=1e-9):
    np.testing.assert_allclose(a.coef, b.coef, rtol=rtol, atol=1e-11)
    np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=max(rtol, 1e-7))
    np.testing.assert_allclose(a.deviance, b.deviance, rtol=1e-9)


each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_row_order_does_not_matter(name):
    X, y, how = simulated(name)
    order = np.random.default_rng(1).permutation(len(y))
    same(em.fit(X, y, **how), em.fit(X[order], y[order], **how))


@each_family
def test_frequency_equals_repetition(name):
    X, y, how = simulated(name, 200)
    times = np.random.default_rng(2).integers(1, 4, len(y))
    whole = em.fit(np.repeat(X, times, axis=0), np.repeat(y, times), **how)
    counted = em.fit(X, y, frequency=times, **how)
    same(whole, counted)
    assert whole.nobs == counted.nobs
    assert whole.df_residual == counted.df_residual
    np.testing.assert_allclose(whole.null_deviance, counted.null_deviance, rtol=1e-9)
    if not name.startswith("quasi"):
        np.testing.assert_allclose(whole.loglik, counted.loglik, rtol=1e-9)
        np.testing.assert_allclose(whole.bic, counted.bic, rtol=1e-9)


@each_family
def test_weight_zero_is_absence(name):
    X, y, how = simulated(name)
    w = (np.arange(len(y)) % 5 > 0).astype(float)
    a, b = em.fit(X, y, weights=w, **how), em.fit(X[w > 0], y[w > 0], **how)
    same(a, b)
    assert (a.nobs, a.df_residual) == (b.nobs, b.df_residual)


@each_family
def test_stacking_the_data_keeps_the_coefficients(name):
    X, y, how = simulated(name)
    a, b = em.fit(X, y, **how), em.fit(np.r_[X, X], np.r_[y, y], **how)
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(2 * a.deviance, b.deviance, rtol=1e-9)


@each_family
def test_predict_on_the_training_rows_is_fitted(name):
    X, y, how = simulated(name)
    fit = em.fit(X, y, **how)
    np.testing.assert_allclose(fit.predict(X), fit.fitted, rtol=1e-11)


@each_family
def test_any_memory_layout_gives_the_same(name):
    X, y, how = simulated(name)
    base = em.fit(X, y, **how)
    read_only = X.copy()
    read_only.setflags(write=False)
    wide = np.zeros((len(y) * 2, X.shape[1] * 3))
    wide[::2, 1::3] = X
    backwards = X[::-1].copy()[::-1]
    for other in (np.asfortranarray(X), read_only, wide[::2, 1::3], backwards, X.tolist(), {f"x{j + 1}": X[:, j] for j in range(X.shape[1])}, X.astype(">f8")):
        same(base, em.fit(other, y, **how), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_any_number_type_is_read_in_place(dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 9, (300, 3)).astype(dtype)
    y = np.random.default_rng(1).poisson(2.0, 300)
    for data in (X, np.asfortranarray(X)):
        same(em.fit(data, y, family="poisson"), em.fit(X.astype(float), y.astype(float), family="poisson"), rtol=1e-11)
    same(em.fit(X[:, 0], y.astype("u1"), family="poisson"), em.fit(X[:, :1].astype(float), y, family="poisson"), rtol=1e-11)


def frames():
    pd, pl, pa = pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    plain = {"x": np.arange(12.0), "k": np.arange(12) % 5, "g": np.array(list("abc") * 4), "y": np.array([1, 2, 0, 3, 5, 4, 8, 6, 9, 12, 11, 15])}
    return plain, {
        "pandas": pd.DataFrame(plain),
        "nullable": pd.DataFrame(plain).convert_dtypes(),
        "categorical": pd.DataFrame(plain).astype({"g": "category"}),
        "polars": pl.DataFrame(plain),
        "arrow": pa.table({k: v.tolist() for k, v in plain.items()}),
    }


def test_every_kind_of_table_gives_identical_coefficients():
    plain, others = frames()
    base = em.glm("y ~ x + C(k) + g", plain, family="poisson")
    for kind, table in others.items():
        fit = em.glm("y ~ x + C(k) + g", table, family="poisson")
        assert fit.names == base.names, kind
        np.testing.assert_array_equal(fit.coef, base.coef)
        np.testing.assert_array_equal(fit.predict(table), base.predict(plain))


# ---- the core: threads, chunks, and the NumPy path ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["poisson", "binomial", "gamma", "multinomial"])
def test_the_same_bits_for_any_number_of_threads(name):
    X, y, how = simulated(name, 60_000)
    fits = [em.fit(X, y, control=em.Control(threads=t), **how) for t in (1, 2, 3, 7)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.coef, fits[0].coef)
        np.testing.assert_array_equal(fit.vcov(), fits[0].vcov())
        assert fit.deviance == fits[0].deviance


def problem_of(name, n=3000):
    X, y, how = simulated(name, n)
    columns = (
        Column("Intercept"),
        *(Column(f"x{j}", X[:, j]) for j in range(X.shape[1])),
        Levels(("g",), (np.arange(n) % 3).astype(np.int32), np.array([-1, 0, -1], dtype=np.int32)),
    )
    family = em.families.resolve_family(how["family"])
    link = em.links.resolve_link(how["link"] or family.default_link)
    multi = {"equations": 2, "reference": 0} if name == "multinomial" else {}
    w, o = np.random.default_rng(3).uniform(0, 2, n), None if multi else np.random.default_rng(4).normal(size=n) * 0.1
    return Problem(Design(columns, n), y.astype(float), family, link, w, o, **multi)


@each_family
@pytest.mark.parametrize("information", ["expected", "observed"])
def test_native_sums_equal_numpy_sums(name, information):
    if not native.available():
        pytest.skip("built without a compiler")
    problem = problem_of(name)
    beta = np.random.default_rng(5).normal(size=problem.shape) * 0.1
    request = Request(beta, 2, information)
    fast, plain = Memory(problem).sum(request), Memory(problem, use_native=False).sum(request)
    assert fast.n == plain.n
    for part in ("sum_weight", "deviance", "pearson"):
        np.testing.assert_allclose(getattr(fast, part), getattr(plain, part), rtol=1e-12)
    np.testing.assert_allclose(fast.score, plain.score, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(fast.information, plain.information, rtol=1e-11, atol=1e-9)
    single = Memory(problem).sum(Request(beta, 2, information, "single"))
    np.testing.assert_allclose(single.information, plain.information, rtol=2e-5, atol=1e-2)
    np.testing.assert_array_equal(single.score, fast.score)


@pytest.mark.parametrize("name", ["poisson", "binomial", "cloglog", "tweedie", "multinomial"])
def test_every_instruction_set_gives_the_same_sums(kernel, name):
    problem = problem_of(name, 700)
    request = Request(np.full(problem.shape, 0.05), 2)
    fast, plain = Memory(problem).sum(request), Memory(problem, use_native=False).sum(request)
    np.testing.assert_allclose(fast.information, plain.information, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(fast.score, plain.score, rtol=1e-9, atol=1e-9)
    single = Memory(problem).sum(Request(request.beta, 2, arithmetic="single"))
    np.testing.assert_allclose(single.information, plain.information, rtol=2e-5, atol=1e-2)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("p", [*range(1, 34), 40, 47, 48, 49, 60, 71])
def test_every_width_of_a_block(kernel, p, constant):
    """Registers and panels that are full, partly full and just begun."""
    rng = np.random.default_rng(p)
    X = rng.normal(size=(333, p))
    columns = ((Column("1", None),) if constant else ()) + tuple(Column(f"x{j}", X[:, j]) for j in range(p))
    problem = Problem(Design(columns, 333), (rng.random(333) < 0.5) * 1.0, em.families.Binomial(), em.links.LOGIT)
    beta = rng.normal(size=len(columns)) * 0.1
    for arithmetic, rtol in (("double", 1e-12), ("single", 2e-5)):
        request = Request(beta, 2, arithmetic=arithmetic)
        fast, plain = Memory(problem).sum(request), Memory(problem, use_native=False).sum(request)
        np.testing.assert_allclose(fast.information, plain.information, rtol=rtol, atol=rtol * 100)
        np.testing.assert_allclose(fast.score, plain.score, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("reach", [1e-3, 1, 30, 400, 750, 2000])
@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_sums_of_nearly_perfect_logistic_rows(kernel, reach, wrong):
    """The deviance of rows that are almost certain is a sum of tiny terms, none of which may be lost."""
    rng = np.random.default_rng(int(reach))
    eta = rng.uniform(0.1, 1, 1003) * reach * rng.choice([-1, 1], 1003)
    y = np.where(rng.random(1003) < wrong, eta < 0, eta > 0) * 1.0
    design = Design((Column("x", np.ones(1003)),), 1003)
    sums = Memory(Problem(design, y, em.families.Binomial(), em.links.LOGIT, offset=eta)).sum(Request(np.zeros(1), 1))
    against = np.where(y > 0, -eta, eta).astype(np.longdouble)
    deviance = 2 * np.sum(np.log1p(np.exp(-np.abs(against))) + np.maximum(against, 0))
    np.testing.assert_allclose(sums.deviance, float(deviance), rtol=1e-14)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(sums.pearson, float(np.exp(against).sum()), rtol=1e-13)


@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from(["C", "F"]), st.sampled_from(["f8", "f4"]))
def test_blocks_of_any_shape(n, p, order, dtype):
    """The last rows and columns of a matrix are read without reading past them."""
    X = np.asarray(np.random.default_rng(n * 100 + p).normal(size=(n, p)), dtype=dtype, order=order)
    y = np.arange(n, dtype=float)
    design = Design(tuple(Column(f"x{j}", X[:, j]) for j in range(p)), n)
    problem = Problem(design, y, em.families.Gaussian(), em.links.IDENTITY)
    request = Request(np.ones(p))
    fast, plain = Memory(problem).sum(request), Memory(problem, use_native=False).sum(request)
    np.testing.assert_allclose(fast.score, plain.score, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(fast.information, plain.information, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("p", [97, 130])
def test_wide_designs_take_the_other_kernel(p):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, p))
    problem = Problem(Design(tuple(Column(f"x{j}", X[:, j]) for j in range(p)), 900), rng.poisson(1, 900), em.families.Poisson(), em.links.LOG)
    request = Request(rng.normal(size=p) * 0.02)
    fast, plain = Memory(problem).sum(request), Memory(problem, use_native=False).sum(request)
    np.testing.assert_allclose(fast.information, plain.information, rtol=1e-11, atol=1e-8)


# ---- solvers ------------------------------------------------------------------------------------------------------


@each_family
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
def test_every_solver_finds_the_same_optimum(name, solver):
    X, y, how = simulated(name)
    base, other = em.fit(X, y, **how), em.fit(X, y, solver=solver, **how)
    assert other.converged
    np.testing.assert_allclose(other.coef, base.coef, rtol=1e-7, atol=1e-8)


@each_family
def test_the_reported_information_may_be_observed(name):
    X, y, how = simulated(name)
    expected, observed = em.fit(X, y, **how), em.fit(X, y, control=em.Control(information="observed"), **how)
    np.testing.assert_allclose(expected.coef, observed.coef, rtol=1e-7, atol=1e-9)
    if name in ("binomial", "poisson", "gaussian", "multinomial"):  # canonical: the two are one
        np.testing.assert_allclose(expected.stderror(), observed.stderror(), rtol=1e-7)


@pytest.mark.parametrize("name", ["poisson", "binomial", "gamma"])
def test_large_fits_start_from_a_sample_and_take_three_or_four_passes(name):
    X, y, how = simulated(name, 200_000)
    fit = em.fit(X, y, **how)
    assert fit.converged
    assert fit.trace.passes <= 4
    assert any(s.rows < fit.nobs for s in fit.trace.steps)


def test_wide_fits_use_cheap_information_until_the_last_pass():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30_000, 60))
    y = (rng.random(30_000) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    fit = em.fit(X, y, family="binomial")
    assert [s.arithmetic for s in fit.trace.steps if s.order == 2 and s.rows == 30_000][-1] == "double"
    plain = em.fit(X, y, family="binomial", solver=em.solvers.Newton(information="expected"))
    np.testing.assert_allclose(fit.coef, plain.coef, rtol=1e-8, atol=1e-10)


LESSON = [3.2678, 1.365, 0.653, -0.0698]


def test_the_lesson_linear_and_logistic():
    ascent = em.solvers.GradientAscent
    X = em.datasets.make_X()
    linear = em.fit(X, em.datasets.make_linear(X, LESSON).y, family="linear", intercept=False, start=np.ones(4), solver=ascent(rate=1e-3, steps=1000))
    np.testing.assert_allclose(linear.coef, [3.21293235, 1.30052909, 0.68080355, -0.05252388], atol=5e-9)
    y = em.datasets.make_logistic(X, LESSON).y
    logistic = em.fit(X, y, family="logistic", intercept=False, start=np.ones(4), solver=ascent(rate=1e-3, steps=2000))
    np.testing.assert_allclose(logistic.coef, [3.1325853, 1.38198022, 0.52704664, 0.11608256], atol=5e-9)
    assert logistic.status is Status.FIXED_STEPS


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_lesson_softmax(one_hot):
    theta = np.array([[3.0, -1.0, 0.5], [1.2, 0.3, -0.8], [0.7, -0.4, 0.2], [-0.1, 0.6, -0.3]])
    X, y, _ = em.datasets.make_softmax(em.datasets.make_X(), theta)
    rng = np.random.default_rng(0)
    e = np.exp(X @ theta - (X @ theta).max(axis=1, keepdims=True))
    by_choice = [rng.choice(3, p=row) for row in e / e.sum(axis=1, keepdims=True)]
    np.testing.assert_array_equal(y, by_choice)
    fit = em.fit(
        X,
        em.datasets.one_hot(y) if one_hot else y,
        family=em.families.Multinomial(reference=None),
        intercept=False,
        start=np.ones((4, 3)),
        solver=em.solvers.GradientAscent(rate=1e-3, steps=1000),
    )
    expected = [
        [3.04584903, -0.728946582, 0.683097551],
        [1.99526300, 1.00735078, -0.00261377540],
        [1.44649430, 0.479942781, 1.07356292],
        [0.905299805, 1.56767055, 0.527029648],
    ]
    np.testing.assert_allclose(fit.coef, expected, rtol=5e-9)


def test_softmax_gauges_agree():
    X, y, _ = em.datasets.make_softmax(600)
    first, last = em.fit(X[:, 1:], y, family="multinomial"), em.fit(X[:, 1:], y, family=em.families.Multinomial(reference=2))
    free = em.fit(X[:, 1:], y, family=em.families.Multinomial(reference=None))
    np.testing.assert_allclose(free.coef.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(free.coef[:, 1:] - free.coef[:, :1], first.coef, rtol=1e-9)
    np.testing.assert_allclose(-last.coef[:, 0], first.coef[:, 1], rtol=1e-8)
    for fit in (last, free):
        np.testing.assert_allclose(fit.predict(), first.predict(), rtol=1e-9)
        np.testing.assert_allclose(fit.deviance, first.deviance, rtol=1e-11)


# ---- accuracy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mean"), [("poisson", mp.exp), ("binomial", lambda e: 1 / (1 + mp.exp(-e))), ("gaussian", lambda e: e)])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_digits_is_a_bound_that_a_solution_in_forty_digits_confirms(name, mean, scale):
    X, y, how = simulated(name, 60, seed=3)
    X = X * scale + 7 * scale
    fit = em.fit(X, y, **how)
    with mp.workdps(40):
        rows = [[mpf(1), *(mpf(float(v)) for v in row)] for row in X]
        beta = [mpf(float(b)) for b in fit.coef]
        for _ in range(4):  # Newton from the fit's own answer, in 40 digits
            eta = [sum(a * b for a, b in zip(r, beta, strict=True)) for r in rows]
            mu = [mean(e) for e in eta]
            weight = [m if name == "poisson" else m * (1 - m) if name == "binomial" else mpf(1) for m in mu]
            p = len(beta)
            score = mp.matrix([sum((mpf(float(t)) - m) * r[j] for t, m, r in zip(y, mu, rows, strict=True)) for j in range(p)])
            info = mp.matrix([[sum(w * r[j] * r[k] for w, r in zip(weight, rows, strict=True)) for k in range(p)] for j in range(p)])
            step = mp.lu_solve(info, score)
            beta = [b + s for b, s in zip(beta, step, strict=True)]
        worst = max(abs((mpf(float(f)) - b) / b) for f, b in zip(fit.coef, beta, strict=True))
    assert float(worst) <= 10**-fit.digits
    assert fit.digits > 8
    assert fit.digits < 1 + -math.log10(max(float(worst), 1e-17)) + 5  # not so careful as to say nothing


# ---- what is asked of a Fit ----------------------------------------------------------------------------------------


@each_family
def test_a_saved_model_answers_as_the_fit(name, tmp_path):
    X, y, how = simulated(name)
    fit = em.fit(X, y, **how)
    fit.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    assert str(loaded.summary()) == str(fit.summary())
    np.testing.assert_array_equal(loaded.coef, fit.coef)
    np.testing.assert_array_equal(loaded.vcov(), fit.vcov())
    np.testing.assert_array_equal(loaded.predict(X), fit.predict(X))
    assert (loaded.digits, loaded.status, loaded.trace.passes) == (fit.digits, fit.status, fit.trace.passes)


def test_links_and_families_with_parameters_survive_saving(tmp_path):
    data = em.datasets.make_gamma(100)
    for family, link in (("gamma", "power(0.5)"), ("tweedie(1.3)", "log"), ("quasi(mu^2)", "sqrt"), ("negative_binomial(3)", "log")):
        fit = em.fit(data.X[:, 1:], data.y, family=family, link=link)
        fit.save(tmp_path / "m.json")
        loaded = em.load(tmp_path / "m.json")
        assert (repr(loaded.family), loaded.link.name) == (repr(fit.family), fit.link.name)
        np.testing.assert_array_equal(loaded.predict(data.X[:, 1:]), fit.predict(data.X[:, 1:]))


def test_summary_as_text_and_html():
    fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    text, html = str(fit.summary()), fit._repr_html_()
    assert "tension[L]" in text
    assert "<table>" in html
    assert "<script>" not in em.fit([0.0, 1, 2], [1.0, 2, 4], names=["<script>"])._repr_html_()


def test_intervals_and_tables():
    fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma")
    table = fit.coef_table()
    assert table.statistic_name == "t"
    wide, narrow = fit.confint(0.99), fit.confint(0.5)
    assert (wide[:, 0] < narrow[:, 0]).all()
    np.testing.assert_allclose(wide.mean(axis=1), fit.coef)
    assert list(table.to_dict()) == ["name", "estimate", "stderror", "statistic", "p_value", "lower", "upper"]
    assert table.to_pandas().loc["log(u)", "estimate"] == fit.coef[1]
    assert table.to_polars().height == 2


def test_a_family_of_ten_lines_takes_the_same_path():
    class Geometric(em.Family):
        name = "geometric"
        support = mean_space = em.families.NONNEGATIVE
        canonical = default_link = "log"
        dispersion_known = True

        def variance(self, mu):
            return mu * (1 + mu)

    data = em.datasets.make_negative_binomial(3000, shape=1.0)
    mine = em.fit(data.X, data.y, family=Geometric(), intercept=False)
    theirs = em.fit(data.X, data.y, family=em.families.NegativeBinomial(theta=1.0), intercept=False)
    np.testing.assert_allclose(mine.coef, theirs.coef, rtol=1e-9)
    np.testing.assert_allclose(mine.stderror(), theirs.stderror(), rtol=1e-8)
    np.testing.assert_allclose(mine.deviance, theirs.deviance, rtol=1e-7)  # by quadrature
    with pytest.raises(em.errors.UndefinedStatisticError, match="no density"):
        _ = mine.aic


def test_a_link_of_ones_own():
    logit = em.Link("mine", eta=lambda m: np.log(m / (1 - m)), mu=lambda e: 1 / (1 + np.exp(-e)), dmu=lambda e: np.exp(-e) / (1 + np.exp(-e)) ** 2)
    X, y, _ = simulated("binomial")
    same(em.fit(X, y, family="binomial", link=logit), em.fit(X, y, family="binomial"), rtol=1e-8)


def test_a_class_that_inherits_a_kernel_does_not_use_it():
    class Doubled(em.families.Poisson):
        def unit_deviance(self, y, mu):
            return 2 * super().unit_deviance(y, mu)

        def deviance_at(self, y, mean):
            return 2 * super().deviance_at(y, mean)

    X, y, _ = simulated("poisson")
    assert em.fit(X, y, family=Doubled()).deviance == pytest.approx(2 * em.fit(X, y, family="poisson").deviance)


def test_progress_is_reported_and_nothing_prints(capsys):
    seen = []
    X, y, how = simulated("poisson")
    em.fit(X, y, control=em.Control(progress=seen.append), **how)
    assert len(seen) >= 3
    assert capsys.readouterr().out == ""


def test_labels_of_a_binomial_response():
    X, y, _ = simulated("binomial")
    base = em.fit(X, y, family="binomial")
    for labels in (y.astype(bool), np.array(["no", "yes"])[y], ["b" if v else "a" for v in y], y.astype("i1")):
        np.testing.assert_array_equal(em.fit(X, labels, family="binomial").coef, base.coef)


def test_exposure_is_an_offset_in_logarithms():
    data = em.datasets.make_insurance(3000)
    a = em.glm("claims ~ fuel + use", data, family="poisson", exposure="exposure")
    b = em.glm("claims ~ fuel + use + offset(log(exposure))", data, family="poisson")
    c = em.glm("claims ~ fuel + use", data, family="poisson", offset=np.log(data["exposure"]))
    for other in (b, c):
        np.testing.assert_allclose(other.coef, a.coef, rtol=1e-12)
        np.testing.assert_allclose(other.null_deviance, a.null_deviance, rtol=1e-12)
    np.testing.assert_allclose(a.predict(data), b.predict(data), rtol=1e-12)
    with pytest.raises(em.errors.SpecificationError, match="offset"):
        c.predict(data)


def test_the_simulated_portfolio_returns_its_relativities():
    data = em.datasets.make_insurance(150_000, seed=1)
    data["young"] = np.exp(-(data["age"] - 18) / 7.0)
    data["old"] = np.maximum(data["age"] - 70, 0)
    fit = em.glm("claims ~ young + old + bonus + vehicle_age + area + fuel + use + brand + region + C(power)", data, family="poisson", exposure="exposure")
    truth = {f"{n}[{k}]": v for n, levels in em.datasets.insurance.RELATIVITIES.items() for k, v in levels.items()}
    z = [(b - truth[n]) / s for n, b, s in zip(fit.names, fit.coef, fit.stderror(), strict=True) if n in truth]
    assert len(z) == 49
    assert np.abs(z).max() < 4.5
    assert 0.7 < np.std(z) < 1.3


@pytest.mark.parametrize("kind", ["C", "F", "float32", "frame"])
def test_a_fit_copies_no_data(kind):
    """Peak extra memory of NumPy and Python, the core's scratch being a few blocks: at most 15 % of X."""
    import tracemalloc

    rng = np.random.default_rng(0)
    X = np.asarray(rng.normal(size=(60_000, 20)), dtype="f4" if kind == "float32" else "f8", order="F" if kind in ("F", "frame") else "C")
    y = rng.poisson(1.0, 60_000).astype(float)
    data = {f"x{j}": X[:, j] for j in range(20)} if kind == "frame" else X
    em.fit(data, y, family="poisson")
    tracemalloc.start()
    try:
        em.fit(data, y, family="poisson").stderror()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 0.15 * X.nbytes


# ---- once wrong ----


def test_standard_errors_of_least_squares_do_not_depend_on_the_order_of_rows():
    """Slabs in which columns are constant or absent are rank-deficient; their R factors must still add up."""
    rng = np.random.default_rng(0)
    n, levels = 20_000, 20
    g, x = np.sort(rng.integers(0, levels, n)), rng.normal(size=n)
    X = np.column_stack([x, x + 0.05 * rng.normal(size=n), *((g == k) * 1.0 for k in range(1, levels))])
    y = x + rng.normal(size=n)
    order = rng.permutation(n)
    np.testing.assert_allclose(em.fit(X, y).stderror(), em.fit(X[order], y[order]).stderror(), rtol=1e-12)


@pytest.mark.parametrize("family", ["poisson", "gamma"])
@pytest.mark.parametrize("seed", [0, 1])
def test_wide_designs_with_heavy_tails_converge(family, seed):
    rng = np.random.default_rng(seed)
    n, p = 30_000, 47
    X = rng.standard_t(2.2, size=(n, p))
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    mu = np.exp(np.clip(Z @ (rng.normal(size=p) * 0.8 / np.sqrt(p)), -4, 4) + 1.5)
    y = rng.poisson(mu) * 1.0 if family == "poisson" else rng.gamma(2.0, mu / 2)
    fit = em.fit(X, y, family=family, link="log")
    assert fit.converged
    score = Z.T @ ((y - fit.fitted) if family == "poisson" else (y / fit.fitted - 1))
    assert np.abs(score).max() < 1e-6 * n


def test_a_start_that_only_a_sample_allows_is_not_taken():
    rng = np.random.default_rng(0)
    n = 60_000
    X = np.column_stack([rng.standard_t(2.2, n), rng.normal(size=(n, 3))])
    e = X.sum(axis=1)
    y = rng.gamma(2.0, 0.5 / (1.5 + 0.8 * e / np.abs(e).max()))
    fit = em.fit(X, y, family="gamma", link="inverse")
    assert fit.converged
    np.testing.assert_allclose(fit.deviance, 32491.236678917, rtol=1e-11)


def test_separation_under_a_double_exponential_link_is_named():
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=1000), (np.arange(1000) < 12) * 1.0
    y = np.where(d == 1, 1.0, (rng.random(1000) < 0.4) * 1.0)
    fit = em.fit(np.column_stack([x, d]), y, family="binomial", link="cloglog")
    assert fit.status.name == "SEPARATED"
    assert "x2" in fit.diverging
    assert "x1" not in fit.diverging
