"""What the command line of `jobcast bench` takes: rates, options of the server, and which of its own a mode reads."""

from collections.abc import Iterable, Sequence

import click
from click.core import ParameterSource

from jobcast_bench.scenarios import Rate

HARNESS_SETS = ("--log-", "--host", "--port", "--http-port", "--metrics-port", "--models")
"""Options of the server that the harness gives it; of the first, whatever begins so."""


class RateType(click.ParamType[Rate]):
    """An arrival rate on the command line."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Rate:
        """Read `80%` or `1000/s`."""
        if isinstance(value, Rate):
            return value
        try:
            return Rate.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def refuse_set_ones(server_arguments: Sequence[str]) -> None:
    """Raise UsageError for an option of the server that the harness sets itself."""
    for argument in server_arguments:
        option = argument.partition("=")[0]
        if option in HARNESS_SETS or option.startswith("--log-"):
            raise click.UsageError(
                f"--serve-arg {argument}: the harness sets {option} itself"
                f"{'; name it without --serve-arg' if option == '--models' else ''}"
            )


def refuse_unread(ctx: click.Context, unread: Iterable[str], mode: str) -> None:
    """Raise UsageError for parameters that were given and that a mode would not look at."""
    flags = {param.name: param.opts[0] for param in ctx.command.params}
    given = [flags[name] for name in unread if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given:
        raise click.UsageError(f"{mode} does not read {', '.join(given)}: leave out what has no effect")
