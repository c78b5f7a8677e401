"""What a penalty is on the columns of one design: a few arrays that every solver of penalised fits reads.

    pen(b) = sum_j l1_j |d_j| + l2_j/2 b_j^2  +  sum_g w_g |b_g|_2  +  1/2 b'S b,        d = b, save along chains

In a chain of coordinates, the levels of an ordered factor after its base, d are the differences from the level before (from the
base, which is 0, for the first), so that an l1 weight there makes neighbouring levels equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["Columns", "Pieces", "nothing"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Columns:
    """The coefficients that a penalty meets: their names, the columns of each term, and the spread of each column.

    ``several`` maps the name of a term (a factor, a spline, a single column) to the positions of its columns; without it every column that is not
    free is a term.  ``free`` are positions that no penalty touches (the intercept); ``spread`` (p,) the columns' standard deviations; ``chains`` the
    levels of each factor in treatment coding, in their order from the base on (and, where that is not the first, back from it).
    """

    names: tuple[str, ...]
    free: tuple[int, ...]
    spread: Array
    several: dict[str, tuple[int, ...]] | None = None
    chains: dict[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return len(self.names)

    @cached_property
    def terms(self) -> dict[str, tuple[int, ...]]:
        return {name: (j,) for j, name in enumerate(self.names) if j not in self.free} if self.several is None else self.several


@dataclass(frozen=True)
class Pieces:
    """A penalty on p coefficients, at alpha = 1 or at its own; see the file's head for the formula.

    ``groups`` are disjoint runs of positions with their ``group_weight``; ``chains`` runs whose l1 acts on differences; ``concave`` is a
    rule that gives the slope of a concave penalty at |b|, by which l1 is weighed anew (shape (p,) to (p,)), None where it is convex.
    """

    l1: Array
    l2: Array
    groups: tuple[tuple[int, ...], ...] = ()
    group_weight: Array | None = None
    chains: tuple[tuple[int, ...], ...] = ()
    quadratic: Array | None = None
    concave: Any = None

    @property
    def width(self) -> int:
        return len(self.l1)

    @property
    def separable(self) -> bool:
        """Whether every coordinate stands for itself."""
        return not self.groups and not self.chains and self.quadratic is None

    @property
    def smooth(self) -> bool:
        """Whether the penalty is quadratic."""
        return not self.groups and not self.l1.any()

    @property
    def bends(self) -> bool:
        """Whether some of the penalty is quadratic."""
        return bool(self.l2.any()) or self.quadratic is not None

    def differences(self, b: Array) -> Array:
        """D of b."""
        if not self.chains:
            return b
        d = b.copy()
        for chain in self.chains:
            at = list(chain)
            d[at[1:]] = b[at[1:]] - b[at[:-1]]
        return d

    def levels(self, d: Array) -> Array:
        """B of d; of the rows of a matrix, too."""
        if not self.chains:
            return d
        b = d.copy()
        for chain in self.chains:
            b[list(chain)] = np.cumsum(d[list(chain)], axis=0)
        return b

    def slopes_of_differences(self, slope: Array) -> Array:
        """The slope with respect to d, of one with respect to b; of the rows of a matrix, too."""
        if not self.chains:
            return slope
        out = slope.copy()
        for chain in self.chains:
            at = list(chain)
            out[at] = np.cumsum(slope[at][::-1], axis=0)[::-1]
        return out

    def value(self, b: Array) -> float:
        """The penalty of b (convex parts; a concave one by its own value)."""
        total = float((0.5 * self.l2 * b * b).sum())
        if self.concave is not None:
            total += float(self.concave.value(self.l1, b).sum())
        else:
            total += float((self.l1 * np.abs(self.differences(b))).sum())
        for weight, group in zip(self.group_weight if self.group_weight is not None else (), self.groups):
            total += float(weight * np.sqrt((b[list(group)] ** 2).sum()))
        if self.quadratic is not None:
            total += 0.5 * float(b @ (self.quadratic @ b))
        return total

    def times(self, alpha: float) -> Pieces:
        """The penalty alpha times as strong."""
        return replace(
            self,
            l1=alpha * self.l1,
            l2=alpha * self.l2,
            group_weight=None if self.group_weight is None else alpha * self.group_weight,
            quadratic=None if self.quadratic is None else alpha * self.quadratic,
        )

    def scaled(self, scale: Array) -> Pieces:
        """The same penalty of gamma where b = scale * gamma (scales are equal within groups and chains where those are scaled at all)."""
        return replace(
            self,
            l1=self.l1 * scale,
            l2=self.l2 * scale**2,
            quadratic=None if self.quadratic is None else self.quadratic * scale * scale[:, None],
        )

    def repeated(self, times: int, grouped: bool) -> Pieces:
        """The penalty of several equations' coefficients, one after another; ``grouped``: the l1 weight is that of each column's group of them."""
        p = self.width
        if grouped:
            if self.groups or self.chains:
                raise ValueError("groups cannot be grouped")
            columns = [j for j in range(p) if self.l1[j] > 0]
            groups = tuple(tuple(j + e * p for e in range(times)) for j in columns)
            return Pieces(np.zeros(p * times), np.tile(self.l2, times), groups, self.l1[columns])
        shift = [tuple(tuple(j + e * p for j in run) for run in runs) for runs in (self.groups, self.chains) for e in range(times)]
        weight = None if self.group_weight is None else np.tile(self.group_weight, times)
        quadratic: Array | None = None if self.quadratic is None else np.asarray(np.kron(np.eye(times), self.quadratic), dtype=np.float64)
        groups = tuple(g for part in shift[:times] for g in part)
        chains = tuple(c for part in shift[times:] for c in part)
        return Pieces(np.tile(self.l1, times), np.tile(self.l2, times), groups, weight, chains, quadratic, self.concave)

    def __add__(self, other: Pieces) -> Pieces:
        """Both penalties together."""
        weights = [w for w in (self.group_weight, other.group_weight) if w is not None]
        matrices = [m for m in (self.quadratic, other.quadratic) if m is not None]
        return Pieces(
            self.l1 + other.l1,
            self.l2 + other.l2,
            self.groups + other.groups,
            np.concatenate(weights) if weights else None,
            self.chains + other.chains,
            sum(matrices[1:], matrices[0]) if matrices else None,
            self.concave if self.concave is not None else other.concave,
        )


def nothing(width: int) -> Pieces:
    """No penalty."""
    return Pieces(np.zeros(width), np.zeros(width))
