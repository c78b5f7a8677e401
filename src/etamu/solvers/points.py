"""Solutions along a path of penalties, and how far from one a solver is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Point", "relative"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Point:
    """The solution at one alpha: the coefficients of the columns ``index``, all others being 0, and how exactly it is one.

    ``residual`` is the largest distance of the score from the penalty's subdifferential, over alpha's largest weight, in the user's units.
    """

    alpha: float
    index: Array
    values: Array
    deviance: float
    residual: float
    steps: int
    converged: bool
    freedom: float | None = None  # degrees of freedom, where they are not the number of coefficients


def relative(away: Array, l1: Array) -> float:
    """The largest of the distances, over the largest threshold."""
    return float(away.max(initial=0.0)) / (float(l1.max(initial=0.0)) or 1.0)
