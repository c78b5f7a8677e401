"""What linear restrictions are to a solver: rows, the nearest point that meets them, and which of them cannot hold together.

The nearest point is found by DAQP, a dual active-set method: of the quadratic-programming libraries it is the one that returns the active
set itself (interior points and splittings only approach it), tells dependent rows from contradictory ones, needs nothing but NumPy, and is
MIT-licensed (quadprog, the other active-set method, is GPL).  Contradictions are judged by HiGHS, through scipy.

References: Arnstrom, Bemporad & Axehill (2022), IEEE Trans. Automat. Contr. 67, doi:10.1109/TAC.2022.3176430; Chinneck & Dravnieks (1991),
ORSA J. Comput. 3, doi:10.1287/ijoc.3.2.157 (the deletion filter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.errors import SpecificationError

__all__ = ["Contradiction", "Rows", "contradiction", "independent", "nearest"]

Array = np.ndarray[Any, Any]
_EXACT = 1e-11  # of rows of unit length; what DAQP reaches on any problem that is not hopeless
_ROUGH = 1e-8
_SLACK = 1e-9  # what a row may lack before restrictions count as contradictory
_INFINITE = 1e30  # DAQP's infinity
_EQUALITY = 5


@dataclass(frozen=True)
class Rows:
    """Restrictions lower <= A b <= upper: ``matrix`` (m, p), ``lower`` and ``upper`` (m,), equal where a row is an equation."""

    matrix: Array
    lower: Array
    upper: Array

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def equal(self) -> Array:
        """Which rows are equations, (m,)."""
        return np.asarray(self.lower == self.upper)

    def violation(self, b: Array) -> Array:
        """By how much each row fails at b, 0 where it holds."""
        value = self.matrix @ b
        return np.asarray(np.maximum(np.maximum(self.lower - value, value - self.upper), 0.0))

    def take(self, index: Sequence[int] | Array) -> Rows:
        """Some of the rows."""
        at = np.asarray(index, dtype=int)
        return Rows(self.matrix[at], self.lower[at], self.upper[at])


class Contradiction(Exception):  # noqa: N818 - the caller, who knows what the rows are called, makes the error of it
    """No point meets the restrictions; ``rows`` are some that clash, none of which could be spared."""

    def __init__(self, rows: tuple[int, ...]) -> None:
        super().__init__(f"rows {rows} contradict each other")
        self.rows = rows


def _daqp() -> Any:
    try:
        import daqp
    except ImportError:
        raise SpecificationError("`constraints` need one more package: pip install 'etamu[constraints]'") from None
    return daqp


def nearest(rows: Rows) -> Array | None:
    """Multipliers (m,) of the shortest y with lower <= A y <= upper, which is A' times them: positive where a lower bound presses,
    negative where an upper one does.  None where there is no such y.

    >>> import numpy as np
    >>> from etamu.solvers.polyhedron import Rows, nearest
    >>> nearest(Rows(np.eye(2), np.array([1.0, -1.0]), np.array([2.0, 3.0])))
    array([1., 0.])
    """
    daqp = _daqp()
    length = np.sqrt((rows.matrix**2).sum(axis=1))
    length = np.where(length > 0, length, 1.0)
    unit, low, high = rows.matrix / length[:, None], rows.lower / length, rows.upper / length
    if unit.shape[1] > len(unit):  # the shortest y is a combination of the rows
        unit = np.asarray(np.linalg.qr(unit.T, mode="r")).T
    width = unit.shape[1]
    kind = np.where(rows.equal, _EQUALITY, 0).astype(np.int32)
    ends = np.minimum(high, _INFINITE), np.maximum(low, -_INFINITE)
    for tolerance in (_EXACT, _ROUGH):
        _, _, flag, found = daqp.solve(np.eye(width), np.zeros(width), np.ascontiguousarray(unit), *ends, kind, primal_tol=tolerance, dual_tol=1e-12)
        if flag > 0:
            return np.asarray(0.0 - np.asarray(found["lam"]) / length)
    return None


def contradiction(rows: Rows) -> tuple[int, ...]:
    """Rows that cannot hold together although all but any one of them can; empty where all can.

    >>> import numpy as np
    >>> from etamu.solvers.polyhedron import Rows, contradiction
    >>> inf = np.inf
    >>> contradiction(Rows(np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([0.0, -inf, 2]), np.array([inf, 5, 1.5]) + [0, 0, 0.5]))
    ()
    >>> contradiction(Rows(np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([0.0, 0, -inf]), np.array([inf, inf, -1.0])))
    (0, 1, 2)
    """
    length = np.sqrt((rows.matrix**2).sum(axis=1))
    empty = np.flatnonzero((length == 0) & ((rows.lower > 0) | (rows.upper < 0)))
    if len(empty):
        return (int(empty[0]),)
    length = np.where(length > 0, length, 1.0)
    scaled = Rows(rows.matrix / length[:, None], rows.lower / length, rows.upper / length)
    kept = list(range(len(rows)))
    if _hold(scaled):
        return ()
    size = max(len(kept) // 2, 1)
    while True:  # leave out runs of rows that the clash does not need, then single ones
        at = 0
        while at < len(kept):
            rest = kept[:at] + kept[at + size :]
            if rest and not _hold(scaled.take(rest)):
                kept = rest
            else:
                at += size
        if size == 1:
            return tuple(kept)
        size //= 2


def independent(matrix: Array, tolerance: float = 1e-9) -> Array:
    """Positions of rows none of which is a combination of others kept before it, in their order.

    >>> import numpy as np
    >>> from etamu.solvers.polyhedron import independent
    >>> independent(np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]]))
    array([0, 2])
    """
    basis: list[Array] = []
    kept = []
    for k, row in enumerate(matrix):
        rest = row / (np.linalg.norm(row) or 1.0)
        for _ in range(2):  # twice is enough (Kahan)
            for direction in basis:
                rest = rest - (direction @ rest) * direction
        size = float(np.linalg.norm(rest))
        if size > tolerance:
            basis.append(rest / size)
            kept.append(k)
    return np.array(kept, dtype=int)


def _hold(rows: Rows) -> bool:
    """Whether some point meets all rows: the least largest violation, a linear program."""
    from scipy.optimize import linprog

    below, above = np.isfinite(rows.lower), np.isfinite(rows.upper)
    matrix = np.vstack([-rows.matrix[below], rows.matrix[above]])
    if not len(matrix):
        return True
    ends = np.concatenate([-rows.lower[below], rows.upper[above]])
    width = matrix.shape[1]
    allowed = _SLACK * max(1.0, float(np.abs(ends).max()))
    lift = np.column_stack([matrix, -np.ones(len(matrix))])
    bounds = [(None, None)] * width + [(0.0, None)]
    found = linprog(np.r_[np.zeros(width), 1.0], lift, ends, bounds=bounds, method="highs", options={"primal_feasibility_tolerance": 1e-10})
    return bool(found.status == 0 and found.fun <= allowed)
