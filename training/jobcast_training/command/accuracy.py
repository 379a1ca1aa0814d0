"""`jobcast accuracy`: train and test on every log of a folder, and write the table of figures."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from jobcast_training.command.train import progress, report_records, stepper

if TYPE_CHECKING:
    from jobcast_export.model import Head

    from jobcast_training.pipeline import Result

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
"""Local time of the public logs' machines; a log that is not listed counts as UTC."""


@click.command()
@click.option(
    "--logs",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds one folder for each log, with jobs.parquet or jobs.csv.",
)
@click.option("--only", multiple=True, help="Name of a log; repeat it for several.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of hyper-parameters.",
)
@click.option("--out", default="docs/accuracy.md", show_default=True, type=click.Path(dir_okay=False, path_type=Path))
def accuracy(logs: Path, only: tuple[str, ...], seed: int, config: Path | None, out: Path) -> None:
    """Train on the first 80 % of every job log, test on the last 20 %, write the figures as Markdown."""
    from jobcast_training import hyperparameters, pipeline, predictors
    from jobcast_training.periods import TrainingError
    from jobcast_training.sources import Options, read

    console = Console(stderr=True)
    found = sorted(path for path in logs.glob("hpc-*/jobs.*") if not only or path.parent.name in only)
    if not found:
        raise click.ClickException(f"no hpc-*/jobs.parquet or jobs.csv in {logs}")
    results: dict[str, Result] = {}
    unscored: dict[str, str] = {}
    try:
        hyper = hyperparameters.load(config)
        for path in found:
            name = path.parent.name
            zone = TIMEZONES.get(name, "UTC")
            records = replace(read([path], options=Options(timezone=zone)), source=name)
            report_records(console, records)
            try:
                with progress(console) as bars:
                    results[name] = pipeline.train(
                        predictors.load("hpc-runtime"), records, hyper, seed=seed, timezone=zone, step=stepper(bars)
                    )
            except TrainingError as error:
                unscored[name] = str(error)
                console.print(f"not scored: {error}")
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    out.write_text(page(results, unscored), encoding="utf-8")
    click.echo(f"{len(results)} logs in {out}")


def page(results: Mapping[str, "Result"], unscored: Mapping[str, str]) -> str:
    """Return the figures of all logs as Markdown."""
    from jobcast_training.card import ROWS, SPREAD, number

    spread = ["coverage_interval", "coverage_interval_observed", "coverage_80", "limit_held", "over_limit"]
    titles = dict(SPREAD)
    lines = [
        "# Accuracy on public job logs",
        "",
        "Made by `make accuracy`. Every log is split in order of submission; the last 20 % of its jobs are the test",
        "period and are predicted by the served graph itself, with what was known when each was submitted. The models",
        "are not refitted during the test. Baselines are computed on the same jobs. Run times in seconds.",
        "",
        "`jobcast` is asked with every history input, `jobcast, recent_runtimes only` with what the contract",
        "`rtpredictor.v1` can name. Where limits hold, no prediction exceeds them and coverage counts a run time up to",
        "its limit. Calibration is exact for jobs like those of the calibration period; how far the test period drifts",
        "away is what the figures show.",
        "",
        "## Calibration",
        "",
        "| log | test jobs | " + " | ".join(titles[key] for key in spread) + " |",
        "|---|---:|" + "---:|" * len(spread),
    ]
    for name, result in results.items():
        cells = " | ".join(f"{result.test[key]:.3f}" for key in spread)
        lines.append(f"| {name} | {result.candidate.about['training_data']['test_rows']:,} | {cells} |")
    if unscored:
        lines += ["", "## Not scored", "", *(f"- {reason}" for reason in unscored.values())]
    for name, result in results.items():
        weights = ", ".join(f"{family} {weight:.2f}" for family, weight in result.candidate.weights.items())
        head = result.candidate.head
        lines += ["", f"## {name}", "", f"Weights: {weights}. {_said(head)}", ""]
        lines += [
            "| predictor | " + " | ".join(title for _, title in ROWS) + " |",
            "|---|" + "---:|" * len(ROWS),
        ]
        rows = {"jobcast": result.test, "jobcast, recent_runtimes only": result.sparse, **result.baselines}
        for predictor, metrics in rows.items():
            lines.append(f"| {predictor} | " + " | ".join(number(metrics[key]) for key, _ in ROWS) + " |")
    return "\n".join([*lines, ""])


def _said(head: "Head") -> str:
    """What was chosen on the tune period, in words."""
    measured = "Run times are measured by their limits." if head.measure else "Run times are predicted as they are."
    return measured if head.capped else f"{measured} Jobs outlive their limits here, so they cap nothing."
