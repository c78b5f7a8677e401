"""Constraints that go with a penalty: those that are bounds of coefficients, or of the differences of neighbouring levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from etamu.errors import SpecificationError
from etamu.penalties import Columns, Pieces
from etamu.solvers.polyhedron import Rows

__all__ = ["NotBoundsError", "bounded", "read_bounds"]

Array = np.ndarray[Any, Any]


def bounded(pieces: Pieces, columns: Columns, rows: Rows) -> tuple[Pieces, Array, Array]:
    """Constraints as bounds of coordinates: of coefficients, or of the differences of neighbouring levels, in which they may be written too.

    Raises NotBoundsError where they are neither.
    """
    alone = (rows.matrix != 0).sum(axis=1) <= 1
    touched = set(np.flatnonzero((rows.matrix[~alone] != 0).any(axis=0)).tolist())
    taken = {j for chain in pieces.chains for j in chain}
    for chains in columns.chains.values():
        if any(j in touched and j not in taken for chain in chains for j in chain):
            inside = [j for chain in chains for j in chain]
            if pieces.l1[inside].any() or any(set(g) & set(inside) for g in pieces.groups):
                raise NotBoundsError
            pieces = replace(pieces, chains=pieces.chains + chains)
    matrix = pieces.slopes_of_differences(rows.matrix.T).T
    low, high = np.full(columns.width, -np.inf), np.full(columns.width, np.inf)
    if (
        ((matrix != 0).sum(axis=1) > 1).any()
        or matrix[:, list(columns.free)].any()
        or any(set(g) & set(np.flatnonzero(matrix.any(axis=0))) for g in pieces.groups)
    ):
        raise NotBoundsError
    for row, lower, upper in zip(matrix, rows.lower, rows.upper):
        j = int(np.flatnonzero(row)[0]) if row.any() else -1
        if j < 0:
            continue
        ends = sorted((lower / row[j], upper / row[j]))
        low[j], high[j] = max(low[j], ends[0]), min(high[j], ends[1])
    return pieces, low, high


class NotBoundsError(SpecificationError):
    """Constraints that are no bounds of coordinates."""

    def __init__(self) -> None:
        super().__init__(
            "`constraints` together with this penalty are no bounds of coefficients or of differences of levels; leave the constrained terms out of the "
            "penalty (weights={'term': 0}), or fit one alpha at a time by em.glm(..., penalty=, constraints=)."
        )


def read_bounds(constraints: Any, built: Any) -> Any:
    """The rows of constraints on the coefficients of a design."""
    if constraints is None:
        return None
    from etamu.constraints import Box, bind, site_of
    from etamu.constraints.values import ends

    site = site_of(built.design.names, built.spec, built.intercept)
    if isinstance(constraints, Box):
        return ends(constraints, site)
    return bind(constraints, site).rows
