"""What is known of a penalised solution, how its penalty is written down, and what it refuses."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError

if TYPE_CHECKING:
    from etamu.penalties.base import Penalty

__all__ = ["Penalised", "instead", "named", "refuse_selected", "written"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Penalised:
    """What is known of a penalised solution.

    ``objective`` is (1/sum w) sum w d/2 + penalty; ``residual`` the largest distance of the score from the penalty's subdifferential, in units of alpha;
    ``edf`` the effective degrees of freedom; ``selects`` whether coefficients are set to 0; ``constrained`` whether constraints hold beside the penalty.
    ``relaxed`` is None for the penalised solution itself, and for a refit of its columns the share phi of it that was kept (0: none).
    """

    penalty: Penalty
    objective: float
    residual: float
    edf: float
    selects: bool
    nonzero: tuple[str, ...]
    constrained: bool = False
    relaxed: float | None = None


_CALLED: dict[tuple[str, Any], str] = {("ElasticNet", 1): "Lasso", ("ElasticNet", 0): "Ridge", ("SparseGroupLasso", 0): "GroupLasso"}


def named(record: Penalised) -> str:
    """What users call the penalty."""
    from etamu.penalties.base import Both
    from etamu.penalties.recorded import Recorded

    penalty = record.penalty
    if isinstance(penalty, Recorded):
        return penalty.text.partition("(")[0]
    kind = type(penalty).__name__
    share = getattr(penalty, "l1_ratio", None)
    if isinstance(penalty, Both):
        return " + ".join(named(replace(record, penalty=part)) for part in penalty.parts)
    return _CALLED.get((kind, share), kind)


def written(record: Penalised) -> str:
    """The call that makes the penalty, with arrays and fits abridged."""
    from etamu.penalties.base import Both
    from etamu.penalties.recorded import Recorded

    penalty = record.penalty
    if isinstance(penalty, Recorded):
        return penalty.text
    if isinstance(penalty, Both):
        inside = " + ".join(written(replace(record, penalty=part)) for part in penalty.parts)
        return inside if penalty.alpha == 1.0 else f"{penalty.alpha!r} ({inside})"
    name, given = named(record), []
    for f in fields(penalty):  # type: ignore[arg-type]
        value = getattr(penalty, f.name)
        fixed = f.name == "l1_ratio" and name in ("Lasso", "Ridge", "GroupLasso")
        if f.name == "alpha" or not (fixed or (f.default is not MISSING and type(value) is type(f.default) and value == f.default)):
            given.append(f"{f.name}={_abridged(value)}")
    return f"{name}({', '.join(given)})"


def _abridged(value: Any) -> str:
    if hasattr(value, "coef"):
        return "<a fit>"
    if isinstance(value, np.ndarray):
        return f"<array {value.shape}>"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 200 else text[:197] + "..."


def instead(record: Penalised) -> str:
    """What gives standard errors after a selection."""
    own = ", fit.debiased() for intervals that allow for the choice" if named(record) in ("Lasso", "ElasticNet") else ""
    return f"fit.relaxed() for an unpenalised refit{own}, or em.split_inference(...) for tests on other rows"


def refuse_selected(fit: Any, what: str) -> None:
    """After a penalty that sets coefficients to 0 no covariance describes the estimate."""
    record = getattr(fit, "penalised", None)
    if record is None:
        return
    if record.relaxed:
        raise UndefinedStatisticError(
            f"{what} is not defined of a blend: a share of {record.relaxed:g} is shrunk. Use fit.relaxed() without phi for standard errors given the selection."
        )
    if record.selects:
        raise UndefinedStatisticError(
            f"{what} is not defined after {named(record)}: which coefficients are 0 was chosen by the same data, and the others are shrunk. "
            f"Use {instead(record)}."
        )
    if record.relaxed is None and fit.class_names is not None and len(fit.class_names) == len(fit.response_levels or ()):
        raise UndefinedStatisticError(
            f"{what} after {named(record)} is of a model with a reference class; fit with family=em.families.Multinomial(reference='first')."
        )
