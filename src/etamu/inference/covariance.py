"""The model-based covariance of the coefficients, from the information on the fit's scale back to the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise
from etamu.solvers.refine import extended_inverse
from etamu.sums import Arrow, Sums

__all__ = ["Scaling", "error_bound", "on_user_scale", "sum_to_zero", "unscaled_covariance", "unscaled_variances", "without_first_class"]

Array = np.ndarray


@dataclass(frozen=True)
class Scaling:
    """How the fit's coefficients gamma relate to the user's beta: beta = T gamma.

    Column j was read as (x - center) * scale, so beta_j = scale_j gamma_j, and the intercept (column 0, when columns are
    centred) takes back sum_j center_j beta_j.
    """

    center: Array | None
    scale: Array | None

    def keep(self, index: Sequence[int]) -> Scaling:
        """The scaling of some columns, the first among them."""
        at = list(index)
        return Scaling(None if self.center is None else self.center[at], None if self.scale is None else self.scale[at])

    def to_user(self, gamma: Array) -> Array:
        """T gamma."""
        if self.scale is None:
            return gamma
        beta = gamma * (self.scale if gamma.ndim == 1 else self.scale[:, None])
        if self.center is not None:
            beta[0] -= self.center[1:] @ beta[1:]
        return np.asarray(beta)

    def place(self, index: Array, values: Array, out: Array) -> None:
        """T gamma into ``out``, which is 0, where gamma has those values and is 0 elsewhere."""
        out[index] = values if self.scale is None else values * self.scale[index]
        if self.scale is not None and self.center is not None:
            index = index[index > 0]
            out[0] -= self.center[index] @ out[index]

    def to_fit(self, beta: Array) -> Array:
        """T^-1 beta."""
        if self.scale is None:
            return beta
        gamma = beta / (self.scale if beta.ndim == 1 else self.scale[:, None])
        if self.center is not None:
            gamma[0] += self.center[1:] @ beta[1:]
        return np.asarray(gamma)

    def row(self, width: int) -> Array:
        """The intercept's row of T."""
        row = np.zeros(width)
        row[0] = 1.0 if self.scale is None else self.scale[0]
        if self.center is not None and self.scale is not None:
            row[1:] = -self.center[1:] * self.scale[1:]
        return row

    def rows(self, matrix: Array) -> Array:
        """L T for rows L of combinations of beta, by what T is."""
        if self.scale is None:
            return matrix
        out = matrix * self.scale
        if self.center is not None:
            out[:, 1:] -= np.multiply.outer(matrix[:, 0], self.center[1:] * self.scale[1:])
        return np.asarray(out)

    def around(self, h: Array) -> Array:
        """T h T', by what T is: a diagonal and a row.  (Not as a product of matrices, whose threads would spin on after it.)"""
        if self.scale is None:
            return h
        out = h * self.scale * self.scale[:, None]
        if self.center is not None and self.center[1:].any():
            row = self.row(len(h))
            left, right = np.add.reduce(row[:, None] * h, axis=0), np.add.reduce(h * row, axis=1)
            out[0], out[:, 0] = left * self.scale, right * self.scale
            out[0, 0] = np.add.reduce(left * row)
        return np.asarray(out)

    def matrix(self, width: int) -> Array:
        """T, shape (p, p)."""
        t = np.eye(width) if self.scale is None else np.diag(self.scale)
        t[:1] = self.row(width)
        return t


def _factor(sums: Sums) -> Factorised | FactorisedArrow | None:
    found = factorise(sums)
    if (
        found is None
        and not isinstance(sums.information, Arrow)
        and sums.information is not None
        and sums.form == "gram"
        and np.isfinite(sums.information).all()
    ):
        values, vectors = np.linalg.eigh(sums.information)
        if values[0] > 0:
            triangle = np.asarray(np.linalg.qr(np.sqrt(values)[:, None] * vectors.T, mode="r"))
            return Factorised(np.ones(len(values)), triangle, float(values[0] / values[-1]))
    return found


def _extended(sums: Sums) -> bool:
    """Whether the information was worked out in long double."""
    return isinstance(sums.information, np.ndarray) and sums.information.dtype.char == "g"  # where it is double, dtypes compare equal


def sum_to_zero(classes: int) -> Array:
    """From predictors relative to the first class to those that sum to zero over the classes, shape (K, K - 1)."""
    return (np.eye(classes) - 1.0 / classes)[:, 1:]


def without_first_class(sums: Sums, width: int) -> Sums:
    """The information of a softmax with a predictor for every class, the first class's held fixed."""
    assert sums.information is not None
    return Sums(sums.n, sums.sum_weight, sums.deviance, sums.pearson, None, np.ascontiguousarray(sums.information[width:, width:]))


def on_user_scale(covariance: Array, scaling: Scaling, width: int) -> Array:
    """T C T' for each pair of equations."""
    out = np.empty(covariance.shape)
    for a in range(0, len(out), width):
        for b in range(0, len(out), width):
            out[a : a + width, b : b + width] = scaling.around(covariance[a : a + width, b : b + width])
    return out


def unscaled_covariance(sums: Sums, scaling: Scaling, width: int, equations: int) -> Array:
    """T H^-1 T' for each pair of equations, shape (pq, pq) with equations outermost; nan where H is singular."""
    size = width * equations
    factor = _factor(sums)
    if factor is None:
        return np.full((size, size), np.nan)
    if _extended(sums):
        t = scaling.matrix(width).astype(np.longdouble)
        return np.asarray(t @ extended_inverse(sums.information[:-1, :-1]) @ t.T).astype(np.float64)
    out = on_user_scale(factor.inverse(), scaling, width)
    if equations == 1:
        np.fill_diagonal(out, unscaled_variances(sums, scaling, width))  # the same digits, whoever asks
    return out


def unscaled_variances(sums: Sums, scaling: Scaling, width: int) -> Array:
    """The diagonal of T H^-1 T' alone, for one equation; for a design with a large factor no p x p matrix is formed."""
    if _extended(sums):
        return np.diagonal(unscaled_covariance(sums, scaling, width, 1))
    factor = _factor(sums)
    if factor is None:
        return np.full(width, np.nan)
    variances = factor.inverse_diagonal()
    if scaling.scale is not None:
        variances = variances * scaling.scale**2
        if scaling.center is not None:
            variances[0] = factor.quadratic_form(scaling.row(width))
    return np.asarray(variances)


def error_bound(sums: Sums, scaling: Scaling, gamma: Array, step_error: float) -> Array:
    """Largest likely error of each coefficient that the arithmetic leaves, on the user's scale.

    Three sources: the step not taken (``step_error``, a length in the metric of H), the rounding of the score (each row
    term carries a few eps of its own size and of eta's; by Cauchy-Schwarz at most sqrt(H_jj) times the constant E below), and
    the rounding of beta itself.
    """
    factor = _factor(sums)
    flat = gamma if gamma.ndim == 1 else gamma.T.ravel()
    width = gamma.shape[0]
    if factor is None or not np.isfinite(step_error):
        return np.full(gamma.shape, np.inf)
    if isinstance(factor, FactorisedArrow):
        return _error_bound_of_arrow(sums, scaling, gamma, step_error, factor)
    t = scaling.matrix(width)
    inverse = np.abs(factor.inverse())
    root = 1.0 / factor.scale
    # a refined fit was worked out in long double and only its result rounded
    refined = _extended(sums)
    eps, last = float(np.finfo(np.longdouble if refined else float).eps), float(np.finfo(float).eps)
    e = 8 * eps * (np.sqrt(max(sums.pearson, 0.0)) + np.abs(flat) @ root + np.sqrt(max(sums.sum_weight, 0.0)))
    fit_scale = inverse @ (root * e) + np.sqrt(np.diagonal(inverse)) * step_error
    per = fit_scale.reshape(gamma.shape if gamma.ndim == 1 else gamma.T.shape).T
    reach = np.abs(t) @ np.abs(gamma)
    return np.asarray(np.abs(t) @ per + 8 * eps * reach + 2 * last * np.abs(scaling.to_user(np.array(gamma))))


def _error_bound_of_arrow(sums: Sums, scaling: Scaling, gamma: Array, step_error: float, factor: FactorisedArrow) -> Array:
    """The same bound without a p x p inverse: the errors of a score's entries are taken to be independent."""
    eps = float(np.finfo(float).eps)
    variances, root = factor.inverse_diagonal(), 1.0 / factor.scale
    e = 8 * eps * (np.sqrt(max(sums.pearson, 0.0)) + float(np.abs(gamma) @ root) / np.sqrt(len(gamma)) + np.sqrt(max(sums.sum_weight, 0.0)))
    per = np.sqrt(variances) * (e * np.sqrt(float((root**2) @ variances)) + step_error)
    scale = np.ones(len(gamma)) if scaling.scale is None else scaling.scale
    out = scale * per
    row = np.abs(scaling.row(len(gamma)))
    out[0] = row @ per + 8 * eps * float(row @ np.abs(gamma))
    return np.asarray(out + 2 * eps * np.abs(scaling.to_user(np.array(gamma))))
