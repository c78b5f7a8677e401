"""Short forms of what calculus returns, and inverses where there is a formula for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sympy

from etamu.derivation.expression import THETA

if TYPE_CHECKING:
    from etamu.derivation.family import Derived

__all__ = ["inverse", "modest", "separate_logs", "shortest"]

_LARGEST_ROOT = 100
_SMALL = 60  # operations up to which the slower rules are tried
_U = sympy.Symbol("u", positive=True)
_CURVES = (sympy.sin, sympy.cos, sympy.tan, sympy.sinh, sympy.cosh, sympy.tanh)


def modest(e: sympy.Expr) -> bool:
    """Whether rules for polynomials end soon: few operations and no large powers or denominators."""
    return bool(sympy.count_ops(e) <= 4 * _SMALL and all(abs(q.p) <= 30 and q.q <= 30 for q in e.atoms(sympy.Rational)))


def shortest(e: sympy.Expr) -> sympy.Expr:
    """The shortest of a few equal forms."""
    rules = [lambda x: _outside(sympy.cancel(x)), sympy.cancel, sympy.factor, sympy.together, lambda x: sympy.powsimp(sympy.cancel(x))]
    if sympy.count_ops(e) <= _SMALL and e.has(*_CURVES):
        rules.append(sympy.simplify)
    if not modest(e):
        return e
    forms = []
    for rule in rules:
        try:
            forms.append(rule(e))
        except (sympy.PolynomialError, NotImplementedError, TypeError, ValueError):
            continue
    return min([*forms, e], key=lambda x: (sympy.count_ops(x, visual=False), len(str(x))))


def _outside(e: sympy.Expr) -> sympy.Expr:
    """A common factor in front: mu (1 - mu) rather than mu - mu^2."""
    symbols = sorted(e.free_symbols, key=str)
    return symbols[0] * sympy.expand(e / symbols[0]) if len(symbols) == 1 and e.is_polynomial(*symbols) and e.subs(symbols[0], 0) == 0 else e


def inverse(mean: sympy.Expr, mu: sympy.Symbol, family: Derived) -> sympy.Expr | None:
    """Theta as a formula in mu, where A' is a low polynomial, a power, or a quotient of those in an elementary function of theta."""
    for u, back in _CHANGES:
        inner = mean.subs(u, _U)
        if u == sympy.exp(THETA):
            inner = sympy.expand(inner, power_exp=True).subs(sympy.exp(-THETA), 1 / _U)
        if inner.has(THETA):
            continue
        for root in _roots(inner, mu):
            theta = back(positive(shortest(root), mu, family))
            if _inverts(theta, mu, family):
                return theta
    return None


_CHANGES = (
    (THETA, lambda x: x),
    (sympy.exp(THETA), sympy.log),
    (sympy.log(THETA), sympy.exp),
    (sympy.tan(THETA), sympy.atan),
    (sympy.tanh(THETA), sympy.atanh),
    (sympy.sinh(THETA), sympy.asinh),
)


def _points(family: Derived) -> np.ndarray:
    low, high = family.space
    if np.isinf(low) and np.isinf(high):
        return np.array([-1.3, -0.2, 0.4, 1.1])
    if np.isinf(low):
        return high - np.array([0.3, 1.2, 2.0])
    return low + np.array([0.3, 1.2, 2.0]) if np.isinf(high) else low + (high - low) * np.array([0.3, 0.6])


def positive(root: sympy.Expr, mu: sympy.Symbol, family: Derived) -> sympy.Expr:
    """A quotient with a denominator that is positive at the means: mu/(1 - mu) rather than -mu/(mu - 1)."""
    top, bottom = sympy.fraction(sympy.together(root))
    try:
        negative = float(bottom.subs(mu, float(family.mean(_points(family)[:1])[0]))) < 0
    except (TypeError, ValueError):
        return root
    return sympy.expand(-top) / sympy.expand(-bottom) if negative else root


def separate_logs(e: sympy.Expr, mu: sympy.Symbol, family: Derived) -> sympy.Expr:
    """Logarithms of products as sums, each of something positive."""
    return sympy.expand_log(e.replace(sympy.log, lambda x: sympy.log(positive(shortest(x), mu, family))), force=True)


def _roots(inner: sympy.Expr, mu: sympy.Symbol) -> list[sympy.Expr]:
    """Solutions u of inner(u) = mu, where it is rational of degree two at most or a power."""
    v = sympy.Symbol("v", real=True)
    inner = inner.subs(_U, v)
    top, bottom = sympy.fraction(sympy.together(inner))
    try:
        if top.is_polynomial(v) and bottom.is_polynomial(v):
            equation = sympy.Poly(top - mu * bottom, v)
            if equation.degree() <= 2:
                return list(sympy.roots(equation))
    except sympy.PolynomialError:
        return []
    c, k, s = (sympy.Wild(name, exclude=[v]) for name in "cks")
    match = inner.match(c * (s * v) ** k)
    if match and match[k] != 0 and abs(1 / match[k]) <= _LARGEST_ROOT and match.get(s, 1) != 0:
        return [(mu / match[c]) ** (1 / match[k]) / match[s]]
    return []


def _inverts(theta: sympy.Expr, mu: sympy.Symbol, family: Derived) -> bool:
    """Whether it gives back the thetas of a few means."""
    points = _points(family)
    try:
        found = [complex(theta.subs(mu, sympy.Float(m, 17))) for m in family.mean(points)]
    except (TypeError, ValueError):
        return False
    return bool(np.allclose(found, points, rtol=1e-9, atol=1e-9))
