"""A formula with everything that was learnt from data: frozen, plain, and written to JSON as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from etamu.design.arithmetic import State
from etamu.design.basis import Basis
from etamu.design.declare import Arithmetic, Category, Column, Cut, Quantiles, declare, read_standard
from etamu.design.factors import Factor
from etamu.design.parser import Call, Node, write
from etamu.design.terms import Formula, read_formula
from etamu.errors import ModelFileError, SpecificationError, UnknownNameError

__all__ = ["DesignSpec"]


@dataclass(frozen=True)
class DesignSpec:
    """The formula, its factors and what its functions learnt, each by the variable it belongs to.

    >>> from etamu.design.encode import DesignSpec, encode, learn
    >>> from etamu.design.frames import as_table
    >>> from etamu.design.terms import read_formula
    >>> spec = learn(read_formula("y ~ x * g"), as_table({"x": [1.0, 2, 3], "g": ["u", "v", "v"], "y": [1, 2, 3]}))
    >>> encode(DesignSpec.from_dict(spec.to_dict()), as_table({"x": [5.0], "g": ["v"]})).names
    ['Intercept', 'x', 'g[v]', 'x:g[v]']
    """

    formula: Formula
    factors: tuple[tuple[Node, Factor], ...]
    learnt: tuple[tuple[Node, State], ...] = ()

    @cached_property
    def factor_of(self) -> Mapping[Node, Factor]:
        return dict(self.factors)

    @cached_property
    def state_of(self) -> Mapping[Node, State]:
        return dict(self.learnt)

    def to_dict(self) -> dict[str, object]:
        """Values that JSON knows."""
        return {
            "formula": self.formula.text,
            "factors": [_factor_to_dict(node, factor) for node, factor in self.factors],
            "learnt": [{"variable": write(node), **{k: list(v) for k, v in state.items()}} for node, state in self.learnt],
        }

    @staticmethod
    def from_dict(data: dict[str, object]) -> DesignSpec:
        """The spec that was written; KeyError, TypeError or ValueError where the parts do not fit together."""
        formula = _formula(data["formula"])
        factors = {f["variable"]: f for f in _dicts(data["factors"])}
        states = {s["variable"]: {k: v for k, v in s.items() if k != "variable"} for s in _dicts(data["learnt"])}
        found: list[tuple[Node, Factor]] = []
        learnt: list[tuple[Node, State]] = []
        for node in formula.variables:
            text = write(node)
            match declare(node):
                case Category() as category:
                    found.append((node, _factor_from_dict(factors.pop(text), category)))
                case Column(name):
                    if text in factors:
                        found.append((node, _factor_from_dict(factors.pop(text), Category(name, name))))
                case Arithmetic(_, standards):
                    learnt += [(call, _standard_state(call, states.pop(write(call)))) for call in dict.fromkeys(standards)]
                case basis:
                    learnt.append((node, _basis_state(basis, states.pop(text))))
        if factors or states:
            raise ValueError(f"{[*factors, *states][0]!r} is not in the formula")
        return DesignSpec(formula, tuple(found), tuple(learnt))


def _formula(text: object) -> Formula:
    if not isinstance(text, str):
        raise TypeError(f"the formula is a {type(text).__name__}")
    try:
        formula = read_formula(text)
    except UnknownNameError as error:
        raise ModelFileError(
            f"the model's formula {text[:80]!r} cannot be read here: {error} A function of your own must be registered before loading, "
            "with etamu.design.functions.register(name, function)."
        ) from None
    return formula


def _dicts(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(v, dict) and isinstance(v["variable"], str) for v in value):
        raise TypeError("the design does not list its variables")
    return value


def _factor_to_dict(node: Node, factor: Factor) -> dict[str, object]:
    return {
        "variable": write(node),
        "label": factor.label,
        "levels": [_level_to_plain(level) for level in factor.levels],
        "missing": factor.missing,
        "base": factor.base,
        "breaks": list(factor.breaks),
    }


def _level_to_plain(level: object) -> object:
    if isinstance(level, float) and not math.isfinite(level):
        return {"number": repr(level)}
    if isinstance(level, (str, int, float, bool)):
        return level
    raise SpecificationError(f"a level of type {type(level).__name__} cannot be written to a model file; use text or numbers.")


def _level_from_plain(level: object) -> object:
    if isinstance(level, dict):
        return {"inf": math.inf, "-inf": -math.inf}[level["number"]]
    if not isinstance(level, (str, int, float, bool)):
        raise TypeError(f"{level!r} is not a level")
    return level


def _factor_from_dict(data: dict[str, Any], category: Category) -> Factor:
    levels = tuple(map(_level_from_plain, data["levels"]))
    breaks = _floats(data["breaks"])
    factor = Factor(str(data["label"]), levels, data["missing"], category.contrast, data["base"], breaks)
    cut = isinstance(category.source, (Cut, Quantiles))
    sound = (
        isinstance(data["levels"], list)
        and isinstance(factor.missing, bool)
        and isinstance(factor.base, int)
        and levels
        and len(set(levels)) == len(levels)
        and 0 <= factor.base < len(levels)
        and len(breaks) == (len(levels) - 1 if cut else 0)
        and list(breaks) == sorted(breaks)
    )
    if not sound:
        raise ValueError(f"the factor {factor.label!r} is damaged")
    return factor


def _floats(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
        raise TypeError("a list of numbers is damaged")
    return tuple(map(float, values))


def _state(data: dict[str, Any], shape: dict[str, int]) -> State:
    state = {k: _floats(v) for k, v in data.items()}
    if {k: len(v) for k, v in state.items()} != shape:
        raise ValueError(f"learnt numbers {sorted(data)} are damaged")
    return state


def _standard_state(call: Call, data: dict[str, Any]) -> State:
    read_standard(call)
    state = _state(data, {"center": 1, "scale": 1})
    if not state["scale"][0] > 0:
        raise ValueError("a scale is not positive")
    return state


def _basis_state(basis: Basis, data: dict[str, Any]) -> State:
    state = _state(data, basis.shape())
    for name in ("bounds", "knots"):
        values = state.get(name, ())
        if list(values) != sorted(values) or (name == "bounds" and len(set(values)) != len(values)):
            raise ValueError(f"the {name} are not in order")
    if state.get("half", (1.0,))[0] <= 0:
        raise ValueError("an interval has no width")
    return state
