"""How a sub-command reaches the server: its options, and what becomes of a call that fails.

Exit codes: 0 answered, 1 no answer from the server, 2 wrong use or invalid input, 3 some rows of a file failed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from jobcast.access import TOKEN_FROM, AccessFields
from jobcast.address import DEFAULT_ADDRESS
from jobcast.client import Client
from jobcast.errors import InvalidInput, JobcastError, NotFound

SOME_ROWS_FAILED = 3

ACCESS = {
    "token": "Token of a key of the server; as the variable JOBCAST_TOKEN no list of processes shows it.",
    "tls_ca": "PEM file of who signed the server's certificate, or `system`; turns TLS on.",
    "tls_cert": "PEM file of a certificate of one's own, where the server wants one.",
    "tls_key": "PEM file of its key.",
}
"""Options that give access, with their help."""

P = ParamSpec("P")
R = TypeVar("R")


def server_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add `--address`, `--timeout` and `--json`, and what gives access, which comes as one `access`."""

    @wraps(command)
    def collected(*arguments: P.args, **named: P.kwargs) -> R:
        access = {name: named.pop(name, None) for name in ACCESS}
        return command(*arguments, **named, access=access)  # type: ignore[arg-type]

    for name, text in reversed(ACCESS.items()):
        value = "TOKEN" if name == "token" else "FILE"
        flag = "--" + name.replace("_", "-")
        option = click.option(flag, name, metavar=value, envvar=TOKEN_FROM if name == "token" else None, help=text)
        option(collected)
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
        option(collected)
    return collected


@contextmanager
def connected(address: str, timeout: float, access: AccessFields) -> Iterator[Client]:
    """A client whose errors become messages and exit codes of the command.

    Raises:
        click.UsageError: invalid input.
        click.ClickException: no answer from the server.
    """
    with told(), Client(address, timeout=timeout, **access) as client:
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
