"""A CSV file of jobs in, a file of predictions out: same rows, same order, bounded memory."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import IO, BinaryIO

import click

from jobcast.client import Client
from jobcast.command.output import COLUMNS, as_data, as_row
from jobcast.command.table import Row, Table
from jobcast.errors import JobcastError
from jobcast.packed import packed
from jobcast.prediction import Prediction

_ROWS_PER_REQUEST = 1000

_Write = Callable[[Row, Prediction], object]


def predict_file(client: Client, source: str, out: str | None, as_json: bool) -> int:
    """Predict every row of a CSV file.

    Args:
        client: the server.
        source: path of the CSV file; `-` = standard input.
        out: path of the predictions; None = standard output.
        as_json: JSON lines instead of CSV.

    Returns:
        How many rows failed; each carries its error.

    Raises:
        TableError: the file is no table of jobs.
        JobcastError: no answer from the server; the rows before are written.
        click.UsageError: source and out are the same file, or out cannot be written.
    """
    check_apart(source, out)
    done = failed = 0
    first = ""
    with ExitStack() as stack:
        raw = stack.enter_context(opened(source))
        text = stack.enter_context(as_text(raw))
        table = Table(text, name_of(source))
        target = stack.enter_context(created(out))
        write = _json_lines(target) if as_json else _csv(target, table)
        advance = stack.enter_context(_progress(raw))
        rows = table.rows()
        while chunk := list(islice(rows, _ROWS_PER_REQUEST)):
            try:
                predictions = _predictions(client, chunk)
            except JobcastError:
                click.echo(f"stopped after {done:,} rows, whose predictions are written", err=True)
                raise
            for row, prediction in zip(chunk, predictions, strict=True):
                write(row, prediction)
                if prediction.error:
                    failed += 1
                    first = first or prediction.error
            done += len(chunk)
            advance(done)
    click.echo(f"{done:,} rows: {done - failed:,} predicted, {failed:,} failed", err=True)
    if failed:
        click.echo(f"first failure: {first}", err=True)
    return failed


def check_apart(source: str, out: str | None) -> None:
    """Keep the input from being overwritten.

    Raises:
        click.UsageError: source and out are the same file.
    """
    if out and source != "-" and os.path.exists(out) and os.path.samefile(source, out):
        raise click.UsageError(f"--out: must be another file than --file, got {out!r} for both")


def _predictions(client: Client, chunk: list[Row]) -> list[Prediction]:
    answers = iter(client.predict_batch([row.job for row in chunk if not row.error], rows_per_request=len(chunk)))
    return [
        Prediction.failed(row.error, row.job.get("request_id", "")) if row.error else _placed(next(answers), row.line)
        for row in chunk
    ]


def _placed(answer: Prediction, line: int) -> Prediction:
    return replace(answer, error=f"line {line}, {answer.error}") if answer.error else answer


def _csv(target: IO[str], table: Table) -> _Write:
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*table.header, *COLUMNS])

    return lambda row, prediction: writer.writerow(row.cells + list(as_row(prediction).values()))


def _json_lines(target: IO[str]) -> _Write:
    return lambda row, prediction: target.write(json.dumps({"line": row.line, **as_data(prediction)}) + "\n")


def name_of(source: str) -> str:
    """What messages call the file that is read."""
    return "standard input" if source == "-" else source


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The file that is read; `-` = standard input.

    Raises:
        click.UsageError: it begins as a file that is no text.
    """
    with open(sys.stdin.fileno(), "rb", closefd=False) if source == "-" else open(source, "rb") as raw:
        kind = None
        with suppress(OSError):  # of a pipe, whose beginning cannot be read twice
            kind = packed(os.pread(raw.fileno(), 4, 0))
        if kind is not None:
            raise click.UsageError(f"--file: {name_of(source)}: must be text in UTF-8, got {kind}")
        yield raw


def as_text(raw: BinaryIO) -> IO[str]:
    """The file as text for a reader of CSV; bytes that are no UTF-8 as surrogate escapes."""
    return open(raw.fileno(), encoding="utf-8-sig", errors="surrogateescape", newline="", closefd=False)


def created(out: str | None) -> IO[str]:
    """The file that predictions go to; None = standard output.

    Raises:
        click.UsageError: it cannot be written.
    """
    # Cells that are no UTF-8 come out as they went in.
    if out is None:
        return open(sys.stdout.fileno(), "w", encoding="utf-8", errors="surrogateescape", newline="", closefd=False)
    try:
        return open(out, "w", encoding="utf-8", errors="surrogateescape", newline="")
    except OSError as error:
        raise click.UsageError(f"--out: cannot write {out!r}: {error.strerror}") from error


@contextmanager
def _progress(raw: BinaryIO) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that follows the position in the file; none when nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    size = os.fstat(raw.fileno()).st_size if raw.seekable() else None
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=size, rows=0)

        def advance(rows: int) -> None:
            position = os.lseek(raw.fileno(), 0, os.SEEK_CUR) if size is not None else 0
            progress.update(task, completed=position, rows=rows)

        yield advance
