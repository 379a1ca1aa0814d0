"""How a sub-command reaches the server: its options, and what becomes of a call that fails.

Exit codes: 0 answered, 1 no answer from the server, 2 wrong use or invalid input, 3 some rows of a file failed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import click

from jobcast.address import DEFAULT_ADDRESS
from jobcast.client import Client
from jobcast.errors import InvalidInput, JobcastError, NotFound

SOME_ROWS_FAILED = 3

P = ParamSpec("P")
R = TypeVar("R")


def server_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add `--address`, `--timeout` and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON for machines."),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            default=10.0,
            show_default=True,
            help="Longest wait for one answer.",
        ),
        click.option(
            "--address", metavar="HOST:PORT", default=DEFAULT_ADDRESS, show_default=True, help="Where the server is."
        ),
    ):
        command = option(command)
    return command


@contextmanager
def connected(address: str, timeout: float) -> Iterator[Client]:
    """A client whose errors become messages and exit codes of the command.

    Raises:
        click.UsageError: invalid input.
        click.ClickException: no answer from the server.
    """
    with told(), Client(address, timeout=timeout) as client:
        yield client


@contextmanager
def told() -> Iterator[None]:
    """Errors of the client as messages and exit codes of the command.

    Raises:
        click.UsageError: invalid input, or a model that the server does not have.
        click.ClickException: no answer from the server.
    """
    try:
        yield
    except (InvalidInput, NotFound) as error:
        raise click.UsageError(str(error)) from error
    except JobcastError as error:
        raise click.ClickException(str(error)) from error
