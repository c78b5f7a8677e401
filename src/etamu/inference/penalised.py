"""A quadratic penalty beside the deviance: what it adds to the sums that solvers and covariances see.

With a diagonal P on the fit's scale, deviance + sum P b^2 has score U - P b and information H + P (all halved, as the deviance's are).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from etamu.sums import Arrow, Objective, Request, Sums

__all__ = ["dense", "penalised", "with_penalty"]

Array = np.ndarray[Any, Any]


def dense(information: Any) -> Array:
    """All entries of an information."""
    return np.asarray(information.dense() if isinstance(information, Arrow) else information)


def penalised(objective: Objective, penalty: Array) -> Objective:
    """Deviance + sum penalty beta^2, with its score and information; ``penalty`` has the shape of beta."""

    def sums_at(request: Request) -> Sums:
        sums = objective(request)
        beta = request.beta
        out = replace(with_penalty(sums, penalty), deviance=sums.deviance + float((penalty * beta**2).sum()))
        return out if sums.score is None else replace(out, score=sums.score - penalty * beta)

    return sums_at


def with_penalty(sums: Sums, penalty: Array) -> Sums:
    """The same sums with a penalised information; deviance and score stay the data's."""
    information = sums.information
    if information is None:
        return sums
    diagonal = penalty if penalty.ndim == 1 else penalty.T.ravel()
    return replace(sums, information=information.plus(diagonal) if isinstance(information, Arrow) else information + np.diag(diagonal))
