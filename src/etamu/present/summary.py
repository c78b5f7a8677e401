"""The regression table as text and as HTML: everything it shows is asked of the Fit, nothing is computed here."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.errors import UndefinedStatisticError
from etamu.inference.table import Table
from etamu.inference.tails import log_normal, log_t
from etamu.inference.tails import shown as shown_p
from etamu.solvers.base import Status

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["Summary", "format_number", "format_p", "summarise"]


@dataclass(frozen=True)
class Summary:
    """A title, facts about the fit, a table of coefficients, and what the reader must know."""

    title: str
    facts: tuple[tuple[str, str], ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    smooths: Table | None = None

    def __str__(self) -> str:
        return _text(self)

    def __repr__(self) -> str:
        return _text(self)

    def _repr_html_(self) -> str:
        return _html(self)

    def _table(self) -> Table:
        names = [name or f"{' ' * k}" for k, name in enumerate(self.header)]  # columns need names that differ
        names[0] = "coefficient"
        return Table({name: [row[k] for row in self.rows] for k, name in enumerate(names)})

    def to_markdown(self) -> str:
        """Facts and the table in Markdown."""
        title, _, formula = self.title.partition("\n")
        facts = ", ".join(f"{k} {v}" for k, v in self.facts)
        parts = [
            f"**{title}**",
            f"`{formula}`" if formula else "",
            facts,
            self._table().to_markdown(),
            self.smooths.to_markdown() if self.smooths else "",
            *self.notes,
        ]
        return "\n\n".join(part for part in parts if part)

    def to_latex(self) -> str:
        """The table as a LaTeX tabular (booktabs)."""
        return self._table().to_latex()


def format_number(x: float, digits: int = 5) -> str:
    """Significant digits, without an exponent where a reader needs none."""
    if not math.isfinite(x):
        return "NA" if math.isnan(x) else "inf" if x > 0 else "-inf"
    if x == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(x)))
    if -5 < magnitude < 9:
        return f"{x:.{max(0, digits - 1 - magnitude)}f}"
    return f"{x:.{digits - 1}e}"


def format_p(p: float) -> str:
    """A p-value; the smallest as a bound, never as a bare zero."""
    if math.isnan(p):
        return "NA"
    if p < 1e-300:
        return "<1e-300"
    return f"{p:.2e}" if p < 1e-4 else f"{p:.4f}"


def summarise(fit: Fit, level: float = 0.95, vcov: Any = "model", stars: bool = False, fold: int | None = None) -> Summary:
    """The Summary of a fit."""
    table = fit.coef_table(level, vcov)
    percent = f"{100 * level:g}%"
    header = ("", "estimate", "std. error", table.statistic_name, "p-value", f"lower {percent}", f"upper {percent}", *([""] if stars else []))
    if _shrunk(fit):
        header, rows = header[:2], _estimates(fit, table, fold)
    else:
        rows = [_row(fit, table, j, stars) for j in range(len(table.names))]
    title = f"Generalized linear model: {fit.family!r}, {fit.link.name} link"
    if fit.spec is not None:
        title += f"\n{fit.spec.formula.text}"
    notes = _notes(fit)
    if not (isinstance(vcov, str) and vcov == "model"):
        notes.append(f"standard errors: {vcov if isinstance(vcov, str) else _name_of(vcov)}")
    if stars and not _shrunk(fit):
        notes.append("*** p < 0.001, ** p < 0.01, * p < 0.05, . p < 0.1")
    smooths = None if fit.smoothing is None else fit.smooths
    return Summary(title, tuple(_facts(fit)), header, tuple(_folded(fit, rows, fold)), tuple(notes), smooths)


def _shrunk(fit: Fit) -> bool:
    """Whether the fit has estimates only."""
    return fit.penalised is not None and bool(fit.penalised.selects)


def _estimates(fit: Fit, table: Any, fold: int | None) -> list[tuple[str, ...]]:
    """Coefficients after a selecting penalty; where many are 0 those are counted rather than listed."""
    rows: list[tuple[str, ...]] = [(name, "0" if b == 0 else format_number(b)) for name, b in zip(table.names, table.estimate)]
    zero = int((np.asarray(table.estimate) == 0).sum())
    if fold is None or zero <= fold:
        return rows
    return [*(row for row, b in zip(rows, table.estimate) if b != 0), (f"... {zero:,} more, see coef_table()", "0")]


def _name_of(vcov: Any) -> str:
    return "a given matrix" if isinstance(vcov, np.ndarray) else type(vcov).__name__


def _row(fit: Fit, table: Any, j: int, stars: bool) -> tuple[str, ...]:
    """One coefficient: numbers, or why there are none."""
    name, more = table.names[j], ("",) if stars else ()
    if math.isnan(table.estimate[j]):
        return (name, "aliased", "", "", "", "", "", *more)
    if name in fit.diverging:
        return (name, "no finite", "estimate", "", "", "", "", *more)
    if table.estimate[j] == 0 and fit.penalised is not None and fit.penalised.relaxed is not None and math.isnan(table.stderror[j]):
        return (name, "0", "set to 0", "", "", "", "", *more)
    if fit.active is not None and fit.active.pinned[j]:
        return (name, format_number(table.estimate[j]), "active", "", "", "", "", *more)
    p = table.p_value[j]
    statistic = f"{table.statistic[j]:.3f}" if np.isfinite(table.statistic[j]) else "NA"
    shown = format_p(p)
    if p < 1e-300 and np.isfinite(table.statistic[j]):  # beyond what a double holds
        statistic_of = float(table.statistic[j])
        shown = shown_p(log_normal(statistic_of) if fit._df is None else log_t(statistic_of, fit._df))
    marks = (_stars(p),) if stars else ()
    return (
        name,
        *map(format_number, (table.estimate[j], table.stderror[j])),
        statistic,
        shown,
        *map(format_number, (table.lower[j], table.upper[j])),
        *marks,
    )


def _stars(p: float) -> str:
    return "" if math.isnan(p) else "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else "." if p < 0.1 else ""


def _folded(fit: Fit, rows: list[tuple[str, ...]], fold: int | None) -> list[tuple[str, ...]]:
    """The rows, those of long terms cut short and those of smooths left out."""
    hidden = set() if fit.smoothing is None else fit.smoothing.columns
    if fold is None or fit.class_names is not None or fit.spec is None or _shrunk(fit):
        return [row for j, row in enumerate(rows) if j not in hidden]
    from etamu.inference.residuals import partial_columns

    out, at = rows[: int(fit.intercept)], int(fit.intercept)
    for term, own in partial_columns(fit).items():
        if hidden.issuperset(range(at, at + len(own))) and hidden:
            pass
        elif len(own) > fold:
            shown = max(1, fold // 4)
            blank = ("",) * (len(rows[0]) - 1)
            out += [*rows[at : at + shown], (f"... {len(own) - shown} more of {term}, see coef_table()", *blank)]
        else:
            out += rows[at : at + len(own)]
        at += len(own)
    return out


def _facts(fit: Fit) -> list[tuple[str, str]]:
    dispersion = format_number(fit.dispersion) + (" (fixed)" if fit.family.dispersion_known else "")
    facts = [
        ("observations", f"{fit.nobs:,}"),
        ("residual df", f"{fit.df_residual:,}" if fit.smoothing is None and fit.edf == int(fit.edf) else f"{fit.df_residual:,.2f}"),
        ("deviance", format_number(fit.deviance, 7)),
        ("null deviance", _or_dash(lambda: format_number(fit.null_deviance, 7))),
        ("dispersion", dispersion),
        ("log-likelihood", _or_dash(lambda: format_number(fit.loglik, 7))),
        ("AIC", _or_dash(lambda: format_number(fit.aic, 7))),
        ("BIC", _or_dash(lambda: format_number(fit.bic, 7))),
    ]
    return facts


def _or_dash(compute: Any) -> str:
    try:
        return str(compute())
    except UndefinedStatisticError:
        return "-"


def _notes(fit: Fit) -> list[str]:
    notes = []
    if fit.status is not Status.CONVERGED:
        notes.append(f"{fit.status.name.lower().replace('_', ' ')}: {fit.status.value}")
    if fit.penalised is not None:
        notes += _penalty(fit)
    elif fit.bias == "ridge":
        notes.append("ridge: estimates are shrunk towards zero, and the covariance is the posterior one, phi (H + P)^-1")
    elif fit.bias == "smooth":
        notes.append("standard errors are the Bayesian ones, phi (H + S)^-1; residual df and AIC count effective degrees of freedom")
    elif fit.bias is not None:
        notes.append(f"bias-reduced estimates ({fit.bias})")
    if fit.active is not None:
        notes.append(_constraints(fit.active, _shrunk(fit)))
    if fit.diverging:
        notes.append("diverging: " + _listed(fit.diverging))
    if fit.aliased:
        notes.append("aliased (linear combinations of the columns before them): " + _listed(fit.aliased))
    if fit.class_names is not None and fit.response_levels is not None and len(fit.class_names) < len(fit.response_levels):
        reference = next(str(v) for v in fit.response_levels if str(v) not in fit.class_names)
        notes.append(f"coefficients are log odds against class {reference}")
    elif fit.response_levels is not None and fit.class_names is None:
        notes.append(f"modelled is the probability of {fit.response_levels[1]!r}")
    if not fit.family.dispersion_known and fit.df_residual <= 0:
        notes.append("no residual degrees of freedom: dispersion and standard errors do not exist")
    return notes


def _penalty(fit: Fit) -> list[str]:
    """What the penalty was, and what it leaves to be said."""
    from etamu.inference.after import why_none
    from etamu.inference.selected import written

    record = fit.penalised
    if record.relaxed is not None:
        return list(fit.trace.notes)
    first = f"penalty: {written(record)}; AIC, BIC and residual df count {record.edf:.4g} effective degrees of freedom"
    if record.selects:
        return [first, f"{len(record.nonzero):,} of {len(fit.names):,} coefficients are not 0; {why_none(fit)}"]
    return [first, "estimates are shrunk towards zero, and the covariance is the posterior one, phi (H + P)^-1, under the normal prior that the penalty is"]


def _constraints(active: Any, estimates_only: bool) -> str:
    """Which constraints hold with equality, and what the standard errors are then, if there are any."""
    if not len(active):
        return "constraints: none is active"
    told = f"active constraints: {_listed(tuple(row.description for row in active))}"
    return told if estimates_only else f"{told}; standard errors are within them"


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _text(s: Summary) -> str:
    columns = list(zip(s.header, *s.rows, strict=True)) if s.rows else [(h,) for h in s.header]
    widths = [max(map(len, column)) for column in columns]
    total = sum(widths) + 2 * (len(widths) - 1)
    lines = [s.title, "=" * total, *_paired(s.facts, total), "-" * total]
    for row in (s.header, *s.rows):
        first, rest = row[0].ljust(widths[0]), [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    lines.append("-" * total)
    if s.smooths is not None:
        lines += [str(s.smooths), "-" * total]
    return "\n".join([*lines, *s.notes])


def _paired(facts: tuple[tuple[str, str], ...], total: int) -> list[str]:
    """Two facts to a line."""
    half = (len(facts) + 1) // 2
    left, right = facts[:half], facts[half:]
    a = [max(len(f[k]) for f in left) for k in (0, 1)]
    b = [max((len(f[k]) for f in right), default=0) for k in (0, 1)]
    gap = " " * max(3, total - sum(a) - sum(b) - 4)
    out = []
    for k, (name, value) in enumerate(left):
        line = f"{name:<{a[0]}}  {value:>{a[1]}}"
        if k < len(right):
            line += f"{gap}{right[k][0]:<{b[0]}}  {right[k][1]:>{b[1]}}"
        out.append(line)
    return out


def _html(s: Summary) -> str:
    def cells(tag: str, row: tuple[str, ...]) -> str:
        align = ("left", *["right"] * (len(row) - 1))
        return "".join(f'<{tag} style="text-align:{a}">{html.escape(c)}</{tag}>' for c, a in zip(row, align, strict=True))

    title, _, formula = s.title.partition("\n")
    facts = " &middot; ".join(f"{html.escape(k)} <b>{html.escape(v)}</b>" for k, v in s.facts)
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in s.rows)
    notes = "".join(f"<p>{html.escape(n)}</p>" for n in s.notes)
    smooths = "" if s.smooths is None else s.smooths._repr_html_()
    code = f"<div><code>{html.escape(formula)}</code></div>" if formula else ""
    return (
        f'<div class="etamu-summary"><div><b>{html.escape(title)}</b></div>{code}<div>{facts}</div>'
        f"<table><thead><tr>{cells('th', s.header)}</tr></thead><tbody>{body}</tbody></table>{smooths}{notes}</div>"
    )
