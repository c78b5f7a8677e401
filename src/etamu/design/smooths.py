"""The penalised terms of a learnt formula: which columns each smooth has, and what penalty is on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from etamu.design.algebra import Term
from etamu.design.coding import fully_coded
from etamu.design.declare import declare
from etamu.design.encode import term_columns
from etamu.design.parser import Node, write
from etamu.design.pspline import PSpline
from etamu.design.spec import DesignSpec
from etamu.design.terms import Formula
from etamu.errors import FormulaError

__all__ = ["Smooth", "has_smooths", "smooths"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Smooth:
    """One smooth: its name, the positions of its columns in the design, and how many of them, the first, are not penalised."""

    term: str
    columns: tuple[int, ...]
    null: int

    @property
    def diagonal(self) -> Array:
        """The penalty's diagonal: lambda sum_j diagonal_j b_j^2."""
        return np.array([float(j >= self.null) for j in range(len(self.columns))])

    @property
    def matrix(self) -> Array:
        """The penalty matrix S on the user's scale, shape (k, k): lambda b'S b; the basis is made so that it is diagonal."""
        return np.diag(self.diagonal)


def has_smooths(formula: Formula) -> bool:
    """Whether the formula has an ``s(x)``."""
    return any(isinstance(declare(v), PSpline) for v in formula.variables)


def smooths(spec: DesignSpec) -> tuple[Smooth, ...]:
    """Every smooth of a formula; a product with a factor has one for each column of the factor, with a lambda of its own.

    >>> from etamu.design.encode import learn
    >>> from etamu.design.frames import as_table
    >>> from etamu.design.smooths import smooths
    >>> from etamu.design.terms import read_formula
    >>> spec = learn(read_formula("~ g + s(x, df=4)"), as_table({"x": [1.0, 2, 3, 4], "g": ["u", "v", "v", "u"]}))
    >>> smooths(spec)
    (Smooth(term='s(x, df=4)', columns=(2, 3, 4), null=1),)
    """
    full = fully_coded(spec.formula.terms, spec.factor_of.keys(), spec.formula.intercept)
    placed = zip(spec.formula.terms, full, term_columns(spec).items(), strict=True)
    return tuple(smooth for term, whole, (name, columns) in placed for smooth in _of_term(spec, term, whole, name, columns))


def _of_term(spec: DesignSpec, term: Term, whole: frozenset[Node], name: str, columns: range) -> Iterator[Smooth]:
    own = [(v, found) for v in term if isinstance(found := declare(v), PSpline)]
    if not own:
        return
    variable, basis = own[0]
    others = [v for v in term if v != variable and v not in spec.factor_of and getattr(declare(v), "width", 1) > 1]
    if len(own) > 1 or others:
        other = own[1][0] if len(own) > 1 else others[0]
        raise FormulaError(f"formula: '{name}' is a product of s() and {write(other)}, which has no penalty here; multiply s() by factors or single columns.")
    factors = [v for v in term if v in spec.factor_of]
    cells = [cell[::-1] for cell in product(*(spec.factor_of[v].columns(v in whole) for v in reversed(factors)))]  # the first changes fastest
    for k, cell in enumerate(cells):  # the columns of a basis stand outside, the cells of factors within
        label = dict(zip(factors, cell, strict=True))
        yield Smooth(":".join(label.get(v, write(v)) for v in term), tuple(columns[k :: len(cells)]), basis.null)
