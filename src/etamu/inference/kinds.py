"""Which covariance of the coefficients is meant: a name, an object of ``em.vcov``, or a matrix of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import LengthError, SpecificationError, chosen, unknown
from etamu.inference.resample import Bootstrap, Jackknife
from etamu.inference.rowwise import at_estimate, factor_of
from etamu.inference.sandwich import HAC, HC, Cluster

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["KINDS", "Information", "resolve"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Information:
    """The model's own covariance, phi H^-1, with the "expected" or the "observed" information.

    >>> import etamu as em
    >>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), family="gamma", link="log")
    >>> fit.stderror(vcov="observed").round(4)
    array([0.1799, 0.052 ])
    """

    information: str = "expected"

    def __post_init__(self) -> None:
        chosen("information", self.information, ["expected", "observed"])

    def matrix(self, fit: Fit) -> Array:
        """The inverse information times phi, on the fit's scale."""
        return np.asarray(fit.dispersion * factor_of(fit, at_estimate(fit, self.information)).inverse())


KINDS: dict[str, Callable[..., Any]] = {
    "expected": lambda: Information("expected"),
    "observed": lambda: Information("observed"),
    **{f"HC{order}": (lambda order=order: HC(order)) for order in range(4)},
    "cluster": lambda cluster=None, correction="CR1": Cluster(_given("cluster", cluster), correction),
    "HAC": lambda lags=None, correction=False: HAC(lags, correction),
    "jackknife": lambda cluster=None, progress=None: Jackknife(cluster, progress),
    "bootstrap": lambda draws=999, seed=0, method="pairs", cluster=None, progress=None: Bootstrap(draws, seed, method, cluster, progress),
}


def _given(name: str, value: Any) -> Any:
    if value is None:
        raise SpecificationError(f"`{name}` is missing; vcov('cluster') needs the cluster of every row, `cluster=`.")
    return value


def resolve(kind: Any, options: dict[str, Any]) -> Any:
    """A matrix as it is, else an object with ``matrix(fit)``; the model's own covariance is the fit's."""
    if isinstance(kind, str):
        if kind == "model":
            raise SpecificationError(f"vcov('model') takes no options; drop {', '.join(map(repr, options))}.")
        if kind not in KINDS:
            raise unknown("vcov", kind, ["model", *KINDS])
        try:
            return KINDS[kind](**options)
        except TypeError as error:
            if isinstance(error, SpecificationError):
                raise
            raise SpecificationError(f"vcov({kind!r}) does not take {', '.join(map(repr, options))}; see em.vcov for what each kind takes.") from None
    if options:
        raise SpecificationError(f"`vcov` is already complete; drop {', '.join(map(repr, options))}, or name the kind as text.")
    if hasattr(kind, "matrix") and not isinstance(kind, type):
        return kind
    if isinstance(kind, np.ndarray):
        return kind
    raise SpecificationError(f"`vcov` is a {type(kind).__name__}; pass a name such as 'HC1', an object of em.vcov, or a matrix.")


def checked_matrix(given: Array, labels: tuple[str, ...]) -> Array:
    """A covariance that the user brings."""
    size = len(labels)
    if given.shape != (size, size):
        raise LengthError(f"`vcov` has shape {given.shape} but the model has {size} coefficients; pass a ({size}, {size}) matrix in their order.")
    if given.dtype.kind not in "fiu":
        raise SpecificationError(f"`vcov` holds {given.dtype} values; pass numbers.")
    given = np.asarray(given, dtype=float)
    used = ~(np.isnan(given).all(axis=0) & np.isnan(given).all(axis=1))  # aliased coefficients have none
    kept = given[np.ix_(used, used)]
    size = np.sqrt(np.maximum(np.diagonal(kept), 0.0))
    unit = np.where(size > 0, size, 1.0)
    scaled = kept / unit / unit[:, None]
    sound = np.isfinite(kept).all() and np.allclose(scaled, scaled.T, rtol=0, atol=1e-8)
    if not sound or (len(kept) and np.linalg.eigvalsh(0.5 * (scaled + scaled.T))[0] < -1e-8):
        raise SpecificationError("`vcov` is not a covariance matrix; it must be symmetric, finite and without negative variances of any combination.")
    return given
