"""What a variable does on the scale of the response: marginal effects, adjusted predictions, contrasts, relativities.

All are means over rows, m = sum w mu(x_i'b) / sum w, of the data with some columns set to chosen values, and differences of such means;
their standard errors are sqrt(J V J') with J = sum w mu'(eta_i) x_i / sum w.  The effect of a number is the slope of m by a central
difference of its column; of a factor the step from its base level.

References: Bartus (2005), Stata J. 5; Lenth (2016), J. Stat. Softw. 69, doi:10.18637/jss.v069.i01; Norton & Dowd (2018),
doi:10.1111/1475-6773.12712.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from etamu.design.columns import Column
from etamu.design.declare import columns_of
from etamu.design.encode import encode, offset_of
from etamu.design.frames import Table as Frame
from etamu.design.frames import as_table
from etamu.design.inputs import read_matrix
from etamu.errors import SpecificationError, UndefinedStatisticError, chosen, unknown
from etamu.inference.predict import Rows, new_rows
from etamu.inference.table import Table
from etamu.inference.tests import require_converged
from etamu.inference.wald import p_values, quantile
from etamu.links import Mean
from etamu.sources.problem import Problem

if TYPE_CHECKING:
    from etamu.model import Fit

__all__ = ["adjusted", "effects", "relativities"]

Array = np.ndarray[Any, Any]
Columns = dict[str, Any]
_STEP = 3e-5  # of a central difference, in standard deviations: the error of the slope is about its square
_NUMBERS = 2_000_000
_MOST = 10_000  # rows of a grid


class _Data:
    """The rows that effects are averaged over, with columns that can be set."""

    def __init__(self, fit: Fit, data: Any) -> None:
        require_converged(fit, "an effect")
        if fit.class_names is not None:
            raise UndefinedStatisticError("effects of a multinomial fit would be one per class; difference `fit.predict(new)` for the classes you need.")
        self.fit, self.own = fit, data is None
        self.columns = _own_columns(fit) if data is None else dict(as_table(data).columns)
        self.rows = len(next(iter(self.columns.values()))) if self.columns else fit._problem().rows
        self.weight, self.offset = np.ones(self.rows), None
        if self.own:
            problem = fit._problem()
            assert isinstance(problem, Problem)
            self.offset = None if problem.offset is None else np.asarray(problem.offset, dtype=float)
            w = problem.vectors(slice(0, problem.rows))[1]
            f = np.ones(problem.rows) if problem.frequency is None else np.asarray(problem.frequency, dtype=float)
            self.weight = np.where(w > 0, f, 0.0)
        self.used = _used(fit, self.columns)

    def rows_of(self, columns: Columns) -> Rows:
        """Design and predictors of the rows with those columns."""
        if not self.own:
            return new_rows(self.fit, columns, None, None, "raise")
        fit = self.fit
        if fit.spec is None:
            design = read_matrix(columns, None, fit.intercept, expected=list(fit.names[fit.intercept :]))
        else:
            design = encode(fit.spec, as_table(columns))
        beta = np.nan_to_num(fit.coef)
        eta = design.predictor(slice(0, design.rows), beta)
        if self.offset is not None:
            eta = eta + self.offset
        elif fit.spec is not None and (inside := offset_of(fit.spec, as_table(columns))) is not None:
            eta = eta + inside
        return Rows(design, eta)

    def set(self, **values: Any) -> Columns:
        """The columns, some of them constant."""
        return self.columns | {name: _filled(value, self.rows) for name, value in values.items()}

    def numbers(self, name: str) -> Array | None:
        """A numeric column; None for a factor."""
        frame = Frame(self.columns, self.rows)
        return None if frame.is_text(name) or _is_factor(self.fit, name) else np.asarray(frame.numbers(name), dtype=float)

    def levels(self, name: str) -> Sequence[Any]:
        """Levels of a factor, its base first."""
        for node, factor in self.fit.spec.factors if self.fit.spec is not None else ():
            if columns_of(node) == [name] or tuple(columns_of(node)) == (name,):
                return [factor.levels[factor.base], *(v for k, v in enumerate(factor.levels) if k != factor.base)]
        return Frame(self.columns, self.rows).labels(name).levels


def _own_columns(fit: Fit) -> Columns:
    problem = fit._problem()
    if not isinstance(problem, Problem):
        raise SpecificationError("`data` is missing: this fit read files, so pass the rows that effects are averaged over.")
    if fit.spec is None:
        return {part.name: part.values for part in problem.design.parts if isinstance(part, Column) and part.values is not None}
    if fit.data is None:
        raise SpecificationError("`data` is missing: this fit does not carry its table; pass the rows that effects are averaged over.")
    return dict(fit.data.columns)


def _used(fit: Fit, columns: Columns) -> list[str]:
    """The columns that the terms read."""
    if fit.spec is None:
        return list(fit.names[fit.intercept :])
    return list(dict.fromkeys(name for v in fit.spec.formula.variables for name in columns_of(v)))


def _is_factor(fit: Fit, name: str) -> bool:
    return fit.spec is not None and any(name in columns_of(node) and not factor.breaks for node, factor in fit.spec.factors)


def _filled(value: Any, rows: int) -> Any:
    if isinstance(value, np.ndarray) and value.shape == (rows,):
        return value
    return np.full(rows, value, dtype=None if isinstance(value, (int, float, bool, np.number)) else object if not isinstance(value, str) else None)


def _mean(data: _Data, columns: Columns, kind: str) -> tuple[float, Array]:
    """The weighted mean of the response (or of eta), and its derivative by the coefficients."""
    fit, rows = data.fit, data.rows_of(columns)
    w = data.weight / data.weight.sum()
    with np.errstate(all="ignore"):
        mean = Mean(fit.link, rows.eta)
        value = rows.eta if kind == "link" else np.asarray(mean.mu)
        slope = w if kind == "link" else w * mean.dmu
    out = np.zeros(rows.design.width)
    step = max(64, _NUMBERS // max(rows.design.width, 1))
    for a in range(0, rows.design.rows, step):
        part = slice(a, min(a + step, rows.design.rows))
        out += slope[part] @ rows.design.block(part)
    return float(w @ value), out


# ---- tables -------------------------------------------------------------------------------------------------------


def _judged(fit: Fit, names: dict[str, list[Any]], values: Array, jacobian: Array, level: float, vcov: Any, tested: bool) -> Table:
    """Estimates with standard errors, limits and perhaps tests of zero."""
    covariance = np.nan_to_num(fit.vcov(vcov))
    stderror = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian), 0.0))
    half = quantile(level, fit._df) * stderror
    columns: dict[str, Any] = {**names, "estimate": values.tolist(), "stderror": stderror.tolist()}
    if tested:
        with np.errstate(all="ignore"):
            statistic = values / stderror
        columns |= {"statistic": statistic.tolist(), "p_value": p_values(statistic, fit._df).tolist()}
    return Table(columns | {"lower": (values - half).tolist(), "upper": (values + half).tolist()})


def _at(data: _Data, at: Any) -> Columns:
    """Columns before anything is varied: as they are, at their means (factors at the commonest level), or at given values."""
    if at is None or at == "average":
        return data.columns
    if at == "mean":
        w = data.weight / data.weight.sum()
        fixed = {}
        for name in data.used:
            numbers = data.numbers(name)
            fixed[name] = float(w @ numbers) if numbers is not None else _commonest(data, name)
        return data.set(**fixed)
    if isinstance(at, Mapping):
        lost = [name for name in at if name not in data.columns]
        if lost:
            raise unknown("at", lost[0], data.used)
        return data.set(**at)
    raise SpecificationError(f"`at` is {at!r}; pass 'average', 'mean', or a dict of values by column.")


def _commonest(data: _Data, name: str) -> Any:
    labels = Frame(data.columns, data.rows).labels(name)
    counts = np.bincount(labels.codes, weights=data.weight, minlength=len(labels.levels))
    return labels.levels[int(np.argmax(counts))]


def effects(fit: Fit, variables: Any, data: Any, at: Any, kind: str, level: float, vcov: Any) -> Table:
    """Average (or conditional) marginal effects."""
    chosen("kind", kind, ["response", "link"])
    held = _Data(fit, data)
    wanted = held.used if variables is None else [variables] if isinstance(variables, str) else list(variables)
    for name in wanted:
        if name not in held.used:
            raise unknown("variable", name, held.used)
    base = _at(held, at)
    rows: list[tuple[str, str, float, Array]] = []
    for name in wanted:
        numbers = held.numbers(name)
        if numbers is not None:
            own = np.asarray(Frame(base, held.rows).numbers(name), dtype=float)
            h = _STEP * (float(np.std(numbers)) or 1.0)
            up, down = (_mean(held, base | {name: own + side * h}, kind) for side in (1, -1))
            rows.append((name, "slope", (up[0] - down[0]) / (2 * h), (up[1] - down[1]) / (2 * h)))
            continue
        first, *others = held.levels(name)
        start = _mean(held, base | {name: _filled(first, held.rows)}, kind)
        for other in others:
            there = _mean(held, base | {name: _filled(other, held.rows)}, kind)
            rows.append((name, f"{other} - {first}", there[0] - start[0], there[1] - start[1]))
    names: dict[str, list[Any]] = {"variable": [r[0] for r in rows], "effect": [r[1] for r in rows]}
    return _judged(fit, names, np.array([r[2] for r in rows]), np.array([r[3] for r in rows]), level, vcov, True)


def adjusted(fit: Fit, grid: Any, data: Any, at: Any, kind: str, level: float, vcov: Any, contrast: str | None) -> Table:
    """Mean predictions over the rows with the columns of the grid set to each combination of its values, or contrasts of these."""
    chosen("kind", kind, ["response", "link"])
    if contrast is not None:
        chosen("contrast", contrast, ["reference", "pairwise", "ratio"])
    held = _Data(fit, data)
    if isinstance(grid, str):
        grid = {grid: held.levels(grid) if held.numbers(grid) is None else None}
    if not isinstance(grid, Mapping) or not grid:
        raise SpecificationError("`grid` must give values by column, such as {'age': [20, 40, 60], 'area': ['A', 'B']}, or name a factor.")
    for name, values in grid.items():
        if name not in held.columns:
            raise unknown("grid", name, held.used)
        if values is None:
            raise SpecificationError(f"`grid` names the numeric column {name!r} without values; pass {{{name!r}: [...]}}.")
    points = list(itertools.islice(itertools.product(*(list(v) for v in grid.values())), _MOST + 1))
    if not points or len(points) > _MOST:
        raise SpecificationError(f"`grid` has {'no' if not points else f'more than {_MOST:,}'} combinations; pass some, and fewer than that.")
    base = _at(held, at)
    found = [_mean(held, base | {n: _filled(v, held.rows) for n, v in zip(grid, point, strict=True)}, kind) for point in points]
    values, jacobian = np.array([m for m, _ in found]), np.array([j for _, j in found])
    if contrast is None:
        names: dict[str, list[Any]] = {name: [point[k] for point in points] for k, name in enumerate(grid)}
        return _judged(fit, names, values, jacobian, level, vcov, False)
    labels = [", ".join(map(str, point)) for point in points]
    return _contrasts(fit, labels, values, jacobian, level, vcov, contrast)


def _contrasts(fit: Fit, labels: list[str], values: Array, jacobian: Array, level: float, vcov: Any, contrast: str) -> Table:
    pairs = list(itertools.combinations(range(len(labels)), 2)) if contrast == "pairwise" else [(0, k) for k in range(1, len(labels))]
    if not pairs:
        raise SpecificationError("`contrast` compares points of the grid, and there is only one; give at least two.")
    joined: Callable[[int, int], str] = (lambda a, b: f"{labels[b]} / {labels[a]}") if contrast == "ratio" else (lambda a, b: f"{labels[b]} - {labels[a]}")
    names: dict[str, list[Any]] = {"contrast": [joined(a, b) for a, b in pairs]}
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    if contrast == "ratio":
        return _ratios(fit, names, values[second] / values[first], jacobian[second] / values[second, None] - jacobian[first] / values[first, None], level, vcov)
    return _judged(fit, names, values[second] - values[first], jacobian[second] - jacobian[first], level, vcov, True)


def _ratios(fit: Fit, names: dict[str, list[Any]], ratio: Array, log_jacobian: Array, level: float, vcov: Any) -> Table:
    """Ratios with limits on the log scale."""
    logs = _judged(fit, names, np.log(ratio), log_jacobian, level, vcov, True)
    columns = {**logs.columns, "estimate": ratio.tolist(), "lower": np.exp(logs["lower"]).tolist(), "upper": np.exp(logs["upper"]).tolist()}
    return Table(columns, note="standard errors of the log ratio")


# ---- relativities -------------------------------------------------------------------------------------------------


def relativities(fit: Fit, level: float, vcov: Any, method: str) -> Table:
    """Exp of the coefficients: for a factor one row per level, its base at 1.

    After a selecting penalty without limits, and neighbouring levels that are equal are one row.
    """
    if fit.link.name not in ("log", "logit", "cloglog"):
        raise SpecificationError(f"relativities are exp of coefficients under a log, logit or cloglog link, and this fit's is {fit.link.name!r}.")
    if fit.class_names is not None:
        raise UndefinedStatisticError("relativities are of one equation; a multinomial fit has one per class.")
    selected = fit.penalised is not None and fit.penalised.selects
    limits = np.full((len(fit.names), 2), np.nan) if selected else fit.confint(level, method, vcov=vcov)
    with np.errstate(all="ignore"):
        value, limits = np.exp(fit.coef), np.exp(limits)
    rows: list[tuple[str, str, int | None]] = [("", "Intercept", 0)] if fit.intercept else []
    rows += _levels(fit) if fit.spec is not None else [("", name, j) for j, name in enumerate(fit.names) if not (fit.intercept and j == 0)]
    found = [(term, label, 1.0, 1.0, 1.0) if j is None else (term, label, value[j], limits[j, 0], limits[j, 1]) for term, label, j in rows]
    if selected:
        return _merged([row[:3] for row in found], fit.link.name)
    names = ("term", "level", "relativity", "lower", "upper")
    return Table(dict(zip(names, (list(column) for column in zip(*found, strict=True)), strict=True)), f"Relativities ({fit.link.name} link)")


def _merged(rows: list[tuple[str, str, float]], link: str) -> Table:
    """One row for neighbouring levels of a term whose relativities are equal."""
    out: list[tuple[str, str, str, float]] = []  # term, first and last level, relativity
    for term, label, value in rows:
        if out and term and out[-1][0] == term and abs(out[-1][3] - value) <= 1e-9 * abs(value):
            out[-1] = (term, out[-1][1], label, value)
        else:
            out.append((term, label, label, value))
    columns: dict[str, Sequence[Any]] = {
        "term": [term for term, *_ in out],
        "level": [first if first == last else f"{first} to {last}" for _, first, last, _ in out],
        "relativity": [value for *_, value in out],
    }
    return Table(columns, f"Relativities ({link} link)", "shrunk by the penalty, so without limits; neighbouring levels that are equal are one row")


def _levels(fit: Fit) -> list[tuple[str, str, int | None]]:
    """(term, level, column) of every column, with the base levels of single factors put in."""
    from etamu.design.encode import term_columns

    assert fit.spec is not None
    out: list[tuple[str, str, int | None]] = []
    for term, (name, own) in zip(fit.spec.formula.terms, term_columns(fit.spec).items(), strict=True):
        factor = fit.spec.factor_of.get(term[0]) if len(term) == 1 else None
        plain = factor is not None and factor.contrast == "treatment" and len(own) == len(factor.levels) + factor.missing - 1
        if factor is None or not plain:
            out += [(name, fit.names[j], j) for j in own]
            continue
        columns = iter(own)
        labels = [str(level) for level in factor.levels] + (["missing"] if factor.missing else [])
        out += [(name, label, None if k == factor.base else next(columns)) for k, label in enumerate(labels)]
    return out
