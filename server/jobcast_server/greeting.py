"""What the console says to people once the server is ready: where it is, and a call to paste."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from jobcast_server.settings import Settings
from jobcast_server.sockets import address


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    grpc: int
    http: int
    metrics: int


def greet(settings: Settings, ports: Ports) -> None:
    """Say it, where somebody listens."""
    with contextlib.suppress(OSError):
        _say(settings, ports)


def _say(settings: Settings, ports: Ports) -> None:
    command = Path(sys.argv[0])
    with contextlib.suppress(ValueError):
        command = command.resolve().relative_to(Path.cwd())
    fields = Settings.model_fields
    default = (settings.host, ports.grpc) == (fields["host"].default, fields["port"].default)
    grpc, http, metrics = (address(settings.host, number) for number in (ports.grpc, ports.http, ports.metrics))
    elsewhere = "" if default else f" --address {grpc}"
    click.echo(
        f"jobcast serves gRPC on {grpc}, REST on http://{http} (described at /docs), metrics on http://{metrics}/metrics"
    )
    click.echo("Try it from another terminal:")
    click.echo(
        f"  {command} predict{elsewhere} --processors 32 --nodes 4 --mem 128000 --wallclock 3600 "
        "--partition normal --qos normal"
    )
