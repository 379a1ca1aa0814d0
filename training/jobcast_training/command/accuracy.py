"""`jobcast accuracy`: train and test on every log of a folder, and write the page of figures with its pictures."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from jobcast_training.command.console import wide_console
from jobcast_training.command.train import progress, report_records

if TYPE_CHECKING:
    from jobcast_training.fitting import Step
    from jobcast_training.hyperparameters import Hyperparameters
    from jobcast_training.report.logs import LogFile
    from jobcast_training.report.run import LogFigures

TIMEZONES = {
    "hpc-eagle-2019-sample": "America/Denver",
    "hpc-sdsc-blue-2000": "US/Pacific",
    "hpc-hpc2n-2002": "Europe/Stockholm",
    "hpc-ctc-sp2-1996": "US/Eastern",
    "hpc-sdsc-sp2-1998": "US/Pacific",
    "hpc-kth-sp2-1996": "Europe/Stockholm",
    "hpc-ricc-2010": "Asia/Tokyo",
    "hpc-lanl-cm5-1994": "US/Mountain",
    "hpc-sandia-ross-2001": "US/Mountain",
    "hpc-llnl-thunder-2007": "US/Pacific",
}
"""Local time of the public logs' machines; a log that is not listed has that of its format, else UTC."""


@click.command()
@click.option(
    "--logs",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of job logs: files in it, and folders in it that hold a file jobs.*.",
)
@click.option("--only", multiple=True, help="Name of a log; repeat it for several.")
@click.option(
    "--timezone",
    "zones",
    multiple=True,
    metavar="NAME=ZONE",
    help="Local time of a log's machine; repeat it for several.  "
    "[default: the public logs' own, else that of the format, else UTC]",
)
@click.option(
    "--seeds", default=5, show_default=True, type=click.IntRange(min=1), help="Train with seeds 1 to so many."
)
@click.option("--ablation/--no-ablation", default=True, show_default=True, help="Leave out each group of features.")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of hyper-parameters.",
)
@click.option(
    "--state",
    default="runs/accuracy",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps every finished figure; the same command goes on from it.",
)
@click.option(
    "--out",
    default="docs/accuracy.md",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown page; its pictures go to the folder beside it of the same name.",
)
def accuracy(
    folder: Path,
    only: tuple[str, ...],
    zones: tuple[str, ...],
    seeds: int,
    ablation: bool,
    config: Path | None,
    state: Path,
    out: Path,
) -> None:
    """Train on the first 80 % of every job log, test on the last 20 %, write the figures as Markdown.

    A log that cannot be read or is too short is named on the page with the reason; the others go on.
    """
    from jobcast_training import hyperparameters
    from jobcast_training.report.logs import find_logs
    from jobcast_training.report.pages import page
    from jobcast_training.report.pictures import write_pictures

    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(out.parent)!r}; make it first", param_hint="--out")
    timezones = {**TIMEZONES, **_zones(zones)}
    console = wide_console()
    unscored: dict[str, str] = {}
    try:
        found = find_logs(folder, only)
        hyper = hyperparameters.load(config)
        scored = []
        with progress(console) as bars:
            parts = bars.add_task("", total=len(found) * (seeds + 1 + ablation))
            for place, log in enumerate(found, 1):
                on_part = _reporter(bars, parts, f"{log.name} ({place} of {len(found)})")
                figures = _scored(console, log, timezones, hyper, seeds, ablation, state, on_part, unscored)
                bars.update(parts, completed=place * (seeds + 1 + ablation))
                if figures:
                    scored.append(figures)
                    _print_seconds(console, figures)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    asked = f"jobcast accuracy --seeds {seeds}{'' if ablation else ' --no-ablation'}"
    write_pictures(scored, out.with_suffix(""))
    out.write_text(page(scored, unscored, asked, quote(out.stem)), encoding="utf-8")
    click.echo(f"{len(scored)} logs in {out}" + (f", {len(unscored)} not scored" if unscored else ""))


def _scored(
    console: Console,
    log: "LogFile",
    timezones: Mapping[str, str],
    hyper: "Hyperparameters",
    seeds: int,
    ablation: bool,
    state: Path,
    on_part: Callable[[str], "Step"],
    unscored: dict[str, str],
) -> "LogFigures | None":
    """The figures of a log, or None and the reason in `unscored`."""
    from jobcast_training import predictors
    from jobcast_training.periods import TrainingError
    from jobcast_training.records import SourceError
    from jobcast_training.report.run import log_figures
    from jobcast_training.sources import Options, read

    zone = timezones.get(log.name)
    try:
        records = replace(read([log.path], options=Options(timezone=zone)), source=log.name)
        report_records(console, records)
        return log_figures(
            predictors.load("hpc-runtime"),
            records,
            hyper,
            seeds=seeds,
            ablate=ablation,
            state=state,
            on_part=on_part,
        )
    except (SourceError, TrainingError) as error:
        unscored[log.name] = str(error).removeprefix(f"{log.name}: ")
        console.print(f"not scored: {log.name}: {unscored[log.name]}")
        return None


def _zones(given: tuple[str, ...]) -> dict[str, str]:
    zones = {}
    for text in given:
        name, equals, zone = text.partition("=")
        try:
            if not (name and equals and zone):
                raise ValueError
            ZoneInfo(zone)
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise click.BadParameter(
                f"expected NAME=ZONE such as my-log=Europe/Berlin, got {text!r}", param_hint="--timezone"
            ) from error
        zones[name] = zone
    return zones


def _reporter(bars: Progress, parts: TaskID, log: str) -> Callable[[str], "Step"]:
    """Show the log and its part on one bar, the step of that part on another that lasts as long as the part."""
    current: list[TaskID] = []

    def on_part(part: str) -> "Step":
        if current:
            bars.advance(parts)
            for task in current:
                bars.remove_task(task)
        bars.update(parts, description=f"{log}: {part}")
        current[:] = [bars.add_task("  reading what is kept", total=None)]
        running = current[0]

        def step(name: str, rounds: int) -> Callable[..., None]:
            bars.reset(running, description=f"  {name}", total=rounds)
            return lambda rounds=1: bars.advance(running, rounds)

        return step

    return on_part


def _print_seconds(console: Console, figures: "LogFigures") -> None:
    spent = ", ".join(f"{part} {seconds:,.0f} s" for part, seconds in figures.seconds.items())
    console.print(f"{figures.name}: {spent}; {sum(figures.seconds.values()):,.0f} s when made")
