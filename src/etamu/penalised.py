"""Penalised fits: what a penalty is on a design, which solver follows it, and from where."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from etamu.design.columns import Column, Levels, Sparse
from etamu.design.encode import DesignSpec, term_columns
from etamu.design.smooths import has_smooths
from etamu.errors import SpecificationError
from etamu.families import Gaussian
from etamu.inference.covariance import Scaling
from etamu.links import LINKS
from etamu.penalties import Columns, Pieces
from etamu.penalties.base import Penalty
from etamu.solvers.base import Control
from etamu.solvers.columnwise import Columnwise, Point
from etamu.solvers.descent import Bounds
from etamu.solvers.gramwise import Gramwise
from etamu.solvers.linalg import dependent_columns
from etamu.solvers.polyhedron import Rows
from etamu.solvers.reweighted import Reweighted
from etamu.sources.access import Access, is_narrow, open_columns
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source
from etamu.standardise import standardise
from etamu.starting import approach, default_start
from etamu.sums import Arrow, Objective, Request
from etamu.traits import cheap_arithmetic, is_wide

__all__ = ["Engine", "NotBoundsError", "Prepared", "alphas_from", "columns_of", "prepare", "read_bounds", "solve_at"]

Array = np.ndarray[Any, Any]
_COLUMNWISE = 400  # coefficients from which columns are taken one by one
_STORED = 100  # the same of stored columns, which have no cheaper sums
_ONE_PASS = 1_000  # coefficients of least squares whose information is summed once for all
_GRAM_MOST = 5_000  # coefficients whose information is still formed
_ALONE = (1e-19, 1e-15)  # share of the objective that may be left above its minimum, where one solution is asked for: of few numbers, of many
_MANY = 500_000
_ALONE_WHOLE = 1e-13  # the same where columns are held as floats
_ROUGH = 1e-5  # the same on the way to it
_SAMPLED, _SAMPLE_ROWS = 12, 12  # a sample is a row in so many, and so many rows per column at least
_STEPS = 12  # alphas on the way to one that is asked for alone


class Engine(Protocol):
    """A path of solutions, whichever solver makes it."""

    left: float

    def begin(self) -> None: ...
    def first_alpha(self) -> float: ...
    def steepest(self) -> float: ...
    def at(self, alpha: float, last: float | None = None) -> Point: ...
    def pass_by(self, alpha: float) -> None: ...
    def path(self, alphas: Array, guide: Sequence[Point] | None = None) -> Iterator[Point]: ...


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

    def engine(self, start: Array | None = None) -> Engine:
        """The solver, before its first step."""
        problem, control = self.problem, self.control
        if self.solver == "columnwise":
            assert isinstance(problem, Problem)
            return self.among(Access(open_columns(problem, control.threads), problem))
        return self.over(open_source(problem, control.threads).sum, start)

    def columns(self, whole: bool = False) -> Columnwise:
        """The solver over columns, which are all taken at once where ``whole`` asks for that and there are many rows of each."""
        assert isinstance(self.problem, Problem)
        return self._columnwise(Access(open_columns(self.problem, self.control.threads, whole), self.problem))

    def among(self, access: Access) -> Engine:
        """The solver over columns, whoever multiplies them."""
        return self._for_concave(self._columnwise(access))

    def _columnwise(self, access: Access) -> Columnwise:
        convex = replace(self.pieces, concave=None)
        return Columnwise(access, convex, self.bounds, self._steps, self.control.max_iter, self._unit, self._least_squares)

    def _for_concave(self, engine: Columnwise | Gramwise) -> Engine:
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
        return self._for_concave(engine)

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
        """The coefficients in the user's units; what the penalty set to 0 is 0."""
        return self.scaling.to_user(self.gamma(point))


def _centred(beta: Array, problem: Problem | Streamed, intercept: bool) -> Array:
    """Of a predictor for every class: the intercepts that sum to 0, among those that give the same probabilities."""
    if problem.reference is None and intercept:
        beta[0] -= beta[0].mean()
    return beta


def columns_of(problem: Problem | Streamed, spec: DesignSpec | None, intercept: bool, spread: bool) -> Columns:
    """The coefficients as penalties see them; ``spread`` asks for the columns' standard deviations, which cost a pass."""
    names = tuple(problem.design.names)
    free = (0,) if intercept else ()
    terms: dict[str, tuple[int, ...]]
    terms = {t: tuple(at) for t, at in term_columns(spec).items()} if spec is not None else {n: (j,) for j, n in enumerate(names) if j not in free}
    return Columns(names, terms, free, _spread(problem) if spread else np.ones(len(names)), {} if spec is None else _chains(spec, terms))


def _chains(spec: DesignSpec, terms: dict[str, tuple[int, ...]]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """For each factor that is a term by itself in treatment coding: its levels from the base upwards, and downwards."""
    out: dict[str, tuple[tuple[int, ...], ...]] = {}
    for node, factor in spec.factors:
        for name, at in terms.items():
            if len(at) == factor.count - 1 - factor.missing * 0 and name == _written(node) and factor.contrast == "treatment":
                below, above = at[: factor.base][::-1], at[factor.base : len(factor.levels) - 1]
                out[name] = tuple(chain for chain in (above, below) if chain)
    return out


def _written(node: Any) -> str:
    from etamu.design.parser import write

    return write(node)


def _spread(problem: Problem | Streamed) -> Array:
    """Weighted standard deviation of each column, by two sums over the rows about a value among them."""
    width = problem.design.width
    total, first, second = 0.0, np.zeros(width), np.zeros(width)
    about: Array | None = None
    for part in problem.batches():
        plain = part.design.standardised(None, None)  # type: ignore[arg-type]
        if any(isinstance(p, (Levels, Sparse)) for p in plain.parts) and width > 2_000:
            total, first, second = _sparse_moments(part, plain, total, first, second)
            about = np.zeros(width)
            continue
        for a in range(0, part.rows, 4096):
            rows = slice(a, min(a + 4096, part.rows))
            x: Array = plain.block(rows)
            w = part.vectors(rows)[1]
            about = np.asarray(x.mean(axis=0)) if about is None else about
            x -= about
            total += float(w.sum())
            first += w @ x
            second += w @ (x * x)
    return np.asarray(np.sqrt(np.maximum(second / total - (first / total) ** 2, 0.0)))


def _sparse_moments(part: Problem, design: Any, total: float, first: Array, second: Array) -> tuple[float, Array, Array]:
    """The same about 0, column part by column part, for designs too wide to be written out."""
    w = part.vectors(slice(0, part.rows))[1]
    for at, p in design.placed():
        if isinstance(p, Column):
            column = np.empty((part.rows, 1))
            p.read(slice(0, part.rows), column)
            first[at] += float(w @ column[:, 0])
            second[at] += float(w @ column[:, 0] ** 2)
        elif isinstance(p, Levels):
            slot = p.slots[p.codes]
            used = slot >= 0
            x = np.ones(part.rows) if p.times is None else np.asarray(p.times, dtype=float)
            first[at : at + len(p.names)] += np.bincount(slot[used], (w * x)[used], minlength=len(p.names))
            second[at : at + len(p.names)] += np.bincount(slot[used], (w * x * x)[used], minlength=len(p.names))
        else:
            row = np.repeat(np.arange(part.rows), np.diff(p.indptr))
            first[at : at + len(p.names)] += np.bincount(p.indices, w[row] * p.data, minlength=len(p.names))
            second[at : at + len(p.names)] += np.bincount(p.indices, w[row] * p.data**2, minlength=len(p.names))
    return total + float(w.sum()), first, second


def prepare(
    problem: Problem | Streamed, spec: DesignSpec | None, intercept: bool, penalty: Any, control: Control, rows: Rows | tuple[Array, Array] | None = None
) -> Prepared:
    """The problem as it is solved: standardised, with the penalty (as if its alpha were 1) and its constraints as bounds on that scale."""
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
        pieces, low, high = (pieces, None, None) if rows is None else _bounded(pieces, columns, rows)
    scaled, scaling = standardise(problem, intercept)
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
    solver, reason = _choose(scaled, own)
    return Prepared(scaled, scaling, own, bounds, intercept, control, solver, reason)


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


def _bounded(pieces: Pieces, columns: Columns, rows: Rows) -> tuple[Pieces, Array, Array]:
    """Constraints as bounds of coordinates: of coefficients, or of the differences of neighbouring levels, in which they may be written too.

    Raises NotBoundsError where they are neither.
    """
    alone = (rows.matrix != 0).sum(axis=1) <= 1
    touched = set(np.flatnonzero((rows.matrix[~alone] != 0).any(axis=0)).tolist())
    taken = {j for chain in pieces.chains for j in chain}
    for chains in columns.chains.values():
        if any(j in touched and j not in taken for chain in chains for j in chain):
            inside = [j for chain in chains for j in chain]
            if pieces.l1[inside].any() or any(set(g) & set(inside) for g in pieces.groups):
                raise NotBoundsError
            pieces = replace(pieces, chains=pieces.chains + chains)
    matrix = pieces.slopes_of_differences(rows.matrix.T).T
    low, high = np.full(columns.width, -np.inf), np.full(columns.width, np.inf)
    if (
        ((matrix != 0).sum(axis=1) > 1).any()
        or matrix[:, list(columns.free)].any()
        or any(set(g) & set(np.flatnonzero(matrix.any(axis=0))) for g in pieces.groups)
    ):
        raise NotBoundsError
    for row, lower, upper in zip(matrix, rows.lower, rows.upper):
        j = int(np.flatnonzero(row)[0]) if row.any() else -1
        if j < 0:
            continue
        ends = sorted((lower / row[j], upper / row[j]))
        low[j], high[j] = max(low[j], ends[0]), min(high[j], ends[1])
    return pieces, low, high


class NotBoundsError(SpecificationError):
    """Constraints that are no bounds of coordinates."""

    def __init__(self) -> None:
        super().__init__(
            "`constraints` together with this penalty are no bounds of coefficients or of differences of levels; leave the constrained terms out of the "
            "penalty (weights={'term': 0}), or fit one alpha at a time by em.glm(..., penalty=, constraints=)."
        )


def _asks_for_spread(penalty: Any) -> bool:
    return bool(getattr(penalty, "standardize", False)) or any(_asks_for_spread(p) for p in getattr(penalty, "parts", ()))


def _refuse_constant(penalty: Any, columns: Columns) -> None:
    """With standardize=True a column that does not vary has no scale."""
    if _asks_for_spread(penalty):
        flat = [n for j, n in enumerate(columns.names) if columns.spread[j] == 0 and j not in columns.free]
        if flat:
            raise SpecificationError(f"`standardize` divides by standard deviations, and column {flat[0]!r} does not vary; drop it.")


def _choose(problem: Problem | Streamed, pieces: Pieces) -> tuple[str, str]:
    """Which solver, and why."""
    p = len(pieces.l1)
    able = isinstance(problem, Problem) and problem.equations is None and pieces.separable and bool((pieces.l1 > 0).sum() > 0.5 * p)
    one_pass = p <= min(_ONE_PASS, problem.rows) and isinstance(problem.family, Gaussian) and problem.link is LINKS["identity"]
    stored = sum(isinstance(part, Column) for part in problem.design.parts)
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


def problem_size(problem: Problem | Streamed) -> int:
    """How many numbers X has."""
    return problem.rows * problem.design.width


def solve_at(prepared: Prepared, alpha: float) -> tuple[Point, Engine]:
    """The solution at one alpha: straight there, or column by column down a short path."""
    found = _by_sample(prepared, alpha)
    if found is not None:
        return found
    pieces = prepared.pieces
    straight = prepared.solver == "gramwise" and pieces.concave is None
    engine = prepared.engine(_near(prepared) if straight else None)
    if not straight:
        engine.begin()
    left = _ALONE[problem_size(prepared.problem) > _MANY]
    engine.left = left
    if straight or pieces.concave is not None or not pieces.l1.any():
        return engine.at(alpha), engine
    return _down_to(engine, alpha), engine


def _down_to(engine: Engine, alpha: float) -> Point:
    """The solution at alpha by rough ones at a few larger alphas."""
    first = engine.first_alpha()
    if alpha < first:
        count = int(min(_STEPS, 1 + math.ceil(math.log(first / max(alpha, 1e-12 * first)) / 0.4)))
        left, engine.left = engine.left, _ROUGH
        for a in alphas_from(first, count + 1, max(alpha, 1e-12 * first) / first)[1:-1]:
            engine.pass_by(float(a))
        engine.left = left
    return engine.at(alpha)


def _by_sample(prepared: Prepared, alpha: float) -> tuple[Point, Engine] | None:
    """For many rows of each column: the rough solution of a sample of the rows, and from there straight to the solution of all."""
    problem = prepared.problem
    if not isinstance(problem, Problem) or prepared.solver != "columnwise" or prepared.pieces.concave is not None or problem.within is not None:
        return None
    count = max(problem.rows // _SAMPLED, _SAMPLE_ROWS * problem.design.width)
    if 2 * count > problem.rows or not is_narrow(problem):
        return None
    some = _some_rows(problem, count)
    if some.weight is not None and not np.count_nonzero(some.weight) > 0.5 * count:  # the rows that count lie elsewhere
        return None
    rough = prepared.on(some).columns()
    rough.begin()
    rough.left = _ROUGH
    start = _down_to(rough, alpha * math.sqrt(problem.rows / count))  # below that a sample fits its own noise
    engine = prepared.columns(whole=True)
    engine.left = _ALONE_WHOLE
    engine.start(rough, replace(start, alpha=alpha))
    return engine.at(alpha), engine


def _some_rows(problem: Problem, count: int) -> Problem:
    """About so many of the rows, in stretches spread evenly over the whole."""
    stretch = 64
    starts = np.linspace(0, problem.rows - stretch, count // stretch).astype(np.int64)
    rows = (starts[:, None] + np.arange(stretch)).ravel()

    def some(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    design = replace(problem.design, parts=problem.design.over(lambda values: values[rows]), rows=len(rows))
    fields = {name: some(getattr(problem, name)) for name in ("y", "weight", "offset", "frequency")}
    return problem.change(design=design, **fields)


def _near(prepared: Prepared) -> Array | None:
    """For many rows the rough likelihood solution of a sample of them, which a penalised one is nearer to than the constant; else None."""
    problem, control = prepared.problem, prepared.control
    if problem.equations is not None or problem.design.width > _COLUMNWISE or prepared.quadratic or prepared.bounds.any:
        return None
    source = open_source(problem, control.threads)
    start = default_start(problem, source, prepared.intercept)
    near = np.asarray(approach(source, problem, start, control.information, control).beta, dtype=float)
    return near if np.isfinite(near).all() else start


def read_bounds(constraints: Any, built: Any) -> Any:
    """The rows of constraints on the coefficients of a design."""
    if constraints is None:
        return None
    from etamu.constraints import Box, bind, site_of
    from etamu.constraints.values import ends

    site = site_of(built.design.names, built.spec, built.intercept)
    if isinstance(constraints, Box):
        return ends(constraints, site)
    return bind(constraints, site).rows
