"""One quadratic model under linear rows: its program in the metric of the information, and Newton's step among rows taken as equations.

With H = (half half')^-1 the length of a step d is sqrt(d'H d), in standard errors.  A row a of A has there the coordinates a half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from etamu.solvers.linalg import Factorised, FactorisedArrow
from etamu.solvers.polyhedron import Rows

__all__ = ["Guess", "Model", "coordinates", "settle"]

Array = np.ndarray[Any, Any]
_BREACH = (1e-12, 1e-10)  # of a row, relative to the terms of its sum, that counts as none; the second where rows all but repeat each other
_CROSSED = 1e-9  # of a penalised difference, in standard errors
_WRONG = 1e-10  # of a multiplier's sign, relative to the slope
_DEPENDENT = 1e-9  # of a row's length that is left once others are taken out
_LARGE = 3000  # coefficients from which a basis of them takes too long
_ROUNDS = 60


@dataclass(frozen=True)
class Guess:
    """Which rows hold with equality (``side`` (m,): -1, 1, 2 for an equation, 0 for free rows), the sign of each penalised difference
    (k,), 0 where it is held at 0; ``index`` are the independent rows among them and ``multiplier`` theirs, those of differences last.
    """

    side: Array
    sign: Array
    index: Array
    multiplier: Array

    @property
    def still(self) -> Array:
        return np.flatnonzero(self.sign == 0)


def coordinates(factor: Factorised | FactorisedArrow, matrix: Array) -> Array:
    """M (m, .) with M M' = A H^-1 A'."""
    if isinstance(factor, Factorised):
        return np.asarray(matrix @ factor.half_inverse())
    arrow = factor.arrow
    stop = arrow.start + len(arrow.head)
    head, rest = matrix[:, arrow.start : stop], np.delete(matrix, np.s_[arrow.start : stop], axis=1)
    small = (rest - (head / arrow.head) @ arrow.border) @ factor.rest.half_inverse()
    return np.concatenate([head / np.sqrt(arrow.head), small], axis=1) / math.sqrt(factor.weight)


@dataclass(frozen=True)
class Model:
    """-slope'd + d'H d / 2 + sum cost |D (b + d)| for a step d from b, under rows."""

    factor: Factorised | FactorisedArrow
    slope: Array  # s, minus the gradient of the smooth part
    b: Array
    rows: Rows
    differences: Array
    cost: Array

    @cached_property
    def own(self) -> Array:
        """Newton's own step without rows and costs."""
        return np.asarray(self.factor.solve(np.array(self.slope)))

    @cached_property
    def row_coordinates(self) -> Array:
        return coordinates(self.factor, self.rows.matrix)

    @cached_property
    def difference_coordinates(self) -> Array:
        return coordinates(self.factor, self.differences)

    @cached_property
    def row_length(self) -> Array:
        """The standard error of each row's value."""
        return _lengths(self.row_coordinates)

    @cached_property
    def difference_length(self) -> Array:
        return _lengths(self.difference_coordinates)

    @cached_property
    def size(self) -> float:
        """The length of the slope, with that of the costs."""
        costs = float(self.cost @ self.difference_length) if len(self.cost) else 0.0
        return math.sqrt(max(float(self.own @ self.slope), 0.0)) + costs

    def length(self, step: Array) -> float:
        """sqrt(d'H d), from the factor."""
        f = self.factor
        if isinstance(f, Factorised):
            return float(np.linalg.norm(f.triangle @ (step / f.scale))) * math.sqrt(f.weight)
        return math.sqrt(max(float(step @ (f.arrow @ step)), 0.0) * f.weight)

    # ---- the quadratic program ----------------------------------------------------------------------------------

    def program(self, spring: float) -> Rows:
        """Rows that the move from Newton's own step has to meet, in coordinates of length; costs as two rows of a variable of their own."""
        at = self.b + self.own
        value = self.rows.matrix @ at
        below, above = self.rows.lower - value, self.rows.upper - value
        if not len(self.cost):
            return Rows(self.row_coordinates, below, above)
        stiff = self.stiffness(spring)
        t = np.abs(self.differences @ self.b) - self.cost / stiff
        d = self.differences @ at
        own = np.diag(1.0 / np.sqrt(stiff))
        there, free = self.difference_coordinates, np.full(len(d), np.inf)
        matrix = np.block([[self.row_coordinates, np.zeros((len(value), len(d)))], [-there, own], [there, own]])
        return Rows(matrix, np.concatenate([below, d - t, -d - t]), np.concatenate([above, free, free]))

    def stiffness(self, spring: float) -> Array:
        """Of the variables above differences, (k,)."""
        return np.asarray(spring * self.cost / (np.abs(self.differences @ self.b) + self.difference_length))

    def read(self, multipliers: Array) -> tuple[Guess, Array]:
        """The guess and the step that the program's multipliers stand for."""
        m, k = len(self.rows), len(self.cost)
        mu, up, down = multipliers[:m], multipliers[m : m + k], multipliers[m + k :]
        side = np.where(self.rows.equal, 2, np.where(mu > 0, -1, np.where(mu < 0, 1, 0)))
        both = (up > 1e-9 * self.cost) & (down > 1e-9 * self.cost)
        d = self.differences @ self.b
        sign = np.where(both, 0, np.where(up > down, 1, np.where(down > up, -1, np.sign(d)))).astype(int)
        step = self.own + self.factor.solve(self.rows.matrix.T @ mu + self.differences.T @ (down - up))
        index = np.flatnonzero(side)
        return Guess(side, sign, index, np.concatenate([mu[index], (down - up)[sign == 0]])), step

    # ---- Newton's step among equations --------------------------------------------------------------------------

    def among(self, guess: Guess) -> tuple[Guess, Array]:
        """The best step on which the guessed rows hold with equality, with their multipliers.

        The rows are met in the space of the coefficients, where they are as well conditioned as they were written, and Newton's step
        is taken in what they leave free: at a corner the information, however poor, has no say.
        """
        held, still = np.flatnonzero(guess.side), guess.still
        cost = self.cost * guess.sign
        slope = self.slope - self.differences.T @ cost if cost.any() else self.slope
        matrix = np.vstack([self.rows.matrix[held], self.differences[still]])
        if not len(matrix):
            step = self.factor.solve(np.array(slope)) if cost.any() else self.own
            return replace(guess, index=held, multiplier=np.zeros(0)), step
        goal = np.where(guess.side == 1, self.rows.upper, self.rows.lower)[held]
        gap = np.concatenate([goal, np.zeros(len(still))]) - matrix @ self.b
        step, multiplier = (self._along if self.large else self._inside)(matrix, gap, slope)
        return replace(guess, index=held, multiplier=multiplier), step

    def _inside(self, matrix: Array, gap: Array, slope: Array) -> tuple[Array, Array]:
        """By a basis of the directions that the rows leave free."""
        from scipy.linalg import qr, solve_triangular

        length = _lengths(matrix)
        q, triangle, order = qr((matrix / length[:, None]).T, pivoting=True)
        rank = int((np.abs(np.diagonal(triangle)) > _DEPENDENT).sum())
        corner, order = triangle[:rank, :rank], order[:rank]
        step = q[:, :rank] @ solve_triangular(corner, (gap / length)[order], trans="T")
        free = q[:, rank:]
        if free.shape[1]:
            inner = np.linalg.qr(self.root @ free, mode="r")
            rest = free.T @ (slope - self.root.T @ (self.root @ step))
            step = step + free @ solve_triangular(inner, solve_triangular(inner, rest, trans="T"))
        multiplier = np.zeros(len(gap))
        multiplier[order] = solve_triangular(corner, q[:, :rank].T @ (self.root.T @ (self.root @ step) - slope)) / length[order]
        return step, multiplier

    def _along(self, matrix: Array, gap: Array, slope: Array) -> tuple[Array, Array]:
        """By the rows' own covariance, where there are too many coefficients for a basis."""
        from scipy.linalg import qr, solve_triangular

        own = self.factor.solve(np.array(slope))
        there = coordinates(self.factor, matrix)
        length = _lengths(there)
        triangle, order = qr((there / length[:, None]).T, mode="r", pivoting=True)
        rank = int((np.abs(np.diagonal(triangle)) > _DEPENDENT).sum())
        triangle, order = triangle[:rank, :rank], order[:rank]
        multiplier, step = np.zeros(len(gap)), own
        for _ in range(2):  # the second time closes what rounding left
            half = solve_triangular(triangle, ((gap - matrix @ step) / length)[order], trans="T")
            multiplier[order] += solve_triangular(triangle, half) / length[order]
            step = own + self.factor.solve(matrix.T @ multiplier)
        return step, multiplier

    @property
    def large(self) -> bool:
        """Whether there are many coefficients, most of them levels of a factor."""
        return isinstance(self.factor, FactorisedArrow) and len(self.b) > _LARGE

    @cached_property
    def root(self) -> Array:
        """A matrix whose Gram is H."""
        f = self.factor
        if isinstance(f, Factorised):
            return np.asarray(np.triu(f.triangle) / f.scale * math.sqrt(f.weight))
        return np.linalg.cholesky(f.arrow.dense() * f.weight).T

    def left(self, guess: Guess) -> float:
        """The length of what multipliers leave of the slope."""
        held, still = guess.index, guess.still
        matrix = np.vstack([self.rows.matrix[held], self.differences[still]])
        rest = self.slope - self.differences.T @ (self.cost * guess.sign) + matrix.T @ guess.multiplier
        return math.sqrt(max(float(rest @ self.factor.solve(np.array(rest))), 0.0))


def _lengths(matrix: Array) -> Array:
    length = np.sqrt((matrix**2).sum(axis=1))
    return np.asarray(np.where(length > 0, length, 1.0))


def settle(model: Model, guess: Guess) -> tuple[Guess, Array] | None:
    """The guess made right: rows that are broken join, rows that pull leave, until neither is left; None where that does not end."""
    return next((found for breach in _BREACH if (found := _settled(model, guess, breach)) is not None), None)


def _settled(model: Model, guess: Guess, breach: float) -> tuple[Guess, Array] | None:
    seen: set[bytes] = set()
    for _ in range(_ROUNDS):
        key = guess.side.astype(np.int8).tobytes() + guess.sign.astype(np.int8).tobytes()
        if key in seen:
            return None
        seen.add(key)
        found, step = model.among(guess)
        after = _revised(model, found, step, breach)
        if after is found:
            return found, step
        if after is None:
            return None
        guess = after
    return None


def _revised(model: Model, guess: Guess, step: Array, breach: float) -> Guess | None:
    """The guess with its faults mended; itself where it has none, None where its rows cannot all hold with equality."""
    rows, at = model.rows, model.b + step
    side, sign = guess.side.copy(), guess.sign.copy()
    held, still = guess.index, guess.still
    mu, pull = guess.multiplier[: len(held)], guess.multiplier[len(held) :]
    force = mu * model.row_length[held]
    wrong = ((side[held] == -1) & (force < -_WRONG * model.size)) | ((side[held] == 1) & (force > _WRONG * model.size))
    value = rows.matrix @ at
    reach = breach * (np.abs(rows.matrix) @ (np.abs(model.b) + np.abs(step))) + 1e-14 * model.row_length
    low, high = rows.lower - value > reach, value - rows.upper > reach
    if ((low | high) & (side != 0)).any():
        return None
    if (low | high).any():
        side[low & (side == 0)], side[high & (side == 0)] = -1, 1
        return replace(guess, side=side)
    d = model.differences @ at
    crossed = (sign != 0) & (d * sign < -_CROSSED * model.difference_length)
    freed = np.abs(pull) > model.cost[still] * (1 + 1e-9) + _WRONG * model.size
    if not (wrong.any() or crossed.any() or freed.any()):
        return guess
    side[held[wrong]] = 0
    sign[crossed] = 0
    sign[still[freed]] = -np.sign(pull[freed]).astype(int)
    return replace(guess, side=side, sign=sign)
