"""Arguments of the functions in a formula: bound by name and read as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from etamu.design.parser import Call, List, Name, Node, Number, Text, Unary, write
from etamu.errors import FormulaError, unknown

__all__ = ["bind", "boolean", "listed", "literal", "numbers", "whole"]

_CONSTANTS: dict[str, object] = {"True": True, "TRUE": True, "False": False, "FALSE": False, "Inf": math.inf, "inf": math.inf}


def bind(call: Call, names: Sequence[str]) -> dict[str, Node]:
    """Arguments by name, the first of which must be there."""
    function = call.function
    if len(call.arguments) > len(names):
        raise FormulaError(f"formula: {function}() takes at most {len(names)} argument{'s' * (len(names) > 1)}, not {len(call.arguments)}.")
    bound = dict(zip(names, call.arguments))
    for keyword, value in call.keywords:
        name = "bounds" if keyword == "Boundary.knots" else keyword
        if name not in names:
            raise unknown(f"argument of {function}()", keyword, names)
        if name in bound:
            raise FormulaError(f"formula: {function}() has `{name}` twice; pass it once.")
        bound[name] = value
    if names[0] not in bound:
        raise FormulaError(f"formula: {function}() needs `{names[0]}`; write {function}(column{', ...' * (len(names) > 1)}).")
    return bound


def literal(node: Node, what: str) -> object:
    """A number, text, truth value or tuple of these, as written."""
    match node:
        case Number(value):
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        case Text(value):
            return value
        case Name(value) if value in _CONSTANTS:
            return _CONSTANTS[value]
        case Unary("-" | "+" as sign, operand):
            number = literal(operand, what)
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return -number if sign == "-" else number
        case List(items) | Call("c", items, ()):
            return tuple(literal(item, what) for item in items)
    raise FormulaError(f"formula: {what} is '{write(node)}'; write a number, a text in quotes, True, False or a list such as [1, 2].")


def whole(bound: dict[str, Node], name: str, function: str, low: int, high: int) -> int | None:
    """A whole number between low and high, or None where it is not given."""
    if name not in bound:
        return None
    what = f"`{name}` of {function}()"
    value = literal(bound[name], what)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FormulaError(f"formula: {what} is {write(bound[name])}; it must be a whole number from {low} to {high}.")
    return value


def boolean(bound: dict[str, Node], name: str, function: str, default: bool) -> bool:
    if name not in bound:
        return default
    value = literal(bound[name], f"`{name}` of {function}()")
    if not isinstance(value, bool):
        raise FormulaError(f"formula: `{name}` of {function}() is {write(bound[name])}; write True or False.")
    return value


def listed(bound: dict[str, Node], name: str, function: str) -> tuple[object, ...] | None:
    """A list of different values; one value alone is a list of one."""
    if name not in bound:
        return None
    what = f"`{name}` of {function}()"
    value = literal(bound[name], what)
    items = value if isinstance(value, tuple) else (value,)
    if not items or any(isinstance(item, tuple) for item in items) or len(set(items)) < len(items):
        raise FormulaError(f"formula: {what} is {write(bound[name])}; write a list of different values such as [1, 2].")
    return items


def numbers(bound: dict[str, Node], name: str, function: str) -> tuple[float, ...] | None:
    """A list of different numbers in increasing order."""
    items = listed(bound, name, function)
    if items is None:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in items):
        raise FormulaError(f"formula: `{name}` of {function}() is {write(bound[name])}; write a list of numbers such as [1, 2.5].")
    return tuple(sorted(float(v) for v in items))  # type: ignore[arg-type]
