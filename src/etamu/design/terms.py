"""What a formula means: its response, its terms, its offsets and weights, as frozen data.

A term is a product of variables; a variable is a column, an arithmetic expression, a basis such as ``bs(x, df=5)`` or a
factor such as ``C(g)``.  ``algebra.py`` multiplies terms out, ``declare.py`` reads what a variable is.  The language:

    + - : * / ^ %in% ( )  1  0  -1  .           terms, as in R; `odd name` in backquotes
    I log log1p exp sqrt abs center scale       one numeric column; your own through functions.register
    poly(x, degree, raw=False)                  orthogonal polynomials
    bs(x, df=, knots=, degree=3, intercept=False, bounds=[low, high])   ns(x, df=, knots=, intercept=False, bounds=)
    cr(x, df=)                                  natural cubic spline by its values at df + 1 knots, centred: df columns
    s(x, df=20, degree=3, order=2)              penalised spline whose smoothness the fit chooses: df - 1 columns
    C(g, contrast, base=, levels=[...])         contrast: treatment, sum, helmert, poly; factor() is the same
    cut(x, [breaks])   bin(x, n)                factors of intervals
    offset(...)   weights(...)                  no terms: they are set aside
    cbind(successes, failures)                  a response
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from etamu.design.algebra import Algebra, Term
from etamu.design.arithmetic import evaluate, from_table, variables
from etamu.design.declare import columns_of, declare
from etamu.design.functions import FUNCTIONS
from etamu.design.parser import Binary, Call, Name, Node, Unary, parse, spine, write
from etamu.errors import FormulaError

__all__ = ["FUNCTIONS", "Formula", "Term", "columns_used", "evaluate", "expand", "from_table", "read_formula", "variables"]

_DOT = Name(".")


@dataclass(frozen=True)
class Formula:
    """``response ~ terms``; ``offsets`` add to eta with coefficient 1, ``weights`` multiply the prior weights."""

    text: str
    response: Node | None
    terms: tuple[Term, ...]
    offsets: tuple[Node, ...]
    intercept: bool
    weights: tuple[Node, ...] = ()

    @property
    def variables(self) -> tuple[Node, ...]:
        """What the terms are products of, each once."""
        return tuple(dict.fromkeys(v for term in self.terms for v in term))


def read_formula(text: str) -> Formula:
    """The parts of a formula; terms by degree, then in the order they are written, each once.

    >>> from etamu.design.terms import read_formula
    >>> f = read_formula("y ~ x * C(g) + offset(log(n)) - 1")
    >>> f.intercept, len(f.terms), len(f.offsets)
    (False, 3, 1)
    """
    try:
        response, tree = _sides(text)
        return _read(text, response, tree)
    except RecursionError:
        raise FormulaError("formula: an expression nests too deeply; split it into columns computed beforehand.") from None


def _sides(text: str) -> tuple[Node | None, Node]:
    tree = parse(text)
    match tree:
        case Binary("~", left, right):
            return left, right
        case Unary("~", operand):
            return None, operand
    raise FormulaError(f"formula {text[:80]!r} has no '~'; write 'response ~ terms'.")


def _read(text: str, response: Node | None, tree: Node) -> Formula:
    algebra = Algebra(tree, _variable)
    formula = Formula(text, response, algebra.terms, tuple(algebra.aside["offset"]), algebra.intercept, tuple(algebra.aside["weights"]))
    for node in (*formula.offsets, *formula.weights, *(() if response is None else _parts(response))):
        variables(node)
    return formula


def _variable(node: Node) -> Node:
    """A variable in its one spelling, checked; '.' waits for the table."""
    if isinstance(node, Call) and node.function == "factor":
        node = Call("C", node.arguments, node.keywords)
    if node != _DOT:
        declare(node)
    return node


def _parts(response: Node) -> tuple[Node, ...]:
    return response.arguments if isinstance(response, Call) and response.function == "cbind" else (response,)


def columns_used(formula: Formula) -> list[str]:
    """Every column the formula reads, each once."""
    response = () if formula.response is None else _parts(formula.response)
    plain = [name for node in (*response, *formula.offsets, *formula.weights) for name in variables(node)]
    return list(dict.fromkeys([*plain, *(name for v in formula.variables if v != _DOT for name in columns_of(v))]))


def expand(formula: Formula, columns: Iterable[str]) -> Formula:
    """The formula with '.' written out: every column but those of the response, the offset, the weights and those inside a function.

    A bare name beside '.' changes nothing, so ``y ~ . + a:b`` keeps the main effects and ``y ~ . - x`` leaves out x, as in R.

    >>> from etamu.design.terms import expand, read_formula
    >>> expand(read_formula("y ~ . + log(n)"), ["y", "n", "x", "z"]).text
    'y ~ x + z + log(n)'
    """
    if "." not in formula.text:
        return formula
    response, tree = _sides(formula.text)
    if not _has_dot(tree):
        return formula
    functions = [v for v in formula.variables if not isinstance(v, Name)]
    taken = set(columns_used(Formula("", response, tuple((v,) for v in functions), formula.offsets, True, formula.weights)))
    others = [name for name in columns if name not in taken]
    if not others:
        raise FormulaError("formula: '.' stands for all other columns, but `data` has none; write the terms out.")
    for name in others:
        if not name or "`" in name:
            raise FormulaError(f"formula: '.' includes the column {name!r}, which no formula can name; rename it.")
    full: Node = Name(others[0])
    for name in others[1:]:
        full = Binary("+", full, Name(name))
    tree = _substitute(tree, full)
    text = f"{'' if response is None else write(response) + ' '}~ {write(tree)}"
    return _read(text, response, tree)


def _has_dot(node: Node) -> bool:
    stack = [node]
    while stack:
        here = stack.pop()
        match here:
            case Unary(_, operand):
                stack.append(operand)
            case Binary(_, left, right):
                stack += [left, right]
            case _ if here == _DOT:
                return True
    return False


def _substitute(node: Node, full: Node) -> Node:
    """'.' replaced wherever it is a term."""
    match node:
        case Name("."):
            return full
        case Unary(operator, operand):
            return Unary(operator, _substitute(operand, full))
        case Binary():
            first, steps = spine(node, "+-*/:^")
            if not steps:
                return Binary(node.operator, _substitute(node.left, full), _substitute(node.right, full))
            out = _substitute(first, full)
            for operator, right in steps:
                out = Binary(operator, out, _substitute(right, full))
            return out
    return node
