"""A small table of results: columns by name, shown as text, HTML, Markdown or LaTeX, or handed to a data-frame library."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etamu.errors import unknown

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Columns of equal length; the first names the rows.  ``note`` says what holds for all of them.

    >>> t = Table({"term": ["x", "g"], "df": [1, 2], "p_value": [0.04, 1e-9]})
    >>> t.to_dict()["df"]
    [1, 2]
    >>> print(t)
    term  df  p_value
    x      1     0.04
    g      2    1e-09
    """

    columns: dict[str, Sequence[Any]]
    title: str = ""
    note: str = ""
    digits: int = field(default=4, repr=False)

    def __getitem__(self, name: str) -> Any:
        """A column, as an array where it holds numbers."""
        values = self.columns[name]
        return np.array(values, dtype=float) if all(v is None or isinstance(v, (int, float, np.number)) for v in values) else list(values)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def row(self, label: Any) -> dict[str, Any]:
        """The row of that name."""
        first = next(iter(self.columns))
        labels = list(self.columns[first])
        if label not in labels:
            raise unknown("row", label, labels)
        k = labels.index(label)
        return {name: values[k] for name, values in self.columns.items()}

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns by name."""
        return {name: list(values) for name, values in self.columns.items()}

    def to_pandas(self) -> Any:
        """A pandas DataFrame indexed by the first column."""
        import pandas as pd

        return pd.DataFrame(self.to_dict()).set_index(next(iter(self.columns)))

    def to_polars(self) -> Any:
        """A polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self.to_dict())

    # ---- as text ------------------------------------------------------------------------------------------------

    def cells(self) -> list[list[str]]:
        """Header and rows, as text."""
        shown = [[_show(v, self.digits, name == "p_value") for v in values] for name, values in self.columns.items()]
        return [list(self.columns), *(list(row) for row in zip(*shown, strict=True))]

    def __str__(self) -> str:
        rows = self.cells()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left = [not _numeric(values) for values in self.columns.values()]
        lines = ["  ".join(c.ljust(w) if l else c.rjust(w) for c, w, l in zip(row, widths, left, strict=True)).rstrip() for row in rows]
        return "\n".join([*([self.title] if self.title else []), *lines, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        head, *body = self.cells()
        left = [not _numeric(values) for values in self.columns.values()]
        style = ['style="text-align:left"' if l else 'style="text-align:right"' for l in left]
        top = "".join(f"<th {s}>{html.escape(c)}</th>" for c, s in zip(head, style, strict=True))
        rows = "".join("<tr>" + "".join(f"<td {s}>{html.escape(c)}</td>" for c, s in zip(row, style, strict=True)) + "</tr>" for row in body)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        note = f'<p style="font-size:smaller">{html.escape(self.note)}</p>' if self.note else ""
        return f"<table>{caption}<thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>{note}"

    def to_markdown(self) -> str:
        """A pipe table."""
        head, *body = [[c.replace("|", "\\|") for c in row] for row in self.cells()]
        rule = ["---" if not _numeric(v) else "---:" for v in self.columns.values()]
        return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])

    def to_latex(self) -> str:
        """A tabular environment with rules of the booktabs package."""
        head, *body = [[_latex(c) for c in row] for row in self.cells()]
        kinds = "".join("l" if not _numeric(v) else "r" for v in self.columns.values())
        lines = [" & ".join(row) + r" \\" for row in body]
        return "\n".join([rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", " & ".join(head) + r" \\", r"\midrule", *lines, r"\bottomrule", r"\end{tabular}"])


def _numeric(values: Sequence[Any]) -> bool:
    return any(isinstance(v, (int, float, np.number)) for v in values)


def _show(value: Any, digits: int, is_p: bool = False) -> str:
    if is_p and value == 0:
        return "<1e-300"  # never a bare zero
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}g}" if abs(value) < 10**digits or not math.isfinite(value) else f"{value:.1f}"
    return str(value)


_SPECIAL = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(text: str) -> str:
    return "".join(r"\textbackslash{}" if c == "\\" else _SPECIAL.get(c, c) for c in text)
