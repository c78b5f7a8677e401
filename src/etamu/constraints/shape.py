"""Constraints on the shape of an effect: monotone, convex or concave in a factor's levels, along a spline, or in a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.constraints.bind import Bound, Site, number
from etamu.constraints.curves import Curve, curve_of
from etamu.design.coding import fully_coded
from etamu.design.declare import Arithmetic, Category, Column, columns_of, declare
from etamu.design.parser import Node, write
from etamu.errors import SpecificationError, chosen, unknown

__all__ = ["Concave", "Convex", "Monotone"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Monotone:
    """An effect that only rises, or only falls.

    For a factor: from each level to the next, in their order (text sorted, or the column's own order), the base level's effect
    taken as the coding says (0 under treatment contrasts); a level for missing values is left out.  For ``bs``, ``ns``, ``cr``,
    ``poly``: the slope of the curve over the range it has learnt.  For a number: the sign of its coefficient.

    Along a curve, which is a polynomial between knots, the slope's Bernstein coefficients on eighths of every interval must not be
    negative.  That is sufficient everywhere in the range, not at grid points only, and all but necessary: what it forbids beyond
    the shape shrinks with the square of an eighth.

    Parameters
    ----------
    term : the term as it is written, or the variable in it (``"age"`` for ``bs(age, df=5)``).
    direction : "increasing" or "decreasing".
    between : for curves, (low, high) instead of the learnt range; needed for ``poly(x, k, raw=True)``, which learns none.

    References
    ----------
    Barlow, Bartholomew, Bremner & Brunk (1972), *Statistical Inference under Order Restrictions*; Lorentz (1986), *Bernstein
    Polynomials*.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"g": ["a", "b", "c", "d"] * 2, "y": [1.0, 3, 2, 4, 1, 3, 2, 4]}
    >>> em.glm("y ~ g", data, constraints=em.Monotone("g")).coef.round(10)
    array([1. , 1.5, 1.5, 3. ])
    """

    term: str
    direction: str = "increasing"
    between: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_term("Monotone", self.term, self.between)
        chosen("direction", self.direction, ["increasing", "decreasing"])

    def rows(self, site: Site) -> Bound:
        """One row per step between levels, or per coefficient of the slope."""
        sign = 1.0 if self.direction == "increasing" else -1.0
        found = _rows(site, self.term, 1, sign, self.between, self.direction)
        return Bound.of("Monotone", found, site.width)


@dataclass(frozen=True)
class Convex:
    """An effect whose slope only rises; :class:`Concave` one whose slope only falls.

    For a factor: second differences over its levels, taken as equally spaced.  For a curve the second derivative, as
    :class:`Monotone` does the first; for cubic splines it is a broken line, so that the conditions are exact.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"x": [0.0, 1, 2, 3, 4], "y": [0.0, 3, 4, 4.5, 8]}
    >>> fit = em.glm("y ~ bs(x, df=4)", data, constraints=em.Convex("x"))
    >>> fit.predict({"x": [0, 2, 4]}).round(3)
    array([0.693, 3.57 , 7.914])
    """

    term: str
    between: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_term(type(self).__name__, self.term, self.between)

    def rows(self, site: Site) -> Bound:
        """One row per second difference, or per coefficient of the second derivative."""
        concave = isinstance(self, Concave)
        found = _rows(site, self.term, 2, -1.0 if concave else 1.0, self.between, "concave" if concave else "convex")
        return Bound.of("Concave" if concave else "Convex", found, site.width)


@dataclass(frozen=True)
class Concave(Convex):
    """An effect whose slope only falls; see :class:`Convex`.

    Examples
    --------
    >>> import etamu as em
    >>> data = {"g": ["a", "b", "c"], "y": [0.0, 1, 4]}
    >>> em.glm("y ~ g", data, constraints=em.Concave("g")).coef.round(10)
    array([-0.33333333,  2.        ,  4.        ])
    """


def _check_term(what: str, term: Any, between: Any) -> None:
    if not isinstance(term, str):
        raise SpecificationError(f"`term` of {what} is {term!r}; pass the name of a term or a variable.")
    if between is None:
        return
    if not isinstance(between, (tuple, list)) or len(between) != 2:
        raise SpecificationError(f"`between` of {what} is {between!r}; pass (low, high).")
    low, high = (number("between", end) for end in between)
    if not low < high:
        raise SpecificationError(f"`between` of {what} is {between!r}; low must be below high.")


def _rows(site: Site, name: str, order: int, sign: float, between: Any, word: str) -> list[tuple[Array, float, float, str]]:
    """Rows that say that the ``order``-th difference or derivative of an effect, times ``sign``, is not negative."""
    at, effect, label = _effect(site, name)
    if between is not None and not isinstance(effect, Curve):
        raise SpecificationError(f"`between` goes with a curve, and {label!r} is none; drop it.")
    if isinstance(effect, _Coded):
        found = effect.steps(order, sign)
    elif isinstance(effect, Curve):
        found = effect.conditions(order, sign, between, word)
    elif order == 2:
        raise SpecificationError(f"`{label}` enters as a line, which is convex and concave; use Monotone or Sign, or a spline of it.")
    else:
        found = [(np.ones(1), f"{label} {'>=' if sign > 0 else '<='} 0")]
    if not found:
        raise SpecificationError(f"`{label}` leaves nothing to be {word}: it has too few levels, or too low a degree; drop the constraint.")
    out = []
    for row, text in found:
        whole = np.zeros(site.width)
        whole[list(at)] = sign * row
        out.append((whole, 0.0, np.inf, text))
    return out


@dataclass(frozen=True)
class _Coded:
    """A factor's effect by level: levels' names, and the values of its columns, (levels, columns)."""

    label: str
    names: tuple[str, ...]
    matrix: Array

    def steps(self, order: int, sign: float) -> list[tuple[Array, str]]:
        """Differences between neighbouring levels, with their words."""
        rows = np.diff(self.matrix, n=order, axis=0)
        sharp = "<=" if sign > 0 else ">="
        shown = [f"{self.label}[{name}]" for name in self.names]
        if order == 1:
            return [(row, f"{a} {sharp} {b}") for row, a, b in zip(rows, shown, shown[1:])]
        return [(row, f"2 {b} {sharp} {a} + {c}") for row, a, b, c in zip(rows, shown, shown[1:], shown[2:])]


def _effect(site: Site, name: str) -> tuple[Sequence[int], Any, str]:
    """The columns of an effect, what kind it is, and its name: a factor's, a curve's, or None for a number's."""
    if site.spec is None:
        if name in site.names and site.names.index(name) != site.intercept:
            return [site.names.index(name)], None, name
        raise unknown("term", name, [n for j, n in enumerate(site.names) if j != site.intercept])
    spec = site.spec
    wholes = fully_coded(spec.formula.terms, spec.factor_of.keys(), spec.formula.intercept)
    single = {write(term[0]): (term[0], whole) for term, whole in zip(spec.formula.terms, wholes) if len(term) == 1}
    label = _chosen(site, name, {text: node for text, (node, _) in single.items()})
    node, whole = single[label]
    _refuse_spread(site, label, node)
    return site.terms[label], _kind(site, node, whole), label


def _chosen(site: Site, name: str, single: dict[str, Node]) -> str:
    """The term that a name means: as it is written, or the only one of its variable."""
    if name in single:
        return name
    own = [text for text, node in single.items() if columns_of(node) == [name]]
    if len(own) == 1:
        return own[0]
    if own:
        raise SpecificationError(f"`term` {name!r} is in several terms ({', '.join(own)}), whose sum is the effect; use one term, or em.Linear.")
    if name in site.terms:
        raise SpecificationError(f"`term` {name!r} is an interaction, whose effect has no one shape; constrain its coefficients with em.Linear or em.Box.")
    variables = [n for node in single.values() for n in columns_of(node) if len(columns_of(node)) == 1]
    raise unknown("term", name, dict.fromkeys([*single, *variables]))


def _refuse_spread(site: Site, label: str, node: Node) -> None:
    """An effect that other terms share in has no shape of its own."""
    assert site.spec is not None
    own = set(columns_of(node))
    others = [text for text, term in zip(site.terms, site.spec.formula.terms) if text != label and any(own & set(columns_of(v)) for v in term)]
    if others:
        raise SpecificationError(
            f"`term` {label!r} is not all there is of {', '.join(sorted(own))}, which is also in {', '.join(others)}; leave that out, or use em.Linear."
        )


def _kind(site: Site, node: Node, whole: frozenset[Node]) -> Any:
    assert site.spec is not None
    factor = site.spec.factor_of.get(node)
    if factor is not None:
        ordered = len(factor.levels)
        return _Coded(factor.label, tuple(factor.names[:ordered]), factor.coded(node in whole)[:ordered])
    found = declare(node)
    if isinstance(found, (Column, Arithmetic)):
        return None
    assert not isinstance(found, Category)
    return curve_of(found, site.spec.state_of[node], write(node))
