"""The multinomial distribution: softmax regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.errors import SpecificationError
from etamu.families.base import REAL, Family
from etamu.links import Array

__all__ = ["Multinomial"]


@dataclass(frozen=True, repr=False)
class Multinomial(Family):
    """One of K classes per row: mu_k = exp(eta_k) / sum_j exp(eta_j), A(eta) = log sum_j exp(eta_j).

    eta has one column per class, of which only differences matter.  ``reference`` is the class whose predictor is
    held at 0: "first" (as R's ``nnet::multinom``), a label, or ``None`` for the over-parameterised form with a
    coefficient for every class (gradient ascent follows it from its start; Newton reports the one whose rows sum to 0).

    >>> import numpy as np
    >>> import etamu as em
    >>> em.families.Multinomial().mean(np.log(np.array([[1.0, 1.0, 2.0]])))
    array([[0.25, 0.25, 0.5 ]])
    """

    reference: object = "first"

    name = "multinomial"
    support = mean_space = REAL
    canonical = default_link = "softmax"
    dispersion_known = True
    kernel = "multinomial"

    def reference_code(self, levels: list[object]) -> int | None:
        """Position of the reference among the sorted levels, or None."""
        if self.reference is None:
            return None
        if isinstance(self.reference, str) and self.reference == "first" and "first" not in levels:
            return 0
        if self.reference not in levels:
            raise SpecificationError(f"`reference` {self.reference!r} is not a class of y; choose one of {levels}, 'first' or None.")
        return levels.index(self.reference)

    def log_partition(self, theta: Array) -> Array:
        top = theta.max(axis=-1, keepdims=True)
        return np.asarray(top[..., 0] + np.log(np.exp(theta - top).sum(axis=-1)))

    def mean(self, theta: Array) -> Array:
        e = np.exp(theta - theta.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    def variance(self, mu: Array) -> Array:
        """The covariance matrices diag(mu) - mu mu', shape (n, K, K)."""
        return np.asarray(mu[..., :, None] * (np.eye(mu.shape[-1]) - mu[..., None, :]))

    def unit_deviance(self, y: Array, mu: Array) -> Array:
        """-2 log of the mean of the observed class; y is one-hot."""
        return np.asarray(-2.0 * np.log((y * mu).sum(axis=-1)))

    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        return np.asarray(w * np.log((y * mu).sum(axis=-1)))

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        """Class codes 0 .. K-1."""
        edges = np.cumsum(mu, axis=-1)
        return np.asarray((rng.random(len(mu))[:, None] > edges[:, :-1]).sum(axis=1), dtype=float)
