"""Searches under way: where a solution at one alpha is sought, what is known there, and the step that is being tried.

A place is never changed: other sites may set out from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from etamu.solvers.column_step import Step

__all__ = ["Move", "Place", "Rows", "Site", "Trial"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """Of each row at one place: its predictor, score factor and weight."""

    eta: Array
    v: Array
    h: Array


@dataclass(frozen=True)
class Move:
    """What is asked of the rows: from a place to another one, which is written to ``to``."""

    start: Rows
    by: Array
    to: Rows


@dataclass
class Trial:
    """A step that is being tried: whether it may be the last, and how much of it is made."""

    step: Step
    b: Array
    by: Array
    tight: bool
    fresh: bool  # whether its model was made where it sets out from
    t: float = 1.0


@dataclass(frozen=True, eq=False)
class Place:
    """What was found at coefficients b: the score of every column, which is that of here for those ``seen``; and a ``few`` of the row weights."""

    b: Array
    score: Array
    seen: Array
    deviance: float
    rows: Rows
    few: Array

    def seeing(self, index: Array, score: Array, late: Array) -> Place:
        """The same with the score of the columns ``index``, which are those ``late``."""
        own = self.score.copy()
        own[index] = score
        return replace(self, score=own, seen=self.seen | late)

    def told(self, newer: Array) -> Place:
        """The same with newer scores of the columns that were not seen here."""
        return replace(self, score=np.where(self.seen, self.score, newer))


@dataclass(eq=False)
class Site:
    """The search for the solution at one alpha: its thresholds, the place it has come to, and the ``value`` of the objective there."""

    alpha: float
    l1: Array
    l2: Array
    place: Place
    value: float
    left: float
    most: int
    stale: float
    before: float
    steps: int = 0
    since: int = 0  # steps since it set out, or went on with columns that it had not looked at
    failed: int = 0  # searches along a step that found nothing lower
    compared: tuple[Any, float, float] = (None, 0.0, 1.0)  # with the weights of a model: its staleness here, and its factor
    last: Array | None = None  # the move that led to the place, where it was a whole step
    trial: Trial | None = None
    fine: bool | None = None  # how its steps ended, once they have
    checked: bool = False  # whether every column that it did not look at was shown to be 0 there

    @property
    def open(self) -> bool:
        return self.fine is None
