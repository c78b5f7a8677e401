"""Steps on a penalised model: those by the inverse of its own matrix beside those by conjugate gradients, and how a point stands, held to NumPy."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from etamu.core import core
from etamu.design.columns import Column, Design, Matrix
from etamu.solvers import standing
from etamu.solvers.column_model import ColumnModel
from etamu.solvers.descent import Bounds, Descender, Groups, distances

native = pytest.mark.skipif(core is None, reason="the core was not built")


class Path:
    """Solutions of a quadratic loss b'Hb/2 - c'b at falling alphas, each step from the exact slope at the last."""

    def __init__(self, h, c, ridge, box, made, threads=1):
        self.h, self.c, self.ridge, self.box, self.made, self.threads = h, c, ridge, box, made, threads
        self.inverse, self.sweeps = core.Inverse(), 0  # the most that a step has made
        self.exact = np.array(h, dtype=float)[: len(c), : len(c)]

    def solve(self, alphas, sizes):
        b = np.zeros(len(self.c))
        for alpha, m in zip(alphas, sizes, strict=True):
            l1, l2 = np.full(len(b), alpha), self.ridge(alpha) * np.ones(len(b))
            l1[0] = 0.0
            for _ in range(30):
                q = self.exact @ b - self.c
                b = self.step(b, q, l1, l2, m)
            yield b, distances(b, self.exact @ b - self.c, l1, l2, self.box, Groups())[:m].max()

    def step(self, b, q, l1, l2, m):
        at, end, part = np.arange(m, dtype=np.int32), np.empty(m), np.empty(m)
        given_ = (b, q, l1, l2, self.box.low, self.box.high)
        before = self.inverse.sweeps
        linear, decrease = core.step(self.inverse, self.h, at, *given_, 1.0, 1e-11, 20_000, 1, self.made, self.threads, end, part)
        assert np.isfinite([linear, decrease]).all()
        self.sweeps = max(self.sweeps, self.inverse.sweeps - before)
        out = b.copy()
        out[:m] = end
        return out


def model(rng, n, p, numbers, rho):
    """X'X / n and X'y / n of correlated columns, in a larger matrix."""
    X = rng.normal(size=(n, p)) + rho * rng.normal(size=(n, 1))
    y = X[:, : p // 3 + 1].sum(axis=1) + rng.normal(size=n)
    h = np.zeros((p + 5, p + 5), dtype=numbers)
    h[:p, :p] = X.T @ X / n
    return h, X.T @ y / n


@native
@given(st.integers(0, 10_000))
def test_steps_by_the_inverse_of_the_matrix_are_those_by_conjugate_gradients(seed):
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(5, 120)), int(rng.integers(2, 70))
    numbers = np.float32 if rng.random() < 0.5 else np.float64
    h, c = model(rng, n, p, numbers, rng.choice([0.0, 0.5, 3.0]))
    h = h.astype(numbers)
    kind = rng.integers(3)
    ridge = [lambda alpha: 0.0, lambda alpha: 0.1, lambda alpha: 0.5 * alpha][kind]
    if p >= n and kind == 0:
        ridge = lambda alpha: 1e-3  # noqa: E731  (one solution)
    box = Bounds.none(p)
    if rng.random() < 0.4:
        low, high = np.where(rng.random(p) < 0.5, -rng.uniform(0, 1, p), -np.inf), np.where(rng.random(p) < 0.5, rng.uniform(0, 1, p), np.inf)
        box = Bounds(low, high)
    alphas = np.abs(c).max() * np.geomspace(1, rng.choice([0.3, 1e-3]), 12)
    sizes = np.sort(rng.integers(1, p + 1, 12))
    grown = h[:p, :p].copy()
    for (one, off), (other, far) in zip(Path(grown, c, ridge, box, 7).solve(alphas, sizes), Path(grown, c, ridge, box, -1).solve(alphas, sizes), strict=True):
        scale = np.abs(c).max()
        assert off < 1e-9 * scale
        assert far < 1e-9 * scale
        np.testing.assert_allclose(one, other, atol=1e-6 * max(1.0, np.abs(one).max()))


@native
@pytest.mark.parametrize("numbers", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_coordinates_come_and_go(numbers, threads):
    """More than a batch at once, and more than a thread's share."""
    rng = np.random.default_rng(3)
    h, c = model(rng, 500, 420, numbers, 0.3)
    box, p = Bounds.none(420), 420
    up_and_down = np.abs(c).max() * np.array([1, 0.3, 0.1, 0.01, 0.001, 0.1, 0.003, 0.5, 0.0005])
    found = list(Path(h, c, lambda alpha: 0.01, box, 2, threads).solve(up_and_down, [p] * 9))
    assert max(off for _, off in found) < 1e-8 * np.abs(c).max()
    assert len({np.count_nonzero(b) for b, _ in found}) > 5
    alone = list(Path(h, c, lambda alpha: 0.01, box, 2, 1).solve(up_and_down, [p] * 9))
    for (one, _), (other, _) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@native
def test_another_matrix_is_not_taken_for_the_last_one():
    """Also where nobody says so but the ridge, and where the matrix is said to be the same and is not."""
    rng = np.random.default_rng(4)
    h, c = model(rng, 200, 40, np.float64, 0.5)
    other, _ = model(rng, 200, 40, np.float64, 0.5)
    descender = Descender()
    for made, matrix in ((1, h), (2, other), (2, h), (2, h)):  # the third is a lie, which the slopes tell
        for ridge in (0.0, 0.2):
            b, q = np.zeros(40), -c.copy()
            assert descender(matrix, b, q, np.full(40, 0.05), np.full(40, ridge), Bounds.none(40), Groups(), 1e-12, 1, made)
            np.testing.assert_allclose(q, matrix[:40, :40] @ b - c, atol=1e-9)
            assert distances(b, matrix[:40, :40] @ b - c, np.full(40, 0.05), np.full(40, ridge), Bounds.none(40), Groups()).max() < 1e-9


@native
@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-8, 1e-7, 1e-6])
@pytest.mark.parametrize("made", [3, -1])
def test_columns_nearly_the_same_do_not_hold_a_step_up(apart, made):
    """Newton's step fails there; sweeps end, or are given up."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(48, 24))
        X[:, 12] = X[:, 0] + apart * rng.normal(size=48)
        h, c = X.T @ X / 48, X.T @ (X[:, ::3].sum(axis=1) + rng.normal(size=48)) / 48
        path = Path(h, c, lambda alpha: 0.0, Bounds.none(24), made)
        for b, _ in path.solve(np.abs(c).max() * np.geomspace(1, 1e-4, 10), [24] * 10):
            assert np.isfinite(b).all()
        assert path.sweeps < 6_000


@native
@pytest.mark.parametrize("made", [3, -1])
def test_what_stops_at_a_bound_is_there_to_the_last_bit(made):
    rng = np.random.default_rng(9)
    h, c = model(rng, 300, 60, np.float64, 0.5)
    low, high = -rng.uniform(0.1, 0.3, 60) / 3, rng.uniform(0.1, 0.3, 60) / 3
    stopped = 0
    for b, off in Path(h, c, lambda alpha: 0.0, Bounds(low, high), made).solve(np.abs(c).max() * np.geomspace(1, 1e-3, 15), [60] * 15):
        near = (np.abs(b - low) < 1e-9) | (np.abs(b - high) < 1e-9)
        assert ((b == low) | (b == high))[near].all()
        assert off < 1e-9 * np.abs(c).max()
        stopped += near.sum()
    assert stopped > 50


@native
@given(st.integers(0, 10_000))
def test_how_a_point_stands_is_the_same_in_numpy(seed):
    rng = np.random.default_rng(seed)
    p = int(rng.integers(0, 30))
    b, score, least = np.where(rng.random(p) < 0.5, rng.normal(size=p), 0.0), rng.normal(size=p), np.where(rng.random(p) < 0.1, 0.1, 0.0)
    l1, l2 = np.where(rng.random(p) < 0.8, rng.uniform(0, 2, p), 0.0), np.where(rng.random(p) < 0.5, rng.uniform(0, 2, p), 0.0)
    box = Bounds.none(p)
    bounded = rng.random() < 0.5
    if bounded:
        box = Bounds(np.where(rng.random(p) < 0.5, np.minimum(b, 0), -np.inf), np.where(rng.random(p) < 0.3, np.maximum(b, 0) + 0.1, np.inf))
    fast = standing.stand(b, score, -0.5, l1, l2, least, box)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "core", None)
        slow = standing.stand(b, score, -0.5, l1, l2, least, box)
    assert fast[:3] == pytest.approx(slow[:3], rel=1e-12, abs=1e-14)
    assert fast.idle == slow.idle


@native
@pytest.mark.parametrize("numbers", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["apart", "twins", "zeros", "opposite"])
def test_columns_alike_are_told_by_the_core_as_by_numpy(numbers, case, monkeypatch):
    from etamu.solvers import column_model

    X = np.random.default_rng(6).normal(size=(50, 9))
    if case == "twins":
        X[:, 7] = X[:, 2]
    if case == "opposite":
        X[:, 7] = -3 * X[:, 2]
    if case == "zeros":
        X[:, [3, 7]] = 0.0

    class Source:
        rows, sum_weight = 50, 50.0

    def told(first):
        found = ColumnModel(Source())
        found.index, found.gram = np.arange(9, dtype=np.int32), np.pad((X.T @ X).astype(numbers), (0, 4))
        return found._alike(first)

    expected = case in ("twins", "opposite")
    assert [told(0), told(7), told(8)] == [expected, expected, False]
    monkeypatch.setattr(column_model, "core", None)
    assert [told(0), told(7), told(8)] == [expected, expected, False]


@native
def test_points_and_columns_of_other_sizes_are_refused():
    three, four, none = np.zeros(3), np.zeros(4), np.full(3, -1, dtype=np.int32)
    with pytest.raises(ValueError, match="sizes differ"):
        core.standing(three, three, 1.0, three, three, three, three, four)
    with pytest.raises(ValueError, match="sizes differ"):
        core.promising(three, np.zeros((1, 3)), np.zeros(1), three, none, np.zeros(3, dtype=bool), four, 1.0, 1, np.zeros(4, dtype=np.int32))
    with pytest.raises(ValueError, match="no such vector"):
        core.promising(three, np.zeros((1, 3)), np.zeros(1), three, none + 2, np.zeros(3, dtype=bool), three, 1.0, 1, np.zeros(4, dtype=np.int32))
    with pytest.raises(ValueError, match="sizes differ"):
        core.alike(np.zeros((3, 3)), 0, four, 0.9)
    with pytest.raises(ValueError, match="sizes differ"):
        core.alike(np.zeros((3, 3)), -1, three, 0.9)


ARRAYS = {
    "C": lambda X: np.ascontiguousarray(X),
    "F": lambda X: np.asfortranarray(X),
    "float32": lambda X: X.astype(np.float32),
    "int8": lambda X: (3 * X).astype(np.int8),
    "bool": lambda X: X > 0,
    "backwards": lambda X: X[::-1, ::-1],
    "every other": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "read only": lambda X: np.broadcast_to(X[:, :1], X.shape),
    "one column": lambda X: X[:, :1],
    "no column": lambda X: X[:, :0],
}


@pytest.mark.parametrize("several", [0, 64])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("kind", ARRAYS)
def test_the_columns_of_an_array_are_those_one_by_one(kind, constant, several, monkeypatch):
    from etamu.sources import native as door

    X = ARRAYS[kind](np.random.default_rng(1).normal(size=(30, 6)))
    monkeypatch.setattr(door, "_SEVERAL", several)
    names = [f"x{j}" for j in range(X.shape[1])]
    lazy = Design(Matrix(X, names, constant), 30)
    each = Design((*([Column("Intercept")] if constant else []), *(Column(n, X[:, j]) for j, n in enumerate(names))), 30)
    assert (lazy.names, lazy.width, lazy.constant, lazy.single) == (each.names, each.width, each.constant, each.single)
    if core is not None:
        np.testing.assert_array_equal(door.addresses(lazy)[0], door.addresses(each)[0])
    np.testing.assert_array_equal(lazy.block(slice(3, 20)), each.block(slice(3, 20)))
    some = list(range(lazy.width))[::-2]
    assert lazy.keep(some).names == each.keep(some).names
    np.testing.assert_array_equal(lazy.keep(some).block(slice(0, 9)), each.keep(some).block(slice(0, 9)))
    again = pickle.loads(pickle.dumps(lazy))
    np.testing.assert_array_equal(again.block(slice(0, 30)), lazy.block(slice(0, 30)))
    assert [part.name for part in lazy.parts] == list(lazy.parts.names)
    assert [lazy.parts[k].name for k in range(-lazy.width, lazy.width)] == 2 * lazy.names
    with pytest.raises(IndexError):
        lazy.parts[lazy.width]
    changed = lazy.over(lambda v: v[::-1])
    np.testing.assert_array_equal(Design(changed, 30).block(slice(0, 30)), each.block(np.arange(30)[::-1]))


@pytest.mark.parametrize("intercept", [np.True_, np.False_])
def test_a_numpy_bool_says_whether_there_is_a_constant(intercept):
    X = np.random.default_rng(2).normal(size=(30, 3))
    one, other = em.fit(X, X[:, 0], intercept=intercept), em.fit(X, X[:, 0], intercept=bool(intercept))
    np.testing.assert_array_equal(one.coef, other.coef)


@pytest.mark.parametrize("rows", [0, 1, 1000, 200_000])
def test_codes_are_counted_and_translated_by_threads_as_by_one(rows):
    from etamu import elementary

    rng = np.random.default_rng(rows)
    for kind, low, high in ((np.int8, -3, 9), (np.uint8, 0, 200), (np.int16, -40, 3000), (np.int64, 5, 20)):
        values = rng.integers(low, high, rows).astype(kind)
        np.testing.assert_array_equal(
            elementary.tally(values, low + 1, high - low), np.bincount((values.astype(int) - low - 1)[values > low], minlength=high - low)
        )
        place = rng.permutation(high - low).astype(np.int32)
        expected = np.where(values.astype(int) - low < len(place) - 2, place[np.minimum(values.astype(int) - low, len(place) - 1)], -1)
        np.testing.assert_array_equal(elementary.translate(values[::-1], low, place[:-2], -1)[::-1], expected)


@given(st.integers(0, 10_000), st.floats(-0.6, 0.6))
def test_a_step_in_one_with_those_that_would_follow(seed, share):
    """Where a step is a share of the last one, so many times longer that the same share of it follows; no coefficient changes its sign or leaves its bounds."""
    from etamu.solvers.column_model import ColumnModel
    from etamu.solvers.column_step import Step, lengthened
    from etamu.solvers.descent import Bounds

    class Source:
        sum_weight, rows = 1.0, 1

        def lend(self, *given):
            return False

    rng = np.random.default_rng(seed)
    p, at = 9, np.array([5, 0, 3, 8, 2, 1])
    model = ColumnModel(Source())
    model.index, model.gram = at.astype(np.int32), np.diag(rng.uniform(0.1, 10, 8))
    b, last = rng.normal(size=p), rng.normal(size=p)
    b[3], last[[4, 6, 7]] = 0.0, 0.0
    end = b[at] + share * last[at]
    end[1] = 0.0 if seed % 2 else end[1]
    low, high = np.minimum(end[2], b[3]) - 1e-9, np.maximum(end[2], b[3]) + 1e-9
    box = Bounds(np.where(np.arange(p) == 3, low, -np.inf), np.where(np.arange(p) == 3, high, np.inf))
    step = Step(at, end, end - b[at], -1.0, 0.5)
    longer = lengthened(step, b, last, model, box)
    np.testing.assert_array_equal(longer.end - b[at], longer.part)
    assert (longer.end * step.end >= 0).all()
    assert ((longer.end == 0) == (step.end == 0)).all()
    assert (box.nearest(longer.whole(b)) == longer.whole(b)).all()
    if seed % 2:
        return  # one coefficient goes a way of its own
    if share <= 0 or share > 0.45:
        assert longer is step
    elif 0.01 < share < 0.35:
        free = (longer.end != step.end) | (step.part == 0)
        np.testing.assert_allclose(longer.part[free], step.part[free] / (1 - share), rtol=1e-9, atol=1e-15)
        bent = b[at] + step.part / (1 - share)
        assert free[(bent * step.end > 0) & (np.arange(6) != 2)].all()
