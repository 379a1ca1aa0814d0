"""`jobcast features`: compute the feature matrix of a log, to look at or to measure."""

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import polars as pl
from jobcast_export.graph import Block

from jobcast_training.command.console import wide_console
from jobcast_training.command.log_options import Log, data_option, format_option, mapping_option, timezone_option
from jobcast_training.command.train import progress, report_records
from jobcast_training.writable import refuse_unwritable


def _print_page(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from jobcast_training import predictors
        from jobcast_training.predictors.hpc_runtime import EMPTY_TABLES

        click.echo(features_page(predictors.load("hpc-runtime").feature_blocks(EMPTY_TABLES, 0)), nl=False)
        context.exit()


def features_page(blocks: Sequence[Block]) -> str:
    """Return the Markdown page of a predictor's features: name, formula and unit of each."""
    described = [one for block in blocks for one in block.features]
    lines = [
        "# Features of hpc-runtime",
        "",
        "Written by `jobcast features --page`. Each is computed by nodes of the served graph and nowhere else. A",
        "missing optional input makes NaN features. Statistics by name are fitted on jobs older than those the trees",
        "are fitted on; a name never seen has the statistics of all jobs. Recent run times are those of the user's",
        "latest jobs that had ended when this one was submitted.",
        "",
        "| feature | formula | unit |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{feature.name}` | {feature.formula.replace('|', '&#124;')} | {feature.unit} |" for feature in described
    ]
    return "\n".join([*lines, ""])


@click.command()
@click.option(
    "--page", is_flag=True, is_eager=True, expose_value=False, callback=_print_page, help="Print the table of features."
)
@click.argument("predictor", type=click.Choice(["hpc-runtime"]))
@data_option
@format_option
@mapping_option
@timezone_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the features, one Parquet file for every 65,536 jobs; without it they are computed only.",
)
def features(
    predictor: str, paths: tuple[Path, ...], source: str, mapping: Path | None, timezone: str | None, out: Path | None
) -> None:
    """Compute the features of job records as PREDICTOR's graph does, and say how long it took.

    Category statistics come from the oldest jobs, as in training.
    """
    from jobcast_training import hyperparameters, predictors
    from jobcast_training.features import feature_chunks
    from jobcast_training.history import History
    from jobcast_training.pipeline import features_of

    console, log = wide_console(), Log(paths, source, mapping, timezone)
    task, hyper, start = predictors.load(predictor), hyperparameters.load(), time.perf_counter()
    try:
        if out:
            refuse_unwritable("--out", out)
        records = log.read()
        report_records(console, records)
        graph, described, _ = features_of(task, records, hyper)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    read_s = time.perf_counter() - start
    if out:
        out.mkdir(parents=True, exist_ok=True)
        for old in out.glob(f"features-{5 * '[0-9]'}.parquet"):  # of a longer log
            old.unlink()
    names = [one.name for one in described]
    with progress(console) as bars:
        bar = bars.add_task("computing features", total=records.frame.height)
        chunks = feature_chunks(task, graph, records.frame, History.of(records))
        for number, chunk in enumerate(chunks):
            if out:
                pl.DataFrame(chunk, schema=names).write_parquet(out / f"features-{number:05}.parquet")
            bars.advance(bar, len(chunk))
    total = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    click.echo(
        f"{records.frame.height:,} jobs, {len(described)} features: read {read_s:.1f} s, total {total:.1f} s, "
        f"{records.frame.height / total:,.0f} jobs/s, peak memory {peak:.2f} GiB"
    )
