"""`jobcast train llm-latency`: from task times to a verified bundle, with progress that a program can read."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from jobcast_proto.manifest import TaskKey

FORMATS = ("auto", "trace", "table")


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
    parts = text.split("/")
    if len(parts) > len(TaskKey.model_fields):  # a model's name may hold slashes
        extra = len(parts) - len(TaskKey.model_fields)
        parts = [parts[0], "/".join(parts[1 : 2 + extra]), *parts[2 + extra :]]
    if len(parts) != len(TaskKey.model_fields) or not all(parts):
        raise click.BadParameter(
            f"expected type/name/hardware/software/version, none empty, got {text!r}", param_hint="--key"
        )
    return TaskKey(**dict(zip(TaskKey.model_fields, parts, strict=True)))


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
        ClickException: a file is not what it should be, there are too few tasks, or parity does not hold.
    """
    from jobcast_export.scaled import export_scaled

    from jobcast_training.tasks import pipeline
    from jobcast_training.tasks.settings import Settings
    from jobcast_training.tasks.sources import read_tasks

    start = time.perf_counter()
    try:
        records = read_tasks(paths, format=source, key=key)
        settings = Settings()
        progress: Callable[[str], None] = Progress(as_json, pipeline.fits(records, settings) + 1)
        candidate, model = pipeline.train(records, settings, seed=seed, key=key, name=name, step=progress)
        folder = export_scaled(candidate, out)
        progress("exported, parity proved")
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return {
        "status": "success",
        "bundle": str(folder),
        "model": folder.parent.name,
        "version": int(folder.name),
        "rows": records.frame.height,
        "rejected": dict(records.rejected),
        "metrics": {name: round(value, 6) for name, value in model.scores.items()},
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
