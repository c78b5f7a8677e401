"""Arithmetic of columns: what an expression reads, and its values.  A tree is walked, never run as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from etamu.design.frames import Array, Table
from etamu.design.functions import BASES, BUILT_IN, FACTORS, FUNCTIONS, STANDARD, known
from etamu.design.parser import Binary, Call, Name, Node, Number, Unary, parse, write
from etamu.errors import DataError, EtamuError, FormulaError, unknown

__all__ = ["State", "evaluate", "from_table", "leaves", "variables"]

State = dict[str, tuple[float, ...]]  # what a function learnt from the data, by name
_MOST_NESTED = 400
_OPERATORS: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


def leaves(node: Node) -> list[Name | Call]:
    """The columns an expression reads and its ``center`` and ``scale`` calls, left to right; refuses all but arithmetic."""
    out: list[Name | Call] = []
    stack = [(node, 0)]  # not recursive: a long sum is a deep tree
    while stack:
        here, depth = stack.pop()
        if depth > _MOST_NESTED:
            raise FormulaError(f"formula: an expression has more than {_MOST_NESTED} operations in a row; compute the column beforehand.")
        match here:
            case Name("."):
                raise FormulaError("formula: '.' stands for terms, not for a number; write the columns out inside functions.")
            case Name():
                out.append(here)
            case Number():
                pass
            case Call(function) if function in STANDARD:
                out.append(here)
            case _:
                stack.extend((part, depth + 1) for part in reversed(_operands(here)))
    return out


def _operands(node: Node) -> tuple[Node, ...]:
    match node:
        case Unary("+" | "-", operand):
            return (operand,)
        case Binary(operator, left, right) if operator in _OPERATORS:
            return left, right
        case Call(function) if function in (*BASES, *FACTORS):
            raise FormulaError(f"formula: {function}() makes its own columns and cannot stand inside another expression; write it as a term.")
        case Call(function) if function not in FUNCTIONS:
            if function in BUILT_IN:
                raise FormulaError(f"formula: {function}() cannot stand inside an expression.")
            raise unknown("function", function, known())
        case Call(function, arguments, ()):
            if len(arguments) == 1 or (arguments and function not in BUILT_IN):
                return arguments
            raise FormulaError(f"formula: {function}() takes 1 argument, not {len(arguments)}.")
        case Call(function, _, keywords):
            raise FormulaError(f"formula: {function}() takes no keyword `{keywords[0][0]}`.")
    raise FormulaError(f"formula: '{write(node)}' is not an arithmetic expression of columns.")


def variables(node: Node) -> list[str]:
    """Names of the columns an expression reads; refuses what is not arithmetic.

    >>> from etamu.design.arithmetic import variables
    >>> from etamu.design.parser import parse
    >>> variables(parse("log(x) - 2*z"))
    ['x', 'z']
    """
    names = []
    for leaf in leaves(node):
        if isinstance(leaf, Call):
            raise FormulaError(f"formula: {write(leaf)} learns from the data, so it can stand in a term only.")
        names.append(leaf.value)
    return names


def evaluate(node: Node, table: Table, learnt: Mapping[Node, State] | None = None) -> Array:
    """The values of an arithmetic expression, one per row; a lone column comes back as it is, uncopied."""
    leaves(node)
    with np.errstate(all="ignore"):
        return _values(node, table, learnt or {})


def _values(node: Node, table: Table, learnt: Mapping[Node, State]) -> Array:
    match node:
        case Name(value):
            return table.numbers(value)
        case Number(value):
            return np.full(table.rows, value)
        case Unary("-", operand):
            return np.asarray(-_values(operand, table, learnt).astype(float))
        case Unary(_, operand):
            return _values(operand, table, learnt)
        case Binary(operator, left, right):
            a, b = (_operand(part, table, learnt) for part in (left, right))
            return np.broadcast_to(np.asarray(_OPERATORS[operator](a, b), dtype=float), (table.rows,))  # type: ignore[arg-type, type-var]
        case Call(function, arguments) if function in STANDARD:
            if node not in learnt:
                raise FormulaError(f"formula: {write(node)} learns from the data, so it can stand in a term only.")
            x = _values(arguments[0], table, learnt).astype(float)
            return np.asarray((x - learnt[node]["center"][0]) / learnt[node]["scale"][0])
        case Call(function, (argument,)) if function in BUILT_IN:
            return np.asarray(FUNCTIONS[function](_values(argument, table, learnt).astype(float, copy=False)))
        case Call(function, arguments):
            return _own(function, [_operand(a, table, learnt) for a in arguments], table.rows)
    raise FormulaError(f"formula: '{write(node)}' cannot be evaluated.")


def _operand(node: Node, table: Table, learnt: Mapping[Node, State]) -> Array | float:
    return node.value if isinstance(node, Number) else _values(node, table, learnt).astype(float)


def _own(name: str, arguments: list[Array | float], rows: int) -> Array:
    """A user's own function; what goes wrong in it is told by its name."""
    try:
        values = np.asarray(FUNCTIONS[name](*arguments), dtype=float)
        return np.broadcast_to(values, (rows,))
    except EtamuError:
        raise
    except Exception as error:
        raise DataError(
            f"formula: your function {name!r} did not return one number per row ({type(error).__name__}: {error}); it must be elementwise."
        ) from error


def from_table(value: Any, table: Table, name: str) -> Any:
    """An argument that may be a column name or an expression of columns."""
    if not isinstance(value, str):
        return value
    if value in table.columns:
        return table.numbers(value)
    node = parse(value)
    variables(node)
    return evaluate(node, table)
