"""``etamu path`` and ``etamu cv``, which choose how strong a penalty is, and the options of ``etamu fit`` that take it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import etamu as em
from etamu.cli.shared import F, guarded, of_data, out_option, quoted, read_family, ruled, watched, write_lines
from etamu.errors import UndefinedStatisticError
from etamu.inference.table import Table

if TYPE_CHECKING:
    from etamu.path import Path

__all__ = ["CRITERIA", "METRICS", "alpha_option", "cv", "l1_ratio_option", "path", "penalty_option", "read_penalty"]

Array = np.ndarray[Any, Any]
PENALTIES = {"lasso": 1.0, "ridge": 0.0, "elastic-net": None}  # with the l1_ratio each has
CRITERIA = ("aic", "aicc", "bic", "ebic")
METRICS = ("deviance", "mse", "mae", "misclassification", "auc")
_SHOWN = 12  # alphas of a path that are shown

# ---- options ------------------------------------------------------------------------------------------------------

penalty_option = click.option("--penalty", default=None, type=click.Choice(list(PENALTIES)), help="Shrink the coefficients; needs --alpha.")
alpha_option = click.option(
    "--alpha",
    default=None,
    type=float,
    callback=ruled("a finite number that is 0 or more", lambda a: 0 <= a < math.inf, "pass the strength of the penalty, such as 0.01"),
    help="How strong the penalty is; etamu path and etamu cv choose one.",
)


def l1_ratio_option(words: str) -> Callable[[F], F]:
    """``--l1-ratio``."""
    rule = ruled("a number from 0 to 1", lambda share: 0 <= share <= 1, "pass 1 for the lasso, 0 for ridge, or a number between")
    return click.option("--l1-ratio", default=None, type=float, callback=rule, help=words)


def _along(command: F) -> F:
    """The options that say which penalties a path is of."""
    few = ruled("a number of alphas, 1 or more", lambda n: n >= 1, "pass such as 100")
    part = ruled("a number between 0 and 1", lambda r: 0 < r < 1, "pass the smallest alpha as a share of the largest, such as 0.001")
    for option in (
        click.option(
            "--alpha-min-ratio",
            default=None,
            type=float,
            callback=part,
            help="The smallest alpha over the largest; 1e-4, 1e-2 of more columns than rows, 1e-6 of ridge.",
        ),
        click.option("--alphas", default=100, show_default=True, type=int, callback=few, help="How many alphas."),
        l1_ratio_option("1 for the lasso (the default), 0 for ridge, or an elastic net between."),
    ):
        command = option(command)
    return of_data(command)


def read_penalty(kind: str | None, alpha: float | None, l1_ratio: float | None, vcov: str, bias: str | None, separated: str) -> Any:
    """The penalty that a fit's options ask for; a usage error where they do not go together, before anything is read."""
    if kind is None:
        for name, value in (("alpha", alpha), ("l1-ratio", l1_ratio)):
            if value is not None:
                raise click.UsageError(f"--{name} {value:g} is of a penalty, and none is named; add --penalty {_one_of(list(PENALTIES))}.")
        return None
    if alpha is None:
        raise click.UsageError(f"--penalty {kind} needs its strength; add --alpha, such as one that etamu cv chooses.")
    share = PENALTIES[kind]
    if share is not None and l1_ratio is not None:
        raise click.UsageError(f"--l1-ratio {l1_ratio:g} is of an elastic net, and --penalty is {kind}; drop it, or pass --penalty elastic-net.")
    if bias is not None:
        raise click.UsageError(f"--bias {bias} and --penalty {kind} are two remedies, of which a fit takes one; drop one of them.")
    if separated != "report":
        raise click.UsageError(f"--separated {separated} is of fits without a penalty, under which every estimate is finite; drop it.")
    penalty = em.ElasticNet(alpha, share) if share is not None else em.ElasticNet(alpha) if l1_ratio is None else em.ElasticNet(alpha, l1_ratio)
    if vcov != "model" and alpha * penalty.l1_ratio > 0:
        raise click.UsageError(f"--vcov {vcov} is of standard errors, and after --penalty {kind}, which selects, there are none; drop it.")
    return penalty


def _one_of(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


# ---- commands -----------------------------------------------------------------------------------------------------


@click.command()
@_along
@click.option("--criterion", default="bic", show_default=True, type=click.Choice(CRITERIA), help="What the best alpha is the least of.")
@click.option("--all", "everything", is_flag=True, help=f"Show every alpha rather than about {_SHOWN}.")
@out_option("Write the coefficients of every alpha to this CSV file.")
def path(data: str, formula: str, criterion: str, everything: bool, out: str | None, **options: Any) -> None:
    """Follow penalised fits of FORMULA on DATA from the strongest penalty downwards, and choose by an information criterion.

    DATA and FORMULA are those of etamu fit. The file of --out has a line for each alpha: alpha, df, deviance_ratio, then the coefficients.

    \b
    Examples:
      etamu path claims.csv "claims ~ C(power) + age + fuel" --family poisson --exposure expo
      etamu path claims.csv "claims ~ C(power) + age + fuel" --family poisson --l1-ratio 0.5 --criterion aic --out path.csv
    """

    def run() -> None:
        arguments, threads = _arguments(options)
        found: Path = watched(lambda control: em.glm_path(formula, data, control=control, **arguments), "following the path", threads=threads)
        best = found.index(found.best(criterion))
        names, values = _coefficients(found, lambda: _classes(formula, data, found, arguments, threads))
        click.echo(f"{_title(found, f'Path of {len(found)} alphas', options)}\n\n{_shown(found, criterion, best, everything)}\n")
        click.echo(f"The least {criterion} is at alpha {found.alphas[best]:.10g}, where the coefficients are\n")
        _tell_solution(found, names, values, best, options)
        if best == len(found) - 1 > 0:
            click.echo("this is the smallest alpha; a smaller --alpha-min-ratio looks further.")
        if out is not None:
            write_lines(out, _lines(found, names, values))

    guarded(run)


@click.command()
@_along
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=int,
    callback=ruled("a number of folds, 2 or more", lambda k: k >= 2, "pass such as 5 or 10"),
    help="How many random folds.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=int,
    callback=ruled("a seed, 0 or more", lambda s: s >= 0, "pass a whole number; the same one makes the same folds"),
    help="What the folds are drawn from.",
)
@click.option("--metric", default="deviance", show_default=True, type=click.Choice(METRICS), help="What held-out rows are judged by.")
def cv(data: str, formula: str, folds: int, seed: int, metric: str, **options: Any) -> None:
    """Choose the strength of a penalty by how well held-out rows of DATA are predicted.

    Prints the best alpha, and the largest one whose metric is within one standard error of it (1-SE) with its coefficients.

    \b
    Examples:
      etamu cv claims.csv "claims ~ C(power) + age + fuel" --family poisson --exposure expo --folds 10
      etamu cv claims.csv "late ~ age + C(region)" --family binomial --metric auc --l1-ratio 0.5
    """

    def run() -> None:
        arguments, threads = _arguments(options)
        judged = arguments | {"folds": folds, "seed": seed, "metric": metric}
        found = watched(lambda control: em.cross_validate(formula, data, control=control, **judged), "cross-validating", threads=threads)
        if not np.isfinite(found.mean).any():
            raise UndefinedStatisticError(f"--metric {metric} is not a number in some of the {folds} folds; pass fewer --folds, or another --seed.")
        along, best, spare = found.path, found.best_index, found.path.index(found.one_se_alpha)
        names, values = _coefficients(along, lambda: _classes(formula, data, along, arguments, threads))
        rows = [best, spare]
        judgement = {"alpha": along.alphas, metric: found.mean, "std. error": found.se, "df": along.df}
        table = Table({"": ["best", "1-SE"], **{name: column[rows].tolist() for name, column in judgement.items()}}, digits=6)
        click.echo(f"{_title(along, f'Cross-validation of {len(along)} alphas in {folds} folds', options)}\n\n{table}\n")
        click.echo(f"The 1-SE alpha is {along.alphas[spare]:.10g}, where the coefficients are\n")
        _tell_solution(along, names, values, spare, options)
        if best == len(along) - 1 > 0:
            click.echo("the best alpha is the smallest of the path; a smaller --alpha-min-ratio looks further.")

    guarded(run)


def _arguments(options: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """The arguments of a path, and the threads."""
    rest = dict(options)
    family = read_family(rest.pop("family"), rest.pop("log_partition"), rest.pop("parameters"))
    threads = rest.pop("threads")
    return rest | {"family": family, "n_alphas": rest.pop("alphas")}, threads


# ---- what is shown and written ------------------------------------------------------------------------------------


def _title(found: Path, what: str, options: dict[str, Any]) -> str:
    formula = "" if found.spec is None else f"\n{found.spec.formula.text}"
    return f"{what}: {found.family!r}, {found.link.name} link, {_options_of(options)}{formula}\n{found.nobs:,.10g} observations"


def _options_of(options: dict[str, Any]) -> str:
    """The penalty as the options of ``etamu fit``."""
    share = 1.0 if options["l1_ratio"] is None else options["l1_ratio"]
    named = {v: k for k, v in PENALTIES.items() if v is not None}
    return f"--penalty {named[share]}" if share in named else f"--penalty elastic-net --l1-ratio {share!r}"


def _shown(found: Path, criterion: str, best: int, everything: bool) -> str:
    """Rows of a path: all, or a dozen spread evenly and the best among them."""
    count = len(found)
    rows = list(range(count))
    if not everything and count > _SHOWN:
        rows = sorted({best, *np.linspace(0, count - 1, _SHOWN).round().astype(int).tolist()})
    numbers = {"alpha": found.alphas, "df": found.df, "deviance ratio": found.deviance_ratio.round(6) + 0.0, criterion: found.criterion(criterion)}
    columns: dict[str, Sequence[Any]] = {name: column[rows].tolist() for name, column in numbers.items()}
    columns[""] = [f"least {criterion}" if k == best else "" for k in rows]
    note = "" if len(rows) == count else f"{len(rows)} of {count} alphas; --all shows the others"
    return str(Table(columns, note=note, digits=7))


def _tell_solution(found: Path, names: list[str], values: Array, k: int, options: dict[str, Any]) -> None:
    """The coefficients at an alpha that are not 0, and how to have the fit itself."""
    used = np.flatnonzero(values[k])
    click.echo(str(Table({"coefficient": [names[j] for j in used], "estimate": values[k, used].tolist()}, digits=5)))
    fitted = f"the model itself: etamu fit with {_options_of(options)} --alpha {float(found.alphas[k])!r}"
    click.echo(f"\n{len(used):,} of {len(names):,} coefficients are not 0; {fitted}")
    if not found.converged.all():
        click.echo(f"{int((~found.converged).sum())} of {len(found)} alphas ended before their solutions were exact.")


def _coefficients(found: Path, classes: Callable[[], tuple[str, ...]]) -> tuple[list[str], Array]:
    """Names, and the coefficients of each alpha, (n_alphas, names): the intercept first, those of one class after those of another."""
    first = found.spec is None or found.spec.formula.intercept
    names = [*(["Intercept"] if first else []), *found.names]
    values = np.concatenate([found.intercepts[:, None], found.coefs], axis=1) if first else found.coefs
    if values.ndim == 2:
        return names, values
    return [f"{c}:{name}" for c in classes() for name in names], values.swapaxes(1, 2).reshape(len(values), -1)


def _classes(formula: str, data: str, found: Path, arguments: dict[str, Any], threads: int | None) -> tuple[str, ...]:
    """The classes of a multinomial path, which its quickest fit names."""
    rest = {k: v for k, v in arguments.items() if k not in ("l1_ratio", "n_alphas", "alpha_min_ratio")}
    quickest = found.penalty.at(float(found.alphas[0]))
    return em.glm(formula, data, penalty=quickest, control=em.Control(threads=threads), **rest).class_names or ()


def _lines(found: Path, names: list[str], values: Array) -> Iterator[str]:
    """The lines of a CSV of coefficients."""
    yield ",".join(["alpha", "df", "deviance_ratio", *map(quoted, names)]) + "\n"
    for alpha, df, ratio, row in zip(found.alphas.tolist(), found.df.tolist(), found.deviance_ratio.tolist(), values.tolist(), strict=True):
        yield ",".join(map(repr, (alpha, df, ratio, *row))) + "\n"
