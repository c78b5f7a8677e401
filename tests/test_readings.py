"""What the core answers about columns: several moves by one reading of them, against NumPy, for columns held as floats and as doubles."""

import numpy as np
import pytest

import etamu.sources.access as access
from etamu.core import core
from etamu.design.columns import Column, Design
from etamu.families import Binomial, Gaussian, Poisson
from etamu.links import LINKS
from etamu.solvers.sites import Move, Rows
from etamu.sources.problem import Problem
from etamu.sources.shared import side_by_side

FAMILIES = {"gaussian": (Gaussian(), "identity"), "binomial": (Binomial(), "logit"), "poisson": (Poisson(), "log")}
HELD = ["floats", "doubles", "NumPy"]


def opened(n, p, family="binomial", held="floats", seed=0, threads=2):
    """Columns and y, and the access to them."""
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.standard_normal((n, p)) + 0.5)
    y = {"gaussian": X[:, 0], "binomial": (rng.random(n) < 0.4) * 1.0, "poisson": rng.poisson(1.5, n) * 1.0}[family]
    link = LINKS[FAMILIES[family][1]]
    design = Design(tuple(Column(f"x{j}", X[:, j]) for j in range(p)), n)
    problem = Problem(design, y, FAMILIES[family][0], link, weight=rng.uniform(0.5, 2, n))
    columns = access.PlainColumns(problem, threads) if held == "NumPy" else access.open_columns(problem, threads)
    found = access.Access(columns, problem)
    if not columns.whole:
        found.take(np.arange(p))
    return X, problem, found


@pytest.fixture
def held(request, monkeypatch):
    if core is None and request.param != "NumPy":
        pytest.skip("the core was not built")
    monkeypatch.setattr(access, "_MANY", 0 if request.param == "floats" else 1e18)
    monkeypatch.setattr(access, "_TALL", 0)
    return request.param


@pytest.mark.parametrize("held", ["floats", "doubles"], indirect=True)
@pytest.mark.parametrize(("n", "p"), [(63, 3), (513, 5), (1025, 9), (5000, 31)])
def test_every_set_of_instructions(n, p, held, kernel):
    test_several_moves_are_each_as_if_alone(n, p, "poisson", held)
    test_the_gram_of_columns_held(n, held)


@pytest.mark.parametrize("held", HELD, indirect=True)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("n", "p"), [(1, 1), (63, 3), (64, 4), (513, 5), (1024, 8), (1025, 9), (4097, 13), (5000, 31)])
def test_several_moves_are_each_as_if_alone(n, p, family, held):
    X, problem, found = opened(n, p, family, held)
    rng = np.random.default_rng(1)
    index = np.flatnonzero(rng.random(p) < 0.7) if p > 2 else np.arange(p)
    start = Rows(found.empty(), found.empty(), found.empty())
    start.eta[:n] = 0.1 * rng.standard_normal(n)
    moves = []
    for k in range(6):
        by = np.zeros(p)
        by[index] = 0.3 * rng.standard_normal(len(index)) * (rng.random(len(index)) < (k / 3))
        moves.append(Move(start, by, Rows(found.empty(), found.empty(), found.empty())))
    answers = found.together(moves, "expected", index)
    for move, (deviance, score) in zip(moves, answers, strict=True):
        eta = start.eta[:n] + X @ move.by
        np.testing.assert_allclose(move.to.eta[:n], eta, rtol=0, atol=3e-7 if held == "floats" else 1e-13)
        np.testing.assert_allclose(
            move.to.v[:n],
            problem.weight * (problem.y - problem.link.mu(eta)),
            rtol=2e-6 if held == "floats" else 1e-12,
            atol=2e-6 if held == "floats" else 1e-12,
        )
        size = (np.abs(X[:, index]).T @ np.abs(move.to.v[:n])).max()  # of what is added up
        close = {"rtol": 0, "atol": (2e-7 if held == "floats" else 1e-14) * size}
        np.testing.assert_allclose(score, X[:, index].T @ move.to.v[:n], **close)
        alone = Rows(found.empty(), found.empty(), found.empty())
        ((again, same),) = found.together([Move(start, move.by, alone)], "expected", index)
        assert again == pytest.approx(deviance, rel=1e-12)
        np.testing.assert_allclose(same, score, **close)
        np.testing.assert_allclose(found.products([move.to.v], index)[0], score, **close)
    for products, (_, score) in zip(found.products([move.to.v for move in moves], index), answers, strict=True):
        np.testing.assert_allclose(products, score, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("held", ["floats", "doubles"], indirect=True)
@pytest.mark.parametrize("n", [700, 6000])
def test_the_bits_do_not_depend_on_the_threads(n, held):
    answers = []
    for threads in (1, 2, 3):
        _, _, found = opened(n, 40, held=held, threads=threads)
        start = Rows(found.empty(), found.empty(), found.empty())
        moves = [Move(start, 0.05 * np.cos(k + np.arange(40.0)), Rows(found.empty(), found.empty(), found.empty())) for k in range(5)]
        together = found.together(moves, "expected", np.arange(40))
        answers.append([(deviance, score.tobytes(), move.to.eta.tobytes()) for move, (deviance, score) in zip(moves, together, strict=True)])
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("held", HELD, indirect=True)
@pytest.mark.parametrize("n", [5, 64, 513, 1025, 9000, 20_001])
def test_the_gram_of_columns_held(n, held):
    X, _, found = opened(n, 21, held=held)
    weight = found.empty()
    weight[:n] = np.random.default_rng(2).random(n)
    for numbers, tolerance in ((np.float32, 2e-6), (np.float64, 3e-7 if held == "floats" else 1e-12)):
        member, out = np.array([3, 20, 0, 7, 11, 12, 13, 5, 6, 1, 2], dtype=np.int32), np.zeros((13, 13), dtype=numbers)
        found.gram(weight, member[:6], 0, out)
        found.gram(weight, member, 6, out)
        exact = X[:, member].T @ (weight[:n, None] * X[:, member])
        np.testing.assert_allclose(out[:11, :11], exact, rtol=0, atol=tolerance * np.abs(exact).max())


@pytest.mark.parametrize("held", ["floats", "doubles"], indirect=True)
@pytest.mark.parametrize("rows", [slice(0, 3000), slice(2048, 4096), slice(4000, 9000), slice(5120, 5121), slice(0, 9000)])
def test_stretches_without_weight_add_nothing(rows, held):
    X, problem, _ = opened(9000, 11, "poisson", held)
    problem.weight[rows] = 0.0
    columns = access.open_columns(problem, 2)
    found = access.Access(columns, problem)
    if not columns.whole:
        found.take(np.arange(11))
    start, to = (Rows(found.empty(), found.empty(), found.empty()) for _ in range(2))
    move = Move(start, 0.1 * np.cos(np.arange(11.0)), to)
    ((deviance, score),) = found.together([move], "expected", np.arange(11))
    mu = np.exp(X @ move.by)
    v = problem.weight * (problem.y - mu)
    y = problem.y
    unit = 2 * (np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0) / mu), 0.0) - (y - mu))
    np.testing.assert_allclose(deviance, problem.weight @ unit, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(to.v[:9000], v, rtol=0, atol=1e-5)
    assert not to.v[:9000][rows].any()
    assert not to.h[:9000][rows].any()
    np.testing.assert_allclose(score, X.T @ v, rtol=0, atol=1e-3)
    weight, out = found.empty(), np.zeros((11, 11), dtype=np.float32)
    weight[:9000] = problem.weight
    found.gram(weight, np.arange(11, dtype=np.int32), 0, out)
    exact = X.T @ (problem.weight[:, None] * X)
    np.testing.assert_allclose(out, exact, rtol=0, atol=2e-6 * np.abs(exact).max() + 1e-12)


def test_floats_are_taken_once(monkeypatch):
    if core is None:
        pytest.skip("the core was not built")
    monkeypatch.setattr(access, "_MANY", 0)
    monkeypatch.setattr(access, "_TALL", 0)
    _, _, found = opened(500, 5)
    with pytest.raises(ValueError, match="at once"):
        found.columns.wide.take(np.arange(2, dtype=np.int32), 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7])
def test_solvers_side_by_side_share_the_threads(count, threads):
    given = []

    def solve(k, own):
        given.append(own)
        return k * k

    assert side_by_side(count, solve, threads, threads) == [k * k for k in range(count)]
    whole, rest = count // threads, count % threads
    assert sorted(given) == sorted([1] * (whole * threads) + [threads // rest] * rest if rest else [1] * count)


def test_solvers_one_after_another_have_all_threads():
    assert side_by_side(3, lambda k, own: own, 4, 1) == [4, 4, 4]


def test_what_fails_side_by_side_is_raised():
    def solve(k, own):
        if k == 1:
            raise ValueError("the second")
        return k

    with pytest.raises(ValueError, match="the second"):
        side_by_side(3, solve, 2, 2)
