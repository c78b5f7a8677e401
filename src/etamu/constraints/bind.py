"""From constraints to rows on the coefficients of one design, and from rows that clash back to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from etamu.design.encode import DesignSpec, term_columns
from etamu.errors import SpecificationError, UnknownNameError, unknown
from etamu.solvers.polyhedron import Contradiction, Rows, contradiction

__all__ = ["Bound", "Constraint", "Site", "bind", "clash", "number", "refuse_wishes", "site_of"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Site:
    """What constraints bind to: coefficients by name, terms by name, the intercept's place if there is one, and the formula's spec."""

    names: tuple[str, ...]
    terms: Mapping[str, Sequence[int]]
    intercept: int | None = None
    spec: DesignSpec | None = None

    @property
    def width(self) -> int:
        return len(self.names)

    def positions(self, argument: str, name: object) -> list[int]:
        """The columns of a coefficient or of a term; the error lists the nearest names."""
        if isinstance(name, str) and name in self.names:
            return [self.names.index(name)]
        if isinstance(name, str) and name in self.terms:
            return list(self.terms[name])
        raise self.unknown(argument, name)

    def unknown(self, argument: str, name: object) -> UnknownNameError:
        """The error for a name that is neither a coefficient's nor a term's."""
        return unknown(argument, name, dict.fromkeys([*self.names, *self.terms]))


def site_of(names: Sequence[str], spec: DesignSpec | None, intercept: bool) -> Site:
    """The site of a design: with a formula its terms, else the columns themselves."""
    terms: Mapping[str, Sequence[int]] = {} if spec is None else term_columns(spec)
    return Site(tuple(names), terms, 0 if intercept else None, spec)


@dataclass(frozen=True)
class Bound:
    """Rows on the user's coefficients, each with the words for it and the name of the constraint that it is of."""

    rows: Rows
    descriptions: tuple[str, ...]
    sources: tuple[str, ...]

    @staticmethod
    def of(source: str, found: Sequence[tuple[Array, float, float, str]], width: int) -> Bound:
        """From (row, lower, upper, words)."""
        matrix = np.array([row for row, *_ in found]) if found else np.zeros((0, width))
        ends = np.array([(low, high) for _, low, high, _ in found]).reshape(-1, 2)
        return Bound(Rows(matrix, ends[:, 0].copy(), ends[:, 1].copy()), tuple(text for *_, text in found), (source,) * len(found))

    def __add__(self, other: Bound) -> Bound:
        a, b = self.rows, other.rows
        rows = Rows(np.vstack([a.matrix, b.matrix]), np.concatenate([a.lower, b.lower]), np.concatenate([a.upper, b.upper]))
        return Bound(rows, self.descriptions + other.descriptions, self.sources + other.sources)

    def take(self, index: Sequence[int]) -> Bound:
        """Some of the rows."""
        return Bound(self.rows.take(index), tuple(self.descriptions[k] for k in index), tuple(self.sources[k] for k in index))

    def without(self, site: Site, kept: Sequence[int]) -> Bound:
        """The rows that some coefficients alone are in; an error where a row needs one that is aliased."""
        gone = np.setdiff1d(np.arange(site.width), np.asarray(kept, dtype=int))
        lost = self.rows.matrix[:, gone] != 0
        if lost.any():
            k = int(np.argmax(lost.any(axis=1)))
            name = site.names[gone[int(np.argmax(lost[k]))]]
            raise SpecificationError(
                f"`constraints` {self.descriptions[k]!r} needs the coefficient {name!r}, which is aliased (its column is a combination of others); "
                "drop the column, or the constraint."
            )
        return Bound(Rows(self.rows.matrix[:, list(kept)], self.rows.lower, self.rows.upper), self.descriptions, self.sources)


@runtime_checkable
class Constraint(Protocol):
    """Anything that gives rows on the coefficients of a site."""

    def rows(self, site: Site) -> Bound:
        """The rows."""
        ...


def bind(given: Any, site: Site) -> Bound:
    """All rows of a constraint, of a text, or of a list of these that hold together; contradictory ones are an error that names them.

    >>> from etamu.constraints import Box, Site, bind
    >>> found = bind([Box(lower=0), "x1 + x2 = 1"], Site(("Intercept", "x1", "x2"), {}, 0))
    >>> found.descriptions
    ('x1 >= 0', 'x2 >= 0', 'x1 + x2 = 1')
    """
    from etamu.constraints.linear import Linear

    out = Bound.of("", [], site.width)
    for one in given if isinstance(given, (list, tuple)) else [given]:
        constraint = Linear(one) if isinstance(one, str) else one
        if isinstance(constraint, type) or not isinstance(constraint, Constraint):
            what = getattr(constraint, "__name__", type(constraint).__name__)
            raise SpecificationError(
                f"`constraints` holds a {what}; pass em.Box, em.Linear, em.Sign, em.Fixed, em.Monotone, em.Convex, text, or a list of these."
            )
        out += constraint.rows(site)
    found = contradiction(out.rows) if len(out.rows) else ()
    if found:
        raise clash(out, found)
    return out


def refuse_wishes(multinomial: bool, bias: Any, ridge: Any, separated: str, solver: Any) -> None:
    """Other arguments of a fit that constraints do not go with."""
    if multinomial:
        raise SpecificationError(
            "`constraints` are on the coefficients of one linear predictor, and a multinomial fit has one per class; fit the classes by binomial."
        )
    if bias is not None:
        raise SpecificationError("`constraints` and `bias` do not go together: the adjusted score is that of no function to be minimised; drop one of them.")
    if ridge is not None:
        raise SpecificationError("`constraints` and `ridge` do not go together; pass the penalty as penalty=, or drop one of them.")
    if separated != "report":
        raise SpecificationError(f"`separated` {separated!r} is of the fit without constraints; drop it, or bound the coefficients that diverge.")
    if not (isinstance(solver, str) and solver == "auto"):
        raise SpecificationError(f"`solver` is {solver!r}, but constraints have a solver of their own; leave it at 'auto'.")


def clash(bound: Bound, error: Contradiction | Sequence[int]) -> SpecificationError:
    """The error for rows that cannot hold together."""
    rows = error.rows if isinstance(error, Contradiction) else error
    shown = [f"{bound.descriptions[k]} ({bound.sources[k]})" for k in rows]
    if len(shown) == 1:
        return SpecificationError(f"`constraints` {shown[0]} holds for no coefficients; drop or change it.")
    listed = ", ".join(shown[:-1]) + " and " + shown[-1]
    return SpecificationError(f"`constraints` contradict each other: {listed} cannot hold together, though all but any one of them can; drop or loosen one.")


def number(argument: str, value: Any, infinite: bool = False) -> float:
    """A number that a user gave, finite unless ``infinite`` ones are fine too."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)) or np.iscomplexobj(value):
        raise SpecificationError(f"`{argument}` is {value!r}; pass a number.")
    if np.isnan(value) or (not infinite and np.isinf(value)):
        raise SpecificationError(f"`{argument}` is {float(value)}; pass a {'number' if infinite else 'finite number'}.")
    return float(value)
