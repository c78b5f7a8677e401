"""Whether the maximum-likelihood estimate exists: a certificate of separation, with the rows, the direction and the coefficients.

A direction d separates when no row objects to going along it for ever and some row gains: with z = x'd

    z = 0   where the response lies inside the range of means,      z <= 0 (z >= 0)   where it lies on the edge that eta -> -inf (+inf) reaches

(for a multinomial row of class a, x'(d_a - d_b) >= 0 for every other b).  Rows that must have z = 0 leave a null space, nearly always
{0} already; in it a linear program over some rows proposes d, a pass over all rows finds who objects, and these join the program.
Rows that d moves are separated whatever else happens, so they are set aside and the search goes on until nothing is left to move.

References: Albert & Anderson (1984), Biometrika 71, doi:10.1093/biomet/71.1.1; Konis (2007), DPhil thesis, Oxford; Correia, Guimaraes &
Zylkin (2019), arXiv:1903.01633.  Linear programs by HiGHS (Huangfu & Hall 2018, doi:10.1007/s12532-017-0130-5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.families.base import Family
from etamu.inference.covariance import Scaling
from etamu.links import Link
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["Separation", "certify"]

Array = np.ndarray[Any, Any]
_ZERO = 1e-7  # of z in units where columns and directions are of size 1
_RANK = 1e-10  # relative eigenvalue below which a direction moves no row
_AT_ONCE = 2000  # rows that begin, and that join, a linear program
_NUMBERS = 2_000_000
_FAR = 1e12  # an eta that stands for infinity


@dataclass(frozen=True)
class Separation:
    """What is known of the existence of the estimate.

    ``separated`` says of each row whether its fitted mean runs to its response; ``direction`` is one that moves all of them, by the
    names of coefficients; ``infinite`` are the coefficients that have no finite estimate, ``finite`` those that keep one.

    Examples
    --------
    >>> import etamu as em
    >>> found = em.separation("y ~ x", {"x": [1.0, 2, 3, 4], "y": [0, 0, 1, 1]}, family="binomial")
    >>> bool(found), found.separated.tolist(), found.infinite
    (True, [True, True, True, True], ('Intercept', 'x'))
    """

    separated: Array
    direction: dict[str, float]
    infinite: tuple[str, ...]
    finite: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.separated.any())

    @property
    def rows(self) -> Array:
        """Numbers of the separated rows."""
        return np.flatnonzero(self.separated)

    def __str__(self) -> str:
        if not self:
            return "The estimate exists: no direction separates the responses."
        shown = ", ".join(f"{name} {value:+.3g}" for name, value in list(self.direction.items())[:6])
        more = "" if len(self.direction) <= 6 else ", ..."
        lost = ", ".join(self.infinite[:8]) + (", ..." if len(self.infinite) > 8 else "")
        return f"{len(self.rows):,} of {len(self.separated):,} rows are separated, along {shown}{more}. Without a finite estimate: {lost}."


def certify(problem: Problem | Streamed, scaling: Scaling, labels: list[str]) -> Separation:
    """Search the problem (on the fit's columns) for separation; ``labels`` are the coefficients, equations outermost."""
    width, q = problem.design.width, problem.equations or 1
    classes = 1 if problem.equations is None else q + (problem.reference is not None)
    size, sides = width * q, (0, 0) if problem.equations is not None else _sides(problem.family, problem.link)
    gained = np.zeros(problem.rows * classes, dtype=bool)  # by row, and class against which a multinomial row gains
    direction, lost = np.zeros(size), np.zeros(size, dtype=bool)
    if problem.equations is not None or sides != (0, 0):
        direction = _search(problem, sides, _null_space(_gram_of_equalities(problem, sides), size), gained)
    if gained.any():
        open_ = _null_space(_gram_of_rest(problem, sides, gained), size)
        user = np.array([_to_user(scaling, column, width, q) for column in open_.T]).reshape(-1, size)
        user = user / np.tile(np.ones(width) if scaling.scale is None else scaling.scale, q)
        scale = np.abs(user).max(axis=1, initial=0.0, keepdims=True)
        lost = (np.abs(user) > 1e-8 * np.where(scale > 0, scale, 1.0)).any(axis=0)
    user = _to_user(scaling, direction, width, q)
    large = np.abs(user).max(initial=0.0)
    unit = np.tile(np.ones(width) if scaling.scale is None else scaling.scale, q)
    moves = np.abs(user / unit) > 1e-9 * np.abs(user / unit).max(initial=0.0)  # on the scale of the columns, whatever their units
    along = {label: float(v / large) for label, v, used in zip(labels, user, moves, strict=True) if large and used}
    infinite = tuple(label for label, gone in zip(labels, lost, strict=True) if gone)
    finite = tuple(label for label, gone in zip(labels, lost, strict=True) if not gone)
    return Separation(np.asarray(gained.reshape(-1, classes).any(axis=1)), along, infinite, finite)


def _to_user(scaling: Scaling, d: Array, width: int, q: int) -> Array:
    return np.concatenate([scaling.to_user(d[a * width : (a + 1) * width]) for a in range(q)])


@np.errstate(all="ignore")
def _sides(family: Family, link: Link) -> tuple[int, int]:
    """Which way eta must run for the mean to reach the lower and the upper edge of y: -1, +1, or 0 where no infinite eta does."""
    space, support = family.mean_space, family.support
    ends = [(side, float(link.mu(np.array([side * _FAR]))[0])) for side, end in zip((-1, 1), link.domain, strict=True) if math.isinf(end)]

    def reached(edge: float, attained: bool) -> int:
        near = [side for side, mu in ends if math.isfinite(edge) and abs(mu - edge) < 1e-6]
        return near[0] if near and attained else 0

    return reached(space.low, support.low_included), reached(space.high, support.high_included)


def _signs(problem: Problem, rows: slice, sides: tuple[int, int]) -> Array:
    """+1, -1: the way a row's eta may go; 0: not at all; nan: a row without weight, which does not care."""
    y, w, _ = problem.vectors(rows)
    out = np.where(y == problem.family.support.low, float(sides[0]), np.where(y == problem.family.support.high, float(sides[1]), 0.0))
    return np.where(w > 0, out, np.nan)


def _slabs(problem: Problem | Streamed) -> Iterator[tuple[Problem, slice, int]]:
    first = 0
    for part in problem.batches():
        step = max(64, _NUMBERS // max(part.design.width * (part.equations or 1) ** 2, 1))
        for a in range(0, part.rows, step):
            rows = slice(a, min(a + step, part.rows))
            yield part, rows, first + a
        first += part.rows


def _gram_of_equalities(problem: Problem | Streamed, sides: tuple[int, int]) -> Array | None:
    """Sum of x x' over the rows that do not move; None for a multinomial, which has none."""
    if problem.equations is not None:
        return None
    total = np.zeros((problem.design.width,) * 2)
    for part, rows, _ in _slabs(problem):
        x = part.design.block(rows)[_signs(part, rows, sides) == 0]
        total += x.T @ x
    return total


def _gram_of_rest(problem: Problem | Streamed, sides: tuple[int, int], gained: Array) -> Array:
    """Sum of x x' over the rows that stay put (of a a' over a multinomial's constraints)."""
    total: Array | None = None
    for part, rows, first in _slabs(problem):
        a, number = _constraints(part, rows, sides, first)
        stay = a[~gained[number]]
        gram = stay.T @ stay
        total = gram if total is None else total + gram
    assert total is not None
    fixed = _gram_of_equalities(problem, sides)
    return total if fixed is None else total + fixed


def _null_space(gram: Array | None, size: int) -> Array:
    """Directions that move none of the rows behind a Gram matrix, as columns."""
    if gram is None:
        return np.eye(size)
    if not gram.any():
        return np.eye(len(gram))
    root = np.sqrt(np.where(np.diagonal(gram) > 0, np.diagonal(gram), 1.0))
    values, vectors = np.linalg.eigh(gram / root / root[:, None])
    found = vectors[:, values <= _RANK * max(values[-1], 1.0)] / root[:, None]
    return np.asarray(np.linalg.qr(found)[0]) if found.shape[1] else found


def _constraints(part: Problem, rows: slice, sides: tuple[int, int], first: int) -> tuple[Array, Array]:
    """Rows a with a'd >= 0 asked for, one for each class against a multinomial row's own, and the number of each."""
    x = part.design.block(rows)
    if part.equations is None:
        signs = _signs(part, rows, sides)
        index = np.flatnonzero(np.nan_to_num(signs) != 0)
        return signs[index, None] * x[index], first + index
    y, w, _ = part.vectors(rows)
    q, p = part.equations, x.shape[1]
    classes = q + (part.reference is not None)
    place = [k for k in range(classes) if k != part.reference]  # class of each equation
    index = np.flatnonzero(w > 0)
    out, numbers = [], []
    for b in range(classes):
        others = index[y[index] != b]
        block = np.zeros((len(others), q, p))
        for a, own in enumerate(place):
            block[:, a] = ((y[others] == own).astype(float) - (own == b))[:, None] * x[others]
        out.append(block.reshape(len(others), q * p))
        numbers.append((first + others) * classes + b)
    return np.concatenate(out), np.concatenate(numbers)


def _search(problem: Problem | Streamed, sides: tuple[int, int], basis: Array, gained: Array) -> Array:
    """Mark what is separated; returns a direction that moves all of it."""
    direction, proposal = np.zeros(len(basis)), np.zeros(len(basis))
    working = np.empty((0, len(basis)))
    while basis.shape[1]:
        bad, moved, idle = _objections(problem, sides, basis, proposal, gained)
        if proposal.any() and not len(bad):
            direction = _joined(problem, sides, direction, proposal, gained)
            gained[moved] = True
            proposal, working = np.zeros(len(basis)), np.empty((0, len(basis)))
            continue
        fresh = bad if len(bad) else idle
        if not len(fresh):
            break
        working = np.concatenate([working, fresh])
        found = _propose(working @ basis)
        if found is not None:
            proposal = basis @ found
            continue
        held = working @ basis  # these rows cannot move at all: only what leaves them alone remains
        basis = basis @ _null_space(held.T @ held, basis.shape[1])
        proposal, working = np.zeros(len(basis)), np.empty((0, len(basis)))
    return direction


def _objections(problem: Problem | Streamed, sides: tuple[int, int], basis: Array, d: Array, gained: Array) -> tuple[Array, Array, Array]:
    """Of the constraints not yet set aside: those that d violates (the worst), the numbers of those it moves, and, without a d, some
    that directions of the basis would move.
    """
    bad, depth, moved, idle = [np.empty((0, len(d)))], [np.empty(0)], [np.empty(0, dtype=np.int64)], [np.empty((0, len(d)))]
    waiting = 0
    for part, rows, first in _slabs(problem):
        a, number = _constraints(part, rows, sides, first)
        keep = ~gained[number]
        a, number = a[keep], number[keep]
        if d.any():
            z = a @ d
            bad.append(a[z < -_ZERO])
            depth.append(z[z < -_ZERO])
            moved.append(number[z > _ZERO])
        elif waiting < _AT_ONCE:
            some = a[np.abs(a @ basis).max(axis=1, initial=0.0) > _ZERO]
            some = some[:: max(1, -(-len(some) // (_AT_ONCE - waiting)))]
            idle.append(some)
            waiting += len(some)
    worst = np.concatenate(bad)
    if len(worst) > _AT_ONCE:
        worst = worst[np.argsort(np.concatenate(depth), kind="stable")[:_AT_ONCE]]
    return worst, np.concatenate(moved), np.concatenate(idle)


def _joined(problem: Problem | Streamed, sides: tuple[int, int], before: Array, d: Array, gained: Array) -> Array:
    """D plus so much of the direction before that what that one moved still gains."""
    if not before.any():
        return d
    factor = 1.0
    for part, rows, first in _slabs(problem):
        a, number = _constraints(part, rows, sides, first)
        a = a[gained[number]]
        up, back = a @ before, -(a @ d)
        against = (back > 0) & (up > 0)
        factor = max(factor, float((back[against] / up[against]).max(initial=0.0)) * 2.0)
    return factor * before + d


def _propose(a: Array) -> Array | None:
    """D with a d >= 0 and as large a sum as possible in the unit box; None when every such d leaves all rows alone."""
    from scipy.optimize import linprog

    size = np.abs(a).max(axis=1, initial=0.0)
    a = a[size > _ZERO]
    if not len(a):
        return None
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(-a.sum(axis=0), A_ub=-a, b_ub=np.zeros(len(a)), bounds=(-1, 1), method="highs", options=options)
    if found.x is None:
        return None
    d = np.asarray(found.x)
    return d if (a @ d).max(initial=0.0) > 10 * _ZERO else None
