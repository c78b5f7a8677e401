"""Linear equations and inequalities between coefficients, as text or as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.constraints.bind import Bound, Site
from etamu.constraints.relations import read_relations
from etamu.errors import LengthError, SpecificationError

__all__ = ["Linear"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Linear:
    """Linear constraints: texts such as ``"a + b = 1"``, ``"2*a - c <= 3"``, ``"0 <= a <= b"``, or a matrix with bounds.

    ``Linear(A, lower, upper)`` says lower <= A b <= upper with A of shape (m, p), one column per coefficient in the order of
    ``fit.names``; either bound may be left out, and rows whose bounds agree are equations.

    References
    ----------
    Aitchison & Silvey (1958), Ann. Math. Statist. 29, doi:10.1214/aoms/1177706538.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0], "y": [1.0, 1, 3, 3]}
    >>> fit = em.glm("y ~ a + b", data, constraints=em.Linear("a + b = 1"))
    >>> fit.coef.round(4), float(fit.coef[1:].sum().round(12))
    (array([0.75, 0.75, 0.25]), 1.0)
    """

    texts: tuple[str, ...]
    matrix: Array | None
    lower: Array | None
    upper: Array | None

    def __init__(self, *given: Any, lower: Any = None, upper: Any = None) -> None:
        if given and all(isinstance(text, str) for text in given):
            if lower is not None or upper is not None:
                raise SpecificationError("`lower` and `upper` of Linear go with a matrix; write the bounds into the text, such as 'a + b <= 1'.")
            self._set(tuple(given), None, None, None)
        elif given and len(given) <= 3 and not isinstance(given[0], str):
            ends = [*given[1:], None, None][:2]
            if any(a is not None and b is not None for a, b in zip(ends, (lower, upper))):
                raise SpecificationError("`Linear` has a bound twice; pass it by place or by name.")
            matrix = np.atleast_2d(_numbers("Linear", given[0]))
            low, high = (_end(name, a if a is not None else b, matrix) for name, a, b in zip(("lower", "upper"), ends, (lower, upper)))
            self._set((), matrix, low, high)
            self._check()
        else:
            raise SpecificationError(f"`Linear` takes texts such as 'a + b = 1', or a matrix with lower= and upper=, not {given!r}.")

    def _set(self, texts: tuple[str, ...], matrix: Array | None, lower: Array | None, upper: Array | None) -> None:
        for name, value in (("texts", texts), ("matrix", matrix), ("lower", lower), ("upper", upper)):
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        assert self.matrix is not None
        assert self.lower is not None
        assert self.upper is not None
        if not np.isfinite(self.matrix).all():
            raise SpecificationError("`Linear` has a matrix with numbers that are not finite; pass finite ones.")
        empty, wrong = ~self.matrix.any(axis=1), ~(self.lower <= self.upper) | (self.lower == np.inf) | (self.upper == -np.inf)
        if empty.any():
            raise SpecificationError(f"`Linear` restricts no coefficient in row {int(np.argmax(empty))}; drop the row.")
        if wrong.any():
            k = int(np.argmax(wrong))
            raise SpecificationError(f"`Linear` has lower {self.lower[k]:g} and upper {self.upper[k]:g} in row {k}, which no number meets; swap them.")
        if not (np.isfinite(self.lower) | np.isfinite(self.upper)).any():
            raise SpecificationError("`Linear` has a matrix without bounds; pass lower=, upper= or both.")

    def __repr__(self) -> str:
        return f"Linear({', '.join(map(repr, self.texts))})" if self.matrix is None else f"Linear({len(self.matrix)} rows)"

    def rows(self, site: Site) -> Bound:
        """One row per relation, or per row of the matrix that has a bound."""
        if self.matrix is None:
            return Bound.of("Linear", read_relations(self.texts, site.names), site.width)
        assert self.lower is not None
        assert self.upper is not None
        if self.matrix.shape[1] != site.width:
            raise LengthError(
                f"`Linear` has {self.matrix.shape[1]} columns but the model has {site.width} coefficients; pass one column for each, the intercept's first."
            )
        ends = zip(self.matrix, self.lower, self.upper)
        found = [(row, low, high, f"row {k} of the matrix") for k, (row, low, high) in enumerate(ends) if np.isfinite(low) or np.isfinite(high)]
        return Bound.of("Linear", found, site.width)


def _numbers(name: str, given: Any) -> Array:
    try:
        out = np.array(given, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"`{name}` is a {type(given).__name__} that holds no numbers; pass a matrix or texts such as 'a + b = 1'.") from None
    if out.ndim > 2:
        raise SpecificationError(f"`{name}` has {out.ndim} dimensions; pass a matrix of shape (m, p).")
    return out


def _end(name: str, given: Any, matrix: Array) -> Array:
    if given is None:
        return np.full(len(matrix), -np.inf if name == "lower" else np.inf)
    values = _numbers(name, given)
    if values.ndim == 0:
        values = np.full(len(matrix), float(values))
    if values.shape != (len(matrix),):
        raise LengthError(f"`{name}` of Linear has shape {values.shape} but the matrix has {len(matrix)} rows; pass one number per row.")
    if np.isnan(values).any():
        raise SpecificationError(f"`{name}` of Linear is nan in row {int(np.argmax(np.isnan(values)))}; pass a number, or an infinity where there is no bound.")
    return values
