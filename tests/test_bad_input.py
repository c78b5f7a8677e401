"""Bad input never harms: a named error or a status, no NumPy warning, no silent nan (warnings are errors in this suite)."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from etamu import errors
from etamu.design.terms import read_formula
from etamu.solvers.base import Status

rng = np.random.default_rng(0)
N = 40
X = rng.normal(size=(N, 3))
Y = {
    "gaussian": rng.normal(size=N),
    "binomial": (rng.random(N) < 0.5).astype(float),
    "poisson": rng.poisson(2, N).astype(float),
    "gamma": rng.gamma(2, 1, N),
    "inverse_gaussian": rng.gamma(2, 1, N) + 0.1,
    "tweedie(1.5)": rng.gamma(2, 1, N) * (rng.random(N) < 0.7),
    "negative_binomial(2)": rng.poisson(2, N).astype(float),
    "quasi-poisson": rng.poisson(2, N).astype(float),
    "quasi-binomial": rng.random(N),
    "multinomial": rng.integers(0, 3, N),
}
LINK = {"gamma": "log", "inverse_gaussian": "log"}


def fit(family, X=X, y=None, **k):
    return em.fit(X, Y[family] if y is None else y, family=family, link=LINK.get(family), **k)


each = pytest.mark.parametrize("family", Y)


def holding(value, row=7):
    out = X.copy()
    out[row, 1] = value
    return out


@each
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_in_x_are_named_with_column_and_row(family, value):
    with pytest.raises(errors.DataError, match=r"`x2` \(1 rows, the first is row 7\)"):
        fit(family, holding(value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_a_bad_number_far_away_in_large_data_is_found(family, value):
    n = 400_000
    big = np.random.default_rng(1).normal(size=(n, 3))
    y = (big[:, 0] > 0).astype(float) + (family == "poisson")
    y[:100] = 1 - y[:100] if family == "binomial" else y[:100]
    big[n - 5, 2] = value
    with pytest.raises(errors.DataError, match=f"row {n - 5}"):
        em.fit(big, y, family=family)


@each
def test_wrong_lengths(family):
    with pytest.raises(errors.LengthError, match="`y` has length 39 but the data have 40 rows"):
        fit(family, y=Y[family][:-1])
    for name in ("weights", "frequency"):
        with pytest.raises(errors.LengthError, match=f"`{name}` has length 3"):
            fit(family, **{name: np.ones(3)})
    if family != "multinomial":
        with pytest.raises(errors.LengthError, match="`offset` has length 3"):
            fit(family, offset=np.ones(3))
    with pytest.raises(errors.LengthError, match="names"):
        fit(family, names=["a"])


OUTSIDE = {"binomial": 2.0, "poisson": -1.0, "gamma": 0.0, "inverse_gaussian": -1.0, "tweedie(1.5)": -0.1, "negative_binomial(2)": -1.0, "quasi-binomial": 1.5}


@pytest.mark.parametrize("family", OUTSIDE)
def test_y_outside_the_support_is_named_with_its_row(family):
    y = Y[family].copy()
    y[11] = OUTSIDE[family]
    with pytest.raises(errors.ResponseError, match=r"in row 11 .* outside the support"):
        fit(family, y=y)


@pytest.mark.parametrize("family", [f for f in Y if f != "multinomial"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_y_missing_or_infinite(family, value):
    y = Y[family].astype(float)
    y[3] = value
    with pytest.raises(errors.DataError, match=r"`y` is .* in row 3"):
        fit(family, y=y)


@each
@pytest.mark.parametrize(("bad", "words"), [(-1.0, "negative"), (np.nan, "finite"), (np.inf, "finite")])
def test_weights_must_be_finite_and_not_negative(family, bad, words):
    w = np.ones(N)
    w[5] = bad
    with pytest.raises(errors.WeightError, match=f"row 5.*{words}"):
        fit(family, weights=w)


@each
def test_weights_all_zero(family):
    with pytest.raises(errors.WeightError, match="all zero"):
        fit(family, weights=np.zeros(N))


@pytest.mark.parametrize("family", ["binomial", "quasi-binomial", "multinomial"])
@pytest.mark.parametrize("value", [0, 1])
def test_one_class(family, value):
    with pytest.raises(errors.ResponseError, match="one class only"):
        fit(family, y=np.full(N, value))


@pytest.mark.parametrize("family", ["poisson", "negative_binomial(2)", "quasi-poisson", "tweedie(1.5)"])
def test_all_zero_counts(family):
    with pytest.raises(errors.ResponseError, match="0 in every row"):
        fit(family, y=np.zeros(N))


@each
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_handful_of_rows(family, rows):
    """Saturated, separated or a named refusal; never a crash, and nan only where the summary says there is nothing to estimate."""
    try:
        f = fit(family, X[:rows], Y[family][:rows])
    except errors.ResponseError:
        return
    assert isinstance(str(f.summary()), str)
    assert np.isfinite(f.coef[[n not in f.aliased for n in f.names]]).all()


@each
def test_no_rows(family):
    with pytest.raises(errors.EtamuError):
        fit(family, X[:0], Y[family][:0])


@each
def test_duplicate_and_constant_columns_are_aliased_by_name(family):
    f = fit(family, np.c_[X, X[:, 0], np.ones(N), X[:, 1] - 2 * X[:, 2]])
    assert f.aliased == ("x4", "x5", "x6")
    assert f.converged
    base = fit(family)
    np.testing.assert_allclose(f.coef[:4], base.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(f.stderror()[:4], base.stderror(), rtol=1e-6)
    assert f.df_residual == base.df_residual
    np.testing.assert_allclose(f.predict(np.c_[X, X[:, 0], np.ones(N), X[:, 1] - 2 * X[:, 2]]), base.predict(X), rtol=1e-7)
    assert "aliased" in str(f.summary())


@pytest.mark.parametrize("family", ["gaussian", "poisson", "gamma"])
def test_more_columns_than_rows(family):
    wide = np.random.default_rng(5).normal(size=(6, 9))
    f = fit(family, wide, Y[family][:6] + 0.5)
    assert len(f.aliased) == 4
    assert f.df_residual == 0
    assert f.deviance < 1e-6


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_separation_is_a_status(link):
    x = np.arange(20.0)
    complete = em.fit(x, (x > 9).astype(int), family="binomial", link=link)
    assert complete.status is Status.SEPARATED
    assert "x1" in complete.diverging
    assert "separation" in str(complete.summary())


def test_quasi_complete_separation_by_one_level_is_a_status():
    g = np.repeat(["a", "b", "c"], 20)
    y = np.where(g == "c", 0, np.arange(60) % 2)
    f = em.glm("y ~ g", {"y": y, "g": g}, family="binomial")
    assert f.status is Status.SEPARATED
    assert f.diverging == ("Intercept", "g[c]") or f.diverging == ("g[c]",)
    counts = em.glm("y ~ g", {"y": np.where(g == "c", 0, 1 + np.arange(60) % 3), "g": g}, family="poisson")
    assert counts.status is Status.SEPARATED


def test_large_offsets_and_bad_starts_reach_the_optimum():
    y = Y["binomial"]
    base = em.fit(X, y, family="binomial")
    assert em.fit(X, y, family="binomial", offset=30 * X[:, 1]).deviance == pytest.approx(base.deviance, rel=1e-9)
    for start in ([50, 50, 0, 0], [-8, 0, 0, 30]):
        np.testing.assert_allclose(em.fit(X, y, family="binomial", start=start).coef, base.coef, rtol=1e-7)
    counts = em.fit(X, Y["poisson"], family="poisson")
    assert em.fit(X, Y["poisson"], family="poisson", offset=30 * X[:, 1]).deviance == pytest.approx(counts.deviance, rel=1e-9)


def test_columns_on_wild_scales():
    base = em.fit(X, Y["poisson"], family="poisson")
    scaled = em.fit(X * [1e12, 1e-12, 1.0] + [1e15, 0, 0], Y["poisson"], family="poisson")
    np.testing.assert_allclose(scaled.coef[1:] * [1e12, 1e-12, 1.0], base.coef[1:], rtol=2e-3)  # 1e15 + 1e12 x keeps three digits of x
    np.testing.assert_allclose(em.fit(X * 1e9, Y["poisson"], family="poisson").coef[1:] * 1e9, base.coef[1:], rtol=1e-9)


@pytest.mark.parametrize("link", ["identity", "inverse", "sqrt"])
def test_links_with_a_domain_never_leave_it(link):
    f = em.fit(X, Y["gamma"], family="gamma", link=link)
    assert np.isfinite(f.deviance)
    assert (f.fitted > 0).all()


UNKNOWN = {
    "family": ({"family": "poison"}, "Did you mean 'poisson'"),
    "link": ({"link": "lgo"}, "Did you mean 'log'"),
    "solver": ({"solver": "newtn"}, "Did you mean 'newton'"),
    "missing": ({"missing": "ignore"}, "raise"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_names_list_what_exists(what):
    keywords, words = UNKNOWN[what]
    with pytest.raises(errors.UnknownNameError, match=words):
        em.fit(X, Y["poisson"], **{"family": "poisson", **keywords})


def test_types_that_cannot_be():
    for keywords in ({"family": 3}, {"link": 3}, {"solver": 3}, {"control": 3}, {"start": "a"}, {"intercept": "no"}):
        with pytest.raises(errors.SpecificationError):
            em.fit(X, Y["poisson"], **{"family": "poisson", **keywords})
    for build in (lambda: em.Control(max_iter=0), lambda: em.Control(tol=-1), lambda: em.families.Tweedie(0.5), lambda: em.families.NegativeBinomial(-1)):
        with pytest.raises(errors.SpecificationError):
            build()
    with pytest.raises(errors.SpecificationError, match="softmax"):
        em.fit(X, Y["poisson"], family="poisson", link="softmax")


def test_text_where_numbers_belong():
    with pytest.raises(errors.DataError, match="'a'"):
        em.fit(np.array([[1, 2.0], ["a", 3]], dtype=object), [1.0, 2.0])
    with pytest.raises(errors.DataError, match="masked"):
        em.fit(X, np.ma.masked_array(Y["poisson"], Y["poisson"] == 0), family="poisson")
    with pytest.raises(errors.ResponseError, match="3 levels"):
        em.fit(X[:3], ["a", "b", "c"], family="binomial")


def test_missing_rows():
    data = {"x": np.array([1.0, np.nan, 3, 4, 5, 6]), "g": np.array(["a", "b", None, "b", "a", "b"], dtype=object), "y": [1, 2, 3, 4, 6, 5]}
    with pytest.raises(errors.MissingValueError):
        em.glm("y ~ x + g", data, family="poisson")
    f = em.glm("y ~ x + g", data, family="poisson", missing="drop")
    assert f.nobs == 4


def test_unseen_and_missing_levels_at_prediction():
    data = {"g": ["a", "b", "c"] * 5, "y": np.arange(15.0)}
    f = em.glm("y ~ g", data)
    np.testing.assert_allclose(f.predict({"g": ["c", "a"]}), [f.coef[0] + f.coef[2], f.coef[0]])
    with pytest.raises(errors.UnseenLevelError, match="'d' in row 1"):
        f.predict({"g": ["a", "d"]})
    with pytest.raises(errors.MissingValueError):
        f.predict({"g": np.array(["a", None], dtype=object)})
    with pytest.raises(errors.UnknownNameError, match="column"):
        f.predict({"h": ["a"]})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "y ~ __import__('os')",
        "y ~ x.__class__",
        "y ~ (lambda: 1)()",
        "y ~ eval(x)",
        "y ~ open(x)",
        "y ~ x; import os",
        "y ~ x[0]",
        "y ~ {x}",
        "y ~ 'x'",
        "y ~",
        "~",
        "",
        "y ~ x +",
        "y ~ log(",
        "y ~ log(x",
        "y ~ log()",
        "y ~ x:z",
        "y",
        "y ~ " + "(" * 5000 + "x" + ")" * 5000,
        "y ~ I(" + "x+" * 5000 + "x)",
        "y ~ " + "x" * 200_000,
    ],
)
def test_formulas_that_are_not_raise_and_do_nothing(text):
    with pytest.raises(errors.EtamuError) as caught:
        em.glm(text, {"y": Y["gaussian"], "x": X[:, 0]})
    assert len(str(caught.value)) < 1000 or len(text) > 100_000


@given(st.text(max_size=60))
def test_any_text_is_either_a_formula_or_a_named_error(text):
    with contextlib.suppress(errors.EtamuError):
        read_formula(text)


@given(st.text(alphabet="xyz~+-*/^():,`'\"1.0 logCI_", max_size=40))
def test_any_nearly_formula_is_either_fitted_or_a_named_error(text):
    with contextlib.suppress(errors.EtamuError):
        em.glm(text, {"x": X[:, 0], "y": Y["gaussian"], "z": X[:, 1]})


def damaged():
    good = None

    def build(tmp_path):
        nonlocal good
        if good is None:
            em.glm("y ~ g", {"g": ["a", "b", "c"] * 5, "y": np.arange(15.0)}).save(tmp_path / "good.json")
            good = json.loads((tmp_path / "good.json").read_text())
        return dict(good)

    return build


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "{", '{"etamu": 1}', '{"etamu": 99}', "\x00\x01", "[" * 100_000, '{"etamu": 1, "family": {"name": "os.system"}}']
)
def test_files_that_are_no_models(tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(errors.EtamuError):
        em.load(path)


@pytest.mark.parametrize("key", ["family", "link", "names", "coef", "status", "nobs", "design", "known", "trace", "rank", "deviance"])
@pytest.mark.parametrize("value", [None, "text", -1, [], {}])
def test_a_model_file_with_a_part_replaced(tmp_path, key, value):
    em.glm("y ~ g", {"g": ["a", "b", "c"] * 5, "y": np.arange(15.0)}).save(tmp_path / "m.json")
    content = json.loads((tmp_path / "m.json").read_text())
    if key == "design" and value is None:
        return  # a model of arrays
    if key in ("rank", "deviance") and value == -1:
        return  # numbers that only their owner could doubt
    content[key] = value
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(errors.EtamuError):
        em.load(tmp_path / "m.json")


def test_nothing_is_half_written(tmp_path):
    class Own(em.Family):
        name = "own"

        def variance(self, mu):
            return np.ones_like(mu)

    f = em.fit(X, Y["gaussian"], family=Own())
    with pytest.raises(errors.SpecificationError, match="own code"):
        f.save(tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(errors.ModelFileError, match="does not exist"):
        em.fit(X, Y["gaussian"]).save(tmp_path / "no" / "m.json")
    with pytest.raises(errors.ModelFileError, match="does not exist"):
        em.load(tmp_path / "none.json")


def test_statistics_that_do_not_exist():
    f = em.fit(X, Y["poisson"], family="quasi-poisson")
    for name in ("loglik", "aic", "bic"):
        with pytest.raises(errors.UndefinedStatisticError):
            getattr(f, name)
    for level in (0, 1, "a", None):
        with pytest.raises(errors.SpecificationError):
            f.confint(level)


SHAPES = {"sums": (300, 12), "columns": (200, 600), "tall columns": (11_000, 100)}
PENALISED = {
    "fit": lambda X, y, family: em.fit(X, y, family=family, penalty=em.Lasso(0.02)),
    "groups": lambda X, y, family: em.fit(X, y, family=family, penalty=em.GroupLasso(0.02, groups=[range(k, k + 4) for k in range(1, X.shape[1], 4)])),
    "concave": lambda X, y, family: em.fit(X, y, family=family, penalty=em.MCP(0.05)),
    "path": lambda X, y, family: em.glm_path(X=X, y=y, family=family, n_alphas=4),
    "cross-validation": lambda X, y, family: em.cross_validate(X=X, y=y, family=family, n_alphas=4, folds=3),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.parametrize("call", PENALISED)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_not_finite_is_found_in_every_penalised_fit(shape, call, kind, value):
    """Wherever it is: a sample of the rows, which places the columns, need not have it."""
    from scipy.sparse import csc_array, csr_array

    rng = np.random.default_rng(1)
    n, p = SHAPES[shape]
    x = rng.normal(size=(n, p)) if kind == "dense" else rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.1)
    y = rng.poisson(np.exp(np.clip(0.3 * x[:, 0], -3, 3))).astype(float)
    x[n // 2 + 7, 3] = value
    made = {"dense": np.asfortranarray, "csr": csr_array, "csc": csc_array}[kind](x)
    for family in ("gaussian", "poisson"):
        with pytest.raises(errors.DataError, match=rf"`x4` \(1 rows, the first is row {n // 2 + 7}\)"):
            PENALISED[call](made, y, family)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_numbers_too_large_for_floats(family):
    """Of a tall design, whose columns would be floats: they are doubles then, and nothing is lost."""
    rng = np.random.default_rng(1)
    n, p = 11_000, 100
    x = rng.normal(size=(n, p))
    y = rng.poisson(np.exp(np.clip(0.5 * x[:, 0], -2, 2))).astype(float)
    x[5000, 7], x[5001, 7] = 1e200, -1e200
    with pytest.raises(errors.DataError, match="`x8` holds numbers whose squares"):
        em.glm_path(X=np.asfortranarray(x), y=y, family=family, alphas=[0.05, 0.02])
    x[5000, 7], x[5001, 7] = 1e100, -1e100
    path = em.glm_path(X=np.asfortranarray(x), y=y, family=family, alphas=[0.05, 0.02])
    assert np.isfinite(path.coefs).all()
    assert path.converged.all()
    x[:, 7] /= 1e100  # whose coefficient no alpha holds back
    free = em.Lasso(1.0, weights=(np.arange(p) != 7).astype(float))
    scaled = em.glm_path(X=np.asfortranarray(x), y=y, family=family, penalty=free, alphas=[0.05, 0.02])
    np.testing.assert_allclose(np.delete(path.coefs, 7, axis=1), np.delete(scaled.coefs, 7, axis=1), atol=1e-5)
    np.testing.assert_allclose(path.coefs[:, 7] * 1e100, scaled.coefs[:, 7], rtol=2e-3)  # of two rows of 11,000


@pytest.mark.parametrize("made", ["csr", "csc"])
@pytest.mark.parametrize("index", [-1, 50, 10**6])
def test_a_sparse_matrix_whose_indices_were_changed(made, index):
    from scipy.sparse import random_array

    matrix = random_array((50, 30), density=0.2, format=made, rng=np.random.default_rng(0))
    matrix.indices[4] = index
    with pytest.raises(errors.DataError, match=rf"in (row|column) {index} of (50|30)"):
        em.fit(matrix, np.zeros(50), penalty=em.Lasso(0.1))


@pytest.mark.parametrize("made", ["csr", "csc"])
def test_a_constant_column_of_a_sparse_matrix_is_aliased_with_the_intercept(made):
    from scipy.sparse import csr_array

    x = rng.normal(size=(50, 6)) * (rng.random((50, 6)) < 0.4)
    x[:, 2], x[:, 4] = 3.0, 0.0
    with pytest.raises(errors.SpecificationError, match="'x3' is constant"):
        em.fit(csr_array(x).asformat(made), x[:, 0], penalty=em.Lasso(0.1))
    x[7, 2] = 2.0
    assert em.fit(csr_array(x).asformat(made), x[:, 0], penalty=em.Lasso(0.1)).coef[5] == 0  # a column without entries is no intercept
