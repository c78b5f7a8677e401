"""From what a user passes to a Problem: arguments resolved, checked against each other, and joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu import checks
from etamu.design.columns import Design
from etamu.design.encode import DesignSpec
from etamu.design.frames import Table
from etamu.design.missing import complete_rows, take
from etamu.design.parser import Call, Name, Node, parse
from etamu.design.terms import Formula, evaluate
from etamu.errors import FormulaError, LengthError, ResponseError, SpecificationError
from etamu.families import Family, Multinomial
from etamu.links import LINKS, Link, resolve_link
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["Ingredients", "build_problem", "check_whole", "read_start", "split_response", "without_missing"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ingredients:
    """Arguments of either front door, read but not yet checked against each other."""

    design: Design
    y: Any
    family: Family
    link: str | Link | None
    trials: Array | None
    intercept: bool
    inside_offset: Array | None
    arrays: dict[str, Any]
    spec: DesignSpec | None
    offset_given: bool  # predictions need an offset passed again
    exposure: str | None  # or an exposure that is a column or expression, which predictions read
    offset: str | None
    data: Table | None = None  # the table in memory


def split_response(node: Node, table: Table, family: Family) -> tuple[Any, Array | None]:
    """y, and the number of trials where the formula gives it."""
    if isinstance(node, Call) and node.function == "cbind":
        if len(node.arguments) != 2 or family.support.high != 1:
            raise FormulaError("formula: cbind(successes, failures) is a binomial response of two columns.")
        good, bad = (np.asarray(evaluate(a, table), dtype=float) for a in node.arguments)
        if min(good.min(initial=0.0), bad.min(initial=0.0)) < 0:
            raise ResponseError("formula: cbind(successes, failures) holds negative counts; counts must be 0 or more.")
        trials = good + bad
        return np.divide(good, trials, out=np.zeros_like(trials), where=trials > 0), trials
    if isinstance(node, Name):
        labelled = isinstance(family, Multinomial) or (family.support.high == 1 and table.is_text(node.value))
        return (table.columns[node.value] if labelled and node.value in table.columns else table.numbers(node.value)), None
    return evaluate(node, table), None


def build_problem(built: Ingredients, levels: tuple[object, ...] | None = None) -> tuple[Problem, checks.Response]:
    """The checked problem on the columns as they are; ``levels`` are those of a labelled y, where other rows have told them."""
    family, rows = built.family, built.design.rows
    link = _link_of(built.link, family)
    response = checks.read_response(built.y, family, rows, levels)
    checks.check_support(response, family)
    w = None if built.arrays["weights"] is None else checks.read_weights("weights", built.arrays["weights"], rows)
    if built.trials is not None:
        w = built.trials if w is None else built.trials * w
        w = checks.read_weights("trials", w, rows)
    f = None if built.arrays["frequency"] is None else checks.read_weights("frequency", built.arrays["frequency"], rows)
    weight = w if f is None else f if w is None else w.astype(float) * f
    offset = checks.combine_offset(built.arrays["offset"], built.arrays["exposure"], link, rows)
    if built.inside_offset is not None:
        offset = built.inside_offset if offset is None else offset + built.inside_offset
    equations = reference = None
    if isinstance(family, Multinomial):
        if offset is not None:
            raise SpecificationError("`offset` with family='multinomial' would shift every class alike; drop it.")
        classes = list(response.levels or ())
        reference = family.reference_code(classes)
        equations = len(classes) - (reference is not None)
    return Problem(built.design, response.y, family, link, weight, offset, equations, reference, f), response


def check_whole(problem: Problem, response: checks.Response) -> None:
    """What only all rows together can show: weights that are all zero, a y that does not vary."""
    if problem.weight is not None:
        checks.refuse_all_zero("weights", problem.weight)
    used = None if problem.weight is None or problem.weight.min() > 0 else problem.weight > 0
    checks.check_variation(response, problem.family, used)


def _link_of(link: str | Link | None, family: Family) -> Link:
    """The link asked for, or the family's own."""
    if link is None:
        link = family.default_link
    if link == "canonical":
        link = family.canonical
    if link == family.canonical and hasattr(family, "canonical_link"):
        return family.canonical_link()  # type: ignore[no-any-return]
    found = resolve_link(link)
    if (found is LINKS["softmax"]) != isinstance(family, Multinomial):
        raise SpecificationError(f"`link` {found.name!r} does not go with family {family.name!r}; softmax and multinomial belong together.")
    return found


def without_missing(table: Table, formula: Formula, arrays: dict[str, Any], missing: str) -> tuple[Table, dict[str, Any]]:
    """The rows in which nothing is missing, when the others are to be dropped."""
    if missing != "drop":
        return table, arrays
    names = [parse(v) for v in arrays.values() if isinstance(v, str)]
    keep = complete_rows(table, formula, names, arrays)
    return (table, arrays) if keep.all() else take(table, arrays, keep)


def read_start(start: Any, problem: Problem | Streamed) -> Array:
    try:
        beta = np.array(start, dtype=float)
    except (TypeError, ValueError):
        raise SpecificationError(f"`start` is a {type(start).__name__} that does not hold numbers; pass coefficients of shape {problem.shape}.") from None
    if beta.shape != problem.shape:
        raise LengthError(f"`start` has shape {beta.shape} but the model has coefficients of shape {problem.shape}.")
    if not np.isfinite(beta).all():
        raise SpecificationError("`start` holds nan or inf; pass finite starting coefficients.")
    return beta
