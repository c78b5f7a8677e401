"""``etamu fit`` and ``etamu predict``: a model of files, and its predictions for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

import etamu as em
from etamu.cli.penalised import alpha_option, l1_ratio_option, penalty_option, read_penalty
from etamu.cli.shared import guarded, of_data, out_option, quoted, read_family, watched, write_lines
from etamu.design.batches import open_files
from etamu.design.frames import as_table
from etamu.errors import SpecificationError
from etamu.files import rows_from

__all__ = ["fit", "predict"]


@click.command()
@of_data
@click.option("--compress/--no-compress", default=None, help="Fit on the distinct rows of the design (exact); decided by itself by default.")
@click.option("--vcov", default="model", show_default=True, help="Covariance behind the standard errors: model, observed, HC0 to HC3, HAC.")
@click.option("--bias", default=None, help="Bias-reduced estimates: mean (Firth), median, mixed or jeffreys.")
@click.option("--separated", default="report", show_default=True, help="Where no finite estimate exists: report, raise, or drop the separated rows.")
@penalty_option
@alpha_option
@l1_ratio_option("The lasso's share of an elastic net, 0 (ridge) to 1 (lasso); 0.5 by default.")
@click.option("--level", default=0.95, show_default=True, help="Confidence level of the intervals.")
@out_option("Write the model to this JSON file.")
@click.option("--trace", is_flag=True, help="Also show how the fit went, pass by pass.")
def fit(
    data: str,
    formula: str,
    family: str,
    log_partition: str | None,
    parameters: dict[str, Any],
    threads: int | None,
    compress: bool | None,
    vcov: str,
    penalty: str | None,
    alpha: float | None,
    l1_ratio: float | None,
    level: float,
    out: str | None,
    trace: bool,
    **arguments: Any,
) -> None:
    """Fit FORMULA on DATA and print the regression table.

    DATA is a CSV or Parquet file, a folder of them, or a pattern in quotes; files of any size are read part by part.

    \b
    Examples:
      etamu fit claims.csv "claims ~ C(power) + age + fuel" --family poisson --exposure expo --out model.json
      etamu fit "claims/*.parquet" "claims ~ fuel * power + bs(age, df=5) + offset(log(expo))" --family poisson
      etamu fit claims.csv "claims ~ C(power) + age + fuel" --family poisson --penalty lasso --alpha 0.001
    """
    arguments["penalty"] = read_penalty(penalty, alpha, l1_ratio, vcov, arguments["bias"], arguments["separated"])

    def run() -> None:
        if vcov.lower() == "cluster":
            raise SpecificationError("--vcov cluster needs the clusters, which the command does not take; use fit.vcov('cluster', cluster=...) in Python.")
        arguments["family"] = read_family(family, log_partition, parameters)
        model = watched(lambda control: em.glm(formula, data, control=control, **arguments), "fitting", threads=threads, compress=compress)
        click.echo(str(model.summary(level, vcov=vcov)))
        if trace:
            click.echo(f"\n{model.trace}")
        if out is not None:
            model.save(out)
            click.echo(f"wrote {out}", err=True)

    guarded(run)


@click.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("data", type=click.Path())
@click.option("--kind", default="response", show_default=True, help="response (means) or link (linear predictors).")
@click.option("--offset", default=None, help="Column of offsets, for a model that was fitted with one as an argument.")
@click.option("--unseen", default="raise", show_default=True, help="Levels the fit has not seen: raise, base, or missing.")
@out_option("Write CSV here instead of to the terminal.")
def predict(model: str, data: str, kind: str, offset: str | None, unseen: str, out: str | None) -> None:
    """Predict for the rows of DATA with a MODEL written by ``etamu fit --out``; prints one line per row."""

    def run() -> None:
        loaded = em.load(model)
        if out is None:
            for text in _predictions(loaded, data, kind, offset, unseen):
                click.echo(text, nl=False)
            return
        write_lines(out, _predictions(loaded, data, kind, offset, unseen))

    guarded(run)


def _predictions(model: em.Fit, data: str, kind: str, offset: str | None, unseen: str) -> Iterator[str]:
    """The lines of a CSV of predictions, one part of the files after another."""
    start, header = 0, False
    for part in open_files(data):
        with rows_from(start):
            values = model.predict(as_table(part), kind, offset=offset, unseen=unseen)
        if not header:
            yield ("prediction" if values.ndim == 1 else ",".join(quoted(c) for c in _classes(model, values.shape[1]))) + "\n"
            header = True
        lines = (",".join(map(repr, row)) if isinstance(row, list) else repr(row) for row in values.tolist())
        yield "".join(f"{line}\n" for line in lines)
        start += part.num_rows


def _classes(model: em.Fit, count: int) -> list[str]:
    levels = [str(v) for v in model.response_levels or ()]
    return levels if len(levels) == count else list(model.class_names or ())
