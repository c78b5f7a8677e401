"""Factors are summed as cells, never as dummies: the sums, the fits and the predictions are those of the dummies nevertheless."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import etamu as em
from etamu import errors
from etamu.design.columns import Column, Design, Levels, Sparse
from etamu.links import LINKS, resolve_link
from etamu.solvers.base import Status
from etamu.solvers.linalg import FactorisedArrow, aliased_of_gram, factorise
from etamu.sources import native
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sums import Arrow, Request, Sums

needs_core = pytest.mark.skipif(native.core is None, reason="built without a compiler")


class Counts(em.Family):
    """A user's family: its rows are NumPy's, its sums the core's, its deviance found by quadrature."""

    name = "counts"
    support = mean_space = em.families.NONNEGATIVE
    canonical = default_link = "log"
    dispersion_known = True

    def variance(self, mu):
        return mu


# ---- sums: native == NumPy ----------------------------------------------------------------------------------------


def column(n, seed=0, dtype="f8", order="C"):
    rng = np.random.default_rng(seed)
    X = np.asarray(rng.integers(-3, 4, (n, 3)) if np.dtype(dtype).kind in "iu" else rng.normal(size=(n, 3)), dtype=dtype, order=order)
    return X[:, 1]


def factor(name, n, levels, seed, kind="i1", base=True, times=None):
    codes = np.random.default_rng(seed).integers(0, levels, n).astype(kind)
    slots = np.arange(-1, levels - 1) if base else np.arange(levels)
    return Levels(tuple(f"{name}[{k}]" for k in range(levels - base)), codes, slots.astype(np.int32), times)


def sparse(n, width=7, seed=5):
    rng = np.random.default_rng(seed)
    m = csr_array(np.where(rng.random((n, width)) < 0.2, rng.normal(size=(n, width)), 0.0))
    return Sparse(tuple(f"s{j}" for j in range(width)), m.indptr, m.indices, m.data)


def designs(n):
    one, x = Column("Intercept"), Column("x", column(n))
    single, integer = Column("f", column(n, 1, "f4", "F")), Column("i", column(n, 2, "i2", "F"))
    looked_up = Column("t", np.random.default_rng(3).integers(0, 6, n).astype("u1"), np.linspace(-1, 1, 6))
    a, b, c = factor("a", n, 3, 10), factor("b", n, 5, 11, "u2"), factor("c", n, 12, 12, "i8", base=False)
    big, other = factor("big", n, 320, 13, "i2"), factor("other", n, 290, 14, "i4")
    joined = Levels(("j[0]", "j[1]"), np.random.default_rng(15).integers(0, 5, n).astype("i4"), np.array([0, 1, -1, 0, 1], dtype=np.int32))
    sloped, integer_slope = factor("ax", n, 3, 10, base=False, times=column(n)), factor("bi", n, 5, 11, "u1", times=column(n, 2, "i2"))
    wide_slope = factor("bigx", n, 300, 16, "i2", base=False, times=column(n, 4, "f4"))
    return {
        "one factor": (one, a),
        "no intercept": (c, x),
        "several": (one, x, a, b, single, c, integer),
        "more than a group": (one, a, b, c, factor("d", n, 40, 17), factor("e", n, 7, 18), x),
        "levels that share a column": (one, x, joined, a),
        "looked up": (one, looked_up, x, a),
        "slopes": (one, x, a, sloped, b, integer_slope, single),
        "large": (one, x, big),
        "large, small and slopes": (one, a, x, big, sloped, b, integer),
        "two large": (one, x, big, other, a),
        "large in a product": (factor("big", n, 320, 13, "i2", base=False), factor("other", n, 290, 14, "i4"), x),
        "large slope": (one, x, a, wide_slope),
        "sparse": (one, x, sparse(n)),
        "sparse and factors": (one, a, sparse(n), b, sloped, x),
        "sparse and large": (one, sparse(n), big, x),
    }


def centred(parts, n):
    """Centre and scale as the fit places them: stored columns only, the constant left alone."""
    design = Design(parts, n)
    center, scale = np.zeros(design.width), np.ones(design.width)
    for k, (at, part) in enumerate(design.placed()):
        if isinstance(part, Column) and part.values is not None:
            scale[at] = 0.7 + 0.1 * k
            center[at] = 0.3 * k if design.constant else 0.0
    return design.standardised(center, scale)


def response(family, n, seed=20):
    rng = np.random.default_rng(seed)
    name = family if isinstance(family, str) else family.name
    if name == "binomial":
        return rng.integers(0, 2, n).astype("u1")
    if name == "gaussian":
        return rng.normal(size=n).astype("f4")
    if name.startswith(("gamma", "inverse_gaussian")):
        return rng.gamma(3.0, 0.5, n) + 0.1
    if name.startswith("tweedie"):
        return rng.gamma(3.0, 0.5, n) * (rng.random(n) < 0.6)
    return rng.poisson(1.5, n)


MODELS = [
    ("gaussian", "identity"), ("gaussian", "log"), ("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"), ("poisson", "log"),
    ("poisson", "sqrt"), ("gamma", "log"), ("gamma", "inverse"), ("inverse_gaussian", "log"), ("tweedie(1.5)", "log"), ("negative_binomial(2)", "log"),
    ("quasi-poisson", "log"), (Counts(), "log"),
]  # fmt: skip


def problem_of(parts, n, family="poisson", link="log", weighted=True, plain=False):
    resolved = em.families.resolve_family(family)
    rng = np.random.default_rng(21)
    weight = rng.integers(0, 3, n).astype("f4") if weighted else None
    offset = 0.1 * rng.normal(size=n) if weighted else None
    design = Design(parts, n) if plain else centred(parts, n)
    return Problem(design, response(family, n), resolved, LINKS.get(link) or resolve_link(link), weight, offset)


def beta_of(problem, seed=30):
    beta = np.random.default_rng(seed).normal(size=problem.shape) * 0.05
    if problem.link.name in ("inverse", "sqrt"):  # stay in the link's domain
        beta = 0.1 * beta
        beta[: 1 if problem.design.constant else 12] = 1.5
    return beta


def dense(information):
    return information.dense() if isinstance(information, Arrow) else information


def assert_same_sums(fast, plain, tight=1e-10):
    for name in ("n", "sum_weight", "deviance", "pearson"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=tight)
    # entries of a sum that cancel are as exact as the largest of its terms
    for name in ("score", "information"):
        a, b = getattr(fast, name), getattr(plain, name)
        assert (a is None) == (b is None)
        if a is not None:
            a, b = dense(a), dense(b)
            np.testing.assert_allclose(a, b, rtol=tight, atol=tight * (1.0 + np.abs(b).max()))


@needs_core
@pytest.mark.parametrize("which", designs(1))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("plain", [False, True], ids=["centred", "as they are"])
def test_every_shape_of_design_sums_as_in_numpy(which, weighted, plain):
    n = 1300
    problem = problem_of(designs(n)[which], n, weighted=weighted, plain=plain)
    fast = Memory(problem)
    assert fast.plan is not None
    for order in (0, 1, 2):
        request = Request(beta_of(problem), order)
        assert_same_sums(fast.sum(request), Memory(problem, use_native=False).sum(request))
    large = isinstance(fast.sum(Request(beta_of(problem))).information, Arrow)
    assert large == ("large" in which)


@needs_core
@pytest.mark.parametrize("columns", [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 13, 14, 15, 22, 23, 25])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("layout", ["each on its own", "neighbours"])
def test_any_number_of_columns_beside_cells_sums_as_in_numpy(columns, constant, layout):
    """Few columns stay columns, and how many are few depends on the registers; those of one matrix come by rows."""
    n = 777
    X = np.random.default_rng(40).normal(size=(n, columns)).copy(order="F" if layout == "each on its own" else "C")
    stored = [Column(f"x{j}", X[:, j]) for j in range(columns)]
    parts = (
        [Column("Intercept")] if constant else [],
        stored,
        [factor("a", n, 7, 10), factor("ax", n, 3, 12, base=False, times=column(n)), factor("b", n, 90, 11)],
    )
    problem = problem_of(tuple(part for some in parts for part in some), n)
    for order in (0, 1, 2):
        request = Request(beta_of(problem), order)
        assert_same_sums(Memory(problem).sum(request), Memory(problem, use_native=False).sum(request))


@needs_core
@pytest.mark.parametrize("columns", [1, 4, 7, 22])
def test_a_constant_behind_a_factor_sums_as_in_numpy(columns):
    n = 500
    X = np.asfortranarray(np.random.default_rng(41).normal(size=(n, columns)))
    problem = problem_of((factor("a", n, 7, 10), Column("one"), *(Column(f"x{j}", X[:, j]) for j in range(columns))), n, plain=True)
    for order in (0, 1, 2):
        request = Request(beta_of(problem), order)
        assert_same_sums(Memory(problem).sum(request), Memory(problem, use_native=False).sum(request))


@needs_core
@pytest.mark.parametrize(("family", "link"), MODELS, ids=lambda v: v if isinstance(v, str) else v.name)
@pytest.mark.parametrize("which", ["slopes", "large, small and slopes", "sparse and factors", "no intercept"])
@pytest.mark.parametrize("information", ["expected", "observed"])
def test_every_family_and_link_sums_as_in_numpy(family, link, which, information):
    n = 900
    parts = designs(n)[which]
    problem = problem_of(parts, n, family, link)
    request = Request(beta_of(problem), 2, information)
    # the native exp, log and erfc are within 2 ulp of NumPy's, and probit and inverse gaussian rows square that
    assert_same_sums(Memory(problem).sum(request), Memory(problem, use_native=False).sum(request), tight=1e-9)


@needs_core
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
@pytest.mark.parametrize("strided", [False, True])
def test_codes_of_any_integer_type(kind, strided):
    n = 500
    a, b = factor("a", n, 100, 1, kind), factor("b", n, 3, 2, kind)
    if strided:
        wide = np.repeat(a.codes, 3)
        a = Levels(a.names, wide[::3], a.slots)
    problem = problem_of((Column("Intercept"), a, b), n)
    request = Request(beta_of(problem))
    assert_same_sums(Memory(problem).sum(request), Memory(problem, use_native=False).sum(request))


@needs_core
@pytest.mark.parametrize("levels", [127, 128, 129, 255, 256, 257, 258, 40_000, 70_000])
def test_counts_of_levels_around_the_ends_of_code_types(levels):
    n = 800
    kind = np.min_scalar_type(-levels)
    big = Levels(
        tuple(map(str, range(levels))),
        np.r_[levels - 1, 0, np.random.default_rng(0).integers(0, levels, n - 2)].astype(kind),
        np.arange(levels, dtype=np.int32),
    )
    problem = problem_of((big, factor("a", n, 3, 2), Column("x", column(n))), n)
    beta = beta_of(problem)
    fast = Memory(problem).sum(Request(beta))
    x = np.zeros((n, 3))
    for j, part in enumerate((*problem.design.parts[1:2], problem.design.parts[2])):
        width = len(part.names)
        part.read(slice(0, n), x[:, 2 * j : 2 * j + width])
    x[:, 2] *= problem.design.scale[-1]
    eta = beta[big.codes] + x @ beta[levels:] + problem.offset
    mu, w = np.exp(eta), np.asarray(problem.weight, dtype=float)
    score = np.r_[np.bincount(big.codes, w * (problem.y - mu), levels), x.T @ (w * (problem.y - mu))]
    np.testing.assert_allclose(fast.score, score, rtol=1e-10, atol=1e-10)
    head = np.bincount(big.codes, w * mu, levels)
    border = np.column_stack([np.bincount(big.codes, w * mu * c, levels) for c in x.T])
    if levels >= 256:
        np.testing.assert_allclose(fast.information.head, head, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(fast.information.border, border, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(fast.information.core, x.T @ ((w * mu)[:, None] * x), rtol=1e-10)
    else:
        np.testing.assert_allclose(fast.information[:levels, :levels], np.diag(head), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(fast.information[:levels, levels:], border, rtol=1e-10, atol=1e-10)


@needs_core
@pytest.mark.parametrize("which", ["several", "more than a group", "slopes", "large, small and slopes", "two large", "sparse and factors"])
def test_the_same_bits_for_any_number_of_threads(which):
    n = 60_000 if "large" not in which else 9_000
    problem = problem_of(designs(n)[which], n)
    request = Request(beta_of(problem))
    assert len(Memory(problem).edges) > 2
    first = Memory(problem, threads=1).sum(request)
    for threads in (2, 5, 1):
        other = Memory(problem, threads=threads).sum(request)
        assert (first.n, first.sum_weight, first.deviance, first.pearson) == (other.n, other.sum_weight, other.deviance, other.pearson)
        np.testing.assert_array_equal(first.score, other.score)
        np.testing.assert_array_equal(dense(first.information), dense(other.information))


@needs_core
@pytest.mark.parametrize("which", ["slopes", "large, small and slopes", "sparse and large"])
def test_samples_and_row_values_of_factor_designs(which):
    n = 3000
    problem = problem_of(designs(n)[which], n)
    beta = beta_of(problem)
    fast, plain = Memory(problem), Memory(problem, use_native=False)
    assert_same_sums(fast.sample(500).sum(Request(beta)), plain.sample(500).sum(Request(beta)))
    eta = fast.map(lambda p, rows, e: e, beta)
    np.testing.assert_allclose(eta, problem.design.block(slice(0, n)) @ beta + problem.offset, rtol=1e-12, atol=1e-13)
    single = fast.sum(Request(beta, 2, arithmetic="single"))
    whole = plain.sum(Request(beta))
    np.testing.assert_allclose(dense(single.information), dense(whole.information), rtol=2e-5, atol=1e-5 * dense(whole.information).max())  # float32 products
    assert_same_sums(fast.start(), plain.start())


@needs_core
def test_multinomial_sums_of_factor_designs():
    n = 700
    design = centred(designs(n)["large, small and slopes"][:3] + designs(n)["slopes"][2:], n)
    y = np.random.default_rng(0).integers(0, 3, n).astype("i4")
    family = em.families.Multinomial()
    problem = Problem(design, y, family, LINKS["softmax"], np.random.default_rng(1).integers(0, 3, n), None, 2, 0)
    request = Request(np.random.default_rng(2).normal(size=problem.shape) * 0.1)
    assert_same_sums(Memory(problem).sum(request), Memory(problem, use_native=False).sum(request))


def test_the_r_factor_of_a_factor_design():
    n = 600
    problem = problem_of(designs(n)["slopes"], n)
    request = Request(beta_of(problem))
    triangle = Memory(problem).sum(Request(request.beta, form="factor")).information[:-1, :-1]
    np.testing.assert_allclose(triangle.T @ triangle, Memory(problem).sum(request).information, rtol=1e-9, atol=1e-9)


def test_columns_that_are_kept():
    n = 400
    for which in ("large, small and slopes", "sparse and factors", "slopes"):
        design = centred(designs(n)[which], n)
        whole = design.block(slice(0, n))
        kept = [j for j in range(design.width) if j % 3 != 1]
        part = design.keep(kept)
        assert part.names == [design.names[j] for j in kept]
        np.testing.assert_array_equal(part.block(slice(0, n)), whole[:, kept])
        rows = np.array([5, 0, 17, 17])
        np.testing.assert_array_equal(design.block(rows), whole[rows])
        np.testing.assert_array_equal(design.keep([]).block(slice(0, n)), np.empty((n, 0)))


# ---- the arrow ----------------------------------------------------------------------------------------------------


def arrow(start, m=30, r=5, seed=0):
    """The Gram matrix of m levels and r other columns, the levels standing from ``start``."""
    rng = np.random.default_rng(seed)
    codes, x, w = rng.integers(0, m, 40 * m), rng.normal(size=(40 * m, r)), rng.random(40 * m)
    border = np.column_stack([np.bincount(codes, w * x[:, j], m) for j in range(r)]) if r else np.empty((m, 0))
    core = x.T @ (w[:, None] * x)
    return Arrow(np.bincount(codes, w, m), border, (core + core.T) / 2, start)


@pytest.mark.parametrize(("start", "r"), [(0, 5), (2, 5), (5, 5), (0, 0), (0, 1), (1, 1)])
def test_arrow_algebra_is_that_of_the_matrix(start, r):
    a, b = arrow(start, r=r), arrow(start, r=r, seed=1)
    A, B = a.dense(), b.dense()
    x = np.random.default_rng(3).normal(size=len(a))
    assert A.shape == (len(a), len(a))
    np.testing.assert_array_equal(A, A.T)
    np.testing.assert_allclose(a @ x, A @ x, rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(a.diagonal(), np.diagonal(A))
    np.testing.assert_array_equal((a + b).dense(), A + B)
    np.testing.assert_array_equal((a - b).dense(), A - B)
    np.testing.assert_array_equal((2.5 * a).dense(), 2.5 * A)
    np.testing.assert_array_equal(a.plus(np.abs(x)).dense(), A + np.diag(np.abs(x)))
    head, rest = a.parted(x)
    np.testing.assert_array_equal(a.joined(head, rest), x)
    assert a.finite()


@pytest.mark.parametrize(("start", "r"), [(0, 5), (2, 5), (5, 5), (0, 0), (1, 1)])
@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_the_factor_of_an_arrow_solves_and_inverts(start, r, weight):
    a = arrow(start, r=r)
    found = factorise(Sums(1, 1, 0, 0, None, a))
    assert isinstance(found, FactorisedArrow)
    found = found.weighted(weight)
    inverse = np.linalg.inv(weight * a.dense())
    x = np.random.default_rng(4).normal(size=len(a))
    np.testing.assert_allclose(found.solve(x), inverse @ x, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.inverse(), inverse, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.inverse_diagonal(), np.diagonal(inverse), rtol=1e-10)
    np.testing.assert_allclose(found.scale, 1 / np.sqrt(np.diagonal(a.dense())), rtol=1e-14)


@pytest.mark.parametrize("spoil", ["empty level", "dependent column", "nan", "negative"])
def test_a_singular_arrow_has_no_factor(spoil):
    a = arrow(1)
    head, border, core = a.head.copy(), a.border.copy(), a.core.copy()
    if spoil == "empty level":
        head[3], border[3] = 0.0, 0.0
    elif spoil == "dependent column":  # the second column is the sum of all levels
        border[:, 1] = head
        core[1, :] = core[:, 1] = border.sum(axis=0)
        core[1, 1] = head.sum()
    elif spoil == "nan":
        border[2, 2] = np.nan
    else:
        core[0, 0] = -1.0
    spoilt = Arrow(head, border, core, 1)
    assert factorise(Sums(1, 1, 0, 0, None, spoilt)) is None
    if spoil in ("empty level", "dependent column"):
        assert aliased_of_gram(spoilt) == ([1 + 3] if spoil == "empty level" else [1 + 30])


# ---- fits: factors == dummies -------------------------------------------------------------------------------------


def dummies(labels, base=True):
    levels = np.unique(labels)
    return (np.asarray(labels)[:, None] == levels[base:]).astype(float)


def simulated(n=3000, seed=0, big=None):
    rng = np.random.default_rng(seed)
    data = {
        "x": rng.normal(size=n), "z": rng.integers(0, 9, n), "g": np.array(list("abcd"))[rng.integers(0, 4, n)],
        "h": np.array(["p", "q", "r"])[rng.integers(0, 3, n)], "w": rng.integers(0, 4, n).astype(float), "e": rng.uniform(0.2, 2.0, n),
    }  # fmt: skip
    for name, count in (big or {}).items():
        data[name] = rng.integers(0, count, n)
        data[name][:count] = np.arange(count)
    eta = 0.3 * data["x"] + 0.2 * (data["g"] == "b") - 0.3 * (data["h"] == "r") * data["x"]
    for name, count in (big or {}).items():
        eta = eta + 0.4 * np.sin(np.arange(count))[data[name]]
    data["count"] = rng.poisson(np.exp(eta) * data["e"] + 0.5)
    data["yes"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    data["size"] = rng.gamma(4.0, np.exp(eta) / 4.0)
    data["real"] = eta + rng.normal(size=n)
    data["class"] = np.array(["u", "v", "t"])[rng.integers(0, 3, n)]
    return data


EXACT = em.Control(tol=1e-13)  # the default ends within 1e-9 standard errors


def assert_same_fit(a, b, data=None, X=None, coef=1e-10):
    """``a`` by factors, ``b`` on dummies; entries near zero are held to the digits of the largest."""
    assert a.status is b.status is Status.CONVERGED
    np.testing.assert_allclose(a.coef, b.coef, rtol=coef, atol=coef)
    # many columns take steps with information that is current to 1e-7 only
    np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-8 if len(a.names) < 48 else 1e-7)
    np.testing.assert_allclose(a.deviance, b.deviance, rtol=1e-10)
    np.testing.assert_allclose(a.null_deviance, b.null_deviance, rtol=1e-10)
    np.testing.assert_allclose(a.pearson, b.pearson, rtol=1e-7)  # that of the last pass, from which one more step was taken
    assert (a.nobs, a.df_residual, a.rank) == (b.nobs, b.df_residual, b.rank)
    if a.family.likelihood and a.family.name != "counts":
        np.testing.assert_allclose(a.loglik, b.loglik, rtol=1e-10)
        np.testing.assert_allclose(a.aic, b.aic, rtol=1e-10)
    np.testing.assert_allclose(a.fitted, b.fitted, rtol=1e-9)
    if data is not None:
        np.testing.assert_allclose(a.predict(data), b.predict(X), rtol=1e-9)


PLANS = {
    "g": lambda d: [dummies(d["g"])],
    "x + g": lambda d: [d["x"], dummies(d["g"])],
    "g + h + x + z": lambda d: [dummies(d["g"]), dummies(d["h"]), d["x"], d["z"]],
    "C(z) + x": lambda d: [dummies(d["z"]), d["x"]],
    "g * h": lambda d: [dummies(d["g"]), dummies(d["h"]), *(dummies(d["g"]) * c[:, None] for c in dummies(d["h"]).T)],
    "x * g": lambda d: [d["x"], dummies(d["g"]), d["x"][:, None] * dummies(d["g"])],
    "g / x": lambda d: [dummies(d["g"]), d["x"][:, None] * dummies(d["g"], base=False)],
    "z:g": lambda d: [d["z"][:, None] * dummies(d["g"], base=False)],
}
FITS = [("count", "poisson", None), ("yes", "binomial", None), ("yes", "binomial", "probit"), ("size", "gamma", "log"), ("real", "gaussian", None)]


def matrix(columns):
    return np.column_stack(columns)


@pytest.mark.parametrize("terms", PLANS)
@pytest.mark.parametrize(("y", "family", "link"), FITS, ids=lambda v: str(v))
def test_a_fit_with_factors_is_the_fit_on_dummies(terms, y, family, link):
    data = simulated(1200)
    X = matrix(PLANS[terms](data))
    a = em.glm(f"{y} ~ {terms}", data, family=family, link=link, weights="w", control=EXACT)
    b = em.fit(X, data[y], family=family, link=link, weights=data["w"], control=EXACT)
    assert_same_fit(a, b, data, X)


@pytest.mark.parametrize("terms", ["g * h", "x * g", "g / x"])
def test_the_covariance_is_that_of_the_dummies(terms):
    data = simulated(1200)
    X = matrix(PLANS[terms](data))
    for y, family, link in FITS:
        a = em.glm(f"{y} ~ {terms}", data, family=family, link=link, control=EXACT)
        b = em.fit(X, data[y], family=family, link=link, control=EXACT)
        np.testing.assert_allclose(a.vcov(), b.vcov(), rtol=1e-8, atol=1e-8 * np.abs(b.vcov()).max())


def test_without_an_intercept_and_with_an_exposure():
    data = simulated(1200)
    X = matrix([dummies(data["g"], base=False), data["x"], dummies(data["h"])])
    a = em.glm("count ~ 0 + g + x + h", data, family="poisson", exposure="e", control=EXACT)
    b = em.fit(X, data["count"], family="poisson", exposure=data["e"], intercept=False, control=EXACT)
    assert_same_fit(a, b, data=None)
    np.testing.assert_allclose(a.predict(data), b.predict(X, exposure=data["e"]), rtol=1e-10)


@pytest.mark.parametrize(("y", "family", "link"), FITS, ids=lambda v: str(v))
def test_one_factor_of_400_levels(y, family, link):
    data = simulated(8000, big={"k": 400})
    X = matrix([data["x"], dummies(data["k"]), dummies(data["h"])])
    a = em.glm(f"{y} ~ x + C(k) + h", data, family=family, link=link, control=EXACT)
    b = em.fit(X, data[y], family=family, link=link, control=EXACT)
    assert isinstance(a.estimate.sums.information, Arrow) == (native.core is not None)
    assert_same_fit(a, b, data, X)


def test_two_crossed_factors_of_300_levels():
    data = simulated(9000, big={"k": 300, "l": 300})
    X = matrix([data["x"], dummies(data["k"]), dummies(data["l"])])
    a = em.glm("real ~ x + C(k) + C(l)", data, control=EXACT)
    assert_same_fit(a, em.fit(X, data["real"], control=EXACT), data, X)
    a = em.glm("count ~ x + C(k) + C(l)", data, family="poisson", weights="e", control=EXACT)
    assert_same_fit(a, em.fit(X, data["count"], family="poisson", weights=data["e"], control=EXACT), data, X)


def test_many_levels_with_slopes_and_no_intercept():
    data = simulated(9000, big={"k": 300})
    X = matrix([dummies(data["k"], base=False), data["z"], data["x"][:, None] * dummies(data["h"], base=False)])
    a = em.glm("count ~ 0 + C(k) + z + x:h", data, family="poisson", exposure="e", control=EXACT)
    b = em.fit(X, data["count"], family="poisson", exposure=data["e"], intercept=False, control=EXACT)
    assert_same_fit(a, b)


def test_multinomial_with_factors():
    data = simulated(1500)
    X = matrix([dummies(data["g"]), data["x"], data["x"][:, None] * dummies(data["g"])])
    for family in (em.families.Multinomial(), em.families.Multinomial(reference=None), em.families.Multinomial(reference="v")):
        a = em.glm("class ~ g * x", data, family=family, frequency="w", control=EXACT)
        b = em.fit(X, data["class"], family=family, frequency=data["w"], control=EXACT)
        assert_same_fit(a, b, data, X)


def test_a_users_family_with_factors():
    data = simulated(4000, big={"k": 300})
    X = matrix([dummies(data["g"]), data["x"]])
    assert_same_fit(em.glm("count ~ g + x", data, family=Counts(), control=EXACT), em.fit(X, data["count"], family=Counts(), control=EXACT), data, X)
    X = matrix([dummies(data["k"]), data["x"], dummies(data["h"])])
    a = em.glm("count ~ C(k) + x + h", data, family=Counts(), control=EXACT)
    assert_same_fit(a, em.fit(X, data["count"], family=Counts(), control=EXACT), data, X)
    theirs = em.glm("count ~ C(k) + x + h", data, family="poisson", control=EXACT)
    np.testing.assert_allclose(a.coef, theirs.coef, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("terms", ["g * x + h", "x + C(k)"])
@pytest.mark.parametrize("information", ["expected", "observed"])
def test_reported_information_of_a_link_that_is_not_canonical(terms, information):
    data = simulated(5000, big={"k": 300})
    columns = [data["x"], dummies(data["k"])] if "k" in terms else [dummies(data["g"]), data["x"], dummies(data["h"]), dummies(data["g"]) * data["x"][:, None]]
    control = em.Control(information=information, tol=1e-13)
    a = em.glm(f"size ~ {terms}", data, family="gamma", link="log", control=control)
    b = em.fit(matrix(columns), data["size"], family="gamma", link="log", control=control)
    np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-7)  # the information is that of the last pass, current to 1e-7
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("terms", ["g + h + x", "x + C(k) + h"])
def test_the_same_bits_of_a_fit_for_any_number_of_threads(terms):
    data = simulated(30_000, big={"k": 300})
    fits = [em.glm(f"count ~ {terms}", data, family="poisson", exposure="e", control=em.Control(threads=t)) for t in (1, 2, 5)]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.coef, fits[0].coef)
        np.testing.assert_array_equal(fit.stderror(), fits[0].stderror())
        assert (fit.deviance, fit.null_deviance, fit.loglik, fit.trace.passes) == (
            fits[0].deviance,
            fits[0].null_deviance,
            fits[0].loglik,
            fits[0].trace.passes,
        )


# ---- levels that cannot be estimated ------------------------------------------------------------------------------


def test_a_level_whose_rows_have_no_weight_is_aliased():
    data = simulated(1000)
    w = np.where(data["g"] == "c", 0.0, 1.0)
    fit = em.glm("count ~ x + g", data, family="poisson", weights=w)
    used = {k: v[w > 0] for k, v in data.items()}
    without = em.glm("count ~ x + g", used, family="poisson")
    assert fit.aliased == ("g[c]",)
    assert fit.converged
    keep = [n in without.names for n in fit.names]
    np.testing.assert_allclose(fit.coef[keep], without.coef, rtol=1e-10)
    np.testing.assert_allclose(fit.stderror()[keep], without.stderror(), rtol=1e-8)
    assert np.isnan(fit.coef[~np.array(keep)]).all()
    assert (fit.nobs, fit.rank, fit.df_residual) == (without.nobs, without.rank, without.df_residual)


def test_many_levels_some_without_weight():
    data = simulated(6000, big={"k": 300})
    gone = np.isin(data["k"], [5, 17, 299])
    fit = em.glm("count ~ x + C(k)", data, family="poisson", weights=np.where(gone, 0.0, 1.0))
    without = em.glm("count ~ x + C(k)", {k: v[~gone] for k, v in data.items()}, family="poisson")
    assert fit.aliased == ("k[5]", "k[17]", "k[299]")
    assert fit.converged
    keep = np.array([n in without.names for n in fit.names])
    np.testing.assert_allclose(fit.coef[keep], without.coef, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fit.stderror()[keep], without.stderror(), rtol=1e-8)
    np.testing.assert_allclose(fit.deviance, without.deviance, rtol=1e-10)


@pytest.mark.parametrize("rows", [1000, 6000])
def test_the_base_level_without_weight_leaves_one_column_too_many(rows):
    data = simulated(rows, big={"k": 300} if rows == 6000 else None)
    name, first = ("k", 0) if rows == 6000 else ("g", "a")
    gone = data[name] == first
    fit = em.glm(f"count ~ x + C({name})", data, family="poisson", weights=np.where(gone, 0.0, 1.0))
    without = em.glm(f"count ~ x + C({name})", {k: v[~gone] for k, v in data.items()}, family="poisson")
    assert fit.converged
    assert len(fit.aliased) == 1
    assert (fit.rank, fit.df_residual) == (without.rank, without.df_residual)
    np.testing.assert_allclose(fit.deviance, without.deviance, rtol=1e-10)
    np.testing.assert_allclose(fit.fitted[~gone], without.fitted, rtol=1e-9)


def test_a_repeated_factor_is_aliased_column_by_column():
    data = simulated(1000)
    data["again"] = np.char.upper(data["g"])
    fit = em.glm("count ~ g + again + x", data, family="poisson")
    assert fit.aliased == ("again[B]", "again[C]", "again[D]")
    np.testing.assert_allclose(fit.deviance, em.glm("count ~ g + x", data, family="poisson").deviance, rtol=1e-12)


def test_empty_cells_of_an_interaction_are_aliased():
    data = simulated(1000)
    data["h"] = np.where((data["g"] == "b") & (data["h"] == "r"), "q", data["h"])
    fit = em.glm("count ~ g * h", data, family="poisson")
    assert fit.aliased == ("g[b]:h[r]",)
    assert fit.converged
    cells = np.char.add(data["g"], data["h"])
    np.testing.assert_allclose(fit.deviance, em.glm("count ~ cell", {"count": data["count"], "cell": cells}, family="poisson").deviance, rtol=1e-11)


@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs"])
def test_a_level_without_events_is_separated_and_named(solver):
    data = simulated(1000)
    data["count"] = np.where(data["g"] == "c", 0, data["count"])
    fit = em.glm("count ~ x + g", data, family="poisson", solver=solver)
    assert fit.status is Status.SEPARATED
    assert fit.diverging == ("g[c]",)
    rest = data["g"] != "c"
    limit = em.glm("count ~ x + g", {k: v[rest] for k, v in data.items()}, family="poisson")
    np.testing.assert_allclose([fit.coef[fit.names.index(n)] for n in limit.names], limit.coef, rtol=1e-6)  # the rest is at its limit up to exp(-eta)


def test_levels_without_events_among_many():
    data = simulated(6000, big={"k": 300})
    data["count"] = np.where(np.isin(data["k"], [7, 100]), 0, data["count"])
    fit = em.glm("count ~ x + C(k)", data, family="poisson")
    assert fit.status is Status.SEPARATED
    assert set(fit.diverging) == {"k[7]", "k[100]"}


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=40), "g": np.arange(40), "x": rng.normal(size=40), "h": np.arange(40) % 7}
    fit = em.glm("y ~ C(g) + x + C(h)", data)
    assert fit.rank == 40
    assert fit.df_residual == 0
    assert fit.aliased == ("x", *(f"h[{k}]" for k in range(1, 7)))
    np.testing.assert_allclose(fit.fitted, data["y"], atol=1e-8)  # the rows themselves, through a start in standardised columns


def test_more_levels_than_a_small_factor_with_one_row_each():
    rng = np.random.default_rng(0)
    data = {"y": rng.gamma(2.0, 1.0, 400), "g": np.arange(400), "x": rng.normal(size=400)}
    fit = em.glm("y ~ C(g) + x", data, family="gamma", link="log")
    assert fit.rank == 400
    assert fit.aliased == ("x",)
    np.testing.assert_allclose(fit.fitted, data["y"], rtol=1e-7)  # saturated


# ---- solvers, starts, files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("terms", ["g * x + h", "x + C(k) + h"])
@pytest.mark.parametrize(("y", "family", "link"), [("count", "poisson", None), ("yes", "binomial", None), ("size", "gamma", "log")], ids=lambda v: str(v))
def test_every_solver_agrees_on_a_factor_design(solver, terms, y, family, link):
    data = simulated(5000, big={"k": 300})
    base = em.glm(f"{y} ~ {terms}", data, family=family, link=link)
    other = em.glm(f"{y} ~ {terms}", data, family=family, link=link, solver=solver)
    assert other.converged
    np.testing.assert_allclose(other.coef, base.coef, rtol=1e-7, atol=1e-8)  # the iteration ends at 1e-9 standard errors
    np.testing.assert_allclose(other.stderror(), base.stderror(), rtol=1e-7)


@pytest.mark.parametrize("terms", ["g * x + h", "x + C(k) + h"])
def test_a_start_is_on_the_users_scale(terms):
    data = simulated(5000, big={"k": 300})
    data["x"] = 50 + 10 * data["x"]
    base = em.glm(f"count ~ {terms}", data, family="poisson")
    again = em.glm(f"count ~ {terms}", data, family="poisson", start=base.coef)
    np.testing.assert_allclose(again.coef, base.coef, rtol=1e-8, atol=1e-9)
    assert again.trace.passes <= 2
    far = em.glm(f"count ~ {terms}", data, family="poisson", start=np.zeros(len(base.coef)))
    np.testing.assert_allclose(far.coef, base.coef, rtol=1e-7, atol=1e-8)
    with pytest.raises(errors.LengthError, match="`start`"):
        em.glm(f"count ~ {terms}", data, family="poisson", start=np.zeros(3))


@pytest.mark.parametrize("terms", ["g * x + h", "x + g + C(k):h"])
def test_a_saved_factor_fit_answers_as_the_fit(terms, tmp_path):
    data = simulated(2000, big={"k": 4})
    fit = em.glm(f"count ~ {terms}", data, family="poisson", exposure="e")
    fit.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    np.testing.assert_array_equal(loaded.coef, fit.coef)
    np.testing.assert_array_equal(loaded.stderror(), fit.stderror())
    np.testing.assert_array_equal(loaded.vcov(), fit.vcov())
    np.testing.assert_array_equal(loaded.predict(data), fit.predict(data))
    assert str(loaded.summary()) == str(fit.summary())
    assert (loaded.aic, loaded.null_deviance, loaded.status) == (fit.aic, fit.null_deviance, fit.status)


def test_a_saved_fit_with_an_aliased_level(tmp_path):
    data = simulated(1000)
    fit = em.glm("count ~ x + g", data, family="poisson", weights=np.where(data["g"] == "d", 0.0, 1.0))
    fit.save(tmp_path / "m.json")
    loaded = em.load(tmp_path / "m.json")
    assert (loaded.aliased, loaded.status) == (("g[d]",), Status.CONVERGED)
    np.testing.assert_array_equal(loaded.predict(data), fit.predict(data))


# ---- new rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", ["g * x + h", "x + C(k) + h"])
def test_the_order_of_new_rows_and_codes_changes_no_prediction(terms):
    pd, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    data = simulated(2000, big={"k": 300})
    fit = em.glm(f"count ~ {terms}", data, family="poisson")
    base = fit.predict(data)
    order = np.random.default_rng(0).permutation(2000)
    np.testing.assert_array_equal(fit.predict({k: v[order] for k, v in data.items()}), base[order])
    np.testing.assert_array_equal(fit.predict({k: v[data["g"] == "c"] for k, v in data.items()}), base[data["g"] == "c"])
    np.testing.assert_array_equal(fit.predict({k: v[7:8] for k, v in data.items()}), base[7:8])
    frame = pd.DataFrame(data)
    turned = frame.assign(g=pd.Categorical(frame["g"], ["d", "zz", "a", "c", "b"], ordered=True), k=frame["k"].astype("category"))
    np.testing.assert_array_equal(fit.predict(turned), base)
    table = pa.table({k: v.tolist() for k, v in data.items()})
    chunks = [pa.array(data["g"][a : a + 500][::1].tolist()).dictionary_encode() for a in range(0, 2000, 500)]
    table = table.set_column(table.schema.get_field_index("g"), "g", pa.chunked_array(chunks))
    np.testing.assert_array_equal(fit.predict(table), base)


@pytest.mark.parametrize("terms", ["g * x + h", "x + C(k) + g"])
def test_unseen_and_missing_levels_are_named(terms):
    data = simulated(2000, big={"k": 300})
    fit = em.glm(f"count ~ {terms}", data, family="poisson")
    new = {k: v[:5].copy() for k, v in data.items()}
    new["g"] = np.array(["a", "b", "new", "a", "b"])
    with pytest.raises(errors.UnseenLevelError, match=r"`g` has level 'new' in row 2"):
        fit.predict(new)
    new["g"] = np.array(["a", "b", "c", None, "b"], dtype=object)
    with pytest.raises(errors.MissingValueError, match=r"`g` has 1 missing value, the first in row 3"):
        fit.predict(new)
    with pytest.raises(errors.UnknownNameError, match="'g' does not exist"):
        fit.predict({k: v for k, v in new.items() if k != "g"})
    if "k" in terms:
        new = {k: v[:5].copy() for k, v in data.items()}
        new["k"][4] = 5000
        with pytest.raises(errors.UnseenLevelError, match=r"`k` has level 5000 in row 4"):
            fit.predict(new)


def test_row_order_does_not_matter_to_a_fit_with_factors():
    data = simulated(6000, big={"k": 300})
    order = np.random.default_rng(1).permutation(6000)
    turned = {k: v[order] for k, v in data.items()}
    for terms in ("g * x + h", "x + C(k) + h"):
        a, b = (em.glm(f"count ~ {terms}", d, family="poisson") for d in (data, turned))
        assert a.names == b.names
        np.testing.assert_allclose(a.coef, b.coef, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-9)


# ---- once wrong ----


def test_bug1_the_covariance_of_many_levels(tmp_path):
    data = simulated(8000, big={"k": 400})
    X = matrix([data["x"], dummies(data["k"]), dummies(data["h"])])
    a = em.glm("count ~ x + C(k) + h", data, family="poisson", control=EXACT)
    b = em.fit(X, data["count"], family="poisson", control=EXACT)
    np.testing.assert_allclose(a.vcov(), b.vcov(), rtol=1e-7, atol=1e-8 * np.abs(b.vcov()).max())
    np.testing.assert_allclose(np.sqrt(np.diagonal(a.vcov())), a.stderror(), rtol=1e-10)
    a.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    np.testing.assert_allclose(loaded.stderror(), a.stderror(), rtol=1e-12)  # one from the whole inverse, one from its diagonal
    np.testing.assert_array_equal(loaded.predict(data), a.predict(data))


@pytest.mark.parametrize("terms", ["0 + g", "0 + x:g", "0 + g + x:g", "0 + C(k)"])
def test_bug2_factors_alone(terms):
    data = simulated(3000, big={"k": 300})
    X = {
        "0 + g": [dummies(data["g"], base=False)],
        "0 + x:g": [data["x"][:, None] * dummies(data["g"], base=False)],
        "0 + g + x:g": [dummies(data["g"], base=False), data["x"][:, None] * dummies(data["g"], base=False)],
        "0 + C(k)": [dummies(data["k"], base=False)],
    }[terms]
    a = em.glm(f"real ~ {terms}", data, control=EXACT)
    b = em.fit(matrix(X), data["real"], intercept=False, control=EXACT)
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-7)


def test_bug_saved_separated(tmp_path):
    data = simulated(1000)
    data["count"] = np.where(data["g"] == "c", 0, data["count"])
    fit = em.glm("count ~ x + g", data, family="poisson", weights=np.where(data["g"] == "d", 0.0, 1.0))
    fit.save(tmp_path / "m.json")
    loaded = em.load(tmp_path / "m.json")
    assert (loaded.aliased, loaded.diverging, loaded.status) == (("g[d]",), fit.diverging, Status.SEPARATED)


def test_bug_aliasing_order_with_a_large_factor():
    rng = np.random.default_rng(0)
    k = rng.integers(0, 300, 6000)
    k[:300] = np.arange(300)
    fit = em.glm("y ~ C(a) + C(k)", {"y": rng.normal(size=6000), "k": k, "a": k // 30})
    assert fit.aliased == tuple(f"k[{30 * j + 29}]" for j in range(1, 10))
