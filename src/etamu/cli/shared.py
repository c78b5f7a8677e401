"""What the commands share: named errors as one line, the options that say what a model is of, progress, and files that appear whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import etamu as em
from etamu.errors import EtamuError, SpecificationError
from etamu.files import SCANNED, SO_FAR
from etamu.solvers.base import Step

__all__ = ["F", "guarded", "numbers", "of_data", "out_option", "quoted", "read_family", "ruled", "watched", "write_lines"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Callback = Callable[[click.Context, click.Parameter, Any], Any]


def guarded(action: Callable[[], None]) -> None:
    """Run; a named error becomes one line on stderr and exit status 2."""
    try:
        action()
    except EtamuError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}: {error.filename}", err=True)
        sys.exit(2)


def watched(work: Callable[[em.Control], T], doing: str, **control: Any) -> T:
    """Work while a line on the terminal tells the passes; silent where stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=None)
        count = 0

        def show(step: Step) -> None:
            nonlocal count
            if step.note == SCANNED:
                progress.update(task, description=f"{doing}: {step.rows:,.0f} rows looked at")
                return
            if step.note.startswith("alpha "):  # of a path
                progress.update(task, description=step.note)
                return
            count += step.note != SO_FAR
            number = count + (step.note == SO_FAR)
            progress.update(task, description=f"pass {number}: {step.rows:,.0f} rows, deviance {step.deviance:.7g}")

        return work(em.Control(progress=show, **control))


# ---- options ------------------------------------------------------------------------------------------------------


def numbers(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` pairs."""
    out: dict[str, Any] = {}
    for text in values:
        name, _, number = text.partition("=")
        if name.strip() in ("log_partition", "name", "dispersion"):
            raise click.BadParameter(f"{name.strip()!r} is not a parameter of a log-partition.", context, option)
        try:
            out[name.strip()] = float(number)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not NAME=NUMBER, such as r=2.", context, option) from None
    return out


def ruled(rule: str, holds: Callable[[Any], bool], fix: str) -> Callback:
    """A callback that takes only numbers that keep a rule."""

    def check(context: click.Context, option: click.Parameter, value: Any) -> Any:
        if value is not None and not holds(value):
            raise click.BadParameter(f"{value:g} is not {rule}; {fix}.", context, option)
        return value

    return check


def of_data(command: F) -> F:
    """The arguments and options that say what a model is of."""
    described = [
        click.argument("data", type=click.Path()),
        click.argument("formula"),
        click.option("--family", default="gaussian", show_default=True, help="A family, e.g. binomial, poisson, gamma, 'tweedie(1.5)'."),
        click.option("--log-partition", default=None, help="A family of your own instead: A(theta), e.g. 'log(exp(exp(theta)) - 1)'; see etamu derive."),
        click.option("--set", "parameters", multiple=True, callback=numbers, metavar="NAME=NUMBER", help="The value of a parameter of --log-partition."),
        click.option("--link", default=None, help="A link, e.g. log, logit, 'power(0.5)'; the family's own by default."),
        click.option("--weights", default=None, help="Column (or expression) of prior weights; the trials of a binomial proportion."),
        click.option("--frequency", default=None, help="Column that counts how often each row occurs."),
        click.option("--offset", default=None, help="Column (or expression) added to the linear predictor."),
        click.option("--exposure", default=None, help="Column whose logarithm is added to the linear predictor."),
        click.option("--missing", default="raise", show_default=True, help="What to do with missing values: raise, drop, or level (for factors)."),
        click.option("--cache", default=None, type=click.Path(file_okay=False), help="Folder for encoded rows between passes over large files."),
        click.option("--threads", default=None, type=int, help="Threads; all processors by default."),
    ]
    for option in reversed(described):
        command = option(command)
    return command


def read_family(family: str, log_partition: str | None, parameters: dict[str, Any]) -> Any:
    """The family by name, or that of a log-partition."""
    if log_partition is None and parameters:
        raise SpecificationError("--set gives parameters of --log-partition, which is missing.")
    if log_partition is None:
        return family
    if family != "gaussian":
        raise SpecificationError("--family and --log-partition are two ways to say the same; pass one of them.")
    return em.derive(log_partition, **parameters).family


# ---- files --------------------------------------------------------------------------------------------------------


def out_option(words: str) -> Callable[[F], F]:
    """``--out``, whose folder must exist before anything is computed."""

    def check(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
        if value is not None and not Path(value).parent.is_dir():
            raise click.BadParameter(f"{value!r}: the folder {str(Path(value).parent)!r} does not exist; create it first.", context, option)
        return value

    return click.option("--out", default=None, type=click.Path(dir_okay=False), callback=check, help=words)


def write_lines(out: str, lines: Iterable[str]) -> None:
    """Write the lines; the file appears whole or not at all."""
    draft = Path(f"{out}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    click.echo(f"wrote {out}", err=True)


def quoted(text: str) -> str:
    """A field of a CSV file."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
