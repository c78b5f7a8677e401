"""What the core does beside passes, held to plain NumPy; and the short ways through a fit, held to the long ones."""

import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import etamu as em
from etamu import checks, elementary
from etamu.core import TYPES, core
from etamu.design.columns import Design, Matrix
from etamu.design.labels import encode_labels
from etamu.families import FAMILIES
from etamu.rows import constant_weight
from etamu.solvers.base import Status
from etamu.solvers.linalg import damped, factorise
from etamu.solvers.seen import Seen
from etamu.sources.memory import Memory
from etamu.standardise import _place
from etamu.sums import Request, Sums

native = pytest.mark.skipif(core is None, reason="the native core was not built")
INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]


# ---- one by one ---------------------------------------------------------------------------------------------------


@given(st.sampled_from(INTEGERS), st.lists(st.integers(-300, 300), max_size=40), st.integers(-20, 20), st.lists(st.integers(-2, 300), min_size=1, max_size=30))
def test_translate(kind, values, low, place):
    ends = np.iinfo(kind)
    array = np.array([v for v in values if ends.min <= v <= ends.max], dtype=kind)
    found = elementary.translate(array, low, np.array(place, dtype=np.int32), -7)
    assert found.tolist() == [place[v - low] if 0 <= v - low < len(place) else -7 for v in array.tolist()]


@pytest.mark.parametrize("values", [[2**63, 2**64 - 1], [0, 2**62], [2**64 - 5, 0]])
def test_translate_of_huge_numbers(values):
    assert elementary.translate(np.array(values, dtype=np.uint64), -5, np.arange(9, dtype=np.int32), -1).tolist() == [5 if v == 0 else -1 for v in values]


def test_translate_of_strided_values():
    values = np.arange(20, dtype=np.int16)[::3]
    assert elementary.translate(values, 0, np.arange(10, dtype=np.int32) * 2, -1).tolist() == [2 * v if v < 10 else -1 for v in values.tolist()]


def test_logarithms():
    x = np.concatenate([np.random.default_rng(0).lognormal(0, 20, 1003), [0.0, np.inf, 1.0, 5e-324]])
    x.flags.writeable = False
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(elementary.log(x), np.log(x), rtol=4e-16)
    with np.errstate(invalid="ignore"):
        assert np.isnan(elementary.log(np.array([-1.0, np.nan]))).all()
    np.testing.assert_array_equal(elementary.log(np.arange(1, 9, dtype=np.int8)[::2]), elementary.log(np.array([1.0, 3, 5, 7])))


@given(st.lists(st.one_of(st.floats(width=64), st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308])), min_size=1, max_size=70))
def test_ends_of_a_vector(values):
    y = np.array(values)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(checks._ends(y), (np.min(y), np.max(y)))


@native
@pytest.mark.parametrize("n", [1, 7, 1000, 1024, 5000])
@pytest.mark.parametrize("centred", [True, False])
def test_place(n, centred):
    from etamu.sources import native as door

    rng = np.random.default_rng(n)
    X = rng.normal(3.0, 2.0, size=(n, 4)) * [1, 1e6, 1e-6, 0]
    X[:, 3] = 5.0
    design = Design(Matrix(X, list("abcd"), constant=True), n)
    fast, slow = (np.empty(5), np.empty(5)), (np.empty(5), np.empty(5))
    assert door.place(design, 1024, centred, *fast, threads=1)
    assert _place(design, centred, *slow)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    X[n // 2, 1] = np.nan
    assert door.place(design, n, centred, *fast, threads=1) is False
    assert np.isfinite(fast).all()


@given(st.integers(0, 10_000))
def test_columns_that_are_suspects(seed):
    """Those of the core are those of NumPy, and none that reaches the threshold is missing, whatever has been forgotten."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 130)), int(rng.integers(1, 400))
    X = rng.normal(size=(n, p))
    seen, room = Seen(np.sqrt((X * X).sum(axis=0)), np.zeros(p), -(-n // 64) * 64), -(-n // 64) * 64
    v, threshold = np.zeros(room), rng.uniform(0, 3, p)
    v[:n] = rng.normal(size=n)
    for _ in range(int(rng.integers(0, 50))):
        v[:n] = rng.uniform(0.5, 1) * v[:n] + 0.1 * rng.normal(size=n)
        index = np.flatnonzero(rng.random(p) < 0.3).astype(np.int32)
        near = seen.now(v, index, 2 * v[:n] @ X[:, index], 0.5, threshold, 1.0)
        np.testing.assert_array_equal(near, index[np.abs(v[:n] @ X[:, index]) > threshold[index]])
        np.testing.assert_array_equal(seen.users, np.bincount(seen.of[seen.of >= 0], minlength=len(seen.users)))
        seen.forget(np.flatnonzero(rng.random(p) < 0.02))
    out = rng.random(p) < 0.8
    share = rng.uniform(0.5, 2)
    likely, known = seen.promising(v, out, threshold, share), seen.of >= 0
    part = np.abs(seen.vectors[seen.of[known]] @ v) / seen.squares[seen.of[known]] * seen.known[known]
    np.testing.assert_array_equal(likely, np.flatnonzero(known & out)[(part > share * threshold[known])[out[known]]])
    found = seen.suspects(v, out, threshold, 1.0)
    np.testing.assert_array_equal(found, np.flatnonzero(out & ~(seen._reach(v) <= threshold)))
    assert not set(np.flatnonzero(out & (np.abs(v[:n] @ X) > threshold + 1e-12))) - set(found)


@native
@given(st.integers(0, 10_000), st.sampled_from(["sparse", "mixed", "ones"]), st.sampled_from([np.float32, np.float64]), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_columns_of_which_some_are_sparse(seed, kind, numbers, threads):
    """Their information at row weights, from any of them on; where they lead and their scores: those of the same columns written out."""
    from scipy.sparse import random_array

    from etamu.design.columns import Column, Levels, Sparse
    from etamu.families import resolve_family
    from etamu.links import LINKS
    from etamu.sources.access import Access, open_columns
    from etamu.sources.problem import Problem

    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 200)), int(rng.integers(1, 40))
    found = random_array((n, p), density=float(rng.uniform(0, 0.3)), rng=rng, format="csr")
    if kind == "ones":
        codes = rng.integers(0, 5, n)
        part = Levels(tuple("abcd"), codes, np.arange(-1, 4))
    else:
        part = Sparse(tuple(f"s{j}" for j in range(p)), found.indptr, found.indices, found.data)
    parts = [Column("Intercept"), part, Column("z", rng.normal(size=n))] if kind != "sparse" else [part]
    design = Design(tuple(parts), n)
    X, y = design.block(slice(0, n)), rng.poisson(1.0, n).astype(float)
    problem = Problem(design, y, resolve_family("poisson"), LINKS["log"])
    access = Access(open_columns(problem, threads), problem)
    width = X.shape[1]
    order = rng.permutation(width)
    access.take(order[: width // 2])
    access.take(order[width // 2 :])
    weight, member = access.empty(), rng.permutation(width)[: int(rng.integers(1, width + 1))].astype(np.int32)
    weight[:n] = rng.uniform(0, 2, n)
    first, gram = int(rng.integers(0, len(member))), np.full((len(member) + 3,) * 2, 7, dtype=numbers)
    access.gram(weight, member, first, gram)
    own = X[:, order[member]]
    expected = own.T @ (weight[:n, None] * own)
    within = {"rtol": 1e-5, "atol": 1e-4} if numbers is np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(gram[first : len(member), : len(member)], expected[first:], **within)
    np.testing.assert_allclose(gram[: len(member), first : len(member)], expected[:, first:], **within)
    assert (gram[:first, :first] == 7).all()
    assert (gram[len(member) :] == 7).all()
    base, eta, v, h = (access.empty() for _ in range(4))
    base[:n], move = 0.1 * rng.normal(size=n), 0.1 * rng.normal(size=width) * (rng.random(width) < 0.7)
    deviance, score = access.advance(base, move, "expected", eta, v, h)
    np.testing.assert_allclose(eta[:n], base[:n] + X[:, order] @ move, atol=1e-13)
    np.testing.assert_allclose(v[:n], y - np.exp(eta[:n]), atol=1e-12)
    np.testing.assert_allclose(score, v[:n] @ X[:, order], atol=1e-11)
    mu = np.exp(eta[:n])
    np.testing.assert_allclose(deviance, 2 * (np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / mu), 0) - (y - mu)).sum(), rtol=1e-10)
    np.testing.assert_allclose(access.scan(v, np.arange(width, dtype=np.int32)), v[:n] @ X, atol=1e-3)


@native
def test_place_is_that_of_one_thread():
    from etamu.sources import native as door

    X = np.asfortranarray(np.random.default_rng(5).normal(3.0, 2.0, size=(50, 1500)))
    design = Design(Matrix(X, [f"x{j}" for j in range(1500)], constant=True), 50)
    one, four = np.empty((2, 1501)), np.empty((2, 1501))
    assert door.place(design, 1024, True, *one, threads=1)
    assert door.place(design, 1024, True, *four, threads=4)
    np.testing.assert_array_equal(one, four)
    X[3, 1400] = np.inf
    assert door.place(design, 1024, True, *four, threads=4) is False


@native
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "bool"])
def test_where_columns_lie(kind):
    values = np.zeros(10, dtype=kind)[::3]
    out = np.empty((2, 4), dtype=np.int64)
    assert core.where([None, values], [None, None], out)
    assert out[0, 2] == 11
    assert out[1].tolist() == [core.address(values), values.strides[0], TYPES[values.dtype], 0]
    pointing = kind[0] in "iu" and kind != "u8"
    assert core.where([values], [np.zeros(1)], out[:1]) is pointing


@native
@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.zeros(3, dtype=">f8"), np.zeros(3, dtype=complex), np.zeros(3, dtype="f2"), np.array(["a"]), "text"])
def test_what_the_core_cannot_read_it_says(values):
    assert core.where([values], [None], np.empty((1, 4), dtype=np.int64)) is False


@native
@pytest.mark.parametrize("filled", [0.0, 0.05, 1.0])
def test_elimination_of_a_sparse_border(filled):
    rng = np.random.default_rng(1)
    border = np.where(rng.random((150, 90)) < filled, rng.normal(size=(150, 90)), 0.0)
    head, start = rng.uniform(1, 2, 150), rng.normal(size=(90, 90))
    start += start.T
    for threads in (1, 2, 3):
        out = start.copy()
        core.eliminate(border, head, threads, out)
        np.testing.assert_allclose(out, start - border.T @ (border / head[:, None]), atol=1e-12)
        forms = np.empty(150)
        core.quadratic_forms(border, start, threads, forms)
        np.testing.assert_allclose(forms, np.einsum("ij,jk,ik->i", border, start, border), atol=1e-10)


@native
def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="sizes differ"):
        core.eliminate(np.zeros((3, 2)), np.ones(2), 1, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="sizes differ"):
        core.quadratic_forms(np.zeros((3, 2)), np.zeros((2, 2)), 1, np.zeros(2))
    with pytest.raises(ValueError, match="sizes differ"):
        core.translate((0, 4, 4, 0, 0.0, 1.0), 3, 0, np.zeros(2, dtype=np.int32), -1, np.zeros(2, dtype=np.int8), 1)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([True, False, True]), (False, True)),
        (np.array([True, True]), (True,)),
        (np.array([-3, 5, -3, 0]), (-3, 0, 5)),
        (np.array([2**63 + 1, 2**63, 2**63 + 1], dtype=np.uint64), (2**63, 2**63 + 1)),
        (np.array([-(2**62), 2**62]), (-(2**62), 2**62)),
        (np.array([-100, 100], dtype=np.int8), (-100, 100)),
    ],
)
def test_classes_of_integers(values, levels):
    response = checks._integer_classes(values)
    assert response.levels == levels
    assert [levels[c] for c in response.y] == values.tolist()


@pytest.mark.parametrize("kind", INTEGERS)
def test_labels_of_integers_with_known_levels(kind):
    found = encode_labels(np.array([3, 1, 2, 9], dtype=kind), (1, 3, 2))
    assert found.codes.tolist() == [1, 0, 2, -2]
    assert encode_labels(np.array([0, 1, 5], dtype=kind), (True, False)).codes.tolist() == [1, 0, -2]


def test_a_damped_information():
    """Singular itself, it gives a step of length 1 at most, along which the score rises."""
    sums = Sums(10.0, 10.0, 5.0, 5.0, np.array([3.0, 4.0]), np.ones((2, 2)))
    assert factorise(sums) is None
    step = damped(sums).solve(sums.score)
    assert np.linalg.norm(step) <= 1.0
    assert sums.score @ step > 0
    assert damped(Sums(10.0, 10.0, 5.0, 5.0, np.zeros(2), np.zeros((2, 2)))) is None


# ---- short ways and long ones ---------------------------------------------------------------------------------------


def small(name, n=600, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1, 5, 0.2] + [0, 10, 1]
    eta = 0.3 * X[:, 0] - 0.05 * X[:, 1] + 0.5 * X[:, 2]
    mu = np.exp(eta)
    y = {
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1.0,
        "poisson": lambda: rng.poisson(mu) * 1.0,
        "gamma": lambda: rng.gamma(2, mu / 2),
        "inverse_gaussian": lambda: rng.wald(mu, 2.0),
        "gaussian": lambda: mu + 0.1 * rng.normal(size=n),
    }[name]()
    return X, y


@pytest.mark.parametrize("extra", ["plain", "weights", "offset", "no intercept"])
@pytest.mark.parametrize(
    ("family", "link"),
    [*(("binomial", link) for link in ("logit", "probit", "cloglog")), *((name, "log") for name in ("poisson", "gamma", "inverse_gaussian", "gaussian"))],
)
def test_steps_in_the_core_lead_where_newton_goes(family, link, extra):
    X, y = small(family)
    how = {"weights": np.arange(len(y)) % 3.0} if extra == "weights" else {"offset": 0.1 * X[:, 0]} if extra == "offset" else {}
    fast, slow = (
        em.fit(X, y, family=family, link=link, intercept=extra != "no intercept", control=em.Control(tol=1e-11, progress=told), **how)
        for told in (None, lambda step: None)  # who is told of every pass gets passes one by one
    )
    assert fast.status is slow.status
    np.testing.assert_allclose(fast.coef, slow.coef, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(fast.stderror(), slow.stderror(), rtol=1e-8)
    np.testing.assert_array_equal(np.sqrt(np.diagonal(fast.vcov())), fast.stderror())


@pytest.mark.parametrize("family", ["gamma", "poisson"])
def test_an_information_that_is_the_same_everywhere(family):
    link = {"gamma": "log", "poisson": "sqrt"}[family]
    assert constant_weight(FAMILIES[family](), em.links.LINKS[link])
    assert not constant_weight(FAMILIES["poisson"](), em.links.LINKS["log"])
    rng = np.random.default_rng(5)
    X = rng.normal(size=(80_000, 6)) * 0.3
    mu = np.exp(X @ rng.normal(size=6) * 0.3 + 1.0)
    y, w = (rng.gamma(2, mu / 2) if family == "gamma" else rng.poisson(mu)), rng.uniform(0.5, 2, 80_000)
    fit = em.fit(X, y, family=family, link=link, weights=w)
    exact = Memory(fit.problem).sum(Request(fit.estimate.gamma, 2))
    np.testing.assert_allclose(fit.estimate.sums.information, exact.information, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(fit.deviance, exact.deviance, rtol=1e-13)
    assert np.sqrt(exact.score @ np.linalg.solve(exact.information, exact.score)) < 1e-7


def test_two_crossed_factors_of_hundreds_of_levels():
    rng = np.random.default_rng(0)
    n, a, b = 9_000, 400, 220
    i, j, x = np.r_[np.arange(a), rng.integers(0, a, n - a)], np.r_[np.arange(n) % b][:n], rng.normal(size=n)
    y = rng.poisson(np.exp(0.2 * rng.normal(size=a)[i] + 0.2 * rng.normal(size=b)[j] + 0.3 * x + 1.0))
    fit = em.glm("y ~ x + C(i) + C(j)", {"y": y, "x": x, "i": i, "j": j}, family="poisson")
    X = np.column_stack([x, i[:, None] == np.arange(1, a), j[:, None] == np.arange(1, b)])
    dense = em.fit(X, y, family="poisson")
    np.testing.assert_allclose(fit.coef, dense.coef, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.stderror(), dense.stderror(), rtol=2e-7)
    assert fit.status is dense.status is Status.CONVERGED


# ---- threads --------------------------------------------------------------------------------------------------------


def large(n=60_000):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 8))
    return X, rng.poisson(np.exp(X @ np.full(8, 0.1)))


def test_fits_at_the_same_time_give_the_bits_of_fits_one_by_one():
    X, y = large()
    alone = em.fit(X, y, family="poisson")
    found = [None] * 6

    def work(k):
        found[k] = em.fit(X, y, family="poisson", control=em.Control(threads=1 + k % 3))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for fit in found:
        np.testing.assert_array_equal(fit.coef, alone.coef)
        np.testing.assert_array_equal(fit.stderror(), alone.stderror())


def _in_child(queue):
    X, y = large()
    queue.put(em.fit(X, y, family="poisson").coef.tolist())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_has_threads_of_its_own():
    X, y = large()
    here = em.fit(X, y, family="poisson").coef
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=60), here)
    child.join(60)
    assert child.exitcode == 0


# ---- once wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["binomial", "poisson", "gamma"])
def test_the_intercept_s_standard_error_of_a_nearly_collinear_fit(family):
    """Solved by QR, whose factor carries a right-hand side of its own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    X = np.column_stack([x + 2, x + 1e-5 * rng.normal(size=300) - 5.0])
    eta = 0.3 * x
    y = {"binomial": (rng.random(300) < 1 / (1 + np.exp(-eta))) * 1.0, "poisson": rng.poisson(np.exp(eta)), "gamma": rng.gamma(2, np.exp(eta))}[family]
    fit = em.fit(X, y, family=family, link="log" if family == "gamma" else None)
    mu = fit.fitted
    root = np.sqrt({"binomial": mu * (1 - mu), "poisson": mu, "gamma": np.ones(300)}[family])
    inverse = np.linalg.inv(np.linalg.qr(root[:, None] * np.column_stack([np.ones(300), X]), mode="r"))
    np.testing.assert_allclose(fit.stderror(), np.sqrt(fit.dispersion * (inverse**2).sum(axis=1)), rtol=1e-5)
    np.testing.assert_array_equal(np.sqrt(np.diagonal(fit.vcov())), fit.stderror())


@pytest.mark.parametrize(("family", "link"), [("gamma", "log"), ("inverse_gaussian", "log"), ("gaussian", "log"), ("poisson", "log")])
def test_a_saturated_fit_converges(family, link):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(4, 3))
        fit = em.fit(X, rng.integers(1, 9, 4).astype(float), family=family, link=link)
        assert fit.status is Status.CONVERGED


def test_a_variance_that_is_stabilised_in_part_of_its_range():
    quasi = em.families.Quasi(variance=lambda m: m * m / np.maximum(m, 1))
    assert not constant_weight(quasi, em.links.LINKS["log"])


@native
def test_sums_of_different_orders_at_the_same_time():
    """The core's spare memory is shared by whoever sums."""
    X, y = large()
    source = Memory(em.fit(X, y, family="poisson").problem)
    want = [source.sum(Request(np.zeros(9), order)).score for order in (1, 2)]

    def work(order):
        for _ in range(30):
            np.testing.assert_array_equal(source.sum(Request(np.zeros(9), order)).score, want[order - 1])

    threads = [threading.Thread(target=work, args=(1 + k % 2,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def test_rooms_open_when_they_are_named():
    program = "import etamu as em; em.penalties.Lasso; em.constraints.Box; from etamu import Ridge, Monotone; from etamu import *; print('SCAD' in dir(em))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"


@native
def test_a_fit_and_its_standard_errors_load_no_scipy():
    """It costs 15 MB and a twentieth of a second, which a small fit should not pay."""
    program = "import sys, numpy as np, etamu as em; em.fit(np.eye(9)[:, :3], np.arange(9.0)).stderror(); print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@native
@pytest.mark.parametrize(
    ("family", "link", "compress"), [("binomial", "logit", False), ("binomial", "probit", False), ("gamma", "log", False), ("poisson", "log", True)]
)
def test_the_sums_at_the_end_of_the_short_way_are_those_of_a_pass(family, link, compress):
    rng = np.random.default_rng(5)
    x = rng.integers(0, 3, (300, 2)).astype(float)
    y = {"binomial": rng.integers(0, 2, 300), "gamma": rng.gamma(2.0, 1.0, 300), "poisson": rng.poisson(2.0, 300)}[family]
    fit = em.fit(x, y, family=family, link=link, control=em.Control(compress=compress))
    long = em.fit(x, y, family=family, link=link, control=em.Control(compress=compress, progress=lambda step: None))
    np.testing.assert_allclose(fit.coef, long.coef, rtol=1e-12)
    np.testing.assert_allclose(fit.stderror(), long.stderror(), rtol=1e-9)
    np.testing.assert_allclose([fit.deviance, fit.dispersion, fit.nobs], [long.deviance, long.dispersion, long.nobs], rtol=1e-12)
    assert fit.trace.steps[-1].order == 2


# ---- misuse -----------------------------------------------------------------------------------------------------------


def _step(inverse, h, m, end=None):
    zeros, every = np.zeros(5), np.full(5, np.inf)
    at = np.arange(m, dtype=np.int32)
    return core.step(inverse, h, at, zeros, np.ones(5), zeros, zeros, -every, every, 1.0, 1e-8, 100, 1, -1, 1, np.zeros(m) if end is None else end, np.zeros(m))


@native
def test_an_inverse_of_more_coordinates_is_forgotten():
    inverse = core.Inverse()
    for m in (5, 2, 4, 1, 5):
        linear, decrease = _step(inverse, np.eye(6), m)
        assert (linear, decrease) == pytest.approx((-m, m / 2))


@native
@pytest.mark.parametrize("end", [np.zeros(5, dtype=np.float32), np.zeros(10)[::2]])
def test_what_is_filled_is_never_a_copy(end):
    with pytest.raises(TypeError, match="incompatible"):
        _step(core.Inverse(), np.eye(6), 5, end)


@native
def test_stretches_beyond_the_rows_are_refused():
    where, columns = np.empty((3, 4), dtype=np.int64), [np.arange(100.0) + j for j in range(3)]
    assert core.where(columns, [None] * 3, where)
    fit, out = np.tile([0.0, 1.0], (3, 1)), np.empty((3, 16 * 17))
    core.thin(where, fit, 100, 16, 5, 1, out)
    np.testing.assert_array_equal(out[1].reshape(17, 16), (np.arange(16) + 5 * np.arange(17)[:, None]) + 1.0)
    for apart in (6, -1, 2**60 - 1, 2**62):
        with pytest.raises(ValueError, match="sizes differ"):
            core.thin(where, fit, 100, 16, apart, 1, out)
    assert core.where([np.arange(3)], [np.arange(8.0)[::2]], where[:1]) is False
