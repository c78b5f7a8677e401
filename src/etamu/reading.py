"""From what a user passes to either front door, a formula on data or arrays, to a checked problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from etamu import checks
from etamu.arguments import Ingredients, build_problem, check_whole, without_missing
from etamu.design.columns import Design
from etamu.design.encode import Encoder, learn
from etamu.design.frames import as_table
from etamu.design.inputs import read_matrix
from etamu.design.missing import drop_rows
from etamu.design.terms import expand, read_formula
from etamu.errors import FormulaError, SpecificationError, unknown
from etamu.families import Family
from etamu.files import Model, is_path, read_files
from etamu.links import Link
from etamu.solvers.base import Control
from etamu.sources.cache import Cache
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["Read", "read_arrays", "read_either", "read_table"]

Read = tuple[Ingredients, Problem | Streamed, checks.Response]


def read_table(
    formula: str, data: Any, family: Family, link: str | Link | None, arrays: dict[str, Any], missing: str, cache: bool | str | None, control: Control | None
) -> Read:
    """A formula on a table or on files."""
    parsed = read_formula(formula)
    if parsed.response is None:
        raise FormulaError(f"formula {formula!r} has no response; write 'response ~ terms'.")
    if missing not in ("raise", "drop", "level"):
        raise unknown("missing", missing, ["raise", "drop", "level"])
    if is_path(data):
        held = Cache(None if cache is True else cache) if cache else None
        found = read_files(data, parsed, family, link, arrays, missing, held, control.progress if isinstance(control, Control) else None)
        if isinstance(found, tuple):
            return found
        data = found
    table = as_table(data)
    parsed = expand(parsed, table.columns)
    table, arrays = without_missing(table, parsed, arrays, missing)
    built = replace(Model(parsed, family, link, arrays, missing).ingredients(table, Encoder(learn(parsed, table, missing))), data=table)
    return built, *in_memory(built)


def read_arrays(
    X: Any, y: Any, family: Family, link: str | Link | None, arrays: dict[str, Any], intercept: bool, names: Sequence[str] | None, missing: str
) -> Read:
    """X and y."""
    if missing not in ("raise", "drop"):
        raise unknown("missing", missing, ["raise", "drop"])
    if not isinstance(intercept, (bool, np.bool_)):
        raise SpecificationError(f"`intercept` is {intercept!r}; pass True or False.")
    intercept = bool(intercept)
    if missing == "drop":
        X, y, arrays = drop_rows(X, y, arrays)
    design = read_matrix(X, names, intercept)
    if isinstance(X, Design):  # an encoded design says itself whether it has a constant
        intercept = design.constant
    given = arrays["offset"] is not None or arrays["exposure"] is not None
    built = Ingredients(design, y, family, link, None, intercept, None, arrays, None, given, None, None)
    return built, *in_memory(built)


def in_memory(built: Ingredients) -> tuple[Problem, checks.Response]:
    """The problem of rows in memory, and its response."""
    problem, response = build_problem(built)
    check_whole(problem, response)
    return problem, response


def read_either(
    formula: Any, data: Any, X: Any, y: Any, family: Family, link: str | Link | None, arrays: dict[str, Any], intercept: bool,
    names: Sequence[str] | None, missing: str, cache: bool | str | None, control: Control | None,
) -> Read:  # fmt: skip
    """Whichever of the two was passed: ``formula, data`` or ``X=, y=``."""
    if formula is not None and X is None:
        if not isinstance(formula, str):
            raise SpecificationError(f"`formula` is a {type(formula).__name__}; pass text such as 'y ~ x', with data, or arrays as X= and y=.")
        if data is None:
            raise SpecificationError("`data` is missing; pass the table that the formula is about.")
        return read_table(formula, data, family, link, arrays, missing, cache, control)
    if X is None or y is None or formula is not None:
        raise SpecificationError("pass either a formula and data, or X= and y=.")
    return read_arrays(X, y, family, link, arrays, intercept, names, missing)
