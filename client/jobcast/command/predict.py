"""`jobcast predict`: one job from options, or a file of them; with a model's name, records of that model."""

import json
from collections.abc import Callable
from typing import Any

import click

from jobcast.access import AccessFields
from jobcast.command.file import predict_file
from jobcast.command.output import as_data, print_prediction
from jobcast.command.server import SOME_ROWS_FAILED, connected, server_options
from jobcast.command.table import TableError
from jobcast.errors import InvalidInput
from jobcast.job import REQUIRED
from jobcast.quantity import parse_duration, parse_megabytes, parse_moment, parse_runtimes

_FLAGS = {
    "processors_req": "--processors",
    "nodes_req": "--nodes",
    "mem_req": "--mem",
    "wallclock_req": "--wallclock",
    "partition": "--partition",
    "qos": "--qos",
    "user": "--user",
    "account": "--account",
    "job_name": "--job-name",
    "gpus_req": "--gpus",
    "recent_runtimes": "--recent",
    "submit_time": "--submit-time",
    "request_id": "--request-id",
}


class Written(click.ParamType[Any]):
    """An option value read by one of the parsers in `jobcast.quantity`."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value; what does not parse is a usage error."""
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(epilog="Exit codes: 0 answered, 1 no answer from the server, 2 wrong use or input, 3 some rows failed.")
@click.argument("model", required=False)
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="With MODEL: one input of the record; may be repeated."
)
@click.option("--processors", "processors_req", type=int, metavar="N", help="Processors over all nodes.")
@click.option("--nodes", "nodes_req", type=int, metavar="N", help="Nodes.")
@click.option("--mem", "mem_req", type=Written("size", parse_megabytes), help="Memory over all nodes: MB, or 128G.")
@click.option(
    "--wallclock", "wallclock_req", type=Written("duration", parse_duration), help="Limit: seconds, or D-HH:MM:SS."
)
@click.option("--partition", help="Partition (queue).")
@click.option("--qos", help="Quality of service.")
@click.option("--user", help="Who submits; turns on this user's statistics.")
@click.option("--account", help="Account or project charged.")
@click.option("--job-name", help="Name of the job or its application.")
@click.option("--gpus", "gpus_req", type=int, metavar="N", help="GPUs over all nodes.")
@click.option(
    "--recent",
    "recent_runtimes",
    type=Written("durations", parse_runtimes),
    help="Run times of this user's latest finished jobs, newest first: 3600,1800.",
)
@click.option(
    "--submit-time",
    type=Written("time", parse_moment),
    help="Time of submission: Unix seconds, or ISO 8601 with a time zone; now if left out.",
)
@click.option("--request-id", help="Any text; comes back with the answer.")
@click.option("--explain", is_flag=True, help="Show which inputs moved the prediction most.")
@click.option(
    "--file",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="CSV file of jobs instead of one job; - reads standard input. With MODEL: .csv, .jsonl or .parquet.",
)
@click.option("--out", type=click.Path(dir_okay=False, writable=True), help="Where predictions of --file go.")
@server_options
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    address: str,
    timeout: float,
    as_json: bool,
    access: AccessFields,
    explain: bool,
    source: str | None,
    out: str | None,
    model: str | None,
    pairs: tuple[str, ...],
    **options: Any,
) -> None:
    """Predict how long a job, or every job of a CSV file, will run.

    With the name of a MODEL: predict what that model predicts, for the record that --set describes or for every record
    of a file, such as `jobcast predict build-memory --set build_profile=linuxx86_64-gcc-release --set jobs=500`.
    """
    fields = {name: value for name, value in options.items() if value is not None}
    if model is not None:
        _refuse(
            ctx,
            {_FLAGS[name]: value for name, value in fields.items()} | {"--explain": explain},
            f"does not go with a model's name; describe the record with --set (inputs of {model} by name)",
        )
        from jobcast.command.model import predict_model  # what it needs costs the other form nothing

        ctx.exit(
            predict_model(model, pairs, source, out, as_json=as_json, address=address, timeout=timeout, access=access)
        )
    _refuse(ctx, {"--set": pairs}, "only goes with a model's name, such as `jobcast predict build-memory --set ...`")
    if source is None:
        _refuse(ctx, {"--out": out}, "only goes with --file")
        _predict_one(fields, explain, as_json, address, timeout, access)
        return
    _refuse(
        ctx, {_FLAGS[name]: value for name, value in fields.items()} | {"--explain": explain}, "does not go with --file"
    )
    with connected(address, timeout, access) as client:
        try:
            failed = predict_file(client, source, out, as_json)
        except TableError as error:
            raise click.UsageError(str(error)) from error
    if failed:
        ctx.exit(SOME_ROWS_FAILED)


def _refuse(ctx: click.Context, options: dict[str, Any], reason: str) -> None:
    given = [flag for flag, value in options.items() if value]
    if given:
        raise click.UsageError(f"{', '.join(given)} {reason}", ctx)


def _predict_one(
    fields: dict[str, Any], explain: bool, as_json: bool, address: str, timeout: float, access: AccessFields
) -> None:
    missing = [_FLAGS[name] for name in REQUIRED if name not in fields]
    if missing:
        raise click.UsageError(
            f"missing {', '.join(missing)}; describe one job, or name a CSV file of jobs with --file"
        )
    with connected(address, timeout, access) as client:
        try:
            prediction = client.predict(fields, feature_importance=explain)
        except InvalidInput as error:
            lines = (f"{_FLAGS.get(wrong.field, wrong.field)}: {wrong.description}" for wrong in error.violations)
            raise click.UsageError("\n".join(line.removeprefix(": ") for line in lines)) from error
    if as_json:
        click.echo(json.dumps(as_data(prediction)))
    else:
        print_prediction(prediction)
