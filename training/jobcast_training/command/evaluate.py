"""`jobcast evaluate`: how accurate and how honest a predictor is on a log, in one split or walked in time."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click
import numpy as np
from click.core import ParameterSource
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from jobcast_training.adaptive import ONLINE
from jobcast_training.command.console import wide_console
from jobcast_training.command.finite import Finite
from jobcast_training.command.log_options import Log, log_options
from jobcast_training.command.routed import Loader, PredictorName, Routed
from jobcast_training.command.train import print_metrics, progress, report_records, stepper
from jobcast_training.records import Records
from jobcast_training.writable import refuse_unwritable

if TYPE_CHECKING:
    from jobcast_training.hyperparameters import Hyperparameters
    from jobcast_training.rolling import Forecasts, Settings
    from jobcast_training.rolling_figures import Figures


_OF_A_WALK = ("cadence", "window", "rows", "families", "online", "state", "page", "out")


def llm_latency() -> click.Command:
    """The command of the predictor whose records are tasks, not jobs."""
    from jobcast_training.tasks.command import evaluate as own

    return own


def own_commands() -> Mapping[str, Loader]:
    """The commands of the predictors whose options are others."""
    from jobcast_training.allocation.command.loaders import evaluate_loaders

    return {"llm-latency": llm_latency, **evaluate_loaders()}


@click.command(cls=Routed, own=own_commands)
@click.argument("predictor", type=PredictorName(["hpc-runtime"]), is_eager=True)
@log_options("Name of the log on the page.")
@click.option("--rolling", is_flag=True, help="Walk the log in time, with refits and online calibration.")
@click.option("--cadence", default=7.0, show_default=True, type=Finite(min=0.01), help="Days between refits.")
@click.option("--window", default=100.0, show_default=True, type=Finite(min=1), help="Days a refit uses.")
@click.option("--rows", default=60_000, show_default=True, type=click.IntRange(min=1_000), help="Most jobs of a refit.")
@click.option(
    "--families", default="lightgbm", show_default=True, help="Model families of a refit, separated by commas."
)
@click.option(
    "--online",
    default="tracking",
    show_default=True,
    type=click.Choice(ONLINE),
    help="How offsets move as outcomes arrive: quantile tracking, AgACI, or not at all.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the walk after every refit; the same command goes on from it.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown page that gets the log's section; pictures go to the folder beside it of the same name.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Parquet file for every job's predictions."
)
@click.pass_context
def evaluate(
    ctx: click.Context,
    predictor: str,
    log: Log,
    config: Path | None,
    seed: int,
    rolling: bool,
    cadence: float,
    window: float,
    rows: int,
    families: str,
    online: str,
    state: Path | None,
    page: Path | None,
    out: Path | None,
) -> None:
    """Evaluate PREDICTOR on job records, against simple baselines on the same jobs.

    Without --rolling: one training on the first 80 % of the jobs, tested on the last 20 %; nothing is exported.
    """
    from jobcast_training import hyperparameters, pipeline, predictors
    from jobcast_training.rolling import Settings

    console = wide_console()
    idle = [f"--{name}" for name in _OF_A_WALK if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if idle and not rolling:
        are = f"{', '.join(idle)} belong{'s' * (len(idle) == 1)} to --rolling"
        raise click.UsageError(f"{are}; add it or leave {'it' if len(idle) == 1 else 'them'} out")
    for option, path in (("--page", page), ("--out", out)):
        if path and not path.parent.is_dir():
            raise click.BadParameter(f"there is no folder {str(path.parent)!r}; make it first", param_hint=option)
    try:
        for option, folder in (("--page", page and page.parent), ("--out", out and out.parent), ("--state", state)):
            if folder:
                refuse_unwritable(option, folder)
        hyper = hyperparameters.load(config, walk=rolling)
        if config:
            hyperparameters.refuse_unfit(config, hyper)
        records = log.read()
        report_records(console, records)
        if not rolling:
            with progress(console) as bars:
                result = pipeline.train(
                    predictors.load(predictor),
                    records,
                    hyper,
                    seed=seed,
                    step=stepper(bars),
                )
            print_metrics(wide_console(stderr=False), result)
            return
        settings = Settings(cadence, window, rows, _families(families), seed, online)
        start = time.perf_counter()
        forecasts, figures = _walk(console, predictor, records, hyper, settings, state)
        elapsed = time.perf_counter() - start
        _print(figures, elapsed)
        if out:
            write_forecasts(out, records, forecasts)
        if page:
            from jobcast_training.rolling_page import section, write_pictures, write_section

            said = f"jobcast evaluate {predictor} --rolling {_said(log, settings, records.timezone)}"
            pictures = page.with_suffix("")
            write_pictures(figures, pictures)
            write_section(page, figures, section(figures, said, elapsed, quote(pictures.name)))
            click.echo(f"section {figures.source} in {page}")
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def write_forecasts(path: Path, records: Records, forecasts: "Forecasts") -> None:
    """Write one row for each predicted job: its id, times, run time and quantiles in seconds."""
    import polars as pl

    jobs = records.frame.slice(forecasts.first).select("job_id", "submit_time", "end_time", "run_time")
    columns = [
        pl.Series(f"q{level:g}", forecasts.quantiles[:, column]) for column, level in enumerate(forecasts.levels)
    ]
    jobs.with_columns(columns).write_parquet(path)


def _families(text: str) -> tuple[str, ...]:
    from jobcast_training import hyperparameters

    known = hyperparameters.load().families
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [one for one in names if one not in known]
    if unknown or not names:
        raise click.BadParameter(f"expected one or more of {', '.join(known)}, got {text!r}", param_hint="--families")
    return names


def _walk(
    console: Console,
    predictor: str,
    records: Records,
    hyper: "Hyperparameters",
    settings: "Settings",
    state: Path | None,
) -> tuple["Forecasts", "Figures"]:
    from jobcast_training import predictors
    from jobcast_training.rolling import identity, walk
    from jobcast_training.rolling_figures import figures
    from jobcast_training.walk_state import WalkState

    task = predictors.load(predictor)
    kept = WalkState(state, identity(records, hyper, settings)) if state else None
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        forecasts = walk(
            task,
            records,
            hyper,
            settings,
            state=kept,
            on_refit=_reporter(bars, records.source),
        )
    return forecasts, figures(task, records, forecasts, hyper.quantiles.limit)


def _reporter(bars: Progress, name: str) -> Callable[[int, int, NDArray[np.bool_]], None]:
    task = bars.add_task(name, total=None, rate="")
    start, covered = time.perf_counter(), [0]

    def on_refit(done: int, total: int, below: NDArray[np.bool_]) -> None:
        covered[0] += int(below.sum())
        rate = f"{done / (time.perf_counter() - start):,.0f} jobs/s, {covered[0] / done:.1%} at or below q0.9"
        bars.update(task, completed=done, total=total, rate=rate)

    return on_refit


def _said(log: Log, settings: "Settings", timezone: str) -> str:
    data = " ".join(f"--data {'/'.join(path.parts[-2:])}" for path in log.paths)
    data += f" --mapping {log.mapping.name}" if log.mapping else ""
    return (
        f"{data} --cadence {settings.cadence_days:g} --window {settings.window_days:g} --rows {settings.rows} "
        f"--families {','.join(settings.families)} --online {settings.online} --seed {settings.seed} "
        f"--timezone {timezone}"
    )


def _print(figures: "Figures", seconds: float) -> None:
    from jobcast_training.card import number
    from jobcast_training.rolling_page import COVERAGE, ROWS

    table = Table(title=f"{figures.source}: {figures.jobs:,} jobs, each predicted once, {seconds:,.0f} s")
    for heading in ("metric", "jobcast", *figures.baselines):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for key, title in ROWS:
        table.add_row(title, *(number(one[key]) for one in (figures.total, *figures.baselines.values())))
    for key, title in COVERAGE:
        table.add_row(title, number(figures.total[key]))
    worst = figures.worst_month
    if worst:
        table.add_row(f"0.9 quantile in the worst month ({worst.name})", f"{worst.below_90:.3f}")
    wide_console(stderr=False).print(table)
