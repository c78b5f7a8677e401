"""Covariances of fits under a quadratic penalty P: the posterior one, and the sampling covariance of the biased estimator.

    posterior    phi (H + P)^-1               under the normal prior that the penalty is
    frequentist  phi (H + P)^-1 H (H + P)^-1  of the estimate over samples; what the penalty draws towards 0 stays biased

The first is the larger of the two: it counts the prior's spread where the second leaves out the bias.  A sandwich of row scores stands
between factors (H + P)^-1, too.

References: Hoerl & Kennard (1970), Technometrics 12, doi:10.2307/1267351; Wahba (1983), J. R. Statist. Soc. B 45, 133-150.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.inference.penalised import dense
from etamu.inference.rowwise import at_estimate, factor_of
from etamu.sources.streamed import open_source
from etamu.sums import Request

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Frequentist", "as_ridge"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Frequentist:
    """Phi (H + P)^-1 H (H + P)^-1: the covariance of a ridge estimate over samples; without a penalty that of the model.

    >>> import etamu as em
    >>> fit = em.glm("lot1 ~ log(u)", em.datasets.clotting(), penalty=em.Ridge(1.0))
    >>> bool((fit.stderror("frequentist") < fit.stderror()).all())
    True
    """

    def matrix(self, fit: Fit) -> Array:
        """The covariance on the fit's scale."""
        information = dense(open_source(fit._problem(), fit.control.threads).sum(Request(fit._estimate().gamma, 2, fit.control.information)).information)
        inverse = factor_of(fit, at_estimate(fit)).inverse()
        return np.asarray(fit.dispersion * inverse @ information @ inverse)


def as_ridge(fit: Fit, information: str | None = None) -> Fit:
    """The fit as inference knows ridge fits: its sums, at the estimate, have the penalty in their information.

    ``information`` asks for the "expected" or "observed" one where that is not what the fit was made with.
    """
    e = fit._estimate()
    sums = e.sums
    if information is not None and information != fit.control.information:
        source = open_source(fit._problem(), fit.control.threads)
        own, other = (source.sum(Request(e.gamma, 2, kind)) for kind in (fit.control.information, information))
        sums = replace(sums, information=dense(sums.information) - dense(own.information) + dense(other.information))
    return replace(fit, bias="ridge", estimate=replace(e, sums=sums))
