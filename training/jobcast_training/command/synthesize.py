"""`jobcast synthesize`: write synthetic job records for tests of scale."""

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jobcast_training.command.console import wide_console
from jobcast_training.command.finite import Finite
from jobcast_training.sources.synthetic import JOBS_PER_DAY, generate


@click.command()
@click.option("--rows", type=click.IntRange(min=1), required=True, help="Number of jobs.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same jobs.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="Parquet file to write.",
)
@click.option("--jobs-per-day", type=Finite(min=1), default=JOBS_PER_DAY, show_default=True, help="Average arrivals.")
def synthesize(rows: int, seed: int, out: Path, jobs_per_day: float) -> None:
    """Write ROWS synthetic jobs in the shape of NREL's Eagle, for tests of scale.

    The jobs are invented: an accuracy measured on them says nothing about a real machine.
    """
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(out.parent)!r}; make it first", param_hint="--out")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=wide_console()) as bars:
        task = bars.add_task("making jobs", total=rows)
        generate(rows, seed, out, jobs_per_day=jobs_per_day, progress=lambda made: bars.update(task, completed=made))
    click.echo(f"{rows:,} jobs of seed {seed} in {out}")
