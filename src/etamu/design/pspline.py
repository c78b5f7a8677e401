"""``s(x)``: a penalised spline, B-splines on equally spaced knots in the coordinates in which their penalty is plain.

With B the B-splines (knots as mgcv's ``bs="ps"``), D the differences of neighbouring coefficients and c the mean of B over the rows, the
smooth is f = B a with c'a = 0 and penalty lambda |D a|^2.  Written as a = M b its penalty is lambda sum b_j^2 over all columns but the
first ``null``, which bend nothing: M comes from the singular values of D on {c'a = 0}.  In these columns the penalised information is as
well conditioned at lambda = 1e12 as it is at 1, and f, its degrees of freedom and lambda are what they are in any others.

References: Eilers & Marx (1996), Stat. Sci. 11, doi:10.1214/ss/1038425655; Wood (2017), *Generalized Additive Models*, 5.3.3 and 5.4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design.arithmetic import State
from etamu.design.moments import Moments
from etamu.design.parser import Node, write
from etamu.design.sketch import Sketch
from etamu.errors import DataError, counted

__all__ = ["PSpline"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_BEYOND = 0.001  # share of the range by which the knots reach over it on either side, as mgcv's


@dataclass(frozen=True)
class PSpline:
    """``s(x, df=20, degree=3, order=2)``: ``df`` B-splines of a degree, less the constant, so df - 1 columns; linear beyond the data.

    ``order`` is that of the differences that are penalised: as lambda grows the smooth becomes a polynomial of degree order - 1.
    Its mean over the rows is 0 (over a sketch of them beyond 65,536 distinct values, which no fitted value of a model with a constant
    depends on).

    >>> import etamu as em
    >>> em.encode("~ s(x, df=5)", {"x": [0.0, 1, 2, 3, 4, 5, 6, 7]}).names
    ['Intercept', 's(x, df=5)[1]', 's(x, df=5)[2]', 's(x, df=5)[3]', 's(x, df=5)[4]']
    """

    argument: Node
    df: int
    degree: int
    order: int

    moments = 0
    sketch = True

    @property
    def width(self) -> int:
        return self.df - 1

    @property
    def null(self) -> int:
        """How many columns, the first ones, the penalty leaves alone."""
        return max(self.order - 1, 0)

    def learn(self, moments: Moments, sketch: Sketch) -> State:
        if len(sketch.values) < self.df:
            name, some = write(self.argument), counted(len(sketch.values), "distinct value")
            raise DataError(f"`s({name}, df={self.df})` needs at least {self.df} distinct values and {name} has {some}; lower df.")
        bounds = (moments.low, moments.high)
        means = sketch.counts @ self._splines(sketch.values, bounds) / sketch.counts.sum()
        return {"bounds": bounds, "matrix": tuple(self._coordinates(means).ravel().tolist())}

    def shape(self) -> dict[str, int]:
        return {"bounds": 2, "matrix": self.df * self.width}

    def columns(self, x: Array, state: State) -> Array:
        return np.asarray(self._splines(x, state["bounds"]) @ np.reshape(state["matrix"], (self.df, self.width)))

    def _coordinates(self, means: Array) -> Array:
        """M, shape (df, df - 1): unpenalised directions first, then the others from the smoothest to the most wiggly."""
        free = np.linalg.qr(means[:, None], mode="complete")[0][:, 1:]
        size, directions = np.linalg.svd(np.diff(np.eye(self.df), n=self.order, axis=0) @ free)[1:]
        bent = self.width - self.null
        matrix = free @ np.concatenate([directions[bent:], directions[:bent][::-1] / size[:bent][::-1, None]]).T
        return np.asarray(matrix * np.where(matrix[-1] < 0, -1.0, 1.0))  # a trend that rises has a positive coefficient

    def _splines(self, x: Array, bounds: tuple[float, ...]) -> Array:
        """The B-splines at x, continued by their tangents beyond the outer knots."""
        from scipy.interpolate import BSpline

        low, high = bounds
        reach = _BEYOND * (high - low)
        step = (high - low + 2 * reach) / (self.df - self.degree)
        knots = np.linspace(low - reach - step * self.degree, high + reach + step * self.degree, self.df + self.degree + 1)
        ends = knots[[self.degree, -self.degree - 1]]
        spline = BSpline(knots, np.eye(self.df), self.degree, extrapolate=True)
        inside = np.clip(x, *ends)
        values = np.asarray(spline(inside))
        beyond = np.flatnonzero(inside != x)
        if len(beyond):
            values[beyond] += spline.derivative()(inside[beyond]) * (x - inside)[beyond, None]
        return values
