"""Which factor of a term is coded by contrasts and which by all its indicators: R's rule, from the terms alone.

A factor in a term is coded by contrasts where the term without it is part of an earlier term (the empty term always
is); otherwise its levels would be confounded with nothing, so all of them get a column.  Without an intercept the first
factor of the first term that has one is coded by all its indicators.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from etamu.design.algebra import Term
from etamu.design.parser import Node

__all__ = ["fully_coded"]


def fully_coded(terms: Sequence[Term], factors: Collection[Node], intercept: bool) -> list[frozenset[Node]]:
    """For each term its factors that keep all their levels.

    >>> from etamu.design.coding import fully_coded
    >>> from etamu.design.terms import read_formula
    >>> f = read_formula("~ a + a:b")
    >>> [[v.value for v in full] for full in fully_coded(f.terms, f.variables, True)]
    [[], ['a']]
    """
    out: list[set[Node]] = []
    earlier: defaultdict[Node, list[frozenset[Node]]] = defaultdict(list)  # by the variables in them

    def inside(rest: frozenset[Node]) -> bool:
        return not rest or any(rest <= other for other in min((earlier[v] for v in rest), key=len))

    for term in terms:
        whole = frozenset(term)
        out.append({v for v in term if v in factors and not inside(whole - {v})})
        for variable in term:
            earlier[variable].append(whole)
    if not intercept:
        first = next(((k, v) for k, term in enumerate(terms) for v in term if v in factors), None)
        if first is not None:
            out[first[0]].add(first[1])
    return [frozenset(full) for full in out]
