"""How well predictions fit: discrimination, calibration and accuracy of any predictions, with weights and exposure.

Functions of arrays, so that they judge a fit on its own rows, on new rows, or any other model; :meth:`Fit.measures` gathers those of
a fit.  References: Frees, Meyers & Cummings (2011), J. Am. Statist. Assoc. 106, doi:10.1198/jasa.2011.tm10506 (Gini); Brier (1950),
doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; Harrell, Lee & Mark (1996), doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from etamu.errors import DataError, LengthError, SpecificationError
from etamu.inference.table import Table

__all__ = ["actual_expected", "auc", "brier", "concordance", "gini", "lift"]

Array = np.ndarray[Any, Any]


def _vectors(y: Any, prediction: Any, weights: Any) -> tuple[Array, Array, Array]:
    """y, predictions and weights as equally long arrays of finite numbers."""
    a, b = _numbers("y", y), _numbers("prediction", prediction)
    w = np.ones(a.shape) if weights is None else _numbers("weights", weights)
    for name, v in (("prediction", b), ("weights", w)):
        if v.shape != a.shape or a.ndim != 1:
            raise LengthError(f"`{name}` has shape {v.shape} but `y` has {a.shape}; pass one value per row.")
    for name, v in (("y", a), ("prediction", b), ("weights", w)):
        if not np.isfinite(v).all():
            raise DataError(f"`{name}` is not finite in row {int(np.argmax(~np.isfinite(v)))}; drop or fix those rows.")
    if not (w >= 0).all() or not w.any():
        raise DataError("`weights` must be 0 or more, and not all 0.")
    return a, b, w


def _numbers(name: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"`{name}` does not hold numbers; pass one number per row.") from None


def brier(y: Any, prediction: Any, weights: Any = None) -> float:
    """Mean squared difference of outcome and predicted probability (or of any response and its mean).

    >>> brier([0, 1, 1], [0.2, 0.7, 0.9])
    0.04666666666666667
    """
    a, b, w = _vectors(y, prediction, weights)
    return float(w @ (a - b) ** 2 / w.sum())


def concordance(y: Any, prediction: Any, weights: Any = None) -> float:
    """Share of pairs of different y that the predictions order alike, ties counting half; pairs weigh the product of weights.

    >>> concordance([1, 2, 3], [0.1, 0.3, 0.2])
    0.6666666666666666
    """
    a, b, w = _vectors(y, prediction, weights)
    ranks = np.unique(b, return_inverse=True)[1]
    agree = _ordered_pairs(a, ranks, -ranks, w)
    against = _ordered_pairs(a, -ranks, ranks, w)
    order = np.argsort(a, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(a[order]) > 0, True])
    within = np.add.reduceat(w[order], edges[:-1])
    pairs = 0.5 * (w.sum() ** 2 - float((within**2).sum()))
    if not pairs > 0:
        raise SpecificationError("`y` has one value only, so there are no pairs to order.")
    return float((agree + 0.5 * (pairs - agree - against)) / pairs)


def _ordered_pairs(y: Array, key: Array, within: Array, w: Array) -> float:
    """Sum of w_i w_j over pairs with y_i < y_j and key_i < key_j, by merging blocks of rows sorted by y."""
    order = np.lexsort((within, y))
    key, w = key[order], w[order]
    total, size, n = 0.0, 1, len(y)
    while size < n:
        block, right = np.arange(n) // (2 * size), (np.arange(n) // size) % 2 == 1
        by = np.lexsort((~right, key, block))  # within a block by key, right ones first among equals
        ws, rs, bs = w[by], right[by], block[by]
        before = np.cumsum(np.where(rs, 0.0, ws))
        start = np.r_[True, np.diff(bs) > 0]
        base = np.maximum.accumulate(np.where(start, before - np.where(rs, 0.0, ws), 0.0))
        total += float((ws * (before - base))[rs].sum())
        size *= 2
    return total


def auc(y: Any, prediction: Any, weights: Any = None) -> float:
    """Area under the ROC curve of a 0/1 response: the concordance.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    a, b, w = _vectors(y, prediction, weights)
    if not np.isin(a, (0.0, 1.0)).all():
        raise SpecificationError("`y` must hold 0 and 1 for an AUC; use `concordance` for other responses.")
    kinds, ranks = np.unique(b, return_inverse=True)
    if a.min() == a.max():
        raise SpecificationError("`y` has one class only, so there is no AUC.")
    positive = np.bincount(ranks, weights=w * a, minlength=len(kinds))
    negative = np.bincount(ranks, weights=w * (1 - a), minlength=len(kinds))
    below = np.cumsum(negative) - negative
    return float(positive @ (below + 0.5 * negative) / (positive.sum() * negative.sum()))


def gini(y: Any, prediction: Any, weights: Any = None, *, normalised: bool = False) -> float:
    """Gini index of the ordered Lorenz curve: y accumulated by rising prediction against weights (exposure) accumulated alike.

    ``normalised`` divides by the index that ordering by y itself would give.  Rows of equal prediction share the curve's straight line.

    >>> gini([1, 2, 3, 4], [1, 2, 3, 4]), gini([1, 2, 3, 4], [1, 2, 3, 4], normalised=True)
    (0.25, 1.0)
    """
    a, b, w = _vectors(y, prediction, weights)
    if not (w @ a) > 0:
        raise SpecificationError("`y` sums to 0, so there is no Lorenz curve.")

    def index(order_by: Array) -> float:
        kinds, place = np.unique(order_by, return_inverse=True)
        share = np.cumsum(np.r_[0.0, np.bincount(place, weights=w, minlength=len(kinds))]) / w.sum()
        loss = np.cumsum(np.r_[0.0, np.bincount(place, weights=w * a, minlength=len(kinds))]) / (w @ a)
        return float(1.0 - np.sum(np.diff(share) * (loss[1:] + loss[:-1])))

    return index(b) / index(a) if normalised else index(b)


def lift(y: Any, prediction: Any, weights: Any = None, *, bins: int = 10) -> Table:
    """Actual and predicted means in ``bins`` groups of equal weight by rising prediction, and their lift over the whole mean.

    >>> lift([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9], bins=2)["lift"]
    array([0., 2.])
    """
    a, b, w = _vectors(y, prediction, weights)
    table = actual_expected(a, b, weights=w, bins=bins)
    mean = float(w @ a / w.sum())
    return Table({**table.columns, "lift": [v / mean for v in table["actual"]]}, "Lift by rising prediction")


def actual_expected(y: Any, prediction: Any, by: Any = None, weights: Any = None, *, exposure: Any = None, bins: int = 10) -> Table:
    """Actual against expected by groups: of any column ``by`` (levels, or ``bins`` quantile groups of numbers), or of the prediction.

    ``weights`` weigh the means; with ``exposure`` y and predictions are totals, and means are per unit of exposure.

    >>> actual_expected([1, 2, 3, 4], [1.5, 1.5, 3, 5], by=["a", "a", "b", "b"]).columns["ratio"]
    [1.0, 0.875]
    """
    a, b, w = _vectors(y, prediction, weights)
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise SpecificationError(f"`bins` is {bins!r}; pass a whole number of groups, at least 1.")
    e = np.ones(len(a)) if exposure is None else _vectors(a, exposure, None)[1]
    if exposure is not None and not (e > 0).all():
        raise DataError("`exposure` must be positive.")
    names, codes = _groups(b if by is None else by, w * e, bins, len(a))
    base = np.bincount(codes, weights=w * e, minlength=len(names))
    total = np.bincount(codes, weights=w * a, minlength=len(names))
    expected = np.bincount(codes, weights=w * b, minlength=len(names))
    kept = np.flatnonzero(base > 0)
    with np.errstate(all="ignore"):
        columns: dict[str, Any] = {
            "group": [names[k] for k in kept],
            "rows": np.bincount(codes, minlength=len(names))[kept].tolist(),
            "weight": base[kept].tolist(),
            "actual": (total / base)[kept].tolist(),
            "expected": (expected / base)[kept].tolist(),
            "ratio": (total / expected)[kept].tolist(),
        }
    return Table(columns, "Actual against expected")


def _groups(by: Any, weight: Array, bins: int, rows: int) -> tuple[list[str], Array]:
    """Names of groups and the group of each row."""
    values = np.asarray(by)
    if values.shape != (rows,):
        raise LengthError(f"`by` has shape {values.shape} but `y` has {rows} rows; pass one value per row.")
    kinds, codes = np.unique(values.astype(str) if values.dtype.kind == "O" else values, return_inverse=True)
    if values.dtype.kind not in "fiu" or len(kinds) <= bins:
        return [str(k) for k in kinds.tolist()], codes
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    middle = (share - 0.5 * weight[order]) / share[-1]
    cut = np.minimum((middle * bins).astype(int), bins - 1)
    own = np.empty(rows, dtype=int)
    own[order] = cut
    by_kind = np.full(len(kinds), bins)
    np.minimum.at(by_kind, codes, own)  # equal values stay together
    found, codes = np.unique(by_kind[codes], return_inverse=True)
    ends = [(float(values[codes == k].min()), float(values[codes == k].max())) for k in range(len(found))]
    return [f"{a:.4g}" if a == b else f"{a:.4g} to {b:.4g}" for a, b in ends], codes
