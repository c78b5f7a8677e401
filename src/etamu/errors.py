"""Every exception and status text of etamu, in one grammar: argument, value, rule, fix.

All exceptions derive from :class:`EtamuError` and from ``ValueError`` or ``TypeError``, so generic handlers keep working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataError",
    "DerivationError",
    "EtamuError",
    "FormulaError",
    "LengthError",
    "LinkDomainError",
    "MissingValueError",
    "ModelFileError",
    "NotEnoughDataError",
    "ResponseError",
    "SeparationError",
    "SpecificationError",
    "UndefinedStatisticError",
    "UnknownNameError",
    "UnseenLevelError",
    "WeightError",
]


class EtamuError(Exception):
    """The root of every exception etamu raises on purpose."""


class DataError(EtamuError, ValueError):
    """The data cannot be used as they are (non-finite numbers, text where numbers are needed, wrong shape)."""


class MissingValueError(DataError):
    """Nulls or nan where ``missing="raise"``."""


class LengthError(DataError):
    """Two arguments that go row by row differ in length."""


class ResponseError(DataError):
    """y lies outside the family's support, has one class only, or cannot move the mean off its boundary."""


class WeightError(DataError):
    """Weights are negative, not finite, or all zero."""


class NotEnoughDataError(DataError):
    """No rows are left to fit."""


class UnseenLevelError(DataError):
    """New data hold a level the model was not fitted on."""


class LinkDomainError(EtamuError, ValueError):
    """No coefficients are known that keep every row inside the link's domain."""


class FormulaError(EtamuError, ValueError):
    """The formula text cannot be read."""


class DerivationError(EtamuError, ValueError):
    """A text that is not the log-partition of an exponential family; the message says which condition fails and where."""


class UnknownNameError(EtamuError, ValueError):
    """A family, link, column, solver or option that does not exist; the message lists those that do."""


class SeparationError(EtamuError, ValueError):
    """No finite maximum-likelihood estimate exists, and ``separated="raise"`` asked to be told."""


class SpecificationError(EtamuError, TypeError):
    """Arguments that do not go together or have the wrong type."""


class UndefinedStatisticError(EtamuError, ValueError):
    """The statistic asked for does not exist for this model."""


class ModelFileError(EtamuError, ValueError):
    """A model file that is damaged, of another kind or of a newer format."""


def chosen(what: str, value: object, choices: Iterable[str]) -> str:
    """The value, if it is one of the names; else the lookup error."""
    options = list(choices)
    if not isinstance(value, str) or value not in options:
        raise unknown(what, value, options)
    return value


def counted(number: int, thing: str) -> str:
    """``1 missing value``, ``2 missing values``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def unknown(what: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """The lookup error: what was asked for, the nearest match, and everything that exists."""
    options = sorted(map(str, choices))
    near = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = options if len(options) <= 40 else [*options[:40], f"... ({len(options)} in all)"]
    return UnknownNameError(f"`{what}` {name!r} does not exist.{hint} Choose one of: {', '.join(shown)}.")
