"""Linear hypotheses as text: "x1 = x2", "area[B] = area[C] = 0", "2*x1 + x2 = 0.5" -> L beta = r; relations with <= and >= too.

Text is cut into the names that the model has, numbers and + - * / = <= >= , ; and nothing else; it is never evaluated.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import FormulaError, LengthError, SpecificationError, unknown

__all__ = ["Hypothesis", "read_hypothesis", "read_relations"]

Array = np.ndarray[Any, Any]
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s=<>+\-*/,;]+")
_RELATIONS = ("<=", ">=", "==", "≤", "≥", "<", ">")  # of two characters first
_LONGEST = 20_000


@dataclass(frozen=True)
class Hypothesis:
    """``matrix`` (m, P) times the coefficients is ``value`` (m,)."""

    matrix: Array
    value: Array
    text: str

    def __len__(self) -> int:
        return len(self.value)


def read_hypothesis(given: Any, labels: Sequence[str], terms: Mapping[str, Sequence[int]], independent: bool = True) -> Hypothesis:
    """A hypothesis from text, several texts, or a matrix; a bare name or term says that it is zero.

    Equations of a test must be ``independent`` of each other; combinations that only get intervals need not.
    """
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiub" and given.ndim in (1, 2):
        return _of_matrix(given, np.zeros(1 if given.ndim == 1 else len(given)), labels, independent)
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(v, np.ndarray) and v.dtype.kind in "fiub" for v in given):
        return _of_matrix(given[0], np.atleast_1d(given[1].astype(float)), labels, independent)
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else None
    if texts is None or not all(isinstance(t, str) for t in texts) or not texts:
        raise SpecificationError(f"`hypothesis` is a {type(given).__name__}; pass text such as 'x1 = x2', a list of texts, or a matrix.")
    rows, values = [], []
    for text in texts:
        if len(text) > _LONGEST:
            raise FormulaError(f"`hypothesis` has {len(text):,} characters; the limit is {_LONGEST:,}.")
        for equation in re.split(r"[,;]", text) if not _has_comma([*labels, *terms], text) else _split(text, labels, terms):
            if equation.strip() or len(texts) == 1:
                for row, value in _equation(equation, labels, terms):
                    rows.append(row)
                    values.append(value)
    return _checked(Hypothesis(np.array(rows), np.array(values), "; ".join(texts)), independent)


def _of_matrix(matrix: Array, value: Array, labels: Sequence[str], independent: bool) -> Hypothesis:
    matrix = np.atleast_2d(np.asarray(matrix, dtype=float))
    if matrix.ndim != 2 or matrix.shape[1] != len(labels):
        raise LengthError(f"`hypothesis` has shape {matrix.shape} but the model has {len(labels)} coefficients; pass one column per coefficient.")
    if value.shape != (len(matrix),):
        raise LengthError(f"`hypothesis` has {len(matrix)} rows but {value.size} values; pass one value per row.")
    return _checked(Hypothesis(matrix, value, f"{len(matrix)} linear restrictions"), independent)


def _checked(found: Hypothesis, independent: bool) -> Hypothesis:
    if not (np.isfinite(found.matrix).all() and np.isfinite(found.value).all()):
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} holds a number that is not finite; pass finite ones.")
    zero = ~found.matrix.any(axis=1) if len(found) else np.zeros(0, dtype=bool)
    if len(found) == 0 or zero.any():
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} restricts no coefficient; name at least one in each equation.")
    if independent and not independent_rows(found.matrix):
        raise SpecificationError(f"`hypothesis` {found.text[:80]!r} says the same twice, or contradicts itself; give linearly independent equations.")
    return found


def independent_rows(matrix: Array) -> bool:
    """Whether no row is a combination of the others; rows that name one column each are quickly told."""
    single = (matrix != 0).sum(axis=1) == 1
    if single.all():
        return len(set(np.argmax(matrix != 0, axis=1).tolist())) == len(matrix)
    return bool(np.linalg.matrix_rank(matrix / np.abs(matrix).max(axis=1, keepdims=True)) == len(matrix))


def _has_comma(labels: Sequence[str], text: str) -> bool:
    """Whether a name in the text holds a comma itself, as poly(x, 2)[1] does."""
    return any(("," in label or ";" in label) and label in text for label in labels)


def _split(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[str]:
    """Equations between commas that belong to no name."""
    out, start = [], 0
    for kind, _, begin, end in _tokens(text, labels, terms):
        if kind in (",", ";"):
            out.append(text[start:begin])
            start = end
    return [*out, text[start:]]


def _tokens(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[tuple[str, Any, int, int]]:
    """(kind, value, begin, end): names longest first, numbers, and single characters."""
    by_letter: dict[str, list[str]] = {}
    for known in sorted({*labels, *terms}, key=len, reverse=True):
        by_letter.setdefault(known[:1], []).append(known)
    out: list[tuple[str, Any, int, int]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] == "`":
            end = text.find("`", at + 1)
            if end < 0:
                raise FormulaError(f"`hypothesis` {text[:80]!r} has a backquote that is not closed.")
            out.append(("name", text[at + 1 : end], at, end + 1))
            at = end + 1
            continue
        name = next((n for n in by_letter.get(text[at], ()) if text.startswith(n, at) and _ends_here(text, at + len(n), n)), None)
        number = None if name is not None else _NUMBER.match(text, at)
        if name is not None:
            out.append(("name", name, at, at + len(name)))
            at += len(name)
        elif number is not None and _ends_here(text, number.end(), "0"):
            out.append(("number", float(number.group()), at, number.end()))
            at = number.end()
        elif relation := next((r for r in _RELATIONS if text.startswith(r, at)), None):
            out.append(("=" if relation == "==" else "<=" if relation in "<=≤" else ">=", relation, at, at + len(relation)))
            at += len(relation)
        elif text[at] in "+-*/=,;":
            out.append((text[at], text[at], at, at + 1))
            at += 1
        else:
            word = _WORD.match(text, at)
            raise unknown("coefficient", word.group()[:80] if word else text[at], labels)
    return out


def _ends_here(text: str, at: int, name: str) -> bool:
    """Whether a name that stops at ``at`` is not the beginning of a longer word."""
    return at >= len(text) or not (name[-1].isalnum() or name[-1] in "_.)]") or not (text[at].isalnum() or text[at] in "_.[(:")


def _equation(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[tuple[Array, float]]:
    """A = b = c as a - b = 0, b - c = 0; a side alone is zero."""
    tokens = _tokens(text, labels, terms)
    if len(tokens) == 1 and tokens[0][0] == "name" and tokens[0][1] not in labels and tokens[0][1] in terms:
        return [(_unit(j, len(labels)), 0.0) for j in terms[tokens[0][1]]]
    sides, relations = _sides(tokens)
    if any(relation != "=" for relation in relations):
        raise FormulaError(f"`hypothesis` {text[:80]!r} has an inequality, which these tests have not; write '=', or give a fit em.Linear in constraints=.")
    found = [_linear(side, labels, text) for side in sides]
    if len(found) == 1:
        found.append((np.zeros(len(labels)), 0.0))
    return [(a[0] - b[0], b[1] - a[1]) for a, b in itertools.pairwise(found)]


def _sides(tokens: list[tuple[str, Any, int, int]]) -> tuple[list[list[tuple[str, Any, int, int]]], list[str]]:
    """What stands between the relations, and the relations."""
    sides: list[list[tuple[str, Any, int, int]]] = [[]]
    relations: list[str] = []
    for token in tokens:
        if token[0] in ("=", "<=", ">="):
            relations.append(token[0])
            sides.append([])
        else:
            sides[-1].append(token)
    return sides, relations


def read_relations(texts: Sequence[str], labels: Sequence[str]) -> list[tuple[Array, float, float, str]]:
    """Equations and inequalities between combinations of coefficients: rows with their lower and upper ends, and the words for each.

    Relations may be chained ("0 <= a <= b") and several stand between commas.

    >>> from etamu.inference.hypotheses import read_relations
    >>> read_relations(["2*a - b <= 3"], ["a", "b"])
    [(array([ 2., -1.]), -inf, 3.0, '2*a - b <= 3')]
    """
    out: list[tuple[Array, float, float, str]] = []
    for text in texts:
        if len(text) > _LONGEST:
            raise FormulaError(f"`Linear` has a text of {len(text):,} characters; the limit is {_LONGEST:,}.")
        for part in _split(text, labels, {}):
            out += _relations(part, labels)
    return out


def _relations(text: str, labels: Sequence[str]) -> list[tuple[Array, float, float, str]]:
    sides, relations = _sides(_tokens(text, labels, {}))
    if not relations:
        raise FormulaError(f"`Linear` {text[:80]!r} has no relation; write '=', '<=' or '>=' between its two sides.")
    found = [_linear(side, labels, text, "Linear") for side in sides]
    words = [text[side[0][2] : side[-1][3]] for side in sides]
    out = []
    for relation, (a, here), (b, there), left, right in zip(relations, found, found[1:], words, words[1:]):
        row, value = a - b, there - here
        if not row.any() or not np.isfinite(row).all() or not np.isfinite(value):
            raise SpecificationError(f"`Linear` {left} {relation} {right} restricts no coefficient; name at least one, with finite numbers.")
        low, high = (-np.inf if relation == "<=" else value), (np.inf if relation == ">=" else value)
        out.append((row, low, high, f"{left} {relation} {right}"))
    return out


def _unit(j: int, size: int) -> Array:
    out = np.zeros(size)
    out[j] = 1.0
    return out


def _linear(tokens: list[tuple[str, Any, int, int]], labels: Sequence[str], text: str, what: str = "hypothesis") -> tuple[Array, float]:
    """The coefficients and the constant of one side."""
    row, constant, at = np.zeros(len(labels)), 0.0, 0

    def wrong() -> FormulaError:
        return FormulaError(f"`{what}` {text[:80]!r} cannot be read; write sums of numbers times names, such as '2*x1 - x2 = 0.5'.")

    if not tokens:
        raise wrong()
    while at < len(tokens):
        sign = 1.0
        if tokens[at][0] in "+-":
            while at < len(tokens) and tokens[at][0] in ("+", "-"):
                sign = -sign if tokens[at][0] == "-" else sign
                at += 1
        elif at:
            raise wrong()
        factor, name, divide, expect = sign, None, False, True
        while at < len(tokens) and tokens[at][0] not in ("+", "-"):
            kind, value = tokens[at][:2]
            if expect and kind == "number":
                if divide and value == 0:
                    raise wrong()
                factor = factor / value if divide else factor * value
            elif expect and kind == "name" and name is None and not divide:
                name = value
            elif not expect and kind in "*/":
                divide = kind == "/"
                expect, at = True, at + 1
                continue
            else:
                raise wrong()
            expect, at = False, at + 1
        if expect:
            raise wrong()
        if name is None:
            constant += factor
        else:
            if name not in labels:
                raise unknown("coefficient", name, labels)
            row[labels.index(name)] += factor
    return row, constant
