"""The solver of constrained fits with penalties: conditions of a minimum in plain NumPy, contradictions, what it refuses."""

from itertools import pairwise

import numpy as np
import pytest

from etamu.errors import SpecificationError
from etamu.penalties.pieces import Pieces, nothing
from etamu.solvers.base import Control
from etamu.solvers.constrained import constrained
from etamu.solvers.polyhedron import Contradiction, Rows, contradiction, independent, nearest
from etamu.sums import Sums

pytest.importorskip("daqp")


def poisson(x, y):
    """An objective in three lines: what a solver needs to know of a fit."""

    def sums(request):
        mu = np.exp(x @ request.beta)
        deviance = 2 * float((mu - y * (x @ request.beta)).sum()) + 2 * float((y * np.log(np.maximum(y, 1)) - y).sum())
        return Sums(len(y), len(y), deviance, 0.0, x.T @ (y - mu), x.T @ (mu[:, None] * x))

    return sums


def problem(seed, n=200, p=6):
    rng = np.random.default_rng(seed)
    x = np.c_[np.ones(n), rng.standard_normal((n, p))]
    y = rng.poisson(np.exp(0.3 + x[:, 1:] @ (0.3 * rng.standard_normal(p))))
    return rng, x, y


def failure(x, y, pieces, rows, solution, binding):
    """By how much the conditions of a minimum of F fail, relative to the slope."""
    b, d = solution.beta, pieces.differences(solution.beta)
    s = x.T @ (y - np.exp(x @ b)) - pieces.l2 * b - (0 if pieces.quadratic is None else pieces.quadratic @ b)
    for k, mu in zip(binding.index, binding.multiplier):
        s = s + mu * rows.matrix[k]
        side = -1 if rows.upper[k] == rows.lower[k] and mu > 0 else binding.side[binding.index.index(k)]
        assert side == 0 or side * mu <= 1e-9
    # s = D' (l1 times a subgradient): solve for the subgradients of differences from the last to the first
    unit = np.array([pieces.differences(column) for column in np.eye(len(b))]).T
    pull = np.linalg.solve(unit.T, s)
    wrong = np.where(np.abs(d) > 1e-9, np.abs(pull - pieces.l1 * np.sign(d)), np.maximum(np.abs(pull) - pieces.l1, 0))
    return max(float(wrong.max()), float(rows.violation(b).max(initial=0.0)))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["none", "l1", "chain", "l2", "quadratic", "all"])
def test_penalties_under_rows(seed, kind):
    rng, x, y = problem(seed)
    p = x.shape[1]
    l1 = np.r_[0, rng.uniform(5, 40, p - 1)] if kind in ("l1", "chain", "all") else np.zeros(p)
    l2 = np.r_[0, rng.uniform(0, 30, p - 1)] if kind in ("l2", "all") else np.zeros(p)
    m = rng.standard_normal((p, p))
    pieces = Pieces(l1, l2, chains=((2, 3, 4, 5),) if kind in ("chain", "all") else (), quadratic=m @ m.T if kind in ("quadratic", "all") else None)
    a = rng.standard_normal((5, p)) * (rng.random((5, p)) < 0.6)
    a[~a.any(axis=1), 0] = 1
    value = a @ (0.3 * rng.standard_normal(p))
    rows = Rows(a, np.where(rng.random(5) < 0.6, value, -np.inf), np.where(rng.random(5) < 0.4, value, value + rng.exponential(size=5)))
    solution, binding = constrained(poisson(x, y), np.zeros(p), rows, pieces, Control(), canonical=True)
    assert solution.status.ok
    assert failure(x, y, pieces, rows, solution, binding) < 1e-9 * len(y)
    assert max(binding.primal, binding.dual, binding.complementarity) < 1e-10
    if kind in ("l1", "chain"):
        unit = np.array([pieces.differences(column) for column in np.eye(p)]).T
        assert np.abs(binding.still @ solution.beta).max(initial=0.0) < 1e-13
        assert len(binding.still) == (np.abs(unit @ solution.beta)[l1 > 0] < 1e-9).sum()


def test_the_objective_never_rises():
    _, x, y = problem(3)
    seen = []
    a = np.eye(7)[1:]
    rows = Rows(a, np.full(6, 0.1), np.full(6, np.inf))
    solution, _ = constrained(poisson(x, y), np.r_[3.0, np.full(6, 0.5)], rows, nothing(7), Control(progress=lambda step: seen.append(step)), canonical=True)
    kept = [step.deviance for step in seen if step.note != "halved"]
    assert solution.status.ok
    assert all(later <= before * (1 + 1e-10) for before, later in pairwise(kept))


def test_what_no_quadratic_program_knows_is_refused():
    _, x, y = problem(0)
    rows = Rows(np.eye(7)[1:2], np.zeros(1), np.full(1, np.inf))
    empty = nothing(7)
    groups = Pieces(empty.l1, empty.l2, groups=((1, 2),), group_weight=np.ones(1))
    for pieces, word in ((groups, "groups"), (Pieces(empty.l1, empty.l2, concave=object()), "concave")):
        with pytest.raises(SpecificationError, match=word):
            constrained(poisson(x, y), np.zeros(7), rows, pieces, Control())


def test_contradictory_rows_are_an_irreducible_set():
    rng = np.random.default_rng(4)
    for _ in range(30):
        a = rng.standard_normal((30, 5))
        v = a @ rng.standard_normal(5)
        low, high = v - rng.exponential(size=30), np.full(30, np.inf)
        assert contradiction(Rows(a, low, high)) == ()
        clash = rng.dirichlet(np.ones(4)) @ a[:4]
        matrix = np.vstack([a, clash])
        ends = np.r_[high, rng.dirichlet(np.ones(4)) @ low[:4] - 50]
        found = contradiction(Rows(matrix, np.r_[low, -np.inf], ends))
        assert 30 in found
        rows = Rows(matrix, np.r_[low, -np.inf], ends)
        for leave in found:
            assert contradiction(rows.take([k for k in found if k != leave])) == ()
        assert nearest(rows) is None
    _, x, y = problem(1)
    rows = Rows(np.eye(7)[[1, 1, 2]], np.array([1.0, -np.inf, 0]), np.array([np.inf, 0.5, 1]))
    with pytest.raises(Contradiction) as caught:
        constrained(poisson(x, y), np.zeros(7), rows, nothing(7), Control())
    assert caught.value.rows == (0, 1)
    assert contradiction(Rows(np.zeros((1, 2)), np.ones(1), np.ones(1))) == (0,)
    assert independent(np.array([[1.0, 1], [1, 1 + 1e-12], [0, 1]])).tolist() == [0, 2]


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "daqp", None)
    with pytest.raises(SpecificationError, match=r"pip install 'etamu\[constraints\]'"):
        nearest(Rows(np.eye(1), np.ones(1), np.ones(1)))
