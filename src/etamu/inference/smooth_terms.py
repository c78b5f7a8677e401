"""What a fit tells of its smooths: lambda, degrees of freedom, and a test of each.

    F = (H + S)^-1 H,   edf = tr F over the smooth's columns,   reference df = tr(2 F - F F) over them

References: Wood (2017), *Generalized Additive Models*, 6.1.2 and 6.12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.smooths import Smooth
from etamu.inference.penalised import dense
from etamu.inference.smooth_test import smooth_test
from etamu.inference.table import Table
from etamu.solvers.linalg import factorise
from etamu.sums import Sums

if TYPE_CHECKING:
    from etamu.inference.smoothed import At, Block

__all__ = ["Smoothing", "Term", "describe", "table"]

Array = np.ndarray[Any, Any]
_NAMES = {"reml": "REML", "gcv": "GCV", "ubre": "UBRE"}


@dataclass(frozen=True)
class Term:
    """One smooth: its columns among all, lambda, effective and reference degrees of freedom, statistic and p-value."""

    name: str
    columns: tuple[int, ...]
    smoothing: float
    edf: float
    ref_df: float
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Smoothing:
    """``criterion`` ("reml", "gcv", "ubre") and its ``score`` at the chosen lambdas, the ``terms``, the ``edf`` of each coefficient that is
    estimated (kept,), and the ``penalty`` on the fit's scale (None of a loaded model).
    """

    criterion: str
    score: float
    terms: tuple[Term, ...]
    edf: Array
    penalty: Array | None = None

    @property
    def total(self) -> float:
        """Effective degrees of freedom of the whole fit."""
        return float(self.edf.sum())

    @property
    def columns(self) -> set[int]:
        """Every column that belongs to a smooth."""
        return {c for term in self.terms for c in term.columns}


def describe(kind: str, score: float, smooths: Sequence[Smooth], blocks: Sequence[Block], at: At, plain: Sums, penalty: Array) -> Smoothing:
    """The record of a penalised fit, from its information on the fit's scale."""
    information = dense(plain.information)
    factor = factorise(Sums(plain.n, plain.sum_weight, plain.deviance, plain.pearson, None, information + np.diag(penalty)))
    inverse = np.full(information.shape, math.nan) if factor is None else factor.inverse()
    influence = inverse @ information
    edf = np.diagonal(influence).copy()
    reference = 2 * edf - np.einsum("ij,ji->i", influence, influence)
    family, left = at.task.problem.family, at.task.problem.observations(plain.n) - float(edf.sum())
    phi = 1.0 if family.dispersion_known else plain.pearson / left if left > 0 else math.nan
    terms = []
    for smooth, block, rho in zip(smooths, blocks, at.rho, strict=True):
        c = block.columns
        own = np.ix_(c, c)
        df = float(reference[c].sum())
        found = math.nan, math.nan  # of a smooth that vanishes as lambda grows, whose law under no effect is another
        if smooth.null:
            found = smooth_test(at.beta[c], information[own], phi * inverse[own], min(df, len(c)), None if family.dispersion_known else left)
        terms.append(Term(smooth.term, smooth.columns, math.exp(rho), float(edf[c].sum()), df, *found))
    return Smoothing(kind, score, tuple(terms), edf, penalty)


def table(smoothing: Smoothing, f: bool) -> Table:
    """The table of the smooths, whose tests are by F where phi is estimated."""
    columns: dict[str, Sequence[Any]] = {
        "term": [t.name for t in smoothing.terms],
        "edf": [t.edf for t in smoothing.terms],
        "ref_df": [t.ref_df for t in smoothing.terms],
        "lambda": [t.smoothing for t in smoothing.terms],
        "statistic": [t.statistic for t in smoothing.terms],
        "p_value": [t.p_value for t in smoothing.terms],
    }
    note = f"{'F' if f else 'chi-squared'} tests, approximate; {_NAMES[smoothing.criterion]} {smoothing.score:.7g}"
    return Table(columns, "Smooth terms", note)
