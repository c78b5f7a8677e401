"""From files to a problem whose rows are read in every pass: one scan that learns the formula, then parts that are encoded.

The scan also keeps some of the rows in memory, evenly spread over all of them, for the start of the iteration and for
what stands in for all rows between passes.  When that is all there is, the fit is one of rows in memory.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from etamu import checks
from etamu.arguments import Ingredients, build_problem, split_response, without_missing
from etamu.design.arithmetic import variables
from etamu.design.batches import FilePart, Files, open_files
from etamu.design.encode import Encoder, offset_of, weights_of
from etamu.design.frames import Table, as_table, as_vector, encode_labels
from etamu.design.learn import Scan
from etamu.design.parser import parse
from etamu.design.spec import DesignSpec
from etamu.design.terms import Formula, columns_used, expand, from_table
from etamu.errors import EtamuError, NotEnoughDataError, SpecificationError
from etamu.families import Family, Multinomial
from etamu.links import Link
from etamu.solvers.base import Step
from etamu.sources.cache import Cache
from etamu.sources.problem import Problem, Read
from etamu.sources.streamed import Streamed
from etamu.sums import Request

__all__ = ["SCANNED", "SO_FAR", "Model", "is_path", "read_files", "rows_from"]

Array = np.ndarray[Any, Any]
_HELD = 400_000  # rows that are kept in memory, at most
_RUN = 64
SCANNED, SO_FAR = "scanned", "so far"  # notes of the steps that tell how far the reading is


def is_path(data: object) -> bool:
    """Whether ``data`` names files."""
    return isinstance(data, (str, os.PathLike))


@dataclass(frozen=True)
class Model:
    """What is asked of every part: the formula and the arguments beside it, as text."""

    formula: Formula
    family: Family
    link: str | Link | None
    named: dict[str, Any]
    missing: str

    def columns(self) -> list[str]:
        """The columns that are read."""
        texts = [v for v in self.named.values() if isinstance(v, str)]
        return list(dict.fromkeys([*columns_used(self.formula), *(name for text in texts for name in variables(parse(text)))]))

    def complete(self, table: Table) -> Table:
        """The rows that are used."""
        return without_missing(table, self.formula, self.named, self.missing)[0]

    def response(self, table: Table) -> tuple[Any, bool]:
        """y, and whether it holds labels."""
        assert self.formula.response is not None
        y, _ = split_response(self.formula.response, table, self.family)
        return y, isinstance(self.family, Multinomial) or checks.is_labelled(y)

    def ingredients(self, table: Table, encoder: Encoder) -> Ingredients:
        """One part, read."""
        assert self.formula.response is not None
        spec = encoder.spec
        arrays = {name: from_table(value, table, name) for name, value in self.named.items()}
        inside = weights_of(spec, table)
        if inside is not None:
            arrays["weights"] = inside if arrays["weights"] is None else arrays["weights"] * inside
        y, trials = split_response(self.formula.response, table, self.family)
        given = [self.named[name] for name in ("offset", "exposure")]
        offset, exposure = (value if isinstance(value, str) else None for value in given)
        again = any(value is not None and not isinstance(value, str) for value in given)
        inner = offset_of(spec, table)
        return Ingredients(encoder(table), y, self.family, self.link, trials, self.formula.intercept, inner, arrays, spec, again, exposure, offset)


@contextmanager
def rows_from(start: int) -> Iterator[None]:
    """Errors found in a part that begins at row ``start`` name rows of the whole."""
    try:
        yield
    except EtamuError as error:
        raise type(error)(re.sub(r"\brow (\d+)", lambda found: f"row {start + int(found[1])}", str(error))) from None


def _copied(table: Any) -> Any:
    """The table in memory of its own: rows that were taken can keep alive what they were taken from (a dictionary's page)."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


@dataclass
class _Held:
    """Runs of rows at even distances: every run at first, every second one when those are too many, and so on."""

    step: int = 1
    runs: int = 0
    rows: int = 0
    pieces: list[tuple[Array, Any]] = field(default_factory=list)

    def add(self, table: Any) -> None:
        first, count = self.runs, table.num_rows
        self.runs += -(-count // _RUN)
        while self.rows + len(rows := self._chosen(first, count)) > _HELD:
            self.step *= 2
            pieces, self.pieces, self.rows = self.pieces, [], 0
            for number, piece in pieces:
                left = np.flatnonzero(number % self.step == 0)
                self._keep(number[left], piece, left)
        self._keep(first + rows // _RUN, table, rows)

    def _keep(self, number: Array, table: Any, rows: Array) -> None:
        """Those rows of a table, whose runs have these numbers."""
        if len(rows):
            self.pieces.append((number, _copied(table.take(rows))))
            self.rows += len(rows)

    def _chosen(self, first: int, count: int) -> Array:
        """The rows of a table of ``count``, whose first run has that number, that belong to a run that is kept."""
        starts = np.arange(-first % self.step, -(-count // _RUN), self.step) * _RUN
        rows = (starts[:, None] + np.arange(_RUN)).ravel()
        return rows[: np.searchsorted(rows, count)]

    def table(self) -> Any:
        import pyarrow as pa

        return pa.concat_tables([piece for _, piece in self.pieces]).unify_dictionaries()


@dataclass
class _Seen:
    """What the scan learns of the rows, their response and their weights."""

    rows: int = 0
    low: float = np.inf
    high: float = -np.inf
    weight: float = 0.0
    observed: float = 0.0
    labels: set[object] | None = None

    def add(self, model: Model, table: Table) -> None:
        self.rows += table.rows
        y, labelled = model.response(table)
        weight, frequency = (from_table(model.named[name], table, name) for name in ("weights", "frequency"))
        used = np.ones(table.rows, dtype=bool)
        for values in (weight, frequency):
            if values is not None:
                used &= np.asarray(values) > 0
        self.weight += float(used.sum())
        self.observed += float(used.sum() if frequency is None else np.sum(frequency[used], dtype=float))
        if labelled:
            self.labels = (self.labels or set()) | set(encode_labels(y).levels)
        elif used.any():
            values = as_vector(y, "y")[used]
            self.low, self.high = min(self.low, float(np.min(values))), max(self.high, float(np.max(values)))

    def levels(self) -> tuple[object, ...] | None:
        """The labels of the response, in order."""
        if self.labels is None:
            return None
        try:
            return tuple(sorted(self.labels))  # type: ignore[type-var]
        except TypeError:
            return tuple(sorted(self.labels, key=str))

    def check(self, family: Family) -> None:
        """What only all rows together can show."""
        checks.refuse_all_zero("weights", np.array([self.weight]))
        levels = self.levels()
        ends = np.array([self.low, self.high]) if levels is None else np.array([0, len(levels) - 1])
        if levels is not None and not isinstance(family, Multinomial) and len(levels) != 2:
            checks.refuse_levels(levels)
        checks.check_variation(checks.Response(ends, levels), family, None)


def read_files(
    path: Any,
    formula: Formula,
    family: Family,
    link: str | Link | None,
    named: dict[str, Any],
    missing: str,
    cache: Cache | None,
    progress: Callable[[Step], None] | None,
) -> Table | tuple[Ingredients, Streamed, checks.Response]:
    """All rows as a table where they are few; else what the fit needs to read them in every pass."""
    for name, value in named.items():
        if value is not None and not isinstance(value, str):
            raise SpecificationError(f"`{name}` is a {type(value).__name__}, but `data` are files; name a column or an expression of columns.")
    files = open_files(path)
    model = Model(expand(formula, files.names), family, link, named, missing)
    files = files.of(model.columns())
    files.check()
    scan, seen, held = Scan(model.formula), _Seen(), _Held()
    start = 0
    for part in files:
        with rows_from(start):
            table = model.complete(as_table(part))
            if table.rows:
                scan.add(table)
                seen.add(model, table)
        held.add(part)
        start += part.num_rows
        if progress is not None:
            progress(Step(float(start), 0, "double", math.nan, None, SCANNED))
    if seen.rows == 0:
        raise NotEnoughDataError("`data` have 0 rows; a fit needs at least one.")
    sample = as_table(held.table())
    if held.step == 1:
        return sample
    seen.check(family)
    ingredients, streamed, response = _streamed(files, model, scan.finish(missing), seen, model.complete(sample), cache)
    return ingredients, replace(streamed, progress=_teller(progress)), response


def _teller(progress: Callable[[Step], None] | None) -> Callable[[float, Request, float], None] | None:
    """Progress within a pass, in the words of progress between passes."""
    if progress is None:
        return None
    return lambda rows, request, deviance: progress(Step(rows, request.order, request.arithmetic, deviance, None, SO_FAR))


def _streamed(files: Files, model: Model, spec: DesignSpec, seen: _Seen, sample: Table, cache: Cache | None) -> tuple[Ingredients, Streamed, checks.Response]:
    levels, encoder = seen.levels(), Encoder(spec)

    def problem_of(part: FilePart, start: int) -> Problem | None:
        with rows_from(start):
            table = model.complete(as_table(part.read()))
            return build_problem(model.ingredients(table, encoder), levels)[0] if table.rows else None

    def encoded() -> Iterator[Read]:
        start = 0
        for part in files.parts():
            yield partial(problem_of, part, start)
            start += part.rows

    try:
        built = model.ingredients(sample, encoder)
        problem, response = build_problem(built, levels)
    except EtamuError:  # which names a row of the sample
        for make in encoded():
            make()  # the part at fault names its row of the whole
        raise

    def read() -> Iterator[Read]:
        return encoded() if cache is None else cache.through(encoded)

    observed = None if model.named["frequency"] is None else seen.observed
    return built, Streamed(read, problem, seen.rows, observed), response
