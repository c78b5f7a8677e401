"""Measures of a whole fit: information criteria and the many R^2.

    deviance 1 - D/D0    mcfadden 1 - l/l0    cox_snell 1 - exp(2 (l0 - l)/n)    nagelkerke cox_snell / (1 - exp(2 l0/n))
    tjur  mean fitted probability of the ones less that of the zeros

References: McFadden (1974); Nagelkerke (1991), Biometrika 78, doi:10.1093/biomet/78.3.691; Tjur (2009), Am. Statistician 63,
doi:10.1198/tast.2009.08210; Hurvich & Tsai (1989), Biometrika 76, doi:10.1093/biomet/76.2.297 (AICc).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from etamu.inference.likelihood import log_likelihood, null_model
from etamu.inference.residuals import rows_of

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["measures"]


def measures(fit: Fit) -> dict[str, float]:
    """All that are defined for the fit, by name."""
    out = {"nobs": float(fit.nobs), "deviance": fit.deviance, "null_deviance": fit.null_deviance, "deviance_r2": 1 - fit.deviance / fit.null_deviance}
    if fit.family.likelihood:
        out |= {"loglik": fit.loglik, "aic": fit.aic, "aicc": fit.aicc, "bic": fit.bic}
        null, n = _null_loglik(fit), fit.nobs
        cox = -math.expm1(2 * (null - fit.loglik) / n)
        out |= {"mcfadden": 1 - fit.loglik / null, "cox_snell": cox, "nagelkerke": cox / -math.expm1(2 * null / n)}
    if fit.family.name == "binomial":
        out |= _of_probabilities(fit)
    return out


def _null_loglik(fit: Fit) -> float:
    """Log-likelihood of the intercept alone."""
    if fit.class_names is not None:
        return -0.5 * fit.null_deviance
    problem = fit._problem()
    intercept, deviance = null_model(problem, fit.intercept, fit.control)
    return log_likelihood(problem.constant(), np.array([intercept]), deviance, fit.nobs, fit._estimate().sums.sum_weight)


def _of_probabilities(fit: Fit) -> dict[str, float]:
    """Tjur, Brier and AUC where the response is 0 or 1 in every row."""
    from etamu.measures import auc, brier

    parts = [(rows.y, rows.mean.mu, rows.slab.vectors[1] * rows.slab.frequency) for rows in rows_of(fit, False)]
    y, mu, w = (np.concatenate(column) for column in zip(*parts, strict=True))
    y, mu, w = y[w > 0], mu[w > 0], w[w > 0]
    out = {"brier": brier(y, mu, w)}
    if np.isin(y, (0.0, 1.0)).all() and y.min() < y.max():
        out["tjur"] = float(np.average(mu[y == 1], weights=w[y == 1]) - np.average(mu[y == 0], weights=w[y == 0]))
        out["auc"] = auc(y, mu, w)
    return out
