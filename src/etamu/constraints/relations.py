"""Linear relations between named coefficients as text: "2*a - b <= 3", "0 <= a <= b = c", one row each.

Text is cut into the names that there are, numbers and + - * / = <= >= , ; and nothing else; it is never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from etamu.errors import FormulaError, SpecificationError, unknown

__all__ = ["LONGEST", "Token", "combination", "cut_parts", "cut_sides", "cut_tokens", "read_relations"]

Array = np.ndarray[Any, Any]
Token = tuple[str, Any, int, int]
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s=<>+\-*/,;]+")
_RELATIONS = ("<=", ">=", "==", "≤", "≥", "<", ">")  # of two characters first
LONGEST = 20_000


def read_relations(texts: Sequence[str], labels: Sequence[str]) -> list[tuple[Array, float, float, str]]:
    """Equations and inequalities between combinations of coefficients: rows with their lower and upper ends, and the words for each.

    Relations may be chained ("0 <= a <= b") and several stand between commas.

    >>> from etamu.constraints.relations import read_relations
    >>> read_relations(["2*a - b <= 3"], ["a", "b"])
    [(array([ 2., -1.]), -inf, 3.0, '2*a - b <= 3')]
    """
    out: list[tuple[Array, float, float, str]] = []
    for text in texts:
        if len(text) > LONGEST:
            raise FormulaError(f"`Linear` has a text of {len(text):,} characters; the limit is {LONGEST:,}.")
        for part in cut_parts(text, labels, {}):
            out += _relations(part, labels)
    return out


def _relations(text: str, labels: Sequence[str]) -> list[tuple[Array, float, float, str]]:
    sides, relations = cut_sides(cut_tokens(text, labels, {}))
    if not relations:
        raise FormulaError(f"`Linear` {text[:80]!r} has no relation; write '=', '<=' or '>=' between its two sides.")
    found = [combination(side, labels, text, "Linear") for side in sides]
    words = [text[side[0][2] : side[-1][3]] for side in sides]
    out = []
    for relation, (a, here), (b, there), left, right in zip(relations, found, found[1:], words, words[1:]):
        row, value = a - b, there - here
        if not row.any() or not np.isfinite(row).all() or not np.isfinite(value):
            raise SpecificationError(f"`Linear` {left} {relation} {right} restricts no coefficient; name at least one, with finite numbers.")
        low, high = (-np.inf if relation == "<=" else value), (np.inf if relation == ">=" else value)
        out.append((row, low, high, f"{left} {relation} {right}"))
    return out


def cut_parts(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[str]:
    """Equations between commas that belong to no name."""
    out, start = [], 0
    for kind, _, begin, end in cut_tokens(text, labels, terms):
        if kind in (",", ";"):
            out.append(text[start:begin])
            start = end
    return [*out, text[start:]]


def cut_tokens(text: str, labels: Sequence[str], terms: Mapping[str, Sequence[int]]) -> list[Token]:
    """(kind, value, begin, end): names longest first, numbers, and single characters."""
    by_letter: dict[str, list[str]] = {}
    for known in sorted({*labels, *terms}, key=len, reverse=True):
        by_letter.setdefault(known[:1], []).append(known)
    out: list[Token] = []
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


def cut_sides(tokens: list[Token]) -> tuple[list[list[Token]], list[str]]:
    """What stands between the relations, and the relations."""
    sides: list[list[Token]] = [[]]
    relations: list[str] = []
    for token in tokens:
        if token[0] in ("=", "<=", ">="):
            relations.append(token[0])
            sides.append([])
        else:
            sides[-1].append(token)
    return sides, relations


def combination(tokens: list[Token], labels: Sequence[str], text: str, what: str = "hypothesis") -> tuple[Array, float]:
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
