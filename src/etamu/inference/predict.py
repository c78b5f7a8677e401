"""Linear predictors and means, of the rows of the fit or of new ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.checks import combine_offset, refuse_bad_design
from etamu.design.batches import open_files
from etamu.design.columns import Design
from etamu.design.encode import encode, offset_of
from etamu.design.frames import as_table, is_table
from etamu.design.inputs import read_matrix
from etamu.design.terms import from_table
from etamu.errors import SpecificationError
from etamu.families.multinomial import Multinomial
from etamu.sources.problem import Problem
from etamu.sources.streamed import Streamed, open_source

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Rows", "new_eta", "new_rows", "response", "training_eta", "training_rows"]

Array = np.ndarray[Any, Any]
_SLAB = 1 << 15


def training_eta(fit: Fit) -> Array:
    """Eta of the rows of the fit; for K reported classes the K predictors."""
    e = fit._estimate()
    eta = open_source(fit._problem(), 1).map(lambda problem, rows, x: x, e.gamma)
    return eta if e.expansion is None else eta @ e.expansion.T


@dataclass(frozen=True)
class Rows:
    """Rows to predict: their unscaled design, without aliased columns where they are the fit's own, and their predictors."""

    design: Design
    eta: Array
    weights: Array | None = None  # prior weights of one observation, where they are known


def new_eta(fit: Fit, new: Any, offset: Any, exposure: Any, unseen: str) -> Array:
    """Eta of new rows: the same encoding, the same offsets."""
    if isinstance(new, (str, os.PathLike)):
        return np.concatenate([new_eta(fit, part, offset, exposure, unseen) for part in open_files(new)])
    return new_rows(fit, new, offset, exposure, unseen).eta


def training_rows(fit: Fit) -> Rows:
    """The rows of the fit."""
    problem = fit._problem()
    if isinstance(problem, Streamed):
        raise SpecificationError("the rows of this fit are read from files; pass those to predict as `new`.")
    w = problem.vectors(slice(0, problem.rows))[1]
    if problem.frequency is not None:
        w = w / np.where(np.asarray(problem.frequency) > 0, problem.frequency, 1.0)
    return Rows(Design(problem.design.parts, problem.design.rows), training_eta(fit), np.where(w > 0, w, 1.0))


def new_rows(fit: Fit, new: Any, offset: Any, exposure: Any, unseen: str) -> Rows:
    """New rows: the same encoding, the same offsets."""
    total: Array | None = None
    if fit.spec is not None:
        table = as_table(new)
        design = encode(fit.spec, table, unseen=unseen)
        total = offset_of(fit.spec, table)
        offset = from_table(fit.offset if offset is None else offset, table, "offset")
        exposure = from_table(fit.exposure if exposure is None else exposure, table, "exposure")
    else:
        names = list(fit.names[fit.intercept :])
        if not is_table(new) and not hasattr(new, "tocsr") and np.ndim(new) == 1 and len(names) != 1:
            new = np.asarray(new)[None, :]
        design = read_matrix(new, names if not is_table(new) else None, fit.intercept, expected=names)
    if fit.offset_given and offset is None and exposure is None:
        raise SpecificationError("the model was fitted with an offset; pass `offset=` (or `exposure=`) for the new rows, 0 for none.")
    extra = combine_offset(offset, exposure, fit.link, design.rows)
    total = extra if total is None else total if extra is None else total + extra
    beta = np.where(np.isnan(fit.coef), 0.0, fit.coef)  # aliased columns add nothing
    eta = np.empty((design.rows, *beta.shape[1:]))
    for a in range(0, design.rows, _SLAB):
        rows = slice(a, min(a + _SLAB, design.rows))
        eta[rows] = design.predictor(rows, beta)
    if not np.isfinite(eta).all():
        refuse_bad_design(Problem(design, eta, fit.family, fit.link))
    if total is not None:
        eta += total if eta.ndim == 1 else np.asarray(total)[:, None]
    return Rows(design, eta)


@np.errstate(all="ignore")
def response(fit: Fit, eta: Array) -> Array:
    """Means; for a multinomial response the probabilities of all classes, in the order of ``response_levels``."""
    if not isinstance(fit.family, Multinomial):
        return np.asarray(fit.link.mu(eta))
    assert fit.response_levels is not None
    reference = fit.family.reference_code(list(fit.response_levels))
    if reference is not None:
        eta = np.insert(eta, reference, 0.0, axis=1)
    return fit.family.mean(eta)
