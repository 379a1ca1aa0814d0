"""`jobcast predict MODEL`: raw records of any model that a server has, read by the schema that the server tells.

Numbers for machines are the server's float32 values to the last bit; only those for people are rounded.
"""

import csv
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO, Any

import click
from jobcast_proto.manifest import Schema

from jobcast.access import AccessFields
from jobcast.command.file import as_text, check_apart, created, name_of, opened
from jobcast.command.output import print_table
from jobcast.command.recordfile import SHAPE, FileError, RecordFile, Rows, kind_of, parquet, records_of
from jobcast.command.server import SOME_ROWS_FAILED, told
from jobcast.errors import InputError, NotFound, Unavailable
from jobcast.inference import InferenceClient
from jobcast.job import suggestion
from jobcast.records import Batch, Records
from jobcast.values import is_time

ROWS_PER_REQUEST = 1000

_SAME = ("inputs", "outputs", "quantile_levels", "interval_levels", "limit_level")
"""What two versions of a model must have alike so that one can go on for the other in a file."""

Answer = dict[str, Any]
Write = Callable[[Rows, int, Answer], object]


def predict_model(
    model: str,
    pairs: Sequence[str],
    source: str | None,
    out: str | None,
    *,
    as_json: bool,
    address: str,
    timeout: float,
    access: AccessFields,
) -> int:
    """Predict one record, or every record of a file.

    Returns:
        The exit code: 0, or `SOME_ROWS_FAILED`.

    Raises:
        click.UsageError: wrong use, or records that cannot be read.
        click.ClickException: no answer from the server.
    """
    if source is None and out:
        raise click.UsageError("--out only goes with --file")
    if (source is None) == (not pairs):
        raise click.UsageError("describe one record with --set NAME=VALUE, or name a file of them with --file")
    with told(), InferenceClient(address, timeout=timeout, **access) as client:
        schema, most = client.schema(model)
        outputs = {spec.name for spec in schema.outputs}
        if not {"quantiles", "point"} <= outputs:
            raise click.UsageError(
                f"{model} answers {', '.join(sorted(outputs))}, not quantiles and point; ask it by its tensors"
            )
        if source is None:
            _predict_one(client, schema, pairs, as_json)
            return 0
        check_apart(source, out)
        try:
            failed = _predict_file(client, schema, source, out, as_json, min(most, ROWS_PER_REQUEST))
        except FileError as error:
            raise click.UsageError(str(error)) from error
    return SOME_ROWS_FAILED if failed else 0


def _predict_one(client: InferenceClient, schema: Schema, pairs: Sequence[str], as_json: bool) -> None:
    records = Records(schema.inputs, written=True)
    batch, problems = records.sift({name: [text] for name, text in _record(schema, records, pairs).items()}, 1)
    if problems:
        raise click.UsageError("\n".join(f"{one.column}: {one.text}" for one in problems))
    answer = _answers(schema, batch, client.infer(schema, batch))[0]
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _print(schema, answer)


def _record(schema: Schema, records: Records, pairs: Sequence[str]) -> dict[str, str]:
    record: dict[str, str] = {}
    names = records.names
    for pair in pairs:
        name, sign, text = pair.partition("=")
        name = name.strip()
        if not sign:
            raise click.UsageError(f"--set: must be NAME=VALUE, got {pair!r}")
        if name not in names:
            raise click.UsageError(f"--set: {schema.predictor} has no input {name!r}{suggestion(name, names)}")
        if name in record:
            raise click.UsageError(f"--set: must give {name} once, got it twice")
        record[name] = text
    for spec in schema.inputs:  # a record that is described now is of now
        if spec.required and is_time(spec) and not {spec.name, *spec.columns} & record.keys():
            record[spec.name] = str(int(time.time()))
    absent = [s for s in schema.inputs if s.required and s.default is None and not {s.name, *s.columns} & record.keys()]
    if absent:
        wanted = "; ".join(f"{spec.name}: {spec.description or spec.type}" for spec in absent)
        raise click.UsageError(f"--set: {schema.predictor} needs {wanted}")
    return record


def _predict_file(
    client: InferenceClient, schema: Schema, source: str, out: str | None, as_json: bool, rows: int
) -> int:
    """Predict every record of a file; tells how many failed."""
    with ExitStack() as stack:
        if kind_of(source) == "parquet":
            file = parquet(source, rows)
        else:
            file = records_of(stack.enter_context(as_text(stack.enter_context(opened(source)))), source, rows)
        first = next(file.chunks, None)
        if first is None:
            raise FileError(f"{source}: is empty: it holds no records")
        records, name = Records(schema.inputs, written=file.written), name_of(source)
        model = Following(client, schema)
        done, reasons, example = 0, Counter[str](), ""
        write: Write | None = None
        chunk: Rows | None = first
        failed = 0
        while chunk is not None:
            answers, found = _chunk(model, records, chunk, name)
            if write is None:  # nothing is created before the columns have proved right
                write = _writer(stack.enter_context(created(out)), schema, file, as_json)
            for row, answer in enumerate(answers):
                write(chunk, row, answer)
            done += len(answers)
            failed += sum(bool(answer["error"]) for answer in answers)
            reasons.update(found)
            example = example or next((answer["error"] for answer in answers if answer["error"]), "")
            chunk = next(file.chunks, None)
    click.echo(f"{done:,} rows: {done - failed:,} predicted, {failed:,} failed", err=True)
    if failed:
        counted = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        click.echo(f"rows by reason: {counted}\nfirst failure: {example}", err=True)
    return failed


class Following:
    """A model whose newest version goes on answering where the one that was begun with is served no more.

    Args:
        client: of its server.
        schema: of the version to begin with.
    """

    def __init__(self, client: InferenceClient, schema: Schema) -> None:
        self._client, self.schema = client, schema

    def infer(self, batch: Batch) -> dict[str, list[list[float]]]:
        """Return the outputs by `schema`, which is then that of the version which answered.

        Raises:
            JobcastError: as `InferenceClient.infer`; also where the newest version has other inputs or outputs.
        """
        try:
            return self._client.infer(self.schema, batch)
        except (NotFound, Unavailable):
            newest, _ = self._client.schema(self.schema.predictor)
            same = all(getattr(newest, part) == getattr(self.schema, part) for part in _SAME)
            if newest.version == self.schema.version or not same:
                raise
            self.schema = newest
            return self._client.infer(newest, batch)


def _chunk(model: Following, records: Records, rows: Rows, name: str) -> tuple[list[Answer], Counter[str]]:
    """An answer for every row, and how many rows got none by reason.

    Raises:
        FileError: the columns are wrong for every row.
    """
    errors = {place: [text] for place, text in rows.broken.items()}
    reasons = Counter({SHAPE: len(errors)} if errors else {})
    places, columns = rows.whole()
    told: list[Answer] = []
    if places:
        if rows.word == "line" and not rows.cells:  # a line that lacks a field fails alone, as it names its own
            for spec in model.schema.inputs:
                if spec.required and spec.default is None and not {spec.name, *spec.columns} & columns.keys():
                    columns[spec.name] = [None] * len(places)
        try:
            batch, problems = records.sift(columns, len(places))
        except InputError as error:
            general = [str(one) for one in error.problems if one.row is None]
            raise FileError(f"{name}: {'; '.join(general)}") from None
        for one in problems:
            errors.setdefault(places[one.row or 0], []).append(f"column {one.column}: {one.text}")
        reasons.update(reason for _, reason in {(one.row, one.reason) for one in problems})
        outputs = model.infer(batch) if batch.rows else {}
        told = _answers(model.schema, batch, outputs) if batch.rows else []
    answered = iter(told)
    answers = [
        _failed(model.schema, f"{rows.word} {number}, {'; '.join(errors[place])}")
        if place in errors
        else next(answered)
        for place, number in enumerate(rows.numbers)
    ]
    return answers, reasons


def _answers(schema: Schema, batch: Batch, outputs: dict[str, list[list[float]]]) -> list[Answer]:
    """What machines are told of every row; the keys are stable."""
    asked = schema.allocation.request if schema.allocation else None
    requests = batch.columns.get(asked or "", [math.nan] * batch.rows)
    found = []
    for row in range(batch.rows):
        quantiles = dict(zip(schema.quantile_levels, outputs["quantiles"][row], strict=True))
        lower, upper = (quantiles[level] for level in schema.interval_levels)
        point, request = outputs["point"][row][0], float(requests[row])
        allocation = outputs["allocation"][row][0] if "allocation" in outputs else None
        recommended = point if allocation is None else allocation
        known = request == request
        answer = _failed(schema, "") | {
            "recommended": recommended, "allocation": allocation, "point": point, "interval_lower": lower,
            "interval_upper": upper, "request": request if known else None,
            "saving": request - recommended if known else None,
            "quantiles": {f"{level:g}": value for level, value in quantiles.items()},
        }  # fmt: skip
        found.append(answer)
    return found


def _failed(schema: Schema, error: str) -> Answer:
    """The same keys for a row that got no answer."""
    return {
        "model": schema.predictor, "model_version": str(schema.version), "unit": _unit(schema), "recommended": None,
        "allocation": None, "point": None, "interval_lower": None, "interval_upper": None, "request": None,
        "saving": None, "quantiles": {}, "error": error,
    }  # fmt: skip


def _unit(schema: Schema) -> str:
    return next(spec.unit for spec in schema.outputs if spec.name == "point")


def _writer(target: IO[str], schema: Schema, file: RecordFile, as_json: bool) -> Write:
    if as_json:
        return lambda rows, place, answer: target.write(json.dumps({rows.word: rows.numbers[place], **answer}) + "\n")
    writer = csv.writer(target, lineterminator="\n")
    keys = [key for key in _failed(schema, "") if key != "quantiles"]
    levels = [f"{level:g}" for level in schema.quantile_levels]
    answered = [*keys, *(f"quantile_{level}" for level in levels)]
    given = _apart(file.header, answered)
    if renamed := [f"{name} as {own}" for name, own in zip(file.header, given, strict=True) if name != own]:
        click.echo(
            f"columns of the file that the answers have too are written under other names: {', '.join(renamed)}",
            err=True,
        )
    writer.writerow([*(given or ("row",)), *answered])

    def write(rows: Rows, place: int, answer: Answer) -> None:
        own = rows.cells[place] if rows.cells else [rows.numbers[place]]
        quantiles = answer["quantiles"]
        writer.writerow([*own, *(answer[key] for key in keys), *(quantiles.get(level) for level in levels)])

    return write


def _apart(header: Sequence[str], answered: Sequence[str]) -> list[str]:
    """Names for the columns of a file, none of which is that of an answer."""
    given: list[str] = []
    for name in header:
        own = name
        while own in answered or (own != name and (own in header or own in given)):
            own += "_given"
        given.append(own)
    return given


def _print(schema: Schema, answer: Answer) -> None:
    unit = answer["unit"]

    def amount(value: float) -> str:
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
        return f"{value:,.{digits}f} {unit}"

    low, high = schema.interval_levels
    lines = []
    if answer["allocation"] is not None:
        costs = schema.allocation
        lines.append(("Recommended allocation", amount(answer["allocation"]), costs.objective if costs else ""))
    lines.append(("Point prediction", amount(answer["point"]), ""))
    span = f"{amount(answer['interval_lower'])} to {amount(answer['interval_upper'])}"
    lines.append((f"{100 * (high - low):g} % interval", span, ""))
    if answer["request"] is not None:
        saving = answer["saving"]
        share = f"{abs(saving) / answer['request']:.0%} of the request" if answer["request"] else ""
        lines.append(("Request", amount(answer["request"]), ""))
        lines.append(("Saving" if saving >= 0 else "More than requested", amount(abs(saving)), share))
    lines.append(("Model", f"{answer['model']} version {answer['model_version']}", schema.model_type))
    print_table(lines)
    print_table([(level, amount(value), "") for level, value in answer["quantiles"].items()], "Quantiles")
