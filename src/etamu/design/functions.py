"""The functions a formula may call, by name: the whole list, and a door for a user's own.

Nothing else in a formula is ever looked up: a name that is not in these tables is an error, never an attribute or an
import.  :func:`register` adds an elementwise numeric function; a saved model keeps its name only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from etamu import elementary
from etamu.errors import SpecificationError

__all__ = ["BASES", "BUILT_IN", "FACTORS", "FUNCTIONS", "STANDARD", "forget", "known", "register"]

FUNCTIONS: dict[str, Callable[..., Any]] = {  # elementwise
    "log": elementary.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "I": np.asarray,
}
STANDARD = ("center", "scale")  # elementwise, with constants learnt from the data
BASES = ("poly", "bs", "ns", "cr", "s")  # several columns from one
FACTORS = ("C", "factor", "cut", "bin")
_PLACES = ("offset", "weights", "cbind", "c")  # words of the grammar
BUILT_IN = frozenset((*FUNCTIONS, *STANDARD, *BASES, *FACTORS, *_PLACES))


def known() -> list[str]:
    """Every function name that exists now."""
    return [*BUILT_IN, *(name for name in FUNCTIONS if name not in BUILT_IN)]


def register(name: str, function: Callable[..., Any]) -> None:
    """Let formulas call ``function`` by ``name``; it gets float arrays (numbers stay numbers) and returns one value per row.

    Parts of files are read by several threads, so it may run in several at once.
    A model that uses it can be saved; whoever loads the file must register a function of that name first.

    >>> import numpy as np
    >>> from etamu.design.functions import register, forget
    >>> register("hinge", lambda x, knot: np.maximum(x - knot, 0))
    >>> forget("hinge")
    """
    if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w*", name):
        raise SpecificationError(f"`name` is {name!r}; pass an identifier such as 'hinge'.")
    if name in BUILT_IN:
        raise SpecificationError(f"`name` {name!r} is a function of the formula language; choose another name.")
    if not callable(function):
        raise SpecificationError(f"`function` is a {type(function).__name__}; pass a function of arrays.")
    FUNCTIONS[name] = function


def forget(name: str) -> None:
    """Remove a registered function; those of the language stay."""
    if name not in BUILT_IN:
        FUNCTIONS.pop(name, None)
