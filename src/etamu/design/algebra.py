"""The algebra of terms: ``+ - : * / ^ %in%`` on sets of variables, by R's rules.

A term is the set of variables whose product it is, kept as the bits of an integer; the order of variables is that of
their first appearance, and the order of terms that of their degree, then of their appearance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import comb

from etamu.design.parser import Binary, Call, Node, Number, Unary, spine, write
from etamu.errors import FormulaError

__all__ = ["MOST_TERMS", "Algebra"]

MOST_TERMS = 10_000
Term = tuple[Node, ...]
_ASIDE = ("offset", "weights")


class Algebra:
    """Reads the right side of a formula once; then ``terms``, ``intercept`` and what was set aside are known."""

    def __init__(self, tree: Node, check: Callable[[Node], Node]) -> None:
        self._check = check
        self._bit: dict[Node, int] = {}
        self.intercept = True
        self.aside: dict[str, list[Node]] = {name: [] for name in _ASIDE}
        masks = sorted(self._sum(tree, 1, True), key=int.bit_count)  # stable: appearance within a degree
        variables = list(self._bit)
        self.terms: tuple[Term, ...] = tuple(tuple(variables[k] for k in _bits(mask)) for mask in masks)

    def _sum(self, node: Node, sign: int, outermost: bool) -> dict[int, None]:
        """The terms of a sum, each once; what is subtracted is taken from those before it."""
        first, steps = spine(node, "+-")
        found: dict[int, None] = {}
        for operator, part in [("+", first), *steps]:
            while isinstance(part, Unary) and part.operator in "+-":
                operator = "+" if operator == part.operator else "-"
                part = part.operand
            new = self._part(part, sign if operator == "+" else -sign, outermost)
            for term in new:
                if operator == "+":
                    found[term] = None
                else:
                    found.pop(term, None)
            _limit(len(found))
        return found

    def _part(self, node: Node, sign: int, outermost: bool) -> Iterable[int]:
        match node:
            case Number(value) if value in (0, 1):
                if not outermost:
                    raise FormulaError(f"formula: {value:g} (the intercept) stands in the outer sum only; take it out of the product.")
                self.intercept = (sign > 0) == (value == 1)
                return ()
            case Call(function) if function in _ASIDE:
                self._set_aside(node, sign, outermost)
                return ()
            case Binary("+" | "-") | Unary("+" | "-"):
                return self._sum(node, sign, outermost)
            case Binary("*" | ":" | "/" | "%in%" | "^"):
                return self._product(node)
            case _:
                variable = self._check(node)
                return (1 << self._bit.setdefault(variable, len(self._bit)),)

    def _set_aside(self, node: Call, sign: int, outermost: bool) -> None:
        if len(node.arguments) != 1 or node.keywords:
            raise FormulaError(f"formula: {node.function}() takes 1 argument, not {len(node.arguments) + len(node.keywords)}.")
        if sign < 0 and node.function == "offset":
            raise FormulaError("formula: an offset cannot be subtracted; write offset(-log(x)) to change its sign.")
        if sign < 0 or not outermost:
            raise FormulaError(f"formula: '{write(node)}' is no term; add it to the formula with '+'.")
        self.aside[node.function].append(node.arguments[0])

    def _product(self, node: Binary) -> Iterable[int]:
        left = list(self._sum(node.left, 1, False))
        if node.operator == "^":
            return _power(left, node.right)
        right = list(self._sum(node.right, 1, False))
        match node.operator:
            case ":":
                return _cross(left, right)
            case "*":
                return dict.fromkeys([*left, *right, *_cross(left, right)])
            case "/":
                nest = _union(left)
                return dict.fromkeys([*left, *(nest | term for term in right)])
            case _:  # %in%
                nest = _union(right)
                return dict.fromkeys(term | nest for term in left)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _cross(left: list[int], right: list[int]) -> dict[int, None]:
    _limit(len(left) * len(right))
    return dict.fromkeys(a | b for a in left for b in right)


def _power(left: list[int], exponent: Node) -> dict[int, None]:
    if not isinstance(exponent, Number) or exponent.value < 1 or not exponent.value.is_integer():
        raise FormulaError(f"formula: the power '{write(exponent)}' of a sum of terms must be 1, 2, 3, ...; for arithmetic write I(...).")
    times = min(int(exponent.value), len(left))  # a product of more terms than there are repeats one
    _limit(sum(comb(len(left), k) for k in range(1, times + 1)))
    found = dict.fromkeys(left)
    for _ in range(times - 1):
        found = dict.fromkeys(a | b for a in left for b in found)
    return found


def _union(terms: list[int]) -> int:
    mask = 0
    for term in terms:
        mask |= term
    return mask


def _limit(count: int) -> None:
    if count > MOST_TERMS:
        raise FormulaError(f"formula: it expands to {count} terms; the limit is {MOST_TERMS}. Pass a matrix to em.fit instead.")
