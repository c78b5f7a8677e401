"""The penalised fit as a function of its smoothing parameters: estimate, informations, and how they move with log lambda.

At rho = log lambda the estimate minimises deviance + sum_j lambda_j b'S_j b.  With A = H + S, H the observed information there,

    db/drho_j = -A^-1 lambda_j S_j b,        dH/drho_j = (H(b + e db) - H(b - e db)) / (2 e)

so that all a criterion needs are sums over rows, and no third derivatives of any family.  Where the deviance is quadratic (gaussian,
identity) one pass tells it everywhere.

Reference: Wood (2011), J. R. Statist. Soc. B 73, doi:10.1111/j.1467-9868.2010.00749.x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from etamu.design.smooths import Smooth
from etamu.errors import SpecificationError
from etamu.families import Gaussian
from etamu.inference.covariance import Scaling
from etamu.inference.penalised import dense, penalised, with_penalty
from etamu.links import LINKS
from etamu.solvers.base import Control, Recorder, Solution
from etamu.solvers.linalg import Factorised, aliased_columns, factorise
from etamu.solvers.newton import Problem as Traits
from etamu.solvers.newton import newton
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.sums import Arrow, Objective, Request, Sums, triangular
from etamu.traits import traits

__all__ = ["At", "Block", "Task", "blocks_of", "identified", "open_task"]

Array = np.ndarray[Any, Any]
_REACH = 3e-5  # root mean square of the change of eta over which an information is differentiated
_MOST = 4_000  # columns of which a dense information is held


@dataclass(frozen=True)
class Block:
    """A smooth on the fit's columns and scale: where it stands, and the diagonal of its S there (0 for what is not penalised)."""

    columns: Array
    diagonal: Array

    @property
    def rank(self) -> int:
        return int((self.diagonal > 0).sum())


def blocks_of(smooths: Sequence[Smooth], scaling: Scaling, kept: Sequence[int]) -> tuple[Block, ...]:
    """The smooths' penalties on the columns that are kept; b = scale gamma, so that S_jj becomes scale_j^2 S_jj."""
    place = {column: k for k, column in enumerate(kept)}
    scale = np.ones(len(kept)) if scaling.scale is None else scaling.scale
    out = []
    for smooth in smooths:
        pairs = [(place[c], d) for c, d in zip(smooth.columns, smooth.diagonal, strict=True) if c in place]
        columns = np.array([c for c, _ in pairs], dtype=np.int64)
        out.append(Block(columns, np.array([d for _, d in pairs]) * scale[columns] ** 2))
    return tuple(out)


def identified(problem: Problem | Streamed, blocks: Sequence[Block], control: Control) -> tuple[int, ...]:
    """The columns that data and penalty together tell apart; a smooth's trend beside ``x`` itself, say, is told twice."""
    width = problem.design.width
    if width > _MOST:
        raise SpecificationError(f"s() needs the whole information, and {width:,} columns are more than {_MOST:,}; join levels, or take bs() for s().")
    plain = problem.change(family=Gaussian(), link=LINKS["identity"], offset=None)
    source, start = open_source(plain, control.threads), np.zeros(width)
    sums = source.sum(Request(start, 2))
    gram = dense(sums.information)
    penalty = np.zeros(width)
    for block in blocks:
        if block.rank:
            penalty[block.columns] += block.diagonal * (_trace(gram, block) / block.diagonal.sum())
    if factorise(replace(with_penalty(sums, penalty), information=gram + np.diag(penalty))) is not None:
        return tuple(range(width))
    if isinstance(sums.information, Arrow):  # which has no triangle: the root of the Gram tells half the digits
        values, vectors = np.linalg.eigh(gram)
        triangle = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        gone = set(aliased_columns(triangular(np.vstack([triangle, np.diag(np.sqrt(penalty))])), 1e-7))
    else:
        triangle = source.sum(Request(start, 2, "expected", form="factor")).information[:-1, :-1]
        gone = set(aliased_columns(triangular(np.vstack([triangle, np.diag(np.sqrt(penalty))]))))
    return tuple(j for j in range(width) if j not in gone)


def _trace(gram: Array, block: Block) -> float:
    at = block.columns[block.diagonal > 0]
    return float(gram[at, at].sum()) or 1.0


@dataclass(frozen=True)
class Task:
    """A problem with smooths on its own columns and scale.

    ``run`` sums its rows and remembers the passes, ``objective`` gives the same sums with or without a pass, ``known`` is what Newton may
    know of them.
    """

    problem: Problem | Streamed
    run: Recorder
    objective: Objective
    blocks: tuple[Block, ...]
    control: Control
    known: Traits

    def anchored(self, beta: Array) -> Task:
        """The same with its parabola, if it has one, known from the sums at ``beta``, near which they lose no digits."""
        return replace(self, objective=_parabola(_told(self.run)(Request(beta, 2)), beta)) if self.known.quadratic else self

    @property
    def width(self) -> int:
        return self.problem.design.width

    @property
    def unpenalised(self) -> int:
        """Coefficients that no penalty meets."""
        return self.width - sum(block.rank for block in self.blocks)

    def penalty(self, rho: Array) -> Array:
        """The diagonal of S = sum lambda_j S_j."""
        out = np.zeros(self.width)
        for block, size in zip(self.blocks, np.exp(rho), strict=True):
            out[block.columns] += size * block.diagonal
        return out

    def at(self, rho: Array, start: Array) -> At:
        """The penalised fit at these log lambdas."""
        quiet = replace(self.control, progress=None)
        objective = penalised(self.objective, self.penalty(rho))
        found = newton(objective, start, quiet, problem=replace(self.known, damped=True, wide=False, constant=False))
        return At(self, np.array(rho), found)


def open_task(problem: Problem | Streamed, start: Array, blocks: tuple[Block, ...], control: Control) -> Task:
    """The task, whose sums come from the rows, or from one pass where they are quadratic in the coefficients."""
    run, known = Recorder(open_source(problem, control.threads).sum, control.progress), traits(problem)

    return Task(problem, run, _told(run), blocks, control, known).anchored(start)


def _told(run: Recorder) -> Objective:
    """The sums of the rows, of each of which progress is told."""

    def sums_at(request: Request) -> Sums:
        sums = run(request)
        run.note()
        return sums

    return sums_at


def _parabola(sums: Sums, at: Array) -> Objective:
    """The sums of a least-squares problem anywhere, from those at one place."""
    assert sums.score is not None
    score, information = sums.score, dense(sums.information)

    def sums_at(request: Request) -> Sums:
        step = request.beta - at
        bent = information @ step
        deviance = max(sums.deviance - 2 * float(step @ score) + float(step @ bent), 0.0)
        return replace(sums, deviance=deviance, pearson=deviance, score=score - bent, information=information)

    return sums_at


@dataclass(frozen=True)
class At:
    """The penalised fit at one rho; everything is worked out when it is first asked for."""

    task: Task
    rho: Array
    solution: Solution

    @property
    def beta(self) -> Array:
        return np.asarray(self.solution.beta, dtype=float)

    @property
    def ok(self) -> bool:
        return self.solution.status.ok and self.factor is not None

    @cached_property
    def sums(self) -> Sums:
        """The sums at the estimate, with the observed information."""
        return self.task.objective(Request(self.beta, 2, "observed"))

    @cached_property
    def expected(self) -> Array:
        """The information that is reported."""
        kind = self.task.control.information
        if self.task.known.canonical or self.task.known.quadratic or kind == "observed":
            return dense(self.sums.information)
        return dense(self.task.objective(Request(self.beta, 2, kind)).information)

    @cached_property
    def factor(self) -> Factorised | None:
        """Of A, the observed information and the penalty."""
        return self._factor(dense(self.sums.information))

    @cached_property
    def inverse(self) -> Array:
        """A^-1."""
        assert self.factor is not None
        return self.factor.inverse()

    @cached_property
    def reported(self) -> Array | None:
        """A^-1 with the information that is reported."""
        if self.expected is self.sums.information:
            return self.inverse
        found = self._factor(self.expected)
        return None if found is None else found.inverse()

    def _factor(self, information: Array) -> Factorised | None:
        if not (math.isfinite(self.sums.deviance) and np.isfinite(information).all()):
            return None
        found = factorise(replace(self.sums, information=information + np.diag(self.task.penalty(self.rho))))
        return found if isinstance(found, Factorised) else None

    @cached_property
    def log_determinant(self) -> float:
        """Log |A|."""
        assert self.factor is not None
        return 2 * float(np.log(np.diagonal(self.factor.triangle)).sum() - np.log(self.factor.scale).sum())

    @cached_property
    def bending(self) -> Array:
        """Lambda_j b'S_j b of each smooth."""
        return np.array([s * float(b.diagonal @ self.beta[b.columns] ** 2) for b, s in zip(self.task.blocks, np.exp(self.rho), strict=True)])

    @cached_property
    def shares(self) -> Array:
        """Lambda_j tr(A^-1 S_j) of each smooth: its rank less the degrees of freedom that its penalised columns keep."""
        diagonal = np.diagonal(self.inverse)
        return np.array([s * float(b.diagonal @ diagonal[b.columns]) for b, s in zip(self.task.blocks, np.exp(self.rho), strict=True)])

    @cached_property
    def directions(self) -> Array:
        """Db/drho_j, one row for each smooth."""
        out = np.zeros((len(self.task.blocks), self.task.width))
        for k, (block, size) in enumerate(zip(self.task.blocks, np.exp(self.rho), strict=True)):
            out[k] = -self.inverse[:, block.columns] @ (size * block.diagonal * self.beta[block.columns])
        return out

    def moved(self, information: str) -> list[Array | None]:
        """DH/drho_j for each smooth; None where it is 0."""
        return [self._moved(direction, information) for direction in self.directions]

    def _moved(self, direction: Array, information: str) -> Array | None:
        size = math.sqrt(max(float(direction @ self.expected @ direction), 0.0) / max(np.trace(self.expected) / self.task.width, 1e-300))
        if self.task.known.quadratic or size < 1e-12:
            return None
        reach = _REACH / size
        ends = [dense(self.task.objective(Request(self.beta + side * reach * direction, 2, information)).information) for side in (1, -1)]
        out = (ends[0] - ends[1]) / (2 * reach)
        return np.asarray(out) if np.isfinite(out).all() else None
