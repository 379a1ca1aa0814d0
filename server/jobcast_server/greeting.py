"""What the console says to people once the server is ready: where it is, and a call to paste."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from jobcast_server.settings import Settings


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
    default = ports.grpc == Settings.model_fields["port"].default
    elsewhere = "" if default else f" --address {settings.host}:{ports.grpc}"
    click.echo(
        f"jobcast serves gRPC on {settings.host}:{ports.grpc}, REST on http://{settings.host}:{ports.http} "
        f"(described at /docs), metrics on http://{settings.host}:{ports.metrics}/metrics"
    )
    click.echo("Try it from another terminal:")
    click.echo(
        f"  {command} predict{elsewhere} --processors 32 --nodes 4 --mem 128000 --wallclock 3600 "
        "--partition normal --qos normal"
    )
