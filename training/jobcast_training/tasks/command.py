"""`jobcast train llm-latency` and `jobcast evaluate llm-latency`, with progress that a program can read."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jobcast_proto.manifest import TaskKey

if TYPE_CHECKING:
    from jobcast_training.tasks.records import TaskRecords

FIELDS = ("hardware", "model_name", "software_name", "num_devices", "request_rate")

_data = click.option(
    "--data",
    "paths",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of task times: traces (.json) or a published set (.parquet, .csv); repeat it for more.",
)
_format = click.option(
    "--format",
    "source",
    default="auto",
    show_default=True,
    help="Format of the files: auto, trace, table, or the name of a published set (docs/llm-latency.md).",
)
_seed = click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))


class Unwritten(click.ClickException):
    """Nothing can be written, such as on a full disk, whatever the tasks are."""

    exit_code = os.EX_IOERR


class Progress:
    """Tells of a run's steps on stderr, as text or as one JSON object a line."""

    def __init__(self, as_json: bool, total: int) -> None:
        self._json, self._total, self._done = as_json, total, 0
        self._start = time.perf_counter()

    def __call__(self, what: str) -> None:
        """Count one finished step."""
        self._done += 1
        seconds = round(time.perf_counter() - self._start, 3)
        if self._json:
            fields = {"event": "progress", "step": what, "done": self._done, "total": self._total, "seconds": seconds}
            print(json.dumps(fields), file=sys.stderr, flush=True)
        else:
            print(f"{self._done}/{self._total} {what} ({seconds:.1f} s)", file=sys.stderr, flush=True)


def parse_key(text: str | None) -> TaskKey | None:
    """Return the key `type/name/hardware/software/version`; raises BadParameter when it has not five parts."""
    if text is None:
        return None
    from jobcast_training.tasks.records import key_parts

    parts = key_parts(text)
    if parts is None or not all(parts):
        raise click.BadParameter(
            f"expected type/name/hardware/software/version, none empty, got {text!r}", param_hint="--key"
        )
    return TaskKey(**dict(zip(TaskKey.model_fields, parts, strict=True)))


def tell(records: "TaskRecords") -> None:
    """Say on stderr what was read and what was left out, with the reasons."""
    reasons = [f"{rows:,} {reason}" for reason, rows in records.rejected.items() if rows]
    left = f", left out {sum(records.rejected.values()):,}: {', '.join(reasons)}" if reasons else ""
    click.echo(f"{records.source}: {records.frame.height:,} tasks{left}", err=True)
    for note in records.notes:
        click.echo(f"  note: {note}", err=True)


def train_tasks(
    paths: tuple[Path, ...],
    *,
    name: str | None,
    source: str,
    key: TaskKey | None,
    seed: int,
    out: Path,
    as_json: bool,
) -> dict[str, Any]:
    """Train `llm-latency` on files of task times and export the bundle; return what the last line tells.

    Raises:
        ClickException: a file is not what it should be, there are too few tasks, or parity does not hold (exit code 1);
            nothing can be written (exit code 74).
    """
    from jobcast_export.scaled import export_scaled

    from jobcast_training.about import defined
    from jobcast_training.tasks import pipeline
    from jobcast_training.tasks.settings import Settings
    from jobcast_training.tasks.sources import read_tasks

    start = time.perf_counter()
    try:
        records = read_tasks(paths, format=source, key=key)
        if not as_json:
            tell(records)
        settings = Settings()
        progress: Callable[[str], None] = Progress(as_json, pipeline.fits(records, settings) + 1)
        candidate, model = pipeline.train(records, settings, seed=seed, key=key, name=name, step=progress)
        folder = export_scaled(candidate, out)
        progress("exported, parity proved")
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise Unwritten(f"{error.filename or out}: {error.strerror or error}") from error
    return {
        "status": "success",
        "bundle": str(folder),
        "model": folder.parent.name,
        "version": int(folder.name),
        "rows": records.frame.height,
        "rejected": dict(records.rejected),
        "notes": list(records.notes),
        "metrics": {name: round(value, 6) for name, value in defined(model.scores).items()},
        "duration_seconds": round(time.perf_counter() - start, 3),
    }


def report(answer: dict[str, Any], as_json: bool) -> None:
    """Print the last line: JSON, or a sentence."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    metrics = answer["metrics"]
    click.echo(
        f"{answer['bundle']}: {answer['rows']:,} tasks, MAE {metrics['mae']:,.1f} ms, the 80 % interval covers "
        f"{metrics['coverage_80']:.3f}, parity proved"
    )


@click.command("llm-latency")
@_data
@_format
@_seed
@click.option("--name", help="Name of the data in manifest and model card.  [default: the sets' names]")
@click.option("--key", help="The one key that the bundle is for: type/name/hardware/software/version.")
@click.option(
    "--out",
    default="models",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Repository of bundles.",
)
@click.option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(["text", "json"]),
    help="json: one object a line on stderr for each step; the last line on stdout is the result.",
)
def train(
    paths: tuple[Path, ...], source: str, seed: int, name: str | None, key: str | None, out: Path, log_format: str
) -> None:
    """Train llm-latency on task times and export the bundle."""
    as_json = log_format == "json"
    answer = train_tasks(paths, name=name, source=source, key=parse_key(key), seed=seed, out=out, as_json=as_json)
    report(answer, as_json)


@click.command("llm-latency")
@_data
@_format
@_seed
@click.option("--only", help="Only tasks of this model type, such as llm.")
@click.option("--title", help="Heading of the section.  [default: the set's name]")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown page that gets the section, in place of the one with this heading.",
)
@click.option("--repeats", default=1, show_default=True, type=click.IntRange(min=1), help="Random test parts.")
@click.option(
    "--leave-out",
    "fields",
    multiple=True,
    type=click.Choice(FIELDS),
    help="Field whose values are left out in turn; repeat it for more.  [default: rows at random only]",
)
def evaluate(
    paths: tuple[Path, ...],
    source: str,
    seed: int,
    only: str | None,
    title: str | None,
    page: Path | None,
    repeats: int,
    fields: tuple[str, ...],
) -> None:
    """Evaluate llm-latency on task times against simple predictors, in distribution and with names left out."""
    from dataclasses import replace

    from jobcast_training.tasks.evaluation import LEFT_OUT, evaluate_set, left_out
    from jobcast_training.tasks.page import section, write_section
    from jobcast_training.tasks.settings import Settings
    from jobcast_training.tasks.sources import read_tasks

    if page and not page.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(page.parent)!r}; make it first", param_hint="--page")
    try:
        records = read_tasks(paths, format=source)
        tell(records)
        types = records.frame["model_type"].drop_nulls().unique().sort().to_list()
        if only is not None and only not in types:
            shown = ", ".join(types) or "none"
            raise click.BadParameter(f"no task is of type {only!r}; there are {shown}", param_hint="--only")
        if only is not None:
            records = replace(records, frame=records.frame.filter(records.frame["model_type"] == only))
        for field in fields:
            if not any(left_out(records, field, LEFT_OUT[field])):
                raise click.BadParameter(_not_left_out(records, field), param_hint="--leave-out")
        outcomes = evaluate_set(records, Settings(), seed, lambda text: click.echo(text, err=True), fields, repeats)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    heading = title or records.source
    text = section(heading, records.frame.height, outcomes)
    if page:
        write_section(page, heading, text)
    click.echo(text)


def _not_left_out(records: "TaskRecords", field: str) -> str:
    values = records.frame[field].drop_nulls().unique().sort().to_list()
    shown = ", ".join(str(one) for one in values[:5]) or "none"
    return f"{field} needs two values or more, with enough tasks beside each to learn from; the tasks have {shown}"
