"""The Family interface: a distribution of y from the exponential dispersion family, as functions of the mean.

A family need only say its ``variance`` and (for likelihoods) ``log_density``; the unit deviance then follows by
quadrature and the rest from both.  The built-in families override the parts that can be written without
cancellation; those take a :class:`~etamu.links.Mean`, so that nothing is lost where mu rounds to 0 or 1.

Reference: Jorgensen, *The Theory of Dispersion Models* (1997); McCullagh & Nelder (1989), chapter 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.families.search import invert
from etamu.links import Array, Link, Mean

__all__ = ["NONNEGATIVE", "POSITIVE", "REAL", "UNIT", "UNIT_OPEN", "Family", "Interval"]


@dataclass(frozen=True)
class Interval:
    """A set of real numbers between two ends, each of which may belong to it."""

    low: float
    high: float
    low_included: bool = False
    high_included: bool = False

    def contains(self, x: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        above = x >= self.low if self.low_included else x > self.low
        below = x <= self.high if self.high_included else x < self.high
        return np.asarray(above & below & np.isfinite(x))

    def holds(self, x: float) -> bool:
        """Whether the one number lies in it."""
        above = x >= self.low if self.low_included else x > self.low
        below = x <= self.high if self.high_included else x < self.high
        return above and below and math.isfinite(x)

    def __str__(self) -> str:
        left, right = "[" if self.low_included else "(", "]" if self.high_included else ")"
        return f"{left}{self.low:g}, {self.high:g}{right}"


REAL = Interval(-math.inf, math.inf)
POSITIVE = Interval(0.0, math.inf)
NONNEGATIVE = Interval(0.0, math.inf, low_included=True)
UNIT = Interval(0.0, 1.0, low_included=True, high_included=True)
UNIT_OPEN = Interval(0.0, 1.0)


class Family:
    """A distribution of y with mean mu and variance phi * V(mu) / w; subclass it to make your own.

    Set ``name``, ``support`` (an :class:`Interval` for y), ``mean_space``, ``canonical`` and ``default_link`` (link
    names) and ``dispersion_known``; write ``variance(mu)``.  Everything else has a default.

    Examples
    --------
    A user's family, in a few lines of NumPy, fits through the same path as the built-in ones:

    >>> import numpy as np
    >>> import etamu as em
    >>> class Linear(em.Family):
    ...     name = "linear-variance"
    ...     support = mean_space = em.families.POSITIVE
    ...     canonical = default_link = "log"
    ...     def variance(self, mu):
    ...         return mu
    >>> x = np.arange(1.0, 9.0)
    >>> fit = em.fit(x, np.array([1.0, 2, 2, 4, 5, 9, 11, 20]), family=Linear())
    >>> fit.coef.round(4)
    array([-0.366 ,  0.4137])
    """

    name: ClassVar[str] = "family"
    support: ClassVar[Interval] = REAL
    mean_space: ClassVar[Interval] = REAL
    canonical: ClassVar[str] = "identity"
    default_link: ClassVar[str] = "identity"
    dispersion_known: ClassVar[bool] = False
    likelihood: ClassVar[bool] = True  # False for quasi-families
    kernel: ClassVar[str | None] = None  # its row terms in C++, where they exist
    lattice: ClassVar[bool] = False  # y is a multiple of 1/w
    parameter: float = 0.0  # the number the kernel needs (Tweedie power, NB theta)

    @property
    def unknown_shape(self) -> bool:
        """Whether a parameter of the family is to be estimated with the coefficients."""
        return False

    def with_shape(self) -> Family:
        """The family with a value of that parameter to begin from."""
        return self

    def __repr__(self) -> str:
        return self.name

    # ---- the distribution ---------------------------------------------------------------------------------------

    def variance(self, mu: Array) -> Array:
        """V(mu), the variance of y at phi = w = 1."""
        raise UndefinedStatisticError(f"family {self.name!r} does not define `variance(mu)`; every family must.")

    def variance_derivative(self, mu: Array) -> Array:
        """V'(mu); by central differences unless a family writes it (accurate to about 1e-10)."""
        h = 6e-6 * np.maximum(np.abs(mu), 1e-300)
        return (self.variance(mu + h) - self.variance(mu - h)) / (2 * h)

    def unit_deviance(self, y: Array, mu: Array) -> Array:
        """d(y, mu) = 2 * integral from mu to y of (y - t)/V(t) dt, by Gauss-Legendre quadrature unless a family writes it."""
        nodes, weights = np.polynomial.legendre.leggauss(60)
        s = 0.5 * (nodes + 1)
        gap = y - mu
        # t = mu + gap * (1 - (1-s)^3): nodes crowd towards y, where V may vanish
        inner = (1 - s) ** 3
        speed = 3 * (1 - s) ** 2
        t = np.multiply.outer(gap, 1 - inner) + np.asarray(mu)[..., None]
        integrand = np.multiply.outer(gap**2, inner * speed * weights * 0.5) / self.variance(t)
        return 2 * np.where(gap == 0, 0.0, np.sum(integrand, axis=-1))

    def log_density(self, y: Array, mu: Array, w: Array, phi: float) -> Array:
        """Log of the density or probability of y, per row."""
        raise UndefinedStatisticError(f"family {self.name!r} has no density, so no log-likelihood, AIC or BIC; compare deviances or dispersions instead.")

    def log_partition(self, theta: Array) -> Array:
        """A(theta) of the natural exponential family: A' is the mean and A'' the variance function."""
        raise UndefinedStatisticError(f"family {self.name!r} does not define `log_partition(theta)`.")

    def mean(self, theta: Array) -> Array:
        """A'(theta), the mean as a function of the natural parameter (the inverse of the canonical link)."""
        raise UndefinedStatisticError(f"family {self.name!r} does not define `mean(theta)`.")

    def sample(self, mu: Array, phi: float, w: Array, rng: np.random.Generator) -> Array:
        """Random draws of y with mean mu."""
        raise UndefinedStatisticError(f"family {self.name!r} does not define `sample`.")

    def tails(self, y: Array, mu: Array, w: Array, phi: float) -> tuple[Array, Array, Array]:
        """P(Y < y), P(Y = y) and P(Y > y), each to its own relative accuracy."""
        raise UndefinedStatisticError(f"family {self.name!r} has no distribution function, so no quantiles, quantile residuals or prediction intervals.")

    def quantile(self, u: Array, mu: Array, w: Array, phi: float) -> Array:
        """The smallest y with P(Y <= y) >= u."""
        step = 1.0 / np.asarray(w, dtype=float) if self.lattice else None
        return invert(lambda y: self.tails(y, mu, w, phi), u, mu, self.support.high, step)

    def normalised(self, y: Array, mu: Array) -> Array:
        """(A(y) - A(mu)) / (A'(mu) V(mu)^(1/2)) with A' = V^(-1/3): Anscombe's scale, on which y is closest to normal."""
        nodes, weights = np.polynomial.legendre.leggauss(80)
        s = 0.5 * (nodes + 1)
        inner, speed = (1 - s) ** 4, 4 * (1 - s) ** 3  # nodes crowd towards y, where V may vanish
        gap = np.asarray(y - mu)
        t = np.multiply.outer(gap, 1 - inner) + np.asarray(mu)[..., None]
        integral = gap * np.sum(speed * weights * 0.5 * self.variance(t) ** (-1 / 3), axis=-1)
        return np.where(gap == 0, 0.0, integral * self.variance(mu) ** (-1 / 6))

    # ---- how a fit uses it --------------------------------------------------------------------------------------

    def starting_mean(self, y: Array, w: Array) -> Array:
        """A mean for each row inside ``mean_space`` and near y (R's ``mustart``)."""
        center = float(np.average(y, weights=w))
        mu = 0.5 * (y + center)
        return np.where(self.mean_space.contains(mu), mu, center)

    def likelihood_dispersion(self, deviance: float, n: int, sum_weight: float) -> float:
        """The phi at which R evaluates the log-likelihood."""
        return 1.0 if self.dispersion_known else deviance / sum_weight

    # ---- row terms in eta space ---------------------------------------------------------------------------------

    def row_terms(self, link: Link, y: Array, eta: Array) -> tuple[Array, Array, Array, Array] | None:
        """Deviance, Pearson's term, score and weight of rows at once, where a family has a quicker way than the functions below."""
        return None

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        """Unit deviance, with the mean in eta space."""
        return self.unit_deviance(y, mean.mu)

    def score_factor(self, mean: Mean) -> Array:
        """mu'/V: the score of a row is w (y - mu) times this."""
        return mean.dmu / self.variance(mean.mu)

    def information_weight(self, mean: Mean) -> Array:
        """mu'^2/V: the expected information of a row is w times this."""
        return mean.dmu * self.score_factor(mean)

    def score_at(self, y: Array, mean: Mean) -> Array:
        """(y - mu) mu'/V."""
        return (y - mean.mu) * self.score_factor(mean)

    def variance_slope(self, mean: Mean) -> Array:
        """D log V / d eta = V'(mu) mu'/V."""
        return self.variance_derivative(mean.mu) * mean.dmu / self.variance(mean.mu)

    def observed_weight(self, y: Array, mean: Mean) -> Array:
        """Minus the derivative of ``score_at``: mu'^2/V - (y - mu)(mu'/V)(mu''/mu' - V' mu'/V)."""
        return self.information_weight(mean) - self.score_at(y, mean) * (mean.curvature - self.variance_slope(mean))

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        """(y - mu)^2 / V."""
        return (y - mean.mu) ** 2 / self.variance(mean.mu)
