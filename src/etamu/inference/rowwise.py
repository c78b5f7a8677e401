"""What inference asks of single rows: terms at the estimate, leverages, score contributions, slab by slab and never n x n.

Everything is on the fit's own scale and columns, where it is as well conditioned as the data allow.  A row of frequency f
stands for f observations; its terms are those of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.columns import Levels, Part
from etamu.errors import UndefinedStatisticError
from etamu.inference.active import confined
from etamu.inference.penalised import with_penalty
from etamu.rows import RowTerms, multinomial_terms, row_terms
from etamu.solvers.linalg import Factorised, FactorisedArrow, factorise
from etamu.sources.memory import Memory
from etamu.sources.problem import Problem
from etamu.sources.streamed import open_source
from etamu.sums import Request, Sums

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["FULL", "Slab", "at_estimate", "factor_of", "leverage", "slabs"]

Array = np.ndarray[Any, Any]
FULL = 1e-10  # 1 - leverage below which a row is fitted exactly
_NUMBERS = 2_000_000  # of a block of the design that is held at a time
_LEAST, _MOST = 64, 32_768


@dataclass(frozen=True)
class Slab:
    """Some rows of a source at the estimate: ``first`` is the number of the first among all rows, ``eta`` their predictors."""

    source: Memory
    rows: slice
    first: int
    eta: Array
    gamma: Array

    @property
    def problem(self) -> Problem:
        return self.source.problem

    @property
    def frequency(self) -> Array:
        """How often each row occurs, 1 where nothing is said; at least a tiny number, so that it divides."""
        f = self.problem.frequency
        return np.ones(len(self.eta)) if f is None else np.asarray(f[self.rows], dtype=float)

    @property
    def vectors(self) -> tuple[Array, Array]:
        """y, and the prior weight of one observation."""
        y, w, _ = self.problem.vectors(self.rows)
        f = self.problem.frequency
        return y, w if f is None else np.divide(w, self.frequency, out=np.zeros_like(w), where=self.frequency > 0)

    def terms(self, information: str = "expected") -> RowTerms:
        """Deviance, Pearson, score factor and information weight of one observation in each row."""
        y, w = self.vectors
        return terms_of(self.problem, y, w, self.eta, information)

    def pull(self, information: str) -> tuple[Array, Array]:
        """Score factor and information weight of one observation in each row, by the core where it can."""
        score, weight = self.source.terms(self.rows, self.eta, self.gamma, information)
        if self.problem.frequency is None:
            return score, weight
        f = self.frequency
        return score / _like(f, score), weight / _like(f, weight)

    def block(self) -> Array:
        """The rows of the design."""
        return self.problem.design.block(self.rows)


def _like(f: Array, values: Array) -> Array:
    return np.asarray(np.where(f > 0, f, 1.0).reshape(-1, *(1,) * (values.ndim - 1)))


def terms_of(problem: Problem, y: Array, w: Array, eta: Array, information: str) -> RowTerms:
    if problem.equations is not None:
        return multinomial_terms(y, eta, w, problem.reference)
    return row_terms(problem.family, problem.link, y, eta, w, information)


def slabs(fit: Fit) -> Iterator[Slab]:
    """The rows of the fit in their order, as many at a time as fit in a few megabytes."""
    gamma, first = fit._estimate().gamma, 0
    for part in fit._problem().batches():
        source = Memory(part, 1)
        step = max(_LEAST, min(_MOST, _NUMBERS // max(part.design.width, 1)))
        for a in range(0, part.rows, step):
            rows = slice(a, min(a + step, part.rows))
            yield Slab(source, rows, first + a, source.predictor(rows, gamma), gamma)
        first += part.rows


def at_estimate(fit: Fit, information: str | None = None) -> Sums:
    """The sums at the estimate itself; those of the last pass are a step away, which is enough for a few digits less."""
    e = fit._estimate()
    if fit.bias == "ridge":  # whose information has the penalty in it
        return e.sums
    if fit.smoothing is not None and fit.smoothing.penalty is not None:
        plain = open_source(fit._problem(), fit.control.threads).sum(Request(e.gamma, 2, information or fit.control.information))
        return with_penalty(plain, fit.smoothing.penalty)
    if information is None and (e.sums.form != "gram" or e.sums.information is None or getattr(e.sums.information, "dtype", np.dtype(float)).char == "g"):
        return e.sums
    return open_source(fit._problem(), fit.control.threads).sum(Request(e.gamma, 2, information or fit.control.information))


def factor_of(fit: Fit, sums: Sums | None = None) -> Factorised | FactorisedArrow:
    """The factor of the information at the estimate, within the constraints that are active."""
    sums = at_estimate(fit) if sums is None else sums
    found = factorise(sums) if fit.active is None else confined(fit, sums)
    if found is None:
        raise UndefinedStatisticError(
            f"the information of this fit is singular (status {fit.status.name}), so this statistic does not exist; {fit.status.value}"
        )
    return replace(found, target=None) if isinstance(found, Factorised) else found  # of any right side, not the fit's own


def leverage(factor: Factorised | FactorisedArrow) -> Callable[[Slab], Array]:
    """X' H^-1 x of each row of a slab, shape (rows,)."""
    return _of_arrow(factor) if isinstance(factor, FactorisedArrow) else _of_dense(factor)


def _of_dense(factor: Factorised) -> Callable[[Slab], Array]:
    half = factor.half_inverse()

    return lambda slab: slab.source.forms(slab.rows, half)


def _of_arrow(factor: FactorisedArrow) -> Callable[[Slab], Array]:
    """With the largest factor's level l eliminated: t^2 / d_l + u' S^-1 u for u = z - t b_l / d_l."""
    arrow, half = factor.arrow, factor.rest.half_inverse()
    ratio = arrow.border / arrow.head[:, None]

    def forms(slab: Slab) -> Array:
        design, large = slab.problem.design, None
        rest: list[Part] = []
        keep: list[int] = []
        for at, part in design.placed():
            if at == arrow.start and isinstance(part, Levels) and len(part.names) == len(arrow.head):
                large = part
            else:
                rest.append(part)
                keep.extend(range(at, at + len(part.names)))
        assert large is not None
        center, scale = (None if v is None else v[keep] for v in (design.center, design.scale))
        others = type(design)(tuple(rest), design.rows, center, scale)
        slot = large.slots[large.codes[slab.rows]]
        t = np.where(slot >= 0, 1.0 if large.times is None else np.asarray(large.times[slab.rows], dtype=float), 0.0)
        u = others.block(slab.rows) - t[:, None] * ratio[slot]
        z = u @ half
        return np.asarray((t * t / arrow.head[slot] + np.einsum("ij,ij->i", z, z)) / factor.weight)

    return forms
