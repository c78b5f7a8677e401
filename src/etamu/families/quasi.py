"""Quasi-likelihood: a variance function without a distribution; the dispersion is always estimated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from etamu.errors import SpecificationError, unknown
from etamu.families.base import NONNEGATIVE, POSITIVE, REAL, UNIT, UNIT_OPEN, Family, Interval
from etamu.families.binomial import Binomial
from etamu.families.gamma import Gamma
from etamu.families.gaussian import Gaussian
from etamu.families.inverse_gaussian import InverseGaussian
from etamu.families.poisson import Poisson
from etamu.links import Array, Mean

__all__ = ["VARIANCES", "Quasi", "QuasiBinomial", "QuasiPoisson"]

VARIANCES: dict[str, Family] = {
    "constant": Gaussian(),
    "mu": Poisson(),
    "mu^2": Gamma(),
    "mu^3": InverseGaussian(),
    "mu(1-mu)": Binomial(),
}
_SPACES: dict[str, tuple[Interval, Interval]] = {"real": (REAL, REAL), "positive": (NONNEGATIVE, POSITIVE), "unit": (UNIT, UNIT_OPEN)}


class _Borrowed(Family):
    """A family that borrows the mean structure of another and drops its likelihood."""

    likelihood = False
    base: Family

    def variance(self, mu: Array) -> Array:
        return self.base.variance(mu)

    def variance_derivative(self, mu: Array) -> Array:
        return self.base.variance_derivative(mu)

    def unit_deviance(self, y: Array, mu: Array) -> Array:
        return self.base.unit_deviance(y, mu)

    def deviance_at(self, y: Array, mean: Mean) -> Array:
        return self.base.deviance_at(y, mean)

    def score_factor(self, mean: Mean) -> Array:
        return self.base.score_factor(mean)

    def score_at(self, y: Array, mean: Mean) -> Array:
        return self.base.score_at(y, mean)

    def information_weight(self, mean: Mean) -> Array:
        return self.base.information_weight(mean)

    def observed_weight(self, y: Array, mean: Mean) -> Array:
        return self.base.observed_weight(y, mean)

    def variance_slope(self, mean: Mean) -> Array:
        return self.base.variance_slope(mean)

    def pearson_at(self, y: Array, mean: Mean) -> Array:
        return self.base.pearson_at(y, mean)

    def starting_mean(self, y: Array, w: Array) -> Array:
        return self.base.starting_mean(y, w)


@dataclass(frozen=True, repr=False)
class QuasiPoisson(_Borrowed):
    """Poisson means with an estimated dispersion: variance phi * mu.

    >>> import etamu as em
    >>> em.families.QuasiPoisson().dispersion_known
    False
    """

    name = "quasi-poisson"
    base = Poisson()
    support, mean_space = NONNEGATIVE, POSITIVE
    canonical = default_link = "log"
    kernel = "poisson"


@dataclass(frozen=True, repr=False)
class QuasiBinomial(_Borrowed):
    """Binomial means with an estimated dispersion: variance phi * mu(1 - mu)/w; y may be any fraction.

    >>> import etamu as em
    >>> em.families.QuasiBinomial().canonical
    'logit'
    """

    name = "quasi-binomial"
    base = Binomial()
    support, mean_space = UNIT, UNIT_OPEN
    canonical = default_link = "logit"
    kernel = "binomial"


class _Plain(Family):
    """The base's generic formulas around a user's variance function."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function

    def variance(self, mu: Array) -> Array:
        return np.asarray(self.function(mu), dtype=float)


@dataclass(frozen=True, repr=False)
class Quasi(_Borrowed):
    """Quasi-likelihood with a named variance ("constant", "mu", "mu^2", "mu^3", "mu(1-mu)") or your own function of mu.

    With a function, ``space`` says where means lie: "real", "positive" or "unit"; the quasi-deviance is then the
    integral 2 * int_mu^y (y - t)/V(t) dt, by quadrature (Wedderburn 1974, doi:10.1093/biomet/61.3.439).

    >>> import etamu as em
    >>> em.families.Quasi(variance="mu^2")
    quasi(mu^2)
    """

    variance_function: str | Callable[[Array], Array] = "constant"
    space: str = "positive"
    base: Family = field(init=False, compare=False)

    name = "quasi"

    def __init__(self, variance: str | Callable[[Array], Array] = "constant", space: str = "positive") -> None:
        if isinstance(variance, str) and variance not in VARIANCES:
            raise unknown("variance", variance, VARIANCES)
        if space not in _SPACES:
            raise unknown("space", space, _SPACES)
        if not (isinstance(variance, str) or callable(variance)):
            raise SpecificationError(f"`variance` is a {type(variance).__name__}; pass a name or a function of mu.")
        object.__setattr__(self, "variance_function", variance)
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "base", VARIANCES[variance] if isinstance(variance, str) else _Plain(variance))

    def __repr__(self) -> str:
        shown = self.variance_function if isinstance(self.variance_function, str) else getattr(self.variance_function, "__name__", "function")
        return f"quasi({shown})"

    @property
    def _named(self) -> bool:
        return isinstance(self.variance_function, str)

    @property
    def support(self) -> Interval:  # type: ignore[override]
        return self.base.support if self._named else _SPACES[self.space][0]

    @property
    def mean_space(self) -> Interval:  # type: ignore[override]
        return self.base.mean_space if self._named else _SPACES[self.space][1]

    @property
    def canonical(self) -> str:  # type: ignore[override]
        return self.base.canonical

    @property
    def default_link(self) -> str:  # type: ignore[override]
        return self.base.default_link if self._named else {"real": "identity", "positive": "log", "unit": "logit"}[self.space]

    @property
    def kernel(self) -> str | None:  # type: ignore[override]
        return self.base.kernel

    def starting_mean(self, y: Array, w: Array) -> Array:
        return self.base.starting_mean(y, w) if self._named else Family.starting_mean(self, y, w)
