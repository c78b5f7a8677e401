"""What a formula means: its response, its terms and its offsets, as frozen data.

Supported here: numeric columns and arithmetic of them inside ``log``, ``log1p``, ``exp``, ``sqrt``, ``abs`` and ``I``;
text columns and ``C(x)`` as factors; ``offset(...)``; ``1``, ``0`` and ``-1``; ``cbind(successes, failures)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.design.frames import Array, Table
from etamu.design.parser import Binary, Call, Name, Node, Number, Text, Unary, parse, write
from etamu.errors import FormulaError, unknown

__all__ = ["FUNCTIONS", "Formula", "evaluate", "from_table", "read_formula", "variables"]

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "I": np.asarray,
}
_SPECIAL = ("C", "offset", "cbind")
_OPERATORS: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


@dataclass(frozen=True)
class Formula:
    """``response ~ terms``; ``offsets`` add to eta with coefficient 1."""

    text: str
    response: Node | None
    terms: tuple[Node, ...]
    offsets: tuple[Node, ...]
    intercept: bool


def read_formula(text: str) -> Formula:
    """The parts of a formula, terms in the order they are written and each once.

    >>> from etamu.design.terms import read_formula
    >>> f = read_formula("y ~ x + C(g) + offset(log(n)) - 1")
    >>> f.intercept, len(f.terms), len(f.offsets)
    (False, 2, 1)
    """
    try:
        return _read(text)
    except RecursionError:
        raise FormulaError("formula: an expression nests too deeply; split it into columns computed beforehand.") from None


def _read(text: str) -> Formula:
    tree = parse(text)
    response: Node | None = None
    if isinstance(tree, Binary) and tree.operator == "~":
        response, tree = tree.left, tree.right
    elif isinstance(tree, Unary) and tree.operator == "~":
        tree = tree.operand
    else:
        raise FormulaError(f"formula {text!r} has no '~'; write 'response ~ terms'.")
    terms: dict[Node, None] = {}  # ordered, each once
    offsets: list[Node] = []
    intercept = True
    for sign, node in _summands(tree, 1):
        if isinstance(node, Number) and node.value in (0, 1):
            intercept = (sign > 0) == (node.value == 1)
        elif isinstance(node, Call) and node.function == "offset":
            _require_arguments(node, 1)
            if sign < 0:
                raise FormulaError("formula: an offset cannot be subtracted; write offset(-log(x)) to change its sign.")
            offsets.append(node.arguments[0])
        elif sign < 0:
            terms.pop(node, None)
        else:
            terms[_checked_term(node)] = None
    if response is not None and not isinstance(response, Call):
        variables(response)
    for node in offsets:
        variables(node)
    return Formula(text, response, tuple(terms), tuple(offsets), intercept)


def _summands(node: Node, sign: int) -> list[tuple[int, Node]]:
    """The signed terms of a sum, left to right; iterative, so a long formula is no deep recursion."""
    out: list[tuple[int, Node]] = []
    stack = [(sign, node)]
    while stack:
        s, n = stack.pop()
        if isinstance(n, Binary) and n.operator in "+-":
            stack.append((s if n.operator == "+" else -s, n.right))
            stack.append((s, n.left))
        elif isinstance(n, Unary) and n.operator in "+-":
            stack.append((s if n.operator == "+" else -s, n.operand))
        else:
            out.append((s, n))
    return out


def _checked_term(node: Node) -> Node:
    match node:
        case Name("."):
            raise FormulaError("formula: '.' (all other columns) is not supported yet; write the columns out.")
        case Name():
            return node
        case Call("cbind"):
            raise FormulaError("formula: cbind(...) belongs on the left of '~'.")
        case Call("C"):
            _require_arguments(node, 1)
            if node.keywords:
                raise FormulaError(f"formula: C() takes no `{node.keywords[0][0]}` yet; order the levels in the data instead.")
            if not isinstance(node.arguments[0], Name):
                raise FormulaError(f"formula: C({write(node.arguments[0])}) must name one column.")
            return node
        case Call(function) if function not in FUNCTIONS:
            raise unknown("function", function, [*FUNCTIONS, *_SPECIAL])
        case Call():
            variables(node)
            return node
        case Binary(operator):
            raise FormulaError(
                f"formula: '{write(node)}' uses '{operator}' between terms, which is not supported yet; "
                "for arithmetic write I(...), for an interaction build the column first."
            )
        case Number(value):
            raise FormulaError(f"formula: {value:g} is not a term; only 0 and 1 may stand alone.")
        case Text(value):
            raise FormulaError(f"formula: text {value!r} is not a term; write a column name without quotes, or in backquotes.")
        case _:
            raise FormulaError(f"formula: {write(node)} is not a term.")


def _require_arguments(node: Call, count: int) -> None:
    if len(node.arguments) != count:
        raise FormulaError(f"formula: {node.function}() takes {count} argument{'s' * (count > 1)}, not {len(node.arguments)}.")


def variables(node: Node) -> list[str]:
    """Names of the columns an expression reads; refuses what is not arithmetic."""
    match node:
        case Name(value):
            return [value]
        case Number():
            return []
        case Unary(_, operand):
            return variables(operand)
        case Binary(operator, left, right) if operator in _OPERATORS:
            return [*variables(left), *variables(right)]
        case Call(function, (argument,), ()) if function in FUNCTIONS:
            return variables(argument)
        case Call(function) if function not in FUNCTIONS:
            raise unknown("function", function, FUNCTIONS)
    raise FormulaError(f"formula: '{write(node)}' is not an arithmetic expression of columns.")


@np.errstate(all="ignore")
def evaluate(node: Node, table: Table) -> Array:
    """The values of an arithmetic expression, one per row; a lone column comes back as it is, uncopied."""
    match node:
        case Name(value):
            return table.numbers(value)
        case Number(value):
            return np.full(table.rows, value)
        case Unary("-", operand):
            return np.asarray(-evaluate(operand, table).astype(float))
        case Unary(_, operand):
            return evaluate(operand, table)
        case Binary(operator, left, right) if operator in _OPERATORS:
            a = left.value if isinstance(left, Number) else evaluate(left, table).astype(float)
            b = right.value if isinstance(right, Number) else evaluate(right, table).astype(float)
            return np.broadcast_to(np.asarray(_OPERATORS[operator](a, b), dtype=float), (table.rows,))  # type: ignore[arg-type, type-var]
        case Call(function, (argument,), ()) if function in FUNCTIONS:
            return np.asarray(FUNCTIONS[function](evaluate(argument, table).astype(float)))
    variables(node)
    raise FormulaError(f"formula: '{write(node)}' cannot be evaluated.")


def from_table(value: Any, table: Table, name: str) -> Any:
    """An argument that may be a column name or an expression of columns."""
    if not isinstance(value, str):
        return value
    if value in table.columns:
        return table.numbers(value)
    node = parse(value)
    variables(node)
    return evaluate(node, table)
