"""Penalised fits: what a penalty is on a design, which solver follows it, and from where."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from etamu.checks import refuse_bad_design
from etamu.core import cores
from etamu.design.columns import Column
from etamu.design.encode import DesignSpec
from etamu.design.smooths import has_smooths
from etamu.errors import DataError, SpecificationError
from etamu.families import Gaussian
from etamu.inference.covariance import Scaling
from etamu.links import LINKS
from etamu.penalties import Columns, Pieces
from etamu.penalties.base import Penalty
from etamu.penalty_bounds import bounded
from etamu.penalty_columns import columns_of
from etamu.solvers.abreast import Abreast
from etamu.solvers.base import Control
from etamu.solvers.columnwise import Columnwise
from etamu.solvers.descent import Bounds
from etamu.solvers.gramwise import Gramwise
from etamu.solvers.linalg import dependent_columns
from etamu.solvers.points import Point
from etamu.solvers.polyhedron import Rows
from etamu.solvers.reweighted import Reweighted
from etamu.sources.access import Access, is_narrow, open_columns
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.standardise import standardise
from etamu.starting import default_start
from etamu.sums import Arrow, Objective, Request
from etamu.traits import cheap_arithmetic, is_wide

__all__ = ["Engine", "Prepared", "alphas_from", "prepare"]

Array = np.ndarray[Any, Any]
_COLUMNWISE = 400  # coefficients from which columns are taken one by one
_STORED = 100  # the same of stored columns, which have no cheaper sums
_ONE_PASS = 1_000  # coefficients of least squares whose information is summed once for all
_GRAM_MOST = 5_000  # coefficients whose information is still formed


class Engine(Protocol):
    """A path of solutions, whichever solver makes it."""

    left: float

    def begin(self) -> None: ...
    def first_alpha(self) -> float: ...
    def steepest(self) -> float: ...
    def at(self, alpha: float, last: float | None = None) -> Point: ...
    def pass_by(self, alpha: float) -> None: ...
    def path(self, alphas: Array) -> Iterator[Point]: ...


@dataclass(frozen=True)
class Prepared:
    """A problem on the scale it is solved on, its penalty at alpha = 1 on that scale, and the name and reason of the solver."""

    problem: Problem | Streamed
    scaling: Scaling
    pieces: Pieces
    bounds: Bounds
    intercept: bool
    control: Control
    solver: str
    reason: str
    limits: tuple[Array, Array] | None = None  # of the coefficients themselves, in the user's units

    def engine(self, start: Array | None = None) -> Engine:
        """The solver, before its first step."""
        if self.solver == "columnwise":
            return self.among(self._access)
        return self.over(open_source(self.problem, self.control.threads).sum, start)

    @property
    def _access(self) -> Access:
        assert isinstance(self.problem, Problem)
        return Access(open_columns(self.problem, self.control.threads), self.problem)

    def columns(self) -> Columnwise | Abreast:
        """The solver over columns of a convex penalty."""
        return self._over_columns(self._access)

    def among(self, access: Access) -> Engine:
        """The solver over columns, whoever multiplies them."""
        return self._for_concave(self._over_columns(access))

    def _over_columns(self, access: Access) -> Columnwise | Abreast:
        convex, solver, fits = replace(self.pieces, concave=None), Abreast if access.whole else Columnwise, access.columns.finite
        if not fits:
            refuse_bad_design(self.problem)
            access.widen()  # there is a number too large for a float
            self._refuse_large(access.lengths)
        engine = solver(access, convex, self.bounds, self._steps, self.control.max_iter, self._least_squares, self._begins)
        if not fits:
            engine.model.exactly()
        return engine

    def _begins(self) -> Array:
        """Where a fit begins that cannot begin at 0."""
        return np.asarray(default_start(self.problem, open_source(self.problem, self.control.threads), self.intercept), dtype=float)

    def _for_concave(self, engine: Columnwise | Abreast | Gramwise) -> Engine:
        """The solver of a concave penalty, if this is one, by one of convex ones."""
        if self.pieces.concave is None:
            return engine
        return Reweighted(engine, self.pieces, self._unit)

    @property
    def _unit(self) -> Array:
        """What a coefficient of each coordinate is in the user's units."""
        width = self.problem.design.width
        scale = np.ones(width) if self.scaling.scale is None else self.scaling.scale
        return np.tile(scale, len(self.pieces.l1) // width)

    @property
    def quadratic(self) -> bool:
        """Whether the loss is: then sums at one point say everything."""
        return self._least_squares and self.solver == "gramwise"

    @property
    def _steps(self) -> str:
        """The information that makes steps: the observed one ends quadratically, where it is positive."""
        canonical = self.problem.equations is not None or self.problem.link.name == self.problem.family.canonical
        return "expected" if canonical else "curved"

    @property
    def _least_squares(self) -> bool:
        return isinstance(self.problem.family, Gaussian) and self.problem.link is LINKS["identity"]

    def over(self, objective: Objective, start: Array | None = None) -> Engine:
        """The solver over sums, whoever adds them."""
        problem, control = self.problem, self.control
        beta = default_start(problem, open_source(problem, control.threads), self.intercept) if start is None else start
        engine = Gramwise(
            objective, beta, replace(self.pieces, concave=None), self.bounds, self._steps, control.max_iter, self._unit,
            quadratic=self.quadratic, wide=is_wide(problem), cheap=cheap_arithmetic(problem),
        )  # fmt: skip
        if not engine.finite:
            refuse_bad_design(self.problem)
            self._refuse_large(np.diagonal(engine.h))
        return self._for_concave(engine)

    def _refuse_large(self, squares: Array) -> None:
        """The error for numbers that are finite where the squares of their column are not."""
        far = np.flatnonzero(np.isinf(squares))
        if len(far):
            design = self.problem.design
            raise DataError(f"`{design.names[far[0] % design.width]}` holds numbers whose squares are beyond the range of doubles; rescale it.")

    def on(self, problem: Problem) -> Prepared:
        """The same of other rows, on the same scale."""
        return replace(self, problem=problem)

    def gamma(self, point: Point) -> Array:
        """The coefficients on the fit's scale, in the problem's shape."""
        shape = self.problem.shape
        flat = np.zeros(math.prod(shape))
        flat[point.index] = point.values
        if len(shape) == 1:
            return flat
        return _centred(np.ascontiguousarray(flat.reshape(shape[1], shape[0]).T), self.problem, self.intercept)

    def coefficients(self, point: Point) -> Array:
        """The coefficients in the user's units; what the penalty set to 0 is 0, and none is beyond its bounds by rounding."""
        return np.asarray(self.table([point])[0])

    def table(self, points: Sequence[Point]) -> Array:
        """The same of several points, one after another."""
        out = np.zeros((len(points), *self.problem.shape))
        for beta, point in zip(out, points):
            if beta.ndim == 1:
                self.scaling.place(point.index, point.values, beta)
            else:
                beta[:] = self.scaling.to_user(self.gamma(point))
        return out if self.limits is None else np.clip(out, *self.limits)


def _centred(beta: Array, problem: Problem | Streamed, intercept: bool) -> Array:
    """Of a predictor for every class: the intercepts that sum to 0, among those that give the same probabilities."""
    if problem.reference is None and intercept:
        beta[0] -= beta[0].mean()
    return beta


def prepare(
    problem: Problem | Streamed, spec: DesignSpec | None, intercept: bool, penalty: Any, control: Control, rows: Rows | tuple[Array, Array] | None = None,
    *, shared: bool = False,
) -> Prepared:  # fmt: skip
    """The problem as it is solved: standardised, with the penalty (as if its alpha were 1) and its constraints as bounds on that scale.

    ``shared`` says that fits to several parts of the rows follow.
    """
    if not isinstance(penalty, Penalty):
        raise SpecificationError(f"`penalty` is a {type(penalty).__name__}; pass em.ElasticNet(alpha=...), em.Lasso, em.Ridge, em.GroupLasso, ...")
    if spec is not None and has_smooths(spec.formula):
        raise SpecificationError("`penalty` does not go with s() in the formula, which has a penalty of its own; leave it out, or take bs() or ns() for s().")
    columns = columns_of(problem, spec, intercept, _asks_for_spread(penalty))
    _refuse_constant(penalty, columns)
    pieces = penalty.at(1.0).pieces(columns)
    if rows is not None and problem.equations is not None:
        raise SpecificationError("`constraints` go with models of one equation; a multinomial response has several.")
    if isinstance(rows, tuple):
        low: Array | None
        high: Array | None
        low, high = rows
    else:
        pieces, low, high = (pieces, None, None) if rows is None else bounded(pieces, columns, rows)
    scaled, scaling = standardise(problem, intercept, control.threads or cores())
    held = sorted({j for run in (*pieces.groups, *pieces.chains) for j in run})
    if held and scaling.scale is not None:  # their penalty is not one of each coordinate's own
        scale = scaling.scale.copy()
        scale[held] = 1.0
        scaling = Scaling(scaling.center, scale)
        scaled = scaled.change(design=replace(scaled.design, scale=scale))
    scale = np.ones(columns.width) if scaling.scale is None else scaling.scale
    own = pieces.scaled(scale)
    bounds = Bounds.none(columns.width) if low is None or high is None else Bounds(low / scale, high / scale)
    if problem.equations is not None:
        own, bounds = own.repeated(problem.equations, getattr(penalty, "grouped", False)), Bounds.none(columns.width * problem.equations)
    elif getattr(penalty, "grouped", False):
        raise SpecificationError("`grouped` joins the classes of a multinomial response; this model has one equation.")
    _refuse_dependent(scaled, pieces)
    solver, reason = _choose(scaled, own, shared)
    limits = None if low is None or high is None or pieces.chains else (low, high)
    return Prepared(scaled, scaling, own, bounds, intercept, control, solver, reason, limits)


def _refuse_dependent(problem: Problem | Streamed, pieces: Pieces) -> None:
    """Columns without any penalty must have one solution among themselves; a penalty tells dependent columns apart."""
    free = (pieces.l1 == 0) & (pieces.l2 == 0)
    free[[j for run in (*pieces.groups, *pieces.chains) for j in run]] = False
    if pieces.quadratic is not None:
        free &= ~pieces.quadratic.any(axis=0)
    at = np.flatnonzero(free)
    if not 1 < len(at) <= _GRAM_MOST:
        return
    plain = problem.keep(at.tolist()).change(family=Gaussian(), link=LINKS["identity"], equations=None, reference=None)
    information = open_source(plain, None).sum(Request(np.zeros(len(at)), 2)).information
    gone = dependent_columns(information.dense() if isinstance(information, Arrow) else np.asarray(information))
    if gone:
        name = problem.design.names[at[gone[0]]]
        raise SpecificationError(f"`penalty` leaves column {name!r} free, which is a linear combination of other free columns; penalise it, or drop it.")


def _asks_for_spread(penalty: Any) -> bool:
    return bool(getattr(penalty, "standardize", False)) or any(_asks_for_spread(p) for p in getattr(penalty, "parts", ()))


def _refuse_constant(penalty: Any, columns: Columns) -> None:
    """With standardize=True a column that does not vary has no scale."""
    if _asks_for_spread(penalty):
        flat = [n for j, n in enumerate(columns.names) if columns.spread[j] == 0 and j not in columns.free]
        if flat:
            raise SpecificationError(f"`standardize` divides by standard deviations, and column {flat[0]!r} does not vary; drop it.")


def _choose(problem: Problem | Streamed, pieces: Pieces, shared: bool) -> tuple[str, str]:
    """Which solver, and why."""
    p = len(pieces.l1)
    able = isinstance(problem, Problem) and problem.equations is None and pieces.separable and bool((pieces.l1 > 0).sum() > 0.5 * p)
    one_pass = p <= min(_ONE_PASS, problem.rows) and isinstance(problem.family, Gaussian) and problem.link is LINKS["identity"]
    if able and isinstance(problem, Problem) and p >= _COLUMNWISE and not shared and is_narrow(problem):
        one_pass = False  # the information of the columns that matter, in floats, costs less than that of all
    stored = p if problem.design.single else sum(isinstance(part, Column) for part in problem.design.parts)
    if able and not one_pass and (p >= _COLUMNWISE or p > problem.rows or stored >= _STORED):
        return "columnwise", f"proximal Newton over columns: {p:,} coefficients, of which few are not 0"
    if p > _GRAM_MOST:
        raise SpecificationError(
            f"`penalty` of {p:,} coefficients together (groups, chains, ridge, several equations or files) needs their information, which would take "
            f"{8e-9 * p * p:.0f} GB; use an l1 penalty of one equation in memory, or fewer columns."
        )
    return "gramwise", f"proximal Newton on the information of {p:,} coefficients"


def alphas_from(first: float, count: int, ratio: float) -> Array:
    """A geometric sequence from the first alpha down to ``ratio`` times it."""
    first *= 1 + 1e-12  # so that rounding lets nothing in at the first
    return np.asarray(first * np.logspace(0, math.log10(ratio), count)) if count > 1 else np.array([first])
