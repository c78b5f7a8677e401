"""Formula text to a tree of plain data: a tokenizer and a precedence parser.  Nothing in a formula is ever executed.

The grammar is that of R's model formulas.  What a tree means is decided in ``terms.py``; this file only reads it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from etamu.errors import FormulaError

__all__ = ["Binary", "Call", "List", "Name", "Node", "Number", "Text", "Unary", "parse", "spine", "write"]

MAX_LENGTH = 100_000
MAX_DEPTH = 100


@dataclass(frozen=True)
class Name:
    value: str


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Unary:
    operator: str
    operand: Node


@dataclass(frozen=True)
class Binary:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[tuple[str, Node], ...] = ()


@dataclass(frozen=True)
class List:
    items: tuple[Node, ...]


Node = Name | Number | Text | Unary | Binary | Call | List

_NAME = r"[^\W\d]\w*(?:\.\w+)*"
_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) |
        (?P<name>{_NAME}|\.(?!\d)) |
        `(?P<quoted>[^`]+)` |
        (?P<text>"[^"]*"|'[^']*') |
        (?P<operator>%in%|[~+\-*/:^(),=\[\]])
    )""",
    re.VERBOSE,
)
# binding powers; ^ binds to the right, the rest to the left
_POWER = {"~": 1, "+": 10, "-": 10, "*": 20, "/": 20, "%in%": 25, ":": 30, "^": 50}
_PREFIX = 40


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    at: int


def _tokens(text: str) -> list[_Token]:
    out, at = [], 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise FormulaError(f"formula: {text[at]!r} at position {at} is not part of the formula language{_near(text, at)}.")
        kind = str(match.lastgroup)
        out.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return out


def _near(text: str, at: int) -> str:
    return f", near {text[max(0, at - 15) : at + 15]!r}"


class _Reader:
    """A position in the tokens; one method per rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.position, self.depth = text, _tokens(text), 0, 0

    def peek(self) -> _Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> _Token:
        token = self.peek()
        if token is None:
            raise FormulaError(f"formula {_shown(self.text)}: it ends where a term was expected; complete it or remove the last operator.")
        self.position += 1
        return token

    def expect(self, value: str) -> None:
        token = self.peek()
        if token is None or token.value != value or token.kind != "operator":
            found = "the end" if token is None else repr(token.value)
            raise FormulaError(f"formula {_shown(self.text)}: expected {value!r} but found {found}.")
        self.position += 1

    def at_operator(self, value: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == "operator" and token.value == value

    def expression(self, floor: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError(f"formula: it nests deeper than {MAX_DEPTH} levels; write it flatter.")
        left = self.prefix()
        while (token := self.peek()) is not None and token.kind == "operator" and token.value in _POWER:
            power = _POWER[token.value]
            if power < floor:
                break
            self.take()
            right = self.expression(power if token.value == "^" else power + 1)
            left = Binary(token.value, left, right)
        self.depth -= 1
        return left

    def prefix(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "text":
            return Text(token.value[1:-1])
        if token.kind == "quoted":
            return Name(token.value)
        if token.kind == "name":
            return self.call(token) if self.at_operator("(") else Name(token.value)
        if token.value in "+-":
            return Unary(token.value, self.expression(_PREFIX))
        if token.value == "~":
            return Unary("~", self.expression(_POWER["~"] + 1))
        if token.value == "(":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if token.value == "[":
            return self.items()
        raise FormulaError(f"formula: {token.value!r} at position {token.at} cannot start a term{_near(self.text, token.at)}.")

    def number(self, token: _Token) -> Number:
        value = float(token.value)
        if math.isinf(value):
            raise FormulaError(f"formula: {token.value[:40]} at position {token.at} is beyond the range of doubles; rescale the column.")
        return Number(value)

    def items(self) -> List:
        items: list[Node] = []
        while not self.at_operator("]"):
            items.append(self.expression(2))
            if not self.at_operator("]"):
                self.expect(",")
        self.expect("]")
        return List(tuple(items))

    def call(self, name: _Token) -> Call:
        self.expect("(")
        arguments: list[Node] = []
        keywords: list[tuple[str, Node]] = []
        while not self.at_operator(")"):
            key = self.keyword()
            value = self.expression(2)
            if key is None:
                arguments.append(value)
            else:
                keywords.append((key, value))
            if not self.at_operator(")"):
                self.expect(",")
        self.expect(")")
        return Call(name.value, tuple(arguments), tuple(keywords))

    def keyword(self) -> str | None:
        here = self.tokens[self.position : self.position + 2]
        if len(here) == 2 and here[0].kind == "name" and here[1].kind == "operator" and here[1].value == "=":
            self.position += 2
            return here[0].value
        return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def parse(text: str) -> Node:
    """The tree of a formula or expression.

    >>> from etamu.design.parser import parse
    >>> parse("log(x) - 1")
    Binary(operator='-', left=Call(function='log', arguments=(Name(value='x'),), keywords=()), right=Number(value=1.0))
    """
    if not isinstance(text, str):
        raise FormulaError(f"`formula` is a {type(text).__name__}; pass text such as 'y ~ x1 + C(group)'.")
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"`formula` has {len(text)} characters; the limit is {MAX_LENGTH}. Pass a matrix to em.fit instead.")
    reader = _Reader(text)
    if not reader.tokens:
        raise FormulaError("`formula` is empty; write for example 'y ~ x1 + C(group)'.")
    tree = reader.expression(0)
    rest = reader.peek()
    if rest is not None:
        raise FormulaError(f"formula: {rest.value!r} at position {rest.at} does not continue the term before it{_near(text, rest.at)}.")
    return tree


def spine(node: Node, operators: str) -> tuple[Node, list[tuple[str, Node]]]:
    """``a + b - c`` as a and [(+, b), (-, c)]: the left-leaning chain of these operators, so that long sums need no recursion."""
    steps: list[tuple[str, Node]] = []
    while isinstance(node, Binary) and node.operator in operators:
        steps.append((node.operator, node.right))
        node = node.left
    return node, steps[::-1]


def write(node: Node) -> str:
    """The tree as text, in one canonical spelling that reads back as the same tree."""
    match node:
        case Name(value):
            return value if value == "." or re.fullmatch(_NAME, value) else f"`{value}`"
        case Number(value):
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case Text(value):
            return f"'{value}'" if '"' in value else f'"{value}"'
        case Unary(operator, operand):
            return f"{operator}{_within(operand, _PREFIX)}"
        case Binary():
            return _write_chain(node)
        case List(items):
            return f"[{', '.join(map(write, items))}]"
        case Call(function, arguments, keywords):
            parts = [write(a) for a in arguments] + [f"{k}={write(v)}" for k, v in keywords]
            return f"{function}({', '.join(parts)})"


def _write_chain(node: Binary) -> str:
    power = _POWER[node.operator]
    alike = "".join(o for o, p in _POWER.items() if p == power and o not in ("^", "%in%"))
    first, steps = spine(node, alike) if alike else (node.left, [(node.operator, node.right)])
    text = _within(first, power + (node.operator == "^"))
    for operator, right in steps:
        space = "" if operator in ":^" else " "
        text += f"{space}{operator}{space}{_within(right, power + (operator != '^'))}"
    return text


def _within(node: Node, floor: int) -> str:
    """In parentheses where the operator around it binds more tightly than the node's own."""
    power = _POWER[node.operator] if isinstance(node, Binary) else _PREFIX if isinstance(node, Unary) else 99
    return f"({write(node)})" if power < floor else write(node)
