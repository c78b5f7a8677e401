"""Where each column is centred and how it is scaled, so that coefficients of any unit are solved for with the same digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu import checks
from etamu.design.columns import Design
from etamu.inference.covariance import Scaling
from etamu.sources import native
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed

__all__ = ["standardise"]

Array = np.ndarray[Any, Any]
_ROWS = 1024  # of a sample; what they give need not be exact, only the same in every pass


def standardise(problem: Problem | Streamed, intercept: bool, threads: int = 1) -> tuple[Problem | Streamed, Scaling]:
    """The problem on centred, scaled columns (scaled only without an intercept), placed by a sample of the rows, by threads where there are very many."""
    design = problem.design
    columns, at = design.only_columns()
    if not columns.parts:
        return problem, Scaling(None, None)
    center, scale = np.empty(len(at)), np.empty(len(at))
    finite = native.place(columns, _ROWS, intercept, center, scale, threads)
    if finite is None:
        finite = _place(columns, intercept, center, scale)
    if not finite:
        checks.refuse_bad_design(problem)
    if len(at) < design.width:
        center, scale = _among(design.width, at, center, 0.0), _among(design.width, at, scale, 1.0)
    return problem.change(design=design.standardised(center, scale)), Scaling(center if intercept else None, scale)


def _among(width: int, at: Array, values: Array, otherwise: float) -> Array:
    """Values of some columns among those of all."""
    out = np.full(width, otherwise)
    out[at] = values
    return out


def _place(columns: Design, centred: bool, center: Array, scale: Array) -> bool:
    """Centre and scale in NumPy: the mean and 1 / standard deviation, 0 and 1 for the constant and where they are not finite."""
    x = columns.sample(_ROWS)
    center[:] = np.add.reduce(x, axis=0) / len(x) if centred else 0.0
    if columns.constant:
        center[0] = 0.0
        x[:, 0] = 0.0
    x -= center
    spread = np.sqrt(np.einsum("ij,ij->j", x, x) / len(x))
    finite = np.isfinite(spread)
    center[~finite] = 0.0
    varies = finite & (spread > 1e-12 * np.abs(center))
    scale[:] = 1.0 / np.where(varies, spread, 1.0)
    return bool(finite.all())
