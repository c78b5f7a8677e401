"""Bases of one numeric variable: polynomials and splines, learnt from its distribution, R's numbers.

A basis is what the formula says (frozen) and what it learnt (a State of plain numbers); ``columns`` needs both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from etamu.design.arithmetic import State
from etamu.design.moments import Moments
from etamu.design.parser import Node, write
from etamu.design.pspline import PSpline
from etamu.design.sketch import Sketch
from etamu.errors import DataError

__all__ = ["BSpline", "Basis", "CubicRegression", "NaturalSpline", "PSpline", "Poly"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Poly:
    """R's ``poly``: orthonormal over the training data and to the constant, or plain powers with ``raw``."""

    argument: Node
    degree: int
    raw: bool

    @property
    def moments(self) -> int:
        return 0 if self.raw else self.degree

    sketch = False

    @property
    def width(self) -> int:
        return self.degree

    def learn(self, moments: Moments, sketch: Sketch) -> State:
        if self.raw:
            return {}
        narrow = replace(moments, factor=moments.factor[: self.degree + 1, : self.degree + 1])
        matrix = narrow.orthonormal()
        if matrix is None:
            raise DataError(f"`poly({write(self.argument)}, {self.degree})` needs more than {self.degree} distinct values; lower the degree.")
        return {"centre": (moments.centre,), "half": (moments.half,), "matrix": tuple(matrix.ravel().tolist())}

    def shape(self) -> dict[str, int]:
        return {} if self.raw else {"centre": 1, "half": 1, "matrix": (self.degree + 1) * self.degree}

    def columns(self, x: Array, state: State) -> Array:
        if self.raw:
            return np.asarray(x[:, None] ** np.arange(1, self.degree + 1))
        t = (x - state["centre"][0]) / state["half"][0]
        return np.asarray(chebvander(t, self.degree) @ np.reshape(state["matrix"], (self.degree + 1, self.degree)))


@dataclass(frozen=True)
class BSpline:
    """R's ``bs``: B-splines with inner knots at quantiles; beyond the bounds the end pieces go on as polynomials."""

    argument: Node
    df: int | None
    knots: tuple[float, ...] | None
    degree: int
    intercept: bool
    bounds: tuple[float, ...] | None

    moments = 0

    @property
    def sketch(self) -> bool:
        return self.df is not None

    @property
    def inner(self) -> int:
        return len(self.knots or ()) if self.df is None else self.df - self.degree - self.intercept

    @property
    def width(self) -> int:
        return self.inner + self.degree + self.intercept

    def learn(self, moments: Moments, sketch: Sketch) -> State:
        return _knots(self.argument, "bs", self.inner, self.knots, self.bounds, moments, sketch)

    def shape(self) -> dict[str, int]:
        return {"bounds": 2, "knots": self.inner}

    def columns(self, x: Array, state: State) -> Array:
        return np.asarray(_spline(state, self.degree)(x))[:, not self.intercept :]


@dataclass(frozen=True)
class NaturalSpline:
    """R's ``ns``: cubic, with second derivative 0 at the bounds and linear beyond them."""

    argument: Node
    df: int | None
    knots: tuple[float, ...] | None
    intercept: bool
    bounds: tuple[float, ...] | None

    moments = 0

    @property
    def sketch(self) -> bool:
        return self.df is not None

    @property
    def inner(self) -> int:
        return len(self.knots or ()) if self.df is None else max(self.df - 1 - self.intercept, 0)

    @property
    def width(self) -> int:
        return self.inner + 1 + self.intercept

    def learn(self, moments: Moments, sketch: Sketch) -> State:
        return _knots(self.argument, "ns", self.inner, self.knots, self.bounds, moments, sketch)

    def shape(self) -> dict[str, int]:
        return {"bounds": 2, "knots": self.inner}

    def columns(self, x: Array, state: State) -> Array:
        spline = _spline(state, 3)
        inside = np.clip(x, state["bounds"][0], state["bounds"][1])
        values = np.asarray(spline(inside))
        beyond = np.flatnonzero(inside != x)
        values[beyond] += spline.derivative()(inside[beyond]) * (x - inside)[beyond, None]
        bent = np.asarray(spline.derivative(2)(np.array(state["bounds"])))
        keep = slice(not self.intercept, None)
        free = np.linalg.qr(bent[:, keep].T, mode="complete")[0][:, 2:]
        return np.asarray(values[:, keep] @ free)


@dataclass(frozen=True)
class CubicRegression:
    """``cr(x, df=k)``: a natural cubic spline by its values at k + 1 knots, less one direction, so it has k columns.

    Knots are quantiles of the distinct values, the first and last the extremes.  The spline's mean over the training
    data is 0 in every column (the constraint is absorbed by QR, as in mgcv), which leaves the constant to the intercept.
    Beyond the knots it is linear.
    """

    argument: Node
    df: int

    moments = 0
    sketch = True

    @property
    def width(self) -> int:
        return self.df

    def learn(self, moments: Moments, sketch: Sketch) -> State:
        if len(sketch.values) <= self.df:
            raise DataError(f"`cr({write(self.argument)}, df={self.df})` needs more than {self.df} distinct values, not {len(sketch.values)}; lower df.")
        distinct = Sketch(sketch.values, np.ones_like(sketch.counts))
        knots = distinct.quantiles(np.linspace(0, 1, self.df + 1))
        knots[0], knots[-1] = moments.low, moments.high
        values = _cardinal(sketch.values, knots)
        return {"knots": tuple(knots.tolist()), "means": tuple((sketch.counts @ values / sketch.counts.sum()).tolist())}

    def shape(self) -> dict[str, int]:
        return {"knots": self.df + 1, "means": self.df + 1}

    def columns(self, x: Array, state: State) -> Array:
        free = np.linalg.qr(np.array(state["means"])[:, None], mode="complete")[0][:, 1:]
        return np.asarray(_cardinal(x, np.array(state["knots"])) @ free)


Basis = Poly | BSpline | NaturalSpline | CubicRegression | PSpline


def _knots(
    argument: Node, function: str, inner: int, knots: tuple[float, ...] | None, bounds: tuple[float, ...] | None, moments: Moments, sketch: Sketch
) -> State:
    low, high = bounds or (moments.low, moments.high)
    name = f"{function}({write(argument)})"
    if knots is None:
        within = sketch.between(low, high)
        if inner and not len(within.values):
            raise DataError(f"`{name}` has no value between its bounds {low:g} and {high:g}; widen them.")
        knots = tuple(within.quantiles(np.linspace(0, 1, inner + 2)[1:-1]).tolist()) if inner else ()
    if not low < high:
        raise DataError(f"`{name}` needs more than one distinct value; remove the term.")
    for knot in knots:
        if not low < knot < high:
            raise DataError(f"`{name}` has a knot at {knot:g}, not inside its bounds {low:g} and {high:g}; give other knots= or bounds=, or a lower df.")
    return {"bounds": (low, high), "knots": knots}


def _spline(state: State, degree: int) -> Any:
    """All B-splines at once, as a scipy spline with the identity for coefficients."""
    from scipy.interpolate import BSpline as ScipySpline

    low, high = state["bounds"]
    knots = np.array([low] * (degree + 1) + list(state["knots"]) + [high] * (degree + 1))
    return ScipySpline(knots, np.eye(len(knots) - degree - 1), degree, extrapolate=True)


def _cardinal(x: Array, knots: Array) -> Array:
    """The natural cubic splines that are 1 at one knot and 0 at the others (Wood 2017, section 5.3.1)."""
    h = np.diff(knots)
    count = len(knots)
    bend = np.zeros((count, count))  # second derivatives at the knots, from the values there
    if count > 2:
        difference = np.zeros((count - 2, count))
        inner = np.arange(count - 2)
        difference[inner, inner] = 1 / h[:-1]
        difference[inner, inner + 1] = -1 / h[:-1] - 1 / h[1:]
        difference[inner, inner + 2] = 1 / h[1:]
        band = np.diag((h[:-1] + h[1:]) / 3) + np.diag(h[1:-1] / 6, 1) + np.diag(h[1:-1] / 6, -1)
        bend[1:-1] = np.linalg.solve(band, difference)
    inside = np.clip(x, knots[0], knots[-1])
    at = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, count - 2)
    rows, left, right, step = np.arange(len(x)), knots[at + 1] - inside, inside - knots[at], h[at]
    beyond = x - inside
    out = np.zeros((len(x), count))
    out[rows, at] = (left - beyond) / step
    out[rows, at + 1] = (right + beyond) / step
    out += ((left**3 / step - step * left) / 6 + beyond * (step / 6 - left**2 / (2 * step)))[:, None] * bend[at]
    out += ((right**3 / step - step * right) / 6 + beyond * (right**2 / (2 * step) - step / 6))[:, None] * bend[at + 1]
    return out
