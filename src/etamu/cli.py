"""The command line: ``etamu fit``, ``predict``, ``derive``, ``lesson``, ``demo``."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import click
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
except ImportError:  # pragma: no cover - the message is the point
    sys.exit("The command line needs two more packages: pip install 'etamu[cli]'")

import etamu as em
from etamu.design.batches import open_files
from etamu.design.frames import as_table
from etamu.errors import EtamuError
from etamu.files import SCANNED, SO_FAR, rows_from
from etamu.solvers.base import Step

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(em.__version__, prog_name="etamu")
def main() -> None:
    """Generalized linear models from the command line."""


def _guarded(action: Callable[[], None]) -> None:
    """Run; a named error becomes one line on stderr and exit status 2."""
    try:
        action()
    except EtamuError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}: {error.filename}", err=True)
        sys.exit(2)


def _fit_with_progress(formula: str, data: str, control: dict[str, Any], arguments: dict[str, Any]) -> em.Fit:
    """Fit while a line on the terminal tells the passes; silent where stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("fitting", total=None)
        count = 0

        def show(step: Step) -> None:
            nonlocal count
            if step.note == SCANNED:
                progress.update(task, description=f"looking at the data: {step.rows:,.0f} rows")
                return
            count += step.note != SO_FAR
            number = count + (step.note == SO_FAR)
            progress.update(task, description=f"pass {number}: {step.rows:,.0f} rows, deviance {step.deviance:.7g}")

        return em.glm(formula, data, control=em.Control(progress=show, **control), **arguments)


def _numbers(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
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


class _BeginsWithMinus(click.Command):
    """A command whose argument may begin with a minus sign."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {a}" if a.startswith("-") and not a.startswith("--") and a != "-h" else a for a in args])


@main.command(cls=_BeginsWithMinus)
@click.argument("log_partition")
@click.option("--set", "parameters", multiple=True, callback=_numbers, metavar="NAME=NUMBER", help="The value of a parameter; may be repeated.")
@click.option("--latex", is_flag=True, help="Formulas as LaTeX.")
def derive(log_partition: str, parameters: dict[str, Any], latex: bool) -> None:
    """What follows from a LOG_PARTITION in theta: mean, variance, link and deviance, step by step.

    \b
    Examples:
      etamu derive "log(1 + exp(theta))"
      etamu derive "-r*log(1 - exp(theta))" --set r=2
    """

    def run() -> None:
        for step in em.derive(log_partition.strip(), **parameters).steps:
            click.echo(f"{click.style(step.name, bold=True)}\n    {step.latex if latex else step.formula}\n    {step.words}\n")

    _guarded(run)


@main.command()
@click.argument("data", type=click.Path())
@click.argument("formula")
@click.option("--family", default="gaussian", show_default=True, help="A family, e.g. binomial, poisson, gamma, 'tweedie(1.5)'.")
@click.option("--log-partition", default=None, help="A family of your own instead: A(theta), e.g. 'log(exp(exp(theta)) - 1)'; see etamu derive.")
@click.option("--set", "parameters", multiple=True, callback=_numbers, metavar="NAME=NUMBER", help="The value of a parameter of --log-partition.")
@click.option("--link", default=None, help="A link, e.g. log, logit, 'power(0.5)'; the family's own by default.")
@click.option("--weights", default=None, help="Column (or expression) of prior weights; the trials of a binomial proportion.")
@click.option("--frequency", default=None, help="Column that counts how often each row occurs.")
@click.option("--offset", default=None, help="Column (or expression) added to the linear predictor.")
@click.option("--exposure", default=None, help="Column whose logarithm is added to the linear predictor.")
@click.option("--missing", default="raise", show_default=True, help="What to do with missing values: raise, drop, or level (for factors).")
@click.option("--cache", default=None, type=click.Path(file_okay=False), help="Folder for encoded rows between passes over large files.")
@click.option("--compress/--no-compress", default=None, help="Fit on the distinct rows of the design (exact); decided by itself by default.")
@click.option("--vcov", default="model", show_default=True, help="Covariance behind the standard errors: model, observed, HC0 to HC3, HAC.")
@click.option("--bias", default=None, help="Bias-reduced estimates: mean (Firth), median, mixed or jeffreys.")
@click.option("--separated", default="report", show_default=True, help="Where no finite estimate exists: report, raise, or drop the separated rows.")
@click.option("--level", default=0.95, show_default=True, help="Confidence level of the intervals.")
@click.option("--threads", default=None, type=int, help="Threads; all processors by default.")
@click.option("--out", default=None, type=click.Path(dir_okay=False), help="Write the model to this JSON file.")
@click.option("--trace", is_flag=True, help="Also show how the fit went, pass by pass.")
def fit(
    data: str,
    formula: str,
    log_partition: str | None,
    parameters: dict[str, Any],
    vcov: str,
    level: float,
    threads: int | None,
    out: str | None,
    trace: bool,
    compress: bool | None,
    **arguments: Any,
) -> None:
    """Fit FORMULA on DATA and print the regression table.

    DATA is a CSV or Parquet file, a folder of them, or a pattern in quotes; files of any size are read part by part.

    \b
    Examples:
      etamu fit claims.csv "claims ~ C(power) + age + fuel" --family poisson --exposure expo --out model.json
      etamu fit "claims/*.parquet" "claims ~ fuel * power + bs(age, df=5) + offset(log(expo))" --family poisson
    """

    def run() -> None:
        if vcov.lower() == "cluster":
            raise em.errors.SpecificationError(
                "--vcov cluster needs the clusters, which the command does not take; use fit.vcov('cluster', cluster=...) in Python."
            )
        if log_partition is None and parameters:
            raise em.errors.SpecificationError("--set gives parameters of --log-partition, which is missing.")
        if log_partition is not None and arguments["family"] != "gaussian":
            raise em.errors.SpecificationError("--family and --log-partition are two ways to say the same; pass one of them.")
        if log_partition is not None:
            arguments["family"] = em.derive(log_partition, **parameters).family
        model = _fit_with_progress(formula, data, {"threads": threads, "compress": compress}, arguments)
        click.echo(str(model.summary(level, vcov=vcov)))
        if trace:
            click.echo(f"\n{model.trace}")
        if out is not None:
            model.save(out)
            click.echo(f"wrote {out}", err=True)

    _guarded(run)


@main.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("data", type=click.Path())
@click.option("--kind", default="response", show_default=True, help="response (means) or link (linear predictors).")
@click.option("--offset", default=None, help="Column of offsets, for a model that was fitted with one as an argument.")
@click.option("--unseen", default="raise", show_default=True, help="Levels the fit has not seen: raise, base, or missing.")
@click.option("--out", default=None, type=click.Path(dir_okay=False), help="Write CSV here instead of to the terminal.")
def predict(model: str, data: str, kind: str, offset: str | None, unseen: str, out: str | None) -> None:
    """Predict for the rows of DATA with a MODEL written by ``etamu fit --out``; prints one line per row."""

    def run() -> None:
        loaded = em.load(model)
        if out is None:
            for text in _predictions(loaded, data, kind, offset, unseen):
                click.echo(text, nl=False)
            return
        draft = Path(f"{out}.part")  # an error halfway leaves no half-written file
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.writelines(_predictions(loaded, data, kind, offset, unseen))
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
        click.echo(f"wrote {out}", err=True)

    _guarded(run)


def _predictions(model: em.Fit, data: str, kind: str, offset: str | None, unseen: str) -> Iterator[str]:
    """The lines of a CSV of predictions, one part of the files after another."""
    start, header = 0, False
    for part in open_files(data):
        with rows_from(start):
            values = model.predict(as_table(part), kind, offset=offset, unseen=unseen)
        if not header:
            yield ("prediction" if values.ndim == 1 else ",".join(_quoted(c) for c in _classes(model, values.shape[1]))) + "\n"
            header = True
        lines = (",".join(map(repr, row)) if isinstance(row, list) else repr(row) for row in values.tolist())
        yield "".join(f"{line}\n" for line in lines)
        start += part.num_rows


def _classes(model: em.Fit, count: int) -> list[str]:
    levels = [str(v) for v in model.response_levels or ()]
    return levels if len(levels) == count else list(model.class_names or ())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


@main.command()
@click.argument("chapter", required=False, type=int)
@click.option("--web", is_flag=True, help="Open the interactive page in a browser instead.")
@click.option("--list", "contents", is_flag=True, help="Only the titles of the chapters.")
def lesson(chapter: int | None, web: bool, contents: bool) -> None:
    """Why sigmoid, softmax and the others are what they are: all of it, or one CHAPTER."""
    from etamu.lesson import chapters, page, plain

    if web:
        click.echo(f"opening {page()}")
        click.launch(page().as_uri())
        return
    found = chapters()
    if contents:
        click.echo("\n".join(f"{c.number}  {c.title}" for c in found))
        return
    if chapter is not None and not 0 <= chapter < len(found):
        raise click.BadParameter(f"there is no chapter {chapter}; choose one of 0 to {len(found) - 1}, see --list.", param_hint="CHAPTER")
    console = Console(width=min(Console().width, 100))
    for one in found if chapter is None else found[chapter : chapter + 1]:
        console.print(Markdown(plain(one.text), code_theme="ansi_light"))
        if chapter is None and one is not found[-1] and sys.stdin.isatty() and console.is_terminal:
            click.pause("\n[any key for the next chapter]")


@main.command()
def demo() -> None:
    """Fit three classics from the embedded data and say what each table means."""
    from etamu.datasets import beetles, ships, ucb_admissions

    console = Console(highlight=False)
    console.print("[bold]Bliss's beetles[/bold]: how many of about 60 beetles die at each dose of carbon disulphide?")
    dose = em.glm("killed / n ~ dose", beetles(), family="binomial", weights="n", link="cloglog")
    click.echo(str(dose.summary()))
    half = (math.log(math.log(2.0)) - dose.coef[0]) / dose.coef[1]
    console.print(f"-> Half of them die at a log10 dose of about {half:.3f}.\n")

    console.print("[bold]Berkeley admissions[/bold]: were women admitted less often, department by department?")
    table = ucb_admissions()
    by_department = em.glm("cbind(admitted, rejected) ~ dept + gender", table, family="binomial")
    click.echo(str(by_department.summary()))
    ratio = float(em.glm("cbind(admitted, rejected) ~ gender", table, family="binomial").coef[1])
    console.print(
        f"-> Overall men's odds of admission look {math.exp(ratio):.2f} times women's; within departments the effect is "
        f"{by_department.coef[-1]:+.2f} on the log-odds scale: Simpson's paradox.\n"
    )

    console.print("[bold]Ship damage[/bold]: incidents per month of service, with the service as exposure.")
    fleet = {name: values[ships()["service"] > 0] for name, values in ships().items()}
    rates = em.glm("incidents ~ type + C(year) + C(period)", fleet, family="quasi-poisson", exposure="service")
    click.echo(str(rates.summary()))
    later = float(rates.coef[list(rates.names).index("period[75]")])
    console.print(
        f"-> Damage in 1975-79 ran {100 * (math.exp(later) - 1):.0f} % above 1960-74; counts vary {rates.dispersion:.2f} times as "
        "much as Poisson, so the standard errors are widened accordingly."
    )
