"""`jobcast train`: from job records to a verified bundle."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobcast_training.command.console import wide_console
from jobcast_training.command.finite import Finite
from jobcast_training.command.log_options import Log, log_options
from jobcast_training.command.routed import Loader, PredictorName, Routed
from jobcast_training.command.search_options import Search, search_options
from jobcast_training.records import Records
from jobcast_training.writable import refuse_unwritable

if TYPE_CHECKING:
    from jobcast_training.frontier import Frontier
    from jobcast_training.pipeline import Result


def llm_latency() -> click.Command:
    """The command of the predictor whose records are tasks, not jobs."""
    from jobcast_training.tasks.command import train as own

    return own


def own_commands() -> Mapping[str, Loader]:
    """The commands of the predictors whose options are others."""
    from jobcast_training.allocation.command.loaders import train_loaders

    return {"llm-latency": llm_latency, **train_loaders()}


@click.command(cls=Routed, own=own_commands)
@click.argument("predictor", type=PredictorName(["hpc-runtime"]), is_eager=True)
@log_options("Name of the data set in manifest and model card.")
@click.option(
    "--out",
    default="models",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Repository of bundles.",
)
@click.option(
    "--candidate",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the trained candidate, which `jobcast export` takes.  [default: runs/PREDICTOR-TIME]",
)
@click.option(
    "--latency-budget-us",
    type=Finite(min=0, min_open=True),
    help="Take the most accurate ensemble whose median latency of a single row, measured on this machine, is no longer "
    "than so many microseconds; prints and saves the frontier of accuracy and latency.  [default: no budget]",
)
@search_options
def train(
    predictor: str,
    log: Log,
    config: Path | None,
    seed: int,
    out: Path,
    candidate: Path | None,
    latency_budget_us: float | None,
    search: Search | None,
) -> None:
    """Train PREDICTOR on job records and export the bundle."""
    from jobcast_export.bundle import export_candidate
    from jobcast_export.parity import ParityError

    from jobcast_training import hyperparameters, pipeline, predictors
    from jobcast_training.frontier_page import write_frontier

    console = wide_console()
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = candidate or Path("runs") / f"{predictor}-{moment}"
    try:
        refuse_unwritable("--out", out)
        refuse_unwritable("--candidate", folder)
        if search and search.out:
            refuse_unwritable("--search-out", search.out.absolute().parent)
        hyper = hyperparameters.load(config)
        if config:
            hyperparameters.refuse_unfit(config, hyper)
        records = log.read()
        report_records(console, records)
        if search:
            hyper = search.run(console, predictor, records, config, seed, folder)
        with progress(console) as bars:
            result = pipeline.train(
                predictors.load(predictor),
                records,
                hyper,
                seed=seed,
                step=stepper(bars),
                latency_budget_us=latency_budget_us,
            )
        result.candidate.save(folder)
        console.print(f"candidate in {folder}")
        if result.frontier:
            write_frontier(folder, result.frontier, records.source)
            print_frontier(console, result.frontier)
        print_metrics(console, result)
        bundle = export_candidate(result.candidate, out)
    except (ParityError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    size = (bundle / "model.onnx").stat().st_size / 1e6
    click.echo(f"{bundle}: model.onnx {size:.2f} MB, parity proved")


def report_records(console: Console, records: Records) -> None:
    """Print how many jobs were read and what was left out, by reason."""
    console.print(f"{records.source}: {records.frame.height:,} jobs")
    for reason, count in records.rejected.most_common():
        console.print(f"  left out {count:,}: {reason}")
    for note in records.notes:
        console.print(f"  note: {note}")


def progress(console: Console) -> Progress:
    """Return the bars of a training run."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def stepper(bars: Progress) -> Callable[[str, int], Callable[..., None]]:
    """Return a `fitting.Step` that shows each step as a bar; early stopping fills the bar."""
    running: list[int] = []

    def step(name: str, rounds: int) -> Callable[..., None]:
        if running:
            last = bars.tasks[running[-1]]
            bars.update(last.id, completed=last.total)
        task = bars.add_task(name, total=rounds)
        running.append(task)
        return lambda rounds=1: bars.advance(task, rounds)

    return step


def print_metrics(console: Console, result: "Result") -> None:
    """Print the test metrics beside the baselines."""
    from jobcast_training.card import ROWS, SPREAD, number

    table = Table(title="test period: the last jobs in order of submission")
    for heading in ("metric", "this model", *result.baselines):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for key, title in ROWS:
        own = number(result.test[key])
        table.add_row(title, own, *(number(baseline[key]) for baseline in result.baselines.values()))
    for key, title in SPREAD:
        table.add_row(title, number(result.test[key]))
    console.print(table)


def print_frontier(console: Console, frontier: "Frontier") -> None:
    """Print what was measured to keep a latency budget."""
    from jobcast_training.frontier_page import HEADINGS, summary, table

    shown = Table(title="accuracy and latency: loss on the tune period, median latency of a single row")
    for place, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if place < 4 else "left")
    for row in table(frontier):
        shown.add_row(*row)
    console.print(shown)
    console.print(summary(frontier))
