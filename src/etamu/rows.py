"""The definition of a GLM: what one row contributes to the sums, given (family, link, y, eta, w).

    deviance_i = w d(y, mu)          score_i = w (y - mu) mu'/V(mu)        (times the row of X)
    pearson_i  = w (y - mu)^2 / V    weight_i = w mu'^2 / V(mu)            (times the row's outer product)

with mu = g^-1(eta).  ``information="observed"`` replaces the expected weight by minus the derivative of the score.
Weights are applied here and nowhere else.  The C++ core computes the same numbers; the tests hold it to this file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from etamu.families.base import Family
from etamu.links import Array, Link, Mean

__all__ = ["RowTerms", "class_indicators", "constant_weight", "multinomial_terms", "row_terms", "starting_terms"]


class RowTerms(NamedTuple):
    """Per-row contributions, each of shape (n,); for q equations score is (n, q) and weight (n, q, q)."""

    deviance: Array
    pearson: Array
    score: Array
    weight: Array


def _weighted(terms: RowTerms, w: Array) -> RowTerms:
    """Apply the weights; a row of weight zero contributes nothing, whatever its other values are."""
    used = w != 0

    def times(x: Array) -> Array:
        shape = (-1, *(1,) * (x.ndim - 1))
        return np.where(used.reshape(shape), w.reshape(shape) * x, 0.0)

    return RowTerms(*map(times, terms))


@np.errstate(all="ignore")
def row_terms(family: Family, link: Link, y: Array, eta: Array, w: Array, information: str = "expected") -> RowTerms:
    """Contributions of each row to deviance, Pearson sum, score and information: "expected", "observed", or "curved", which is the
    observed one or a tenth of the expected one, whichever is more: for steps, which need one that is positive.

    A row whose mean leaves the family's mean space has no density: its deviance is infinite and it adds nothing else.

    >>> import numpy as np
    >>> import etamu as em
    >>> from etamu.rows import row_terms
    >>> t = row_terms(em.families.Poisson(), em.links.LOG, np.array([2.0]), np.array([0.0]), np.array([1.0]))
    >>> float(t.score[0]), float(t.weight[0])
    (1.0, 1.0)
    """
    own = family.row_terms(link, y, eta)
    if own is not None:
        return _weighted(RowTerms(*own), w)
    mean = Mean(link, eta)
    weight = family.information_weight(mean) if information == "expected" else family.observed_weight(y, mean)
    if information == "curved":
        weight = np.maximum(weight, 0.1 * family.information_weight(mean))
    terms = RowTerms(family.deviance_at(y, mean), family.pearson_at(y, mean), family.score_at(y, mean), weight)
    return _weighted(_within_range(terms, ~_has_density(family, mean), np.isnan(eta)), w)


def _within_range(terms: RowTerms, outside: np.ndarray, unknown: np.ndarray) -> RowTerms:
    """Rows without a density, or whose deviance no double can hold, add an infinite deviance and nothing else; products of
    a vanishing and an exploding factor are the 0 that they tend to.  Rows whose eta is nan stay nan, to be found.
    """
    lost = (outside | ~np.isfinite(terms.deviance)) & ~unknown
    if not lost.any() and np.isfinite(terms.weight).all() and np.isfinite(terms.score).all() and np.isfinite(terms.pearson).all():
        return terms
    others = (np.where(lost | (np.isnan(t) & ~unknown), 0.0, t) for t in terms[1:])
    return RowTerms(np.where(lost, np.inf, terms.deviance), *others)


def _has_density(family: Family, mean: Mean) -> np.ndarray:
    """Mu inside the mean space; a mean that merely rounds to its edge in a tail-stable link still counts."""
    space, mu = family.mean_space, mean.mu
    low, high = mean.link.domain
    in_domain = (mean.eta > low) & (mean.eta < high)
    inside = (mu >= space.low) & (mu <= space.high) & ~np.isnan(mu)
    if mean.link.log_mu is None:  # no logarithm in eta space: an exact edge is an edge
        inside &= mu > space.low
    if np.isfinite(space.high) and mean.link.log_complement is None:
        inside &= mu < space.high
    if np.isfinite(space.high) and mean.link.name == "log":
        inside &= mean.eta < math.log(space.high)
    return np.asarray(in_domain & inside & ~np.isnan(mean.eta))


@np.errstate(all="ignore")
def constant_weight(family: Family, link: Link) -> bool:
    """Whether the expected weight mu'^2 / V(mu) is the same at every mean: the link stabilises the family's variance (gamma, log)."""
    space = family.mean_space
    means = np.linspace(0.01, 0.99, 23) if math.isfinite(space.high) else np.logspace(-6, 6, 25)
    if math.isinf(space.low):
        means = np.concatenate([-means, means])
    weight = family.information_weight(Mean(link, link.eta(means)))
    return bool(np.ptp(weight) <= 1e-12 * weight[0])


@np.errstate(all="ignore")
def starting_terms(family: Family, link: Link, y: Array, offset: Array, w: Array) -> RowTerms:
    """Terms whose one weighted least-squares step from beta = 0 lands near eta = g(starting mean): R's start."""
    mu = family.starting_mean(y, w)
    eta = link.eta(mu)
    mean = Mean(link, eta)
    weight = np.where(np.isfinite(eta), family.information_weight(mean), 0.0)
    working = np.where(weight > 0, eta - offset + (y - mu) / mean.dmu, 0.0)
    return _weighted(RowTerms(np.zeros_like(y), np.zeros_like(y), weight * working, weight), w)


def class_indicators(codes: Array, equations: int, reference: int | None) -> Array:
    """One-hot rows of the free classes, shape (n, q)."""
    classes = np.arange(equations)
    if reference is not None:
        classes = classes + (classes >= reference)
    return np.asarray(codes[:, None] == classes, dtype=float)


@np.errstate(all="ignore")
def multinomial_terms(codes: Array, eta: Array, w: Array, reference: int | None) -> RowTerms:
    """Softmax rows: eta is (n, q) for the free classes; the score of class a is y_a - mu_a, its weights diag(mu) - mu mu'."""
    y = class_indicators(codes, eta.shape[1], reference)
    top = eta.max(axis=1, keepdims=True)
    if reference is not None:
        top = np.maximum(top, 0.0)
    e = np.exp(eta - top)
    total = e.sum(axis=1, keepdims=True) + (np.exp(-top) if reference is not None else 0.0)
    mu = e / total
    chosen = np.where(y == 1, eta, 0.0).sum(axis=1)
    log_mu = chosen - top[:, 0] - np.log(total[:, 0])
    off = -mu[:, :, None] * mu[:, None, :]
    index = np.arange(eta.shape[1])
    off[:, index, index] = mu * np.where(mu < 0.5, 1 - mu, (total - e) / total)
    return _weighted(RowTerms(-2 * log_mu, np.exp(-log_mu) - 1, y - mu, off), w)
