"""One scan of the data learns a formula: batches are added in any number, scans of parts are merged, the spec is finished.

For every variable the scan keeps only what its coding needs: the labels of factors with their counts, and for the numbers
inside ``center``, ``scale``, ``poly``, ``bs``, ``ns``, ``cr``, ``s`` and ``bin`` their moments and a sketch of their distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from etamu.design.arithmetic import State
from etamu.design.basis import Basis
from etamu.design.declare import Arithmetic, Category, Column, Cut, Quantiles, Standard, declare, read_standard
from etamu.design.factors import Factor, interval_names, missing_label, numbers_or_nan
from etamu.design.frames import Table, level_name
from etamu.design.parser import Node, write
from etamu.design.seen import LabelCounts, Need, Numbers
from etamu.design.sketch import Sketch
from etamu.design.spec import DesignSpec
from etamu.design.terms import Formula, expand
from etamu.errors import DataError, MissingValueError, NotEnoughDataError, SpecificationError, unknown

__all__ = ["MISSING", "Scan", "learn"]

MISSING = ("raise", "drop", "level")


class Scan:
    """What a formula needs to know of the data, added up batch by batch.

    >>> from etamu.design.frames import as_table
    >>> from etamu.design.learn import Scan
    >>> from etamu.design.terms import read_formula
    >>> scan = Scan(read_formula("y ~ g + center(x)"))
    >>> for batch in ({"g": ["b", "a"], "x": [1, 2]}, {"g": ["c"], "x": [6]}):
    ...     _ = scan.add(as_table(batch))
    >>> spec = scan.finish()
    >>> [f.levels for _, f in spec.factors], [state["center"] for _, state in spec.learnt]
    ([('a', 'b', 'c')], [(3.0,)])
    """

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        self.rows = 0
        self._started = False
        self._natural: dict[str, bool] = {}  # bare names: whether the data make them factors
        self._labels: dict[str, LabelCounts] = {}
        self._numbers: dict[Node, Numbers] = {}
        self._needs: dict[Node, Need] = {}

    def add(self, table: Table) -> Scan:
        """One more batch; the first says which columns '.' means and which bare names are factors."""
        if table.rows == 0:  # says nothing about the types of its columns
            return self
        if not self._started:
            self._start(table)
        batch = Scan(self.formula)
        batch._natural, batch._needs, batch._started, batch.rows = self._natural, self._needs, True, table.rows
        batch._labels = {name: LabelCounts.of(name, table) for name in self._label_columns()}
        batch._numbers = {node: Numbers.of(numbers_or_nan(node, table), need) for node, need in self._needs.items()}
        return self.merge(batch)

    def merge(self, other: Scan) -> Scan:
        """The scan of other rows of the same data, which follow those seen so far."""
        if not other._started:
            return self
        if not self._started:
            self.formula, self._natural, self._needs, self._started = other.formula, other._natural, other._needs, True
        if (self.formula, self._natural) != (other.formula, other._natural):
            raise SpecificationError("`other` is a scan of another formula, or of columns of other types; scan parts of one table with one formula.")
        for name, labels in other._labels.items():
            self._labels[name] = self._labels[name].merge(labels, self.rows) if name in self._labels else labels
        for node, numbers in other._numbers.items():
            self._numbers[node] = self._numbers[node].merge(numbers, self.rows) if node in self._numbers else numbers
        self.rows += other.rows
        return self

    def finish(self, missing: str = "raise") -> DesignSpec:
        """The spec.  ``missing`` labels: "raise", "drop" (passed over here; the caller drops the rows), or "level" of their own."""
        if missing not in MISSING:
            raise unknown("missing", missing, MISSING)
        if not self.rows:
            raise NotEnoughDataError("`data` has 0 rows; a fit needs at least one.")
        factors = tuple((node, self._factor(category, missing)) for node, category in self._categories())
        return DesignSpec(self.formula, _told_apart(factors), tuple(self._states()))

    def _start(self, table: Table) -> None:
        self.formula = expand(self.formula, table.columns)
        for node in self.formula.variables:
            match declare(node):
                case Column(name):
                    self._natural[name] = table.is_text(name)
                case Category(source):
                    self._need_source(source, table)
                case Arithmetic(_, standards):
                    for call in standards:
                        self._need(read_standard(call).argument, Need(1))
                case basis:
                    self._need(basis.argument, Need(basis.moments, basis.sketch))
        self._started = True

    def _need_source(self, source: str | Cut | Quantiles, table: Table) -> None:
        match source:
            case str(name):
                table.is_text(name)  # refuses what is neither numbers nor labels
            case Cut(argument) | Quantiles(argument):
                self._need(argument, Need(0, isinstance(source, Quantiles)))

    def _need(self, node: Node, need: Need) -> None:
        self._needs[node] = self._needs.get(node, Need()) | need

    def _categories(self) -> Iterator[tuple[Node, Category]]:
        for node in self.formula.variables:
            match declare(node):
                case Category() as category:
                    yield node, category
                case Column(name) if self._natural[name]:
                    yield node, Category(name, name)

    def _label_columns(self) -> list[str]:
        return list(dict.fromkeys(c.source for _, c in self._categories() if isinstance(c.source, str)))

    def _factor(self, category: Category, missing: str) -> Factor:
        breaks: tuple[float, ...] = ()
        match category.source:
            case str(name):
                absent, levels = self._labels[name].absent, _levels(category, self._labels[name])
            case Cut(argument, breaks):
                absent, levels = self._numbers[argument].absent, interval_names(breaks)
            case Quantiles(argument, count):
                breaks = _quantile_breaks(category.label, self._numbers[argument].sketch, count)
                absent, levels = self._numbers[argument].absent, interval_names(breaks)
        if absent.count and missing == "raise":
            raise missing_label(category.label, absent.count, absent.row)
        return Factor(category.label, levels, missing == "level" and absent.count > 0, category.contrast, _base(category, levels), breaks)

    def _states(self) -> Iterator[tuple[Node, State]]:
        for node in self.formula.variables:
            match declare(node):
                case Arithmetic(_, standards):
                    yield from ((call, _constants(read_standard(call), self._numbers)) for call in standards)
                case Column() | Category():
                    pass
                case basis:
                    yield node, self._learn(basis)

    def _learn(self, basis: Basis) -> State:
        numbers = self._numbers[basis.argument]
        if not numbers.moments.n and basis.shape():
            raise MissingValueError(f"`{write(basis.argument)}` has no finite value; remove the term or fill the column.")
        return basis.learn(numbers.moments, numbers.sketch or Sketch())


def learn(formula: Formula, table: Table, missing: str = "raise") -> DesignSpec:
    """Everything a formula takes from this table; see :class:`Scan`.

    >>> from etamu.design.frames import as_table
    >>> from etamu.design.learn import learn
    >>> from etamu.design.terms import read_formula
    >>> learn(read_formula("y ~ g"), as_table({"y": [1, 2], "g": ["b", "a"]})).factors[0][1].levels
    ('a', 'b')
    """
    return Scan(formula).add(table).finish(missing)


def _levels(category: Category, seen: LabelCounts) -> tuple[object, ...]:
    if not seen.counts:
        raise MissingValueError(f"`{category.label}` is missing in every row; remove the term or fill the column.")
    if category.levels is None:
        return tuple(seen.counts)
    own = {level: level for level in seen.counts}  # the data's own objects, where equal to those written
    left_out = [level for level in own if level not in set(category.levels)]
    if left_out:
        raise DataError(f"`levels` of C({category.label}) leaves out {left_out[0]!r}, which the data hold; add it or drop those rows.")
    return tuple(own.get(level, level) for level in category.levels)


def _base(category: Category, levels: tuple[object, ...]) -> int:
    if category.base is None:
        return 0
    found = [k for k, level in enumerate(levels) if level == category.base and isinstance(level, bool) == isinstance(category.base, bool)]
    if not found:
        raise unknown(f"base of C({category.label})", category.base, map(level_name, levels))
    return found[0]


def _quantile_breaks(label: str, sketch: Sketch | None, count: int) -> tuple[float, ...]:
    if sketch is None or len(sketch.values) < 2:
        raise DataError(f"`{label}` needs at least two distinct values; remove the term.")
    breaks = np.unique(sketch.quantiles(np.arange(1, count) / count))
    breaks = breaks[breaks < sketch.values[-1]]  # ties: a class that would be empty is left out
    return tuple(breaks.tolist()) or (float(sketch.values[0]),)


def _constants(standard: Standard, numbers: dict[Node, Numbers]) -> State:
    moments = numbers[standard.argument].moments
    name = write(standard.argument)
    if not moments.n:
        raise MissingValueError(f"`{name}` has no finite value; remove the term or fill the column.")
    spread = 1.0
    if standard.scale:
        spread = moments.deviation if standard.center else float(np.sqrt(moments.mean_square))
        if not spread > 0:
            raise DataError(f"`scale({name})` divides by a standard deviation of 0: {name} is constant; remove the term.")
    return {"center": (moments.mean if standard.center else 0.0,), "scale": (spread,)}


def _told_apart(factors: tuple[tuple[Node, Factor], ...]) -> tuple[tuple[Node, Factor], ...]:
    """Where two factors of one column would share names, the later is written in full."""
    taken: set[str] = set()
    out = []
    for node, factor in factors:
        label = factor.label if factor.label not in taken else write(node)
        taken.add(label)
        out.append((node, replace(factor, label=label)))
    return tuple(out)
