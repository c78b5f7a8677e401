"""``etamu derive``, ``lesson`` and ``demo``: what follows from a log-partition, the lesson, and three classics."""

from __future__ import annotations

import math
import sys
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown

import etamu as em
from etamu.cli.shared import guarded, numbers

__all__ = ["demo", "derive", "lesson"]


class _BeginsWithMinus(click.Command):
    """A command whose argument may begin with a minus sign."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {a}" if a.startswith("-") and not a.startswith("--") and a != "-h" else a for a in args])


@click.command(cls=_BeginsWithMinus)
@click.argument("log_partition")
@click.option("--set", "parameters", multiple=True, callback=numbers, metavar="NAME=NUMBER", help="The value of a parameter; may be repeated.")
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

    guarded(run)


@click.command()
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


@click.command()
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
