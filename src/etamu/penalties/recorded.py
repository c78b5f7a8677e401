"""The penalty of a model that was read from a file, which keeps it as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etamu.errors import UndefinedStatisticError
from etamu.penalties.base import Penalty
from etamu.penalties.pieces import Pieces

__all__ = ["Recorded"]


@dataclass(frozen=True)
class Recorded(Penalty):
    """The call that made the penalty, as text."""

    text: str
    alpha: float = 1.0

    def pieces(self, columns: Any) -> Pieces:
        raise UndefinedStatisticError("this model was loaded from a file, which keeps its penalty as text only; refit it for that.")
