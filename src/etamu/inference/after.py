"""What a fit can still be asked after a penalty: each verb answers, answers for what the fit is, or refuses and says why.

A penalised estimate maximises no likelihood, so nothing that compares maxima is left; after a selecting penalty there is no standard
error and no hat matrix either.  A quadratic penalty is a normal prior, and its fit answers as a ridge fit.  A relaxed fit is a fit by
maximum likelihood of the columns that were left, and knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.frequentist import as_ridge
from etamu.inference.selected import instead, named, refuse_selected
from etamu.inference.wald import CoefTable, check_level

if TYPE_CHECKING:
    from etamu.inference.table import Table
    from etamu.model import Fit

__all__ = [
    "ShrunkTable",
    "debiased",
    "guarded_confint",
    "guarded_test",
    "needs_hat",
    "needs_maximum",
    "refuse_penalised",
    "relaxed",
    "shrunk_table",
    "view",
    "why_none",
]

Array = np.ndarray[Any, Any]
Verb = TypeVar("Verb", bound=Callable[..., Any])
_BY_LEVERAGE = ("standardized_pearson", "standardized_deviance", "studentized")


@dataclass(frozen=True)
class ShrunkTable(CoefTable):
    """Estimates after a selecting penalty; everything else is nan, and ``note`` says why."""

    note: str = ""


def view(fit: Fit, information: str | None = None) -> Fit:
    """The fit as the rest of inference knows such fits: under a quadratic penalty a ridge fit, else itself."""
    record = fit.penalised
    if record is None or record.selects or record.relaxed is not None or fit.estimate is None:
        return fit
    return as_ridge(fit, information)


def shrunk_table(fit: Fit, level: float) -> ShrunkTable:
    """The coefficients, and why nothing else is said of them."""
    check_level(level)
    estimate = fit._flat(fit.coef)
    nothing = np.full(len(estimate), np.nan)
    return ShrunkTable(fit.labels, estimate, nothing, nothing, nothing, nothing, nothing, "z" if fit._df is None else "t", level, why_none(fit))


def why_none(fit: Fit) -> str:
    """Why there are no standard errors, and what there is instead."""
    why = "which coefficients are 0 was chosen by the same data, and the others are shrunk"
    return f"no standard errors after {named(fit.penalised)}: {why}; see {instead(fit.penalised)}"


# ---- verbs of penalised fits ----------------------------------------------------------------------------------------


def relaxed(fit: Fit, phi: float = 0.0) -> Fit:
    """The unpenalised refit of the columns that the penalty left, or its blend ``phi`` penalised + (1 - ``phi``) refit.

    Coefficients at 0 stay 0 with nan standard errors, levels that were made equal stay so.  The standard errors of ``phi=0`` are those of
    maximum likelihood on the selected columns: they hold given the selection, as the summary says.

    References
    ----------
    Meinshausen (2007), Comput. Stat. Data Anal. 52, doi:10.1016/j.csda.2006.12.019.

    Examples
    --------
    >>> import etamu as em
    >>> X, y = em.datasets.make_linear(200, n_features=6, seed=1)[:2]
    >>> lasso = em.fit(X[:, 1:], y, penalty=em.Lasso(0.3))
    >>> fit = lasso.relaxed()
    >>> bool(fit.deviance < lasso.deviance), fit.rank == lasso.edf
    (True, True)
    """
    from etamu.relaxed import relaxed

    return relaxed(fit, phi)


def debiased(fit: Fit, columns: Any = None, level: float = 0.95, *, vcov: str = "model") -> Table:
    """Debiased estimates of a lasso or elastic net, with standard errors, tests and limits that allow for the selection.

    ``b + D score/W``, D the inverse information or, with fewer than ten observations for each coefficient, rows from nodewise lassos.  The table has
    ``estimate``, ``stderror`` (of ``vcov``: "model" or "sandwich"; both are shown), ``z``, ``p_value``, ``p_holm`` (Holm's, over the ``columns``
    asked for) and limits.  The theory needs few coefficients that matter, of the order of sqrt(n)/log(p).

    References
    ----------
    van de Geer, Buhlmann, Ritov & Dezeure (2014), Ann. Statist. 42, doi:10.1214/14-AOS1221; Zhang & Zhang (2014), doi:10.1111/rssb.12026.

    Examples
    --------
    >>> import etamu as em
    >>> X, y = em.datasets.make_linear(200, n_features=6, seed=1)[:2]
    >>> found = em.fit(X[:, 1:], y, penalty=em.Lasso(0.1)).debiased()
    >>> bool(abs(found["estimate"] - em.fit(X[:, 1:], y).coef[1:]).max() < 1e-8)
    True
    """
    from etamu.inference.debiased import debiased

    return debiased(fit, columns, level, vcov)


# ---- other verbs --------------------------------------------------------------------------------------------------------


def needs_maximum(verb: Verb, what: str) -> Verb:
    """A verb that compares maxima of the likelihood, or fits again by itself."""

    @wraps(verb)
    def asked(fit: Any, *arguments: Any, **options: Any) -> Any:
        fits = [one for one in (fit, *arguments, *options.values()) if hasattr(one, "penalised")]
        for one in fits:
            refuse_penalised(one, what)
        if len(fits) > 1 and any(one.penalised is not None for one in fits):
            raise UndefinedStatisticError(
                f"{what} of two fits takes their columns as given, and a relaxed fit's were chosen by the same responses; compare them on other rows."
            )
        return verb(fit, *arguments, **options)

    return asked  # type: ignore[return-value]


def refuse_penalised(fit: Any, what: str) -> None:
    """What is of the maximum of the likelihood, which a penalised estimate is not."""
    record = getattr(fit, "penalised", None)
    if record is None or record.relaxed == 0:
        return
    hint = "fit without the penalty, or fit.relaxed() and ask that" if record.selects else "fit without the penalty and ask that"
    raise UndefinedStatisticError(f"{what} is of the maximum of the likelihood, and {named(record)} draws the estimate away from it; {hint}.")


def needs_hat(verb: Verb, what: str) -> Verb:
    """A verb that needs the hat matrix, always or (residuals) for some kinds."""

    @wraps(verb)
    def asked(fit: Any, *arguments: Any, **options: Any) -> Any:
        kind = options.get("kind", arguments[0] if arguments else "deviance") if what == "residuals" else None
        if what != "residuals" or (isinstance(kind, str) and kind in _BY_LEVERAGE):
            _refuse_hat(fit, f"a {str(kind).replace('_', ' ')} residual" if kind else what)
        return verb(view(fit), *arguments, **options)

    return asked  # type: ignore[return-value]


def _refuse_hat(fit: Any, what: str) -> None:
    if fit.penalised is not None and fit.penalised.selects:
        raise UndefinedStatisticError(
            f"{what} needs leverages, and after {named(fit.penalised)} the fitted means are no linear map of the response: a row also changes which "
            "coefficients are 0. Ask fit.relaxed(), whose columns are held, or take 'deviance' or 'quantile' residuals."
        )


def guarded_confint(verb: Verb) -> Verb:
    """Intervals: along the likelihood only where it is maximised, and of no coefficient that was set to 0."""

    @wraps(verb)
    def asked(fit: Any, level: float = 0.95, method: str = "wald", *, which: Any = None, **options: Any) -> Any:
        if fit.penalised is None:
            return verb(fit, level, method, which=which, **options)
        if method in ("profile", "score"):
            refuse_penalised(fit, f"a {method} interval")
        refuse_selected(fit, "a confidence interval")
        if which is not None:
            refuse_dropped(fit, which)
        elif method in ("profile", "score") and dropped(fit).any():
            out = np.full((len(fit.labels), 2), np.nan)
            kept = ~dropped(fit) & ~np.isnan(fit._flat(fit.coef))
            out[kept] = verb(fit, level, method, which=np.eye(len(fit.labels))[kept], **options)
            return out
        return verb(view(fit), level, method, which=which, **options)

    return asked  # type: ignore[return-value]


def guarded_test(verb: Verb) -> Verb:
    """Tests: Wald's where there is a covariance, the others where the likelihood is maximised."""

    @wraps(verb)
    def asked(fit: Any, hypothesis: Any, method: str = "wald", **options: Any) -> Any:
        if fit.penalised is None:
            return verb(fit, hypothesis, method, **options)
        if method in ("lr", "score"):
            refuse_penalised(fit, "a likelihood-ratio test" if method == "lr" else "a score test")
        refuse_selected(fit, "a test of coefficients")
        refuse_dropped(fit, hypothesis)
        return verb(view(fit), hypothesis, method, **options)

    return asked  # type: ignore[return-value]


def dropped(fit: Any) -> Array:
    """Labels that a relaxed fit holds at 0."""
    if fit.penalised is None or fit.penalised.relaxed is None:
        return np.zeros(len(fit.labels), dtype=bool)
    held = set(fit.penalised.nonzero) | ({fit.names[0]} if fit.intercept else set())
    return np.tile([name not in held for name in fit.names], len(fit.labels) // len(fit.names))


def refuse_dropped(fit: Any, given: Any) -> None:
    """Hypotheses about coefficients that were set to 0 before the refit."""
    out = dropped(fit)
    if not out.any():
        return
    from etamu.inference.tests import hypothesis_of

    touched = hypothesis_of(fit, given, independent=False).matrix.any(axis=0) & out
    if touched.any():
        name = fit.labels[int(np.argmax(touched))]
        raise UndefinedStatisticError(
            f"coefficient {name!r} was set to 0 by {named(fit.penalised)} before this refit, which therefore says nothing about it; see fit.debiased() "
            "of the penalised fit."
        )
