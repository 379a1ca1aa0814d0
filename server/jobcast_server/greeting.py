"""What the console says to people once the server is ready: where it is, and a call to paste."""

import contextlib
import sys
from collections.abc import Iterable
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


def greet(settings: Settings, ports: Ports, models: Iterable[str]) -> None:
    """Say it, where somebody listens.

    Args:
        models: what is served, as `NAME/VERSION`.
    """
    with contextlib.suppress(OSError):
        _say(settings, ports, models)


def _say(settings: Settings, ports: Ports, models: Iterable[str]) -> None:
    grpc, http, metrics = (address(settings.host, number) for number in (ports.grpc, ports.http, ports.metrics))
    scheme = "https" if settings.tls_cert else "http"
    click.echo(
        f"jobcast serves gRPC on {grpc}, REST on {scheme}://{http} (described at /docs), "
        f"metrics on {scheme}://{metrics}/metrics"
    )
    # A caller who needs a token or certificates must name them, and the call is one of this model.
    if settings.keys or settings.tls_cert or not any(name.startswith("hpc-runtime/") for name in models):
        return
    command = Path(sys.argv[0])
    with contextlib.suppress(ValueError):
        command = command.resolve().relative_to(Path.cwd())
    fields = Settings.model_fields
    default = (settings.host, ports.grpc) == (fields["host"].default, fields["port"].default)
    elsewhere = "" if default else f" --address {grpc}"
    click.echo("Try it from another terminal:")
    click.echo(
        f"  {command} predict{elsewhere} --processors 32 --nodes 4 --mem 128000 --wallclock 3600 "
        "--partition normal --qos normal"
    )
