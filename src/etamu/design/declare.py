"""What one variable of a formula is, read from its tree alone: arithmetic, a basis, or a factor."""

from __future__ import annotations

from dataclasses import dataclass

from etamu.design.arithmetic import leaves, variables
from etamu.design.basis import Basis, BSpline, CubicRegression, NaturalSpline, Poly, PSpline
from etamu.design.calls import bind, boolean, listed, literal, numbers, whole
from etamu.design.contrasts import contrast_name
from etamu.design.functions import FUNCTIONS, STANDARD, known
from etamu.design.parser import Binary, Call, List, Name, Node, Number, Text, Unary, write
from etamu.errors import FormulaError, unknown

__all__ = ["Arithmetic", "Category", "Column", "Cut", "Quantiles", "Standard", "category_of", "columns_of", "declare", "read_standard"]


@dataclass(frozen=True)
class Column:
    """A bare name: a factor or a number, as the data say."""

    name: str


@dataclass(frozen=True)
class Arithmetic:
    """One numeric column; ``standards`` are the ``center`` and ``scale`` calls in it."""

    node: Node
    standards: tuple[Call, ...]


@dataclass(frozen=True)
class Standard:
    """``(x - mean) / sd``, or one of the two."""

    argument: Node
    center: bool
    scale: bool


@dataclass(frozen=True)
class Cut:
    """Intervals closed on the right, between breaks that are given."""

    argument: Node
    breaks: tuple[float, ...]


@dataclass(frozen=True)
class Quantiles:
    """Intervals that hold equal shares of the data."""

    argument: Node
    count: int


@dataclass(frozen=True)
class Category:
    """A factor: where its labels come from and how it is coded."""

    source: str | Cut | Quantiles
    label: str
    contrast: str = "treatment"
    base: object = None
    levels: tuple[object, ...] | None = None


def declare(node: Node) -> Column | Arithmetic | Basis | Category:
    """The meaning of a variable.

    >>> from etamu.design.declare import declare
    >>> from etamu.design.parser import parse
    >>> declare(parse('C(g, base="b")'))
    Category(source='g', label='g', contrast='treatment', base='b', levels=None)
    """
    match node:
        case Name(name):
            return Column(name)
        case Call("C" | "factor"):
            return _category(node)
        case Call("cut" | "bin"):
            return Category(_intervals(node), write(node))
        case Call("poly"):
            return _poly(node)
        case Call("bs" | "ns" | "cr"):
            return _spline(node)
        case Call("s"):
            return _penalised(node)
        case Call("cbind"):
            raise FormulaError("formula: cbind(...) belongs on the left of '~'.")
        case Call("c") | List():
            raise FormulaError(f"formula: the list {write(node)} is not a term; lists stand inside functions.")
        case Call(function) if function not in FUNCTIONS and function not in STANDARD:
            raise unknown("function", function, known())
        case Call():
            return _arithmetic(node)
        case Number(value):
            raise FormulaError(f"formula: {value:g} is not a term; only 0 and 1 may stand alone.")
        case Text(value):
            raise FormulaError(f"formula: text {value!r} is not a term; write a column name without quotes, or in backquotes.")
        case Binary() | Unary():
            raise FormulaError(f"formula: '{write(node)}' is not a term; for arithmetic write I(...).")


def category_of(node: Node) -> Category:
    """The factor that a variable is, a bare name among them."""
    match declare(node):
        case Column(name):
            return Category(name, name)
        case Category() as category:
            return category
    raise AssertionError(write(node))


def columns_of(node: Node) -> list[str]:
    """The columns of the table that a variable reads."""
    match declare(node):
        case Column(name):
            return [name]
        case Category(str() as name):
            return [name]
        case Category(source):
            return variables(source.argument)  # type: ignore[union-attr]
        case Arithmetic(tree):
            return [n for leaf in leaves(tree) for n in ([leaf.value] if isinstance(leaf, Name) else variables(leaf.arguments[0]))]
        case basis:
            return variables(basis.argument)


def _arithmetic(node: Node) -> Arithmetic:
    standards = tuple(leaf for leaf in leaves(node) if isinstance(leaf, Call))
    for call in standards:
        read_standard(call)
    return Arithmetic(node, standards)


def _argument(node: Node, function: str) -> Node:
    if not variables(node):
        raise FormulaError(f"formula: '{write(node)}' in {function}() names no column.")
    return node


def read_standard(call: Call) -> Standard:
    """``center(x)``, or ``scale(x, center=True, scale=True)`` as R's."""
    bound = bind(call, ("x",) if call.function == "center" else ("x", "center", "scale"))
    if call.arguments[:1] != (bound["x"],):  # evaluated by position
        raise FormulaError(f"formula: write the column of {call.function}() first, without a name.")
    scale = call.function == "scale" and boolean(bound, "scale", "scale", True)
    return Standard(_argument(bound["x"], call.function), boolean(bound, "center", call.function, True), scale)


def _category(node: Call) -> Category:
    bound = bind(node, ("x", "contrast", "base", "levels"))
    inner = bound["x"]
    match inner:
        case Name(name) if name != ".":
            source: str | Cut | Quantiles = name
            label = name
        case Call("cut" | "bin"):
            source, label = _intervals(inner), write(inner)
        case _:
            raise FormulaError(f"formula: C({write(inner)}) must name one column.")
    contrast, base = "treatment", bound.get("base")
    if "contrast" in bound:
        contrast, own_base = contrast_name(bound["contrast"])
        base = base if own_base is None else own_base
    if base is not None and contrast != "treatment":
        raise FormulaError(f"formula: `base` of C() goes with treatment contrasts, not with {contrast!r}; remove one of the two.")
    value = None if base is None else literal(base, "`base` of C()")
    if isinstance(value, tuple):
        raise FormulaError(f"formula: `base` of C() is {write(base)}; write one level.")  # type: ignore[arg-type]
    levels = listed(bound, "levels", "C")
    if levels is not None and not isinstance(source, str):
        raise FormulaError(f"formula: `levels` of C() cannot rename the intervals of {label}; change their breaks instead.")
    return Category(source, label, contrast, value, levels)


def _intervals(node: Call) -> Cut | Quantiles:
    if node.function == "cut":
        bound = bind(node, ("x", "breaks"))
        breaks = numbers(bound, "breaks", "cut")
        inside = tuple(b for b in breaks or () if abs(b) != float("inf"))
        if not inside:
            raise FormulaError("formula: cut() needs its breaks; write for example cut(x, [-1, 0, 1]).")
        return Cut(_argument(bound["x"], "cut"), inside)
    bound = bind(node, ("x", "n"))
    count = whole(bound, "n", "bin", 2, 10_000)
    if count is None:
        raise FormulaError("formula: bin() needs the number of classes; write for example bin(x, 4).")
    return Quantiles(_argument(bound["x"], "bin"), count)


def _poly(node: Call) -> Poly:
    bound = bind(node, ("x", "degree", "raw"))
    degree = whole(bound, "degree", "poly", 1, 50)
    return Poly(_argument(bound["x"], "poly"), 1 if degree is None else degree, boolean(bound, "raw", "poly", False))


def _spline(node: Call) -> Basis:
    function = node.function
    places = {"bs": ("x", "df", "knots", "degree", "intercept", "bounds"), "ns": ("x", "df", "knots", "intercept", "bounds"), "cr": ("x", "df")}
    bound = bind(node, places[function])
    x = _argument(bound["x"], function)
    df, knots, bounds = whole(bound, "df", function, 1, 1000), numbers(bound, "knots", function), numbers(bound, "bounds", function)
    if bounds is not None and len(bounds) != 2:
        raise FormulaError(f"formula: `bounds` of {function}() is {write(bound['bounds'])}; write two numbers, [low, high].")
    if df is not None and knots is not None:
        raise FormulaError(f"formula: {function}() has both `df` and `knots`, which each say how many columns there are; remove one.")
    intercept = boolean(bound, "intercept", function, False)
    if function == "ns":
        if df is not None and df < 1 + intercept:
            raise FormulaError(f"formula: `df` of ns() is {df}; with an intercept it must be at least 2.")
        return NaturalSpline(x, df, knots, intercept, bounds)
    if function == "bs":
        degree = whole(bound, "degree", "bs", 1, 20) or 3
        if df is not None and df < degree + intercept:
            raise FormulaError(f"formula: `df` of bs() is {df}; with degree={degree} it must be at least {degree + intercept}.")
        return BSpline(x, df, knots, degree, intercept, bounds)
    if df is None or df < 2:
        raise FormulaError("formula: cr() needs `df`, the number of its columns, 2 or more; write for example cr(x, df=5).")
    return CubicRegression(x, df)


def _penalised(node: Call) -> PSpline:
    bound = bind(node, ("x", "df", "degree", "order"))
    df = whole(bound, "df", "s", 2, 500)
    degree, order = whole(bound, "degree", "s", 1, 20), whole(bound, "order", "s", 0, 20)
    found = PSpline(_argument(bound["x"], "s"), 20 if df is None else df, 3 if degree is None else degree, 2 if order is None else order)
    least = max(found.degree, found.order) + 1
    if found.df < least:
        raise FormulaError(f"formula: `df` of s() is {found.df}; with degree={found.degree} and order={found.order} it must be at least {least}.")
    return found
