"""Encode any table as a learnt formula says: numeric columns in place, factors as codes, nothing expanded.

The learnt :class:`DesignSpec` holds the levels of every factor and the constants of every function, so prediction can
never drift from the fit: a level that was not seen is an error that names it, unless ``unseen`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from etamu.design.algebra import Term
from etamu.design.arithmetic import evaluate
from etamu.design.coding import fully_coded
from etamu.design.columns import Column, Design, Levels, Part
from etamu.design.declare import Arithmetic, Category, category_of, declare
from etamu.design.declare import Column as Named
from etamu.design.factors import Factor, codes_of
from etamu.design.frames import Table
from etamu.design.learn import Scan, learn
from etamu.design.parser import Node, write
from etamu.design.spec import DesignSpec
from etamu.errors import DataError, FormulaError

__all__ = ["DesignSpec", "Encoder", "Factor", "Scan", "encode", "learn", "offset_of", "term_columns", "weights_of"]

Array = np.ndarray[Any, Any]
Numeric = tuple[str, Array]  # a column's name and values
MOST_CELLS = 2**31
MOST_COLUMNS = 2**24


def encode(spec: DesignSpec, table: Table, *, unseen: str = "raise") -> Design:
    """The design of a table: the constant, then the parts of each term.

    ``unseen`` levels: "raise", "base" (the first level stands in), or "missing" (the level for missing values does).

    >>> from etamu.design.encode import encode, learn
    >>> from etamu.design.frames import as_table
    >>> from etamu.design.terms import read_formula
    >>> table = as_table({"x": [1.0, 2, 3], "g": ["u", "v", "v"]})
    >>> encode(learn(read_formula("~ x:g"), table), table).names
    ['Intercept', 'x:g[u]', 'x:g[v]']
    """
    return Encoder(spec)(table, unseen)


class Encoder:
    """A learnt formula, ready for any number of tables: what does not depend on their rows is worked out once.

    >>> from etamu.design.encode import Encoder, learn
    >>> from etamu.design.frames import as_table
    >>> from etamu.design.terms import read_formula
    >>> encoder = Encoder(learn(read_formula("~ g"), as_table({"g": ["u", "v"]})))
    >>> [encoder(as_table({"g": labels})).parts[1].codes.tolist() for labels in (["v", "u"], ["v"])]
    [[1, 0], [1]]
    """

    def __init__(self, spec: DesignSpec) -> None:
        self.spec = spec
        full = fully_coded(spec.formula.terms, spec.factor_of.keys(), spec.formula.intercept)
        self._terms = [_Term(spec, term, whole) for term, whole in zip(spec.formula.terms, full, strict=True)]
        self._apart: bool | None = None  # whether all names are different, once a table has shown them

    def __call__(self, table: Table, unseen: str = "raise") -> Design:
        reading = _Reading(self.spec, table, unseen)
        parts: list[Part] = [Column("Intercept")] if self.spec.formula.intercept else []
        for term in self._terms:
            parts += term.parts(reading)
        if self._apart is None:
            names = [name for part in parts for name in part.names]
            self._apart = len(set(names)) == len(names)
        return Design(tuple(parts if self._apart else _named_apart(parts)), table.rows)


def term_columns(spec: DesignSpec) -> dict[str, range]:
    """Which columns of the design each term has, by the term as it is written; the constant belongs to none.

    >>> from etamu.design.encode import learn, term_columns
    >>> from etamu.design.frames import as_table
    >>> from etamu.design.terms import read_formula
    >>> term_columns(learn(read_formula("~ x * g"), as_table({"x": [1.0, 2, 3], "g": ["u", "v", "v"]})))
    {'x': range(1, 2), 'g': range(2, 3), 'x:g': range(3, 4)}
    """
    out: dict[str, range] = {}
    at = int(spec.formula.intercept)
    full = fully_coded(spec.formula.terms, spec.factor_of.keys(), spec.formula.intercept)
    for term, whole in zip(spec.formula.terms, full, strict=True):
        width = prod(_variable_width(spec, v, v in whole) for v in term)
        out[_joined(term, {})] = range(at, at + width)
        at += width
    return out


def _variable_width(spec: DesignSpec, variable: Node, whole: bool) -> int:
    if variable in spec.factor_of:
        return len(spec.factor_of[variable].columns(whole))
    found = declare(variable)
    assert not isinstance(found, Category)  # it would be among the factors
    return 1 if isinstance(found, (Named, Arithmetic)) else found.width


class _Term:
    """One term: numeric columns on the outside, the cells of its factors within."""

    def __init__(self, spec: DesignSpec, term: Term, full: frozenset[Node]) -> None:
        self.term = term
        self.factors = [v for v in term if v in spec.factor_of]
        self.numeric = [v for v in term if v not in spec.factor_of]
        self.cells = _Cells.of(term, [spec.factor_of[v] for v in self.factors], [v in full for v in self.factors]) if self.factors else None
        self._labels: dict[tuple[str, ...], tuple[str, ...]] = {}  # of the cells' columns, by the names of the numeric ones

    def parts(self, reading: _Reading) -> Iterator[Part]:
        coded = [reading.codes(v) for v in self.factors]
        codes = None if self.cells is None else self.cells.join(coded)
        for columns in _first_fastest([reading.columns(v) for v in self.numeric]):
            names = tuple(name for name, _ in columns)
            times = _times([values for _, values in columns])
            if self.cells is None or codes is None:
                assert times is not None
                yield Column(self._joined(names, ()), times)
            else:
                yield from self.cells.parts(codes, times, coded, self._names(names))

    def _names(self, numeric: tuple[str, ...]) -> tuple[str, ...]:
        assert self.cells is not None
        if numeric not in self._labels:
            self._labels[numeric] = tuple(self._joined(numeric, labels) for labels in _first_fastest(self.cells.names))
        return self._labels[numeric]

    def _joined(self, numeric: tuple[str, ...], labels: tuple[str, ...]) -> str:
        return _joined(self.term, dict(zip(self.numeric, numeric)) | dict(zip(self.factors, labels)))


class _Reading:
    """One table on its way through the terms; a variable is read once, however many terms it is in."""

    def __init__(self, spec: DesignSpec, table: Table, unseen: str) -> None:
        self.spec, self.table, self.unseen = spec, table, unseen
        self._codes: dict[Node, Array] = {}
        self._numeric: dict[Node, list[Numeric]] = {}

    def codes(self, variable: Node) -> Array:
        if variable not in self._codes:
            self._codes[variable] = codes_of(category_of(variable), self.spec.factor_of[variable], self.table, self.unseen)
        return self._codes[variable]

    def columns(self, variable: Node) -> list[Numeric]:
        if variable not in self._numeric:
            self._numeric[variable] = self._read(variable)
        return self._numeric[variable]

    def _read(self, variable: Node) -> list[Numeric]:
        name = write(variable)
        match declare(variable):
            case Named():
                return [(name, evaluate(variable, self.table))]  # in place; nan is told later, by row
            case Arithmetic(node):
                values = evaluate(node, self.table, self.spec.state_of)
                refuse_invalid(values, name)
                return [(name, values)]
            case Category():
                raise AssertionError(name)
            case basis:
                x = np.asarray(evaluate(basis.argument, self.table), dtype=float)
                refuse_invalid(x, write(basis.argument))
                with np.errstate(all="ignore"):
                    values = np.asfortranarray(basis.columns(x, self.spec.state_of[variable]))
                refuse_invalid(values.sum(axis=1), name)
                return [(f"{name}[{j + 1}]", values[:, j]) for j in range(basis.width)]


class _Cells:
    """The cells of a term's factors, first factor fastest: the columns they make and the code of each."""

    def __init__(self, factors: Sequence[Factor], full: Sequence[bool], names: Sequence[list[str]]) -> None:
        self.counts, self.names, self._factors, self._full = [f.count for f in factors], names, factors, full

    @staticmethod
    def of(term: Term, factors: Sequence[Factor], full: Sequence[bool]) -> _Cells:
        counts = [f.count for f in factors]
        if prod(counts) > MOST_CELLS:
            raise FormulaError(f"formula: '{_joined(term, {})}' has {prod(counts)} cells; the limit is {MOST_CELLS}. Join levels or leave the term out.")
        names = [f.columns(whole) for f, whole in zip(factors, full)]
        width = prod(map(len, names))
        if width > MOST_COLUMNS:
            raise FormulaError(f"formula: '{_joined(term, {})}' has {width} columns; the limit is {MOST_COLUMNS}. Join levels or leave the term out.")
        return _Cells(factors, full, names)

    def join(self, codes: Sequence[Array]) -> Array:
        """One code per row: its cell."""
        if len(codes) == 1:
            return codes[0]
        kind = np.min_scalar_type(prod(self.counts) - 1)
        out = codes[-1].astype(kind)
        for count, code in zip(self.counts[-2::-1], codes[-2::-1]):
            if count <= np.iinfo(kind).max:  # else all the others have one level, and out is 0
                np.multiply(out, kind.type(count), out=out)
            np.add(out, code, out=out, casting="unsafe")
        return out

    def parts(self, codes: Array, times: Array | None, single: Sequence[Array], names: tuple[str, ...]) -> Iterator[Part]:
        if not names:
            return  # a factor of one level
        if self._tables is None:
            yield Levels(names, codes, self._slots, times, tuple(zip(single, self.counts)))
            return
        for label, table in zip(names, self._tables, strict=True):
            yield Column(label, codes, table) if times is None else Column(label, table[codes] * times)

    @cached_property
    def _tables(self) -> list[Array] | None:
        """What each column holds in every cell; None where all are indicators."""
        if all(whole or f.contrast == "treatment" for f, whole in zip(self._factors, self._full)):
            return None
        out = []
        for columns in _first_fastest([list(f.coded(whole).T) for f, whole in zip(self._factors, self._full)]):
            table = columns[0]
            for column in columns[1:]:
                table = np.multiply.outer(column, table)
            out.append(np.ascontiguousarray(table.ravel(), dtype=float))
        return out

    @cached_property
    def _slots(self) -> Array:
        """Where each cell stands among the columns, -1 for those a base level takes."""
        slots = np.zeros((1,), dtype=np.int64)
        width = 1
        for factor, whole, names in zip(self._factors, self._full, self.names):
            place = factor.places(whole)[:, None]
            slots = np.where((place < 0) | (slots < 0), -1, slots + width * place).ravel()
            width *= len(names)
        return slots.astype(np.int32)


def _first_fastest(choices: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """All combinations, the first choice changing fastest, as R orders columns."""
    return (combination[::-1] for combination in product(*choices[::-1]))


def _joined(term: Term, names: dict[Node, str]) -> str:
    return ":".join(names.get(v, write(v)) for v in term)


def _times(values: Sequence[Array]) -> Array | None:
    """The product of numeric columns; a lone one stays where it is."""
    if len(values) < 2:
        return values[0] if values else None
    out = values[0].astype(float)
    with np.errstate(all="ignore"):
        for column in values[1:]:
            out *= column
    return out


def _named_apart(parts: list[Part]) -> list[Part]:
    """Column names are addresses, so no two may be alike; a later one gets a number."""
    taken: set[str] = set()
    return [_renamed(part, taken) for part in parts]


def _renamed(part: Part, taken: set[str]) -> Part:
    new = []
    for name in part.names:
        count, free = 2, name
        while free in taken:
            free, count = f"{name} ({count})", count + 1
        taken.add(free)
        new.append(free)
    return replace(part, name=new[0]) if isinstance(part, Column) else replace(part, names=tuple(new))


def refuse_invalid(values: Array, name: str) -> None:
    """An error that names the expression and its first row without a finite value."""
    if values.dtype.kind != "f":
        return
    with np.errstate(all="ignore"):
        if np.isfinite(np.add.reduce(values)):
            return  # one that is not finite would show in the sum
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"`{name}` is {values[row]} in row {row} ({int(bad.sum())} such rows); check the values that go into it.")


def offset_of(spec: DesignSpec, table: Table) -> Array | None:
    """The sum of the formula's offset terms, or None."""
    total: Array | None = None
    for node in spec.formula.offsets:
        values = np.asarray(evaluate(node, table), dtype=float)
        refuse_invalid(values, f"offset({write(node)})")
        total = values if total is None else total + values
    return total


def weights_of(spec: DesignSpec, table: Table) -> Array | None:
    """The product of the formula's weights terms, or None; the fit checks their values."""
    return _times([np.asarray(evaluate(node, table), dtype=float) for node in spec.formula.weights])
