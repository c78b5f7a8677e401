"""Directions for debiasing: rows of an approximate inverse of the information, each from a lasso of one column on the others.

On S (m, m), the information per observation scaled to a unit diagonal, the lasso of column j has coefficients g, the residual z = x_j - X g, and
the direction (e_j - g) / (z'x_j/n).  With

    bias factor   eta_j = sqrt(n) max_k |z'x_k/n| / |z|/sqrt(n)          noise factor   tau_j = |z| / |z'x_j|

the penalty of each j, from the one that takes nothing down to sqrt(log m / n)/2, is chosen in two steps as Zhang & Zhang do: first the largest with
eta_j <= sqrt(2 log m), or where none reaches that <= 5/4 of the least eta_j; then the smallest whose noise factor is at most 5/4 of that one's.  Below the
floor residuals of more columns than rows are noise that interpolates, and lassos cost most.

References: Zhang & Zhang (2014), J. R. Statist. Soc. B 76, doi:10.1111/rssb.12026; van de Geer, Buhlmann, Ritov & Dezeure (2014), Ann. Statist. 42,
doi:10.1214/14-AOS1221.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from etamu.solvers.descent import Bounds, Descender, Groups

__all__ = ["Nodewise", "directions"]

Array = np.ndarray[Any, Any]
_KAPPA = 0.25
_RATIO = 0.85  # of one lasso's penalty to the next
_FEW = 32  # columns that are not worth another thread
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Nodewise:
    """One lasso: its penalty, coefficients (m,) with 0 at j, and how well it does."""

    alpha: float
    g: Array
    bias: float
    noise: float
    overlap: float  # z'x_j/n

    def direction(self, j: int) -> Array:
        out = -self.g / self.overlap
        out[j] = 1.0 / self.overlap
        return out


def directions(s: Array, n: float, wanted: Sequence[int], threads: int = 1) -> list[Nodewise]:
    """The lasso chosen for each of the wanted columns of S, whose diagonal is 1."""
    s = np.ascontiguousarray(s)

    def several(own: Sequence[int]) -> list[Nodewise]:
        descender = Descender()
        return [_chosen(_path(s, n, j, descender), len(s)) for j in own]

    if threads == 1 or len(wanted) < _FEW:
        return several(wanted)
    step = -(-len(wanted) // (4 * threads))
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(several, [wanted[a : a + step] for a in range(0, len(wanted), step)])
        return [one for part in parts for one in part]


def _path(s: Array, n: float, j: int, descender: Descender) -> Iterator[Nodewise]:
    """Lassos of column j at falling penalties, from the one that takes nothing."""
    m = len(s)
    c = s[j].copy()
    bounds = Bounds.none(m)
    bounds.low[j] = bounds.high[j] = 0.0
    g, slope, l2 = np.zeros(m), -c, np.zeros(m)
    others = np.arange(m) != j
    alpha = float(np.abs(c[others]).max(initial=0.0))
    yield _measured(alpha, g, slope, c, n, others)
    floor = 0.5 * math.sqrt(math.log(max(m, 2)) / n)
    while alpha > floor:
        alpha = max(alpha * _RATIO, floor)
        descender(s, g, slope, np.full(m, alpha), l2, bounds, Groups(), _TOLERANCE, 20)
        yield _measured(alpha, g, slope, c, n, others)


def _measured(alpha: float, g: Array, slope: Array, c: Array, n: float, others: Array) -> Nodewise:
    overlap = 1.0 - float(g @ c)
    square = max(overlap + float(g @ slope), 1e-300)  # |z|^2 / n, as S g = slope + c
    bias = math.sqrt(n) * float(np.abs(slope[others]).max(initial=0.0)) / math.sqrt(square)
    noise = math.sqrt(square / n) / overlap if overlap > 0 else math.inf
    return Nodewise(alpha, g.copy(), bias, noise, overlap)


def _chosen(path: Iterator[Nodewise], m: int) -> Nodewise:
    """The rule; the path is walked no further than it needs."""
    wanted = math.sqrt(2 * math.log(max(m, 2)))
    seen: list[Nodewise] = []
    first = next((k for k, one in enumerate(_kept(path, seen)) if one.bias <= wanted), None)
    if first is None:
        least = (1 + _KAPPA) * min(one.bias for one in seen)
        first = next(k for k, one in enumerate(seen) if one.bias <= least)
    most = (1 + _KAPPA) * seen[first].noise
    best = seen[first]
    for one in (*seen[first + 1 :], *path):
        if one.noise > most:
            break
        best = one
    return best


def _kept(path: Iterator[Nodewise], seen: list[Nodewise]) -> Iterator[Nodewise]:
    for one in path:
        seen.append(one)
        yield one
