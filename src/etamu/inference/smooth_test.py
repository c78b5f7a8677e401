"""Wood's test of a smooth: a Wald statistic whose covariance is inverted to the rank that the smooth's degrees of freedom give it.

With R'R = H of the smooth's columns, z the coordinates of R b along the eigenvectors of R V R' and v its eigenvalues, r = k + nu the
reference degrees of freedom:

    T = sum_{i<=k} z_i^2/v_i + nu z_{k+1}^2/v_{k+1} +- 2 sqrt(nu (1 - nu)/2) z_k z_{k+1} / sqrt(v_k v_{k+1})

whose law under no effect is that of chi2(k - 1) + a A + c B with A, B of chi2(1), a + c = 1 + nu.  The sign is arbitrary, so the p-value
is the mean of both.  Where phi is estimated T is held to that sum times chi2(n)/n.

Reference: Wood (2013), Biometrika 100, doi:10.1093/biomet/ass048.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["smooth_test", "tail"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_ANGLES = 64
_POINTS = 600


def smooth_test(beta: Array, information: Array, covariance: Array, rank: float, residual: float | None) -> tuple[float, float]:
    """Statistic (over the rank where phi is estimated) and p-value of one smooth's coefficients; nan where there is none."""
    values, vectors = np.linalg.eigh(information)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    spread = root @ covariance @ root.T
    if not (np.isfinite(spread).all() and len(beta) and rank > 0) or (residual is not None and not residual > 0):
        return math.nan, math.nan
    size, along = np.linalg.eigh((spread + spread.T) / 2)
    size, along = size[::-1], along[:, ::-1]
    known = int((size > size[0] * np.finfo(float).eps ** 0.9).sum())
    whole = max(0, math.floor(rank))
    part = rank - whole
    if known < whole + (part > 0):
        whole, part, rank = known, 0.0, float(known)
    z = (along.T @ (root @ beta)) / np.sqrt(np.where(size > 0, size, np.inf))
    if whole == 0:
        whole, part, rank = 1, 0.0, 1.0
    middle = float((z[:whole] ** 2).sum()) + (part * float(z[whole] ** 2) if part > 0 else 0.0)
    cross = 2 * math.sqrt(part * (1 - part) / 2) * float(z[whole - 1] * z[whole]) if part > 0 else 0.0
    p = 0.5 * sum(tail(middle + sign * cross, whole, part, residual) for sign in (-1, 1))
    return (middle if residual is None else middle / rank), min(1.0, p)


def tail(statistic: float, whole: int, part: float, residual: float | None) -> float:
    """P(T >= statistic) for rank whole + part.

    >>> from etamu.inference.smooth_test import tail
    >>> round(tail(5.991464547, 2, 0.0, None), 6), round(tail(1e4, 3, 0.5, 10.0) / 1.5e-14, 1) > 0
    (0.05, True)
    """
    from scipy.stats import chi2, f

    if statistic <= 0:
        return 1.0
    if part == 0:
        return float(chi2.sf(statistic, whole) if residual is None else f.sf(statistic / whole, whole, residual))
    large = (1 + part + math.sqrt((1 + part) * (1 - part))) / 2
    angles = (np.arange(_ANGLES) + 0.5) * (math.pi / 2 / _ANGLES)
    weights = large * np.cos(angles) ** 2 + (1 + part - large) * np.sin(angles) ** 2
    if residual is None:
        return float(_of_sum(np.array([statistic]), whole - 1, weights)[0])
    n = max(1, round(residual))  # as mgcv
    spread = math.sqrt(2 / n)
    low, high = math.log(n / (1 + statistic / (n * large))) - max(12 * spread, 80 / n), math.log(n) + 12 * spread
    u = np.linspace(low, high, _POINTS)
    s = np.exp(u)
    log_density = 0.5 * n * (u - math.log(2)) - 0.5 * s - math.lgamma(0.5 * n)
    return float((np.exp(log_density) * _of_sum(statistic / n * s, whole - 1, weights)).sum() * (u[1] - u[0]))


def _of_sum(y: Array, m: int, weights: Array) -> Array:
    """P(chi2(m) + c chi2(2) >= y), the mean over c in ``weights``: Q(m/2, y/2) and what chi2(2) adds in closed form."""
    from scipy.special import gammainc, gammaincc, gammaln, hyp1f1

    half, c = 0.5 * y[:, None], weights[None, :]
    if m == 0:
        return np.asarray(np.exp(-half / c).mean(axis=1))
    a, rate = 0.5 * m, 1 - 1 / c
    with np.errstate(all="ignore"):
        heavier = np.exp(-half / c) * np.where(rate > 0, rate, 1.0) ** -a * gammainc(a, np.maximum(rate, 0.0) * half)
        lighter = np.exp(a * np.log(half) - half - gammaln(a + 1)) * hyp1f1(1.0, a + 1, np.minimum(rate, 0.0) * half)
    added = np.where(rate > 1e-9, heavier, lighter)
    return np.asarray((gammaincc(a, half) + added).mean(axis=1))
