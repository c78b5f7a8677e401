"""Seeded data with known coefficients, one recipe per family.

Every recipe draws X first and then y, each from a generator seeded anew with ``seed``: the linear, logistic and softmax
recipes thereby give, bit for bit, the numbers of the notebook this project grew from.  (It also means that noise and X
share a stream and are not independent when the seeds agree; pass ``y_seed`` for an independent one.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from etamu.errors import LengthError

__all__ = [
    "Simulated",
    "make_X",
    "make_gamma",
    "make_inverse_gaussian",
    "make_linear",
    "make_logistic",
    "make_negative_binomial",
    "make_poisson",
    "make_softmax",
    "make_tweedie",
    "one_hot",
]

Array = np.ndarray[Any, Any]


class Simulated(NamedTuple):
    """A simulated regression: the design (its first column constant), the response and the coefficients behind it."""

    X: Array
    y: Array
    theta: Array


def make_X(n_samples: int = 1000, n_features: int = 3, bias: bool = True, seed: int = 0) -> Array:
    """Standard normal columns, after a column of ones when ``bias``.

    >>> import etamu as em
    >>> em.datasets.make_X(2, 1).round(4)
    array([[ 1.    ,  0.1257],
           [ 1.    , -0.1321]])
    """
    X = np.random.default_rng(seed).normal(size=(n_samples, n_features))
    return np.c_[np.ones(n_samples), X] if bias else X


def one_hot(labels: Array, classes: int | None = None) -> Array:
    """Rows of zeros with a one at the label.

    >>> import numpy as np
    >>> import etamu as em
    >>> em.datasets.one_hot(np.array([0, 2]))
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    return np.asarray(np.eye(int(np.max(labels)) + 1 if classes is None else classes)[labels])


def _design(X: int | Array, theta: Sequence[float] | Array | None, features: int, seed: int) -> tuple[Array, Array]:
    """The design asked for by size or given, with coefficients to match."""
    made = make_X(int(X), features, seed=seed) if np.ndim(X) == 0 else np.asarray(X, dtype=float)
    if theta is None:
        p = made.shape[1]
        theta = np.r_[0.5, 0.4 * (-1.0) ** np.arange(p - 1) / np.sqrt(1 + np.arange(p - 1))]
    coefficients = np.asarray(theta, dtype=float)
    if np.ndim(X) == 0 and coefficients.shape[0] != made.shape[1]:
        made = make_X(int(X), coefficients.shape[0] - 1, seed=seed)
    if coefficients.shape[0] != made.shape[1]:
        raise LengthError(f"`theta` has length {coefficients.shape[0]} but X has {made.shape[1]} columns; pass one coefficient per column.")
    return made, coefficients


def _simulate(
    X: int | Array,
    theta: Sequence[float] | Array | None,
    features: int,
    seed: int,
    y_seed: int | None,
    draw: Callable[[np.random.Generator, Array], Array],
) -> Simulated:
    design, coefficients = _design(X, theta, features, seed)
    rng = np.random.default_rng(seed if y_seed is None else y_seed)
    return Simulated(design, draw(rng, design @ coefficients), coefficients)


def make_linear(X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, sigma: float = 1.0, seed: int = 0, y_seed: int | None = None) -> Simulated:
    """Y = X theta + sigma * normal noise; X is a number of rows, or a design to use.

    >>> import etamu as em
    >>> X, y, theta = em.datasets.make_linear(100, [1.0, 2.0])
    >>> X.shape, y.shape
    ((100, 2), (100,))
    """
    return _simulate(X, theta, n_features, seed, y_seed, lambda rng, eta: eta + rng.normal(scale=sigma, size=eta.shape))


def make_logistic(X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, seed: int = 0, y_seed: int | None = None) -> Simulated:
    """Y ~ Bernoulli(1 / (1 + exp(-X theta))).

    >>> import etamu as em
    >>> sorted(set(em.datasets.make_logistic(50).y.tolist()))
    [0, 1]
    """
    return _simulate(X, theta, n_features, seed, y_seed, lambda rng, eta: rng.binomial(1, 1 / (1 + np.exp(-eta))))


def make_softmax(X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, classes: int = 3, seed: int = 0, y_seed: int | None = None) -> Simulated:
    """Y is a class label drawn with probabilities softmax(X theta), theta of shape (features, classes); see :func:`one_hot`.

    >>> import etamu as em
    >>> em.datasets.make_softmax(5).theta.shape
    (4, 3)
    """
    if theta is None:
        p = n_features + 1 if np.ndim(X) == 0 else np.shape(X)[1]
        theta = np.cos(np.arange(p * classes)).reshape(p, classes)

    def draw(rng: np.random.Generator, eta: Array) -> Array:
        e = np.exp(eta - eta.max(axis=1, keepdims=True))
        cdf = np.cumsum(e / e.sum(axis=1, keepdims=True), axis=1)
        cdf /= cdf[:, -1:]
        return np.asarray((cdf <= rng.random(len(eta))[:, None]).sum(axis=1))  # one uniform a row, as Generator.choice

    return _simulate(X, theta, n_features, seed, y_seed, draw)


def make_poisson(X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, seed: int = 0, y_seed: int | None = None) -> Simulated:
    """Y ~ Poisson(exp(X theta)).

    >>> import etamu as em
    >>> em.datasets.make_poisson(4).y.shape
    (4,)
    """
    return _simulate(X, theta, n_features, seed, y_seed, lambda rng, eta: rng.poisson(np.exp(eta)))


def _family(name: str, X: Any, theta: Any, features: int, seed: int, y_seed: int | None, phi: float, arguments: dict[str, float] | None = None) -> Simulated:
    """Means exp(X theta), drawn by the family's own sampler."""
    from etamu import families

    family = families.FAMILIES[name](**(arguments or {}))
    return _simulate(X, theta, features, seed, y_seed, lambda rng, eta: family.sample(np.exp(eta), phi, np.ones_like(eta), rng))


def make_gamma(
    X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, dispersion: float = 0.5, seed: int = 0, y_seed: int | None = None
) -> Simulated:
    """Y ~ gamma with mean exp(X theta) and variance dispersion * mean^2.

    >>> import etamu as em
    >>> bool((em.datasets.make_gamma(9).y > 0).all())
    True
    """
    return _family("gamma", X, theta, n_features, seed, y_seed, dispersion)


def make_inverse_gaussian(
    X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, dispersion: float = 0.5, seed: int = 0, y_seed: int | None = None
) -> Simulated:
    """Y ~ inverse Gaussian with mean exp(X theta) and variance dispersion * mean^3.

    >>> import etamu as em
    >>> bool((em.datasets.make_inverse_gaussian(9).y > 0).all())
    True
    """
    return _family("inverse_gaussian", X, theta, n_features, seed, y_seed, dispersion)


def make_tweedie(
    X: int | Array = 1000,
    theta: Any = None,
    *,
    n_features: int = 3,
    power: float = 1.5,
    dispersion: float = 1.0,
    seed: int = 0,
    y_seed: int | None = None,
) -> Simulated:
    """Y ~ Tweedie(power), exact zeros among positive amounts, with mean exp(X theta).

    >>> import etamu as em
    >>> bool((em.datasets.make_tweedie(200).y == 0).any())
    True
    """
    return _family("tweedie", X, theta, n_features, seed, y_seed, dispersion, {"power": power})


def make_negative_binomial(
    X: int | Array = 1000, theta: Any = None, *, n_features: int = 3, shape: float = 2.0, seed: int = 0, y_seed: int | None = None
) -> Simulated:
    """Y ~ negative binomial with mean exp(X theta) and variance mean + mean^2 / shape.

    >>> import etamu as em
    >>> em.datasets.make_negative_binomial(4).y.shape
    (4,)
    """
    return _family("negative_binomial", X, theta, n_features, seed, y_seed, 1.0, {"theta": shape})
