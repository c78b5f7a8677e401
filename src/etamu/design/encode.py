"""Learn a formula on a table, then encode any table the same way.

The learnt :class:`DesignSpec` holds the levels of every factor, so prediction can never drift from the fit: a level that
was not seen is an error that names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etamu.design.columns import Column, Design
from etamu.design.frames import Table, level_name
from etamu.design.parser import Call, Name, Node, write
from etamu.design.terms import Formula, evaluate, read_formula
from etamu.errors import DataError, MissingValueError, NotEnoughDataError, UnseenLevelError

__all__ = ["DesignSpec", "Factor", "encode", "learn", "offset_of"]


@dataclass(frozen=True)
class Factor:
    """A factor term: its column, its levels in order, and how many of the first levels are dropped (0 or 1)."""

    column: str
    levels: tuple[object, ...]
    dropped: int


@dataclass(frozen=True)
class DesignSpec:
    """A formula with everything that was learnt from data; plain values, so it can be written to JSON."""

    formula: Formula
    factors: tuple[tuple[int, Factor], ...]  # position of the term -> its factor

    def to_dict(self) -> dict[str, object]:
        return {
            "formula": self.formula.text,
            "factors": [{"term": k, "column": f.column, "levels": list(f.levels), "dropped": f.dropped} for k, f in self.factors],
        }

    @staticmethod
    def from_dict(data: dict[str, object]) -> DesignSpec:
        factors = tuple((int(f["term"]), Factor(str(f["column"]), tuple(f["levels"]), int(f["dropped"]))) for f in data["factors"])  # type: ignore[attr-defined]
        return DesignSpec(read_formula(str(data["formula"])), factors)


def _factor_column(term: Node, table: Table) -> str | None:
    match term:
        case Call("C", (Name(column),)):
            return column
        case Name(column) if table.is_text(column):
            return column
    return None


def learn(formula: Formula, table: Table) -> DesignSpec:
    """The levels of the formula's factors in this table; the first level is the base, as in R.

    Without an intercept the first factor keeps all its levels.
    """
    if table.rows == 0:
        raise NotEnoughDataError("`data` has 0 rows; a fit needs at least one.")
    factors: list[tuple[int, Factor]] = []
    spare = not formula.intercept
    for k, term in enumerate(formula.terms):
        column = _factor_column(term, table)
        if column is None:
            continue
        levels = table.labels(column).levels
        if not levels:
            raise MissingValueError(f"`{column}` is missing in every row; remove the term or fill the column.")
        factors.append((k, Factor(column, levels, 0 if spare else 1)))
        spare = False
    return DesignSpec(formula, tuple(factors))


def encode(spec: DesignSpec, table: Table) -> Design:
    """The design of a table: the constant, numeric columns in place, and factors as indicators of integer codes."""
    columns: list[Column] = [Column("Intercept")] if spec.formula.intercept else []
    factors = dict(spec.factors)
    for k, term in enumerate(spec.formula.terms):
        if k in factors:
            columns.extend(_factor_columns(factors[k], table))
        else:
            columns.append(Column(write(term), _numbers(term, table)))
    return Design(tuple(columns), table.rows)


def _factor_columns(factor: Factor, table: Table) -> list[Column]:
    codes = table.labels(factor.column, factor.levels).codes
    low = int(codes.min()) if len(codes) else 0
    if low == -1 or (low < 0 and (codes == -1).any()):
        rows = np.flatnonzero(codes == -1)
        raise MissingValueError(
            f"`{factor.column}` has {len(rows)} missing values, the first in row {rows[0]}; drop or fill those rows, or pass missing='drop'."
        )
    if low == -2:
        row = int(np.flatnonzero(codes == -2)[0])
        value = table.columns[factor.column][row]
        value = value.item() if isinstance(value, np.generic) else value
        known = ", ".join(map(level_name, factor.levels[:10])) + (", ..." if len(factor.levels) > 10 else "")
        raise UnseenLevelError(f"`{factor.column}` has level {value!r} in row {row}, which the model was not fitted on; its levels are {known}.")
    return [Column(f"{factor.column}[{level_name(factor.levels[j])}]", codes, j) for j in range(factor.dropped, len(factor.levels))]


def _numbers(term: Node, table: Table) -> np.ndarray:
    values = evaluate(term, table)
    if values.dtype.kind == "f" and not isinstance(term, Name):
        _refuse_invalid(values, write(term))
    return values


def _refuse_invalid(values: np.ndarray, name: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"`{name}` is {values[row]} in row {row} ({int(bad.sum())} such rows); check the values that go into it.")


def offset_of(spec: DesignSpec, table: Table) -> np.ndarray | None:
    """The sum of the formula's offset terms, or None."""
    total: np.ndarray | None = None
    for node in spec.formula.offsets:
        values = np.asarray(evaluate(node, table), dtype=float)
        _refuse_invalid(values, f"offset({write(node)})")
        total = values if total is None else total + values
    return total
