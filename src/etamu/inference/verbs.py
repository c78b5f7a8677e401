"""The statistician's verbs of a fit: what each is called, takes and promises; the work is done where its idea lives.

They are functions of a Fit, and methods of it (``fit.test(...)``); each opens its room when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError

if TYPE_CHECKING:
    from etamu.inference.existence import Separation
    from etamu.inference.influence import Influence
    from etamu.inference.table import Table
    from etamu.inference.tests import Test
    from etamu.model import Fit

__all__ = [
    "adjusted",
    "anova",
    "confint",
    "dispersion_by",
    "drop1",
    "effects",
    "hosmer_lemeshow",
    "influence",
    "link_test",
    "measures",
    "overdispersion",
    "relativities",
    "residuals",
    "separation",
    "test",
    "vuong",
]

Array = np.ndarray[Any, Any]


def confint(
    fit: Fit,
    level: float = 0.95,
    method: str = "wald",
    *,
    which: Any = None,
    vcov: Any = "model",
    adjust: str | None = None,
    distribution: str | None = None,
) -> Array:
    """Confidence intervals, shape (k, 2): of every coefficient in the order of ``labels``, or of the combinations in ``which``.

    ``method`` is "wald" (with any ``vcov``), "profile" (likelihood ratio) or "score".  Wald intervals use t where phi is
    estimated, the others the normal quantile as R's ``confint`` of a glm; ``distribution="t"`` or ``"z"`` chooses.  ``adjust`` is
    "bonferroni", "sidak" or (Wald) "max-t", for intervals that hold together.

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("killed / n ~ dose", em.datasets.beetles(), family="binomial", weights="n")
    >>> fit.confint(method="profile").round(2)
    array([[-71.44, -51.08],
           [ 28.85,  40.3 ]])
    """
    from etamu.inference.intervals import confint

    return confint(fit, level, method, which, vcov, adjust, distribution)


def test(fit: Fit, hypothesis: Any, method: str = "wald", *, vcov: Any = "model", distribution: str | None = None) -> Test:  # noqa: PT028
    """Test of linear hypotheses by "wald" (with any ``vcov``), "lr" (likelihood ratio) or "score" (Rao).

    ``hypothesis`` is text ("x1 = x2", "area[B] = area[C] = 0", "2*x1 + x2 = 0.5"; a term's name means all its columns), a list
    of texts that hold together, or a matrix L (L beta = 0), or (L, r).  The statistic is chi-squared, or F where phi is
    estimated; ``distribution="chi2"`` or ``"F"`` chooses.

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    >>> print(fit.test("tension", "lr"))
    tension: lr statistic 70.942 on chi2(2), p = 3.94e-16
    """
    from etamu.inference.tests import test

    return test(fit, hypothesis, method, vcov, distribution)


def anova(fit: Fit, other: Fit | None = None, *, type: int = 1, test: str | None = None) -> Table:
    """Analysis of deviance: this fit against a nested ``other``, or its own terms by ``type`` 1 (in order), 2 or 3.

    ``test`` is "lr" (chi-squared), "f", "score", or "wald" (types 2 and 3); by default "lr" where the dispersion is known, else
    "f".

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool * tension", em.datasets.warpbreaks(), family="poisson")
    >>> fit.anova().columns["df"]
    [None, 1, 2, 2]
    """
    from etamu.inference.anova import anova, compare

    return anova(fit, type, test) if other is None else compare(fit, other, test)


def drop1(fit: Fit, test: str | None = None) -> Table:
    """The fit without each term that no other term contains: deviance, AIC and test, as R's ``drop1``."""
    from etamu.inference.anova import drop1

    return drop1(fit, test)


def overdispersion(fit: Fit, power: float = 2.0) -> Test:
    """Test of a Poisson fit against variance mu + alpha mu^power (Cameron and Trivedi), alpha > 0."""
    from etamu.inference.diagnostics import overdispersion

    return overdispersion(fit, power)


def link_test(fit: Fit) -> Test:
    """Pregibon's test of the link: whether eta^2 as one more column explains anything."""
    from etamu.inference.diagnostics import link_test

    return link_test(fit)


def hosmer_lemeshow(fit: Fit, groups: int = 10) -> Test:
    """Calibration of a binomial fit: observed against expected in groups by fitted probability."""
    from etamu.inference.diagnostics import hosmer_lemeshow

    return hosmer_lemeshow(fit, groups)


def vuong(fit: Fit, other: Fit, correction: str | None = None) -> Test:
    """Vuong's test of two fits that need not be nested; positive speaks for this one.  ``correction``: "aic", "bic" or None."""
    from etamu.inference.diagnostics import vuong

    return vuong(fit, other, correction)


def measures(fit: Fit) -> dict[str, float]:
    """Information criteria, R^2 of several kinds, and for probabilities AUC, Brier's score and Tjur's R^2, by name."""
    from etamu.inference.fit_measures import measures

    return measures(fit)


def dispersion_by(fit: Fit, method: str) -> float:
    """Phi by "pearson" or "deviance" over the residual degrees of freedom, or by "ml" (maximum likelihood)."""
    from etamu.inference.shape import dispersion_by

    return dispersion_by(fit, method)


def residuals(fit: Fit, kind: str = "deviance", *, seed: int = 0) -> Array:
    """Residuals of the rows of the fit, shape (n,): "response", "working", "pearson", "deviance", "standardized_pearson",
    "standardized_deviance", "studentized", "anscombe", "quantile" (randomised by ``seed`` where y is discrete), or "partial",
    (n, terms).
    """
    from etamu.inference.residuals import residuals

    return residuals(fit, kind, seed)


def influence(fit: Fit) -> Influence:
    """Leverage, Cook's distance and what else each row does to the fit; see :class:`etamu.inference.influence.Influence`."""
    from etamu.inference.influence import Influence

    return Influence(fit)


def effects(
    fit: Fit,
    variables: Any = None,
    *,
    data: Any = None,
    at: Any = "average",
    kind: str = "response",
    level: float = 0.95,
    vcov: Any = "model",
) -> Table:
    """Marginal effects: the slope of the mean response in a number, its step from the base in a factor's level.

    Averaged over the rows of the fit (or ``data``) as they are; ``at="mean"`` takes every column at its mean or commonest level,
    a dict sets some columns.  A table with standard errors by the delta method.

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("killed / n ~ dose", em.datasets.beetles(), family="binomial", weights="n")
    >>> fit.effects()["estimate"].round(3)
    array([4.18])
    """
    from etamu.inference.effects import effects

    return effects(fit, variables, data, at, kind, level, vcov)


def adjusted(
    fit: Fit,
    grid: Any,
    *,
    data: Any = None,
    at: Any = "average",
    kind: str = "response",
    level: float = 0.95,
    vcov: Any = "model",
    contrast: str | None = None,
) -> Table:
    """Mean predictions with columns set to each combination of values in ``grid`` (a dict, or the name of a factor).

    ``contrast``: "reference" (differences from the first), "pairwise", or "ratio" (to the first).

    Examples
    --------
    >>> import etamu as em
    >>> fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
    >>> fit.adjusted("wool")["estimate"].round(2)
    array([31.04, 25.26])
    """
    from etamu.inference.effects import adjusted

    return adjusted(fit, grid, data, at, kind, level, vcov, contrast)


def relativities(fit: Fit, level: float = 0.95, *, vcov: Any = "model", method: str = "wald") -> Table:
    """Exp of the coefficients with limits, as a rating table: for a factor one row per level, its base at 1."""
    from etamu.inference.effects import relativities

    return relativities(fit, level, vcov, method)


def separation(fit: Fit) -> Separation:
    """Whether the estimate exists: rows, direction and coefficients of a separation; see :func:`em.separation`."""
    from etamu.inference.existence import certify
    from etamu.inference.tests import refuse_constrained

    refuse_constrained(fit, "a certificate of separation")
    if fit.smoothing is not None:
        raise UndefinedStatisticError(
            "a certificate of separation is of a fit without a penalty, and s() has one; ask of the formula with bs() or ns() for s()."
        )
    e, p = fit._estimate(), len(fit.names)
    names = fit.class_names or ("",)
    if e.expansion is not None:  # classes beside the first
        names = names[1:]
    labels = [f"{c}:{fit.names[j]}" if c else fit.names[j] for c in names for j in e.kept]
    assert p
    return certify(fit._problem(), e.scaling, labels)
