"""Wald statistics: z when the dispersion is known, t with the residual degrees of freedom when it is estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError

__all__ = ["CoefTable", "check_level", "interval", "p_values", "quantile"]

Array = np.ndarray[Any, Any]


def check_level(level: Any) -> None:
    """A confidence level is a number between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, (int, float, np.number)) or not 0 < level < 1:
        raise SpecificationError(f"`level` is {level!r}; pass a confidence level between 0 and 1, e.g. 0.95.")


def quantile(level: float, df: float | None) -> float:
    """Half-width of the central interval in standard errors."""
    check_level(level)
    from scipy.special import ndtri, stdtrit

    return float(ndtri(0.5 + level / 2) if df is None else stdtrit(df, 0.5 + level / 2) if df > 0 else math.nan)


def p_values(statistic: Array, df: float | None) -> Array:
    """Two-sided p-values."""
    from scipy.special import ndtr, stdtr

    with np.errstate(all="ignore"):
        low = -np.abs(statistic)
        return np.asarray(2 * (ndtr(low) if df is None else stdtr(df, low) if df > 0 else np.full_like(low, np.nan)))


def interval(estimate: Array, stderror: Array, level: float, df: float | None) -> Array:
    """Estimate -+ quantile * stderror, shape (..., 2)."""
    half = quantile(level, df) * stderror
    return np.stack([estimate - half, estimate + half], axis=-1)


@dataclass(frozen=True)
class CoefTable:
    """A small table of coefficients; aliased coefficients are nan throughout."""

    names: tuple[str, ...]
    estimate: Array
    stderror: Array
    statistic: Array
    p_value: Array
    lower: Array
    upper: Array
    statistic_name: str
    level: float

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns by name."""
        columns = ("estimate", "stderror", "statistic", "p_value", "lower", "upper")
        return {"name": list(self.names), **{c: getattr(self, c).tolist() for c in columns}}

    def to_pandas(self) -> Any:
        """A pandas DataFrame indexed by coefficient name."""
        import pandas as pd

        return pd.DataFrame(self.to_dict()).set_index("name")

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self.to_dict())
