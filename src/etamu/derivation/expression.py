"""The text of a log-partition as a symbolic expression: parsed by the formula parser, built from a table of functions, never executed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import sympy

from etamu.design.parser import Binary, Call, Name, Node, Number, Unary, parse
from etamu.errors import DerivationError, FormulaError, SpecificationError, unknown

__all__ = ["FUNCTIONS", "THETA", "Each", "read"]

THETA = sympy.Symbol("theta", real=True)
FUNCTIONS: dict[str, Any] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "log1p": lambda x: sympy.log(1 + x),
    "expm1": lambda x: sympy.exp(x) - 1,
    "sqrt": sympy.sqrt,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "atan": sympy.atan,
    "asinh": sympy.asinh,
}
_CONSTANTS: dict[str, Any] = {"pi": sympy.pi, "π": sympy.pi, "E": sympy.E}
_THETA = ("theta", "θ")
_LONGEST = 2_000
_MOST_OPERATIONS = 120
_LARGEST_POWER = 100.0
_MOST_BITS = 1100
_DEEPEST = 12  # functions of functions


class Each(sympy.Function):  # type: ignore[misc]
    """``sum(f(theta))`` over the classes: a function of the expression that is summed."""


def read(text: str, parameters: Mapping[str, float]) -> sympy.Expr:
    """The expression that a text in ``theta`` and named parameters stands for.

    >>> from etamu.derivation.expression import read
    >>> read("-r*log(1 - exp(theta))", {"r": 2.0})
    -2*log(1 - exp(theta))
    """
    if not isinstance(text, str):
        raise SpecificationError(f"`log_partition` is a {type(text).__name__}; pass text in theta, such as 'log(1 + exp(theta))'.")
    if len(text) > _LONGEST:
        raise DerivationError(f"`log_partition` has {len(text)} characters; at most {_LONGEST} can be derived.")
    if not text.strip():
        raise DerivationError("`log_partition` is empty, so not an expression; write for example 'log(1 + exp(theta))'.")
    values = {name: _parameter(name, value) for name, value in parameters.items()}
    try:
        tree = parse(text.replace("**", "^"))
    except FormulaError as error:
        raise DerivationError(f"`log_partition` {_shown(text)} is not an expression: {str(error).replace('formula: ', '')}") from None
    found = _build(tree, values, text)
    if _depth(found) > _DEEPEST:
        raise DerivationError(f"`log_partition` {_shown(text)} has functions of functions more than {_DEEPEST} deep; write it more simply.")
    if sympy.count_ops(found) > _MOST_OPERATIONS:
        raise DerivationError(f"`log_partition` has more than {_MOST_OPERATIONS} operations; write it more simply.")
    if not (found.has(THETA) or found.has(Each)):
        raise DerivationError(f"`log_partition` {_shown(text)} does not depend on theta, so its variance A'' is 0 everywhere: no exponential family.")
    return found


def _depth(e: sympy.Expr) -> int:
    """How deep functions and powers stand inside each other."""
    inner = max(map(_depth, e.args), default=0)
    return inner + isinstance(e, (sympy.Function, sympy.Pow))


def _parameter(name: str, value: Any) -> sympy.Expr:
    if name in (*_THETA, *_CONSTANTS, *FUNCTIONS, "sum"):
        raise SpecificationError(f"parameter {name!r} is a name that log-partitions use themselves; choose another.")
    try:
        number = float(value) if isinstance(value, (Real, np.generic)) and not isinstance(value, (bool, np.bool_)) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpecificationError(f"parameter {name!r} is {str(value)[:40]}; pass a finite number.")
    return _number(number)


def _number(value: float) -> sympy.Expr:
    """The decimal that was written, exactly."""
    return sympy.Rational(repr(value))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _build(node: Node, values: Mapping[str, sympy.Expr], text: str) -> sympy.Expr:
    match node:
        case Number(value):
            return _number(value)
        case Name(name) if name in _THETA:
            return THETA
        case Name(name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case Name(name) if name in values:
            return values[name]
        case Name(name):
            hint = f"pass its value: derive({_shown(text)}, {name}=...)" if name.isidentifier() else "write it in theta"
            raise DerivationError(f"`log_partition` {_shown(text)} has a name {name!r} that is neither theta nor a parameter; {hint}.")
        case Unary("-", operand):
            return -_build(operand, values, text)
        case Unary("+", operand):
            return _build(operand, values, text)
        case Binary("^", base, exponent):
            return _power(_build(base, values, text), _build(exponent, values, text), text)
        case Binary("+" | "-" | "*" | "/" as operator, left, right):
            return _arithmetic(operator, _build(left, values, text), _build(right, values, text), text)
        case Call("sum", (argument,), ()):
            inside = _build(argument, values, text)
            if not inside.has(THETA) or inside.has(Each):
                raise DerivationError(f"`log_partition` {_shown(text)}: sum() adds a function of theta over the classes, as in log(sum(exp(theta))).")
            return Each(inside)
        case Call(name, (argument,), ()) if name in FUNCTIONS:
            return _applied(FUNCTIONS[name], _build(argument, values, text), text)
        case Call(name, arguments, keywords) if name in FUNCTIONS:
            raise DerivationError(f"`log_partition` {_shown(text)}: {name}() takes 1 argument, not {len(arguments) + len(keywords)}.")
        case Call(name):
            error = unknown("function", name, [*FUNCTIONS, "sum"])
            raise DerivationError(f"`log_partition` {_shown(text)}: {error}")
    raise DerivationError(f"`log_partition` {_shown(text)} is not an arithmetic expression of theta.")


def _applied(function: Any, argument: sympy.Expr, text: str) -> sympy.Expr:
    return _usable(function(argument), text)


def _arithmetic(operator: str, left: sympy.Expr, right: sympy.Expr, text: str) -> sympy.Expr:
    if operator == "/":
        return _usable(left / right, text)
    return _usable(left + right if operator == "+" else left - right if operator == "-" else left * right, text)


def _power(base: sympy.Expr, exponent: sympy.Expr, text: str) -> sympy.Expr:
    """Powers that are numbers stay small: 9^9^9 would not fit any machine."""
    if exponent.is_number and not exponent.is_real:
        raise DerivationError(f"`log_partition` {_shown(text)} has a power that is not a real number, so A has no domain.")
    if exponent.is_number and not abs(float(exponent)) <= _LARGEST_POWER:
        raise DerivationError(f"`log_partition` {_shown(text)} has a power beyond {_LARGEST_POWER:g}; rescale theta.")
    return _usable(base**exponent, text)


def _usable(found: sympy.Expr, text: str) -> sympy.Expr:
    if any(q.p.bit_length() > _MOST_BITS or q.q.bit_length() > _MOST_BITS for q in found.atoms(sympy.Rational)):
        raise DerivationError(f"`log_partition` {_shown(text)} has a number beyond the range of doubles; rescale theta.")
    if any(p.exp.is_number and p.exp.is_real and abs(float(p.exp)) > _LARGEST_POWER for p in found.atoms(sympy.Pow)):
        raise DerivationError(f"`log_partition` {_shown(text)} has a power beyond {_LARGEST_POWER:g}; rescale theta.")
    if found.has(sympy.I):
        raise DerivationError(f"`log_partition` {_shown(text)} takes the logarithm or root of a negative number whatever theta is, so A has no domain.")
    if found.has(sympy.Abs, sympy.sign, sympy.Piecewise, sympy.re, sympy.im, sympy.arg):
        raise DerivationError(f"`log_partition` {_shown(text)} has an absolute value in it, so it is not smooth; a log-partition has all derivatives.")
    if found.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        raise DerivationError(f"`log_partition` {_shown(text)} divides by zero or takes the logarithm of zero whatever theta is, so A has no domain.")
    return found
