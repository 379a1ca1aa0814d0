"""`jobcast serve`: one flag for every setting, made from the settings themselves."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, get_args

import annotated_types
import click
from pydantic.fields import FieldInfo

from jobcast_server.errors import BundleError, StartupError
from jobcast_server.settings import Settings, read, variable

REFUSED = 2


def _range(field: FieldInfo) -> str:
    words = [str(choice) for choice in get_args(field.annotation)]
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge):
            words.append(f">= {rule.ge}")
        elif isinstance(rule, annotated_types.Le):
            words.append(f"<= {rule.le}")
    return (", " if "=" in "".join(words) else " | ").join(words)


def _option(name: str, field: FieldInfo) -> click.Option:
    shown = [f"default: {str(field.default).lower() if isinstance(field.default, bool) else field.default}"]
    if allowed := _range(field):
        shown.append(f"range: {allowed}")
    shown.append(f"variable: {variable(name)}")
    flag = "--" + name.replace("_", "-")
    boolean = field.annotation is bool
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if boolean else flag],
        default=None,
        metavar=None if boolean else getattr(field.annotation, "__name__", "choice").upper(),
        help=f"{field.description} [{'; '.join(shown)}]",
    )


def _serve(config: Path | None, **flags: Any) -> None:
    # Until the server itself listens to signals, which takes seconds of imports: process 1 would not hear of any.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    _fill()
    try:
        settings = read(flags, file=config)
        from jobcast_server import logs

        logs.configure(settings.log_level, settings.log_format)
        if settings.workers > 1:
            from jobcast_server.workers.supervisor import supervise

            asyncio.run(supervise(settings))
        else:
            from jobcast_server import life  # onnxruntime and grpc load only when there is something to serve

            _run(life.serve(settings))
    except StartupError as error:
        click.echo(f"jobcast serve: {error}", err=True)
        sys.exit(REFUSED if isinstance(error, BundleError) else 1)


def _fill() -> None:
    """Let no file or socket of the server become standard input, output or error where one of these is closed."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _run(main: Any) -> None:
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


serve = click.Command(
    "serve",
    callback=_serve,
    params=[
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            help="TOML file with these options as keys, such as metrics_port [variable: JOBCAST_CONFIG].",
        ),
        *(_option(name, field) for name, field in Settings.model_fields.items()),
    ],
    help="Serve the bundles of a repository over gRPC. Defaults < file < environment < flags.",
)
