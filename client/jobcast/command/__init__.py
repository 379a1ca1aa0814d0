"""The one command `jobcast`.

Sub-commands are the entry points of the group `jobcast.commands`, each in the package that owns it. A module is
imported only when its sub-command runs, so that none pays for the libraries of another; one whose package is not
installed is not listed.
"""

import ast
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

_GROUP = "jobcast.commands"

ELSEWHERE = {
    **dict.fromkeys(("accuracy", "evaluate", "features", "synthesize", "train"), "jobcast-training"),
    **dict.fromkeys(("bench", "chaos", "soak", "tune"), "jobcast-bench"),
    **dict.fromkeys(("doctor", "keys", "models", "serve"), "jobcast-server"),
    "export": "jobcast-export",
    "ui": "jobcast-ui",
}
"""Package of every command that may not be installed beside the client."""


class CommandGroup(click.Group):
    """Sub-commands from entry points, loaded when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the sub-commands whose modules are there."""
        return sorted(_installed())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command, loaded; None if there is none of this name."""
        entry = _installed().get(cmd_name)
        if entry is None:
            return None
        try:
            command = entry.load()
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"{cmd_name}: the module {error.name!r} is missing; install the package that brings {entry.module!r} "
                "again with its dependencies"
            ) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"entry point {entry.value!r} of {cmd_name!r} must be a click command, got {command!r}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The sub-command that the arguments name; a misspelt one gets the closest as a suggestion."""
        if args[0] in ELSEWHERE and args[0] not in _installed():
            raise click.UsageError(
                f"{args[0]} comes with the package {ELSEWHERE[args[0]]}, which is not installed here; in a checkout "
                "`make install` installs all of them",
                ctx,
            )
        if not args[0].startswith("-") and args[0] not in _installed() and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands without importing them."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name, limit)) for name in names])

    def _summary(self, ctx: click.Context, name: str, limit: int) -> str:
        docstring = _docstring(_installed()[name])
        if docstring is not None:
            return click.Command(name, help=docstring).get_short_help_str(limit)
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit) if command else ""


@cache
def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP) if _source(entry) is not None}


def _source(entry: EntryPoint) -> Path | None:
    try:
        spec = find_spec(entry.module)
    except ModuleNotFoundError:  # not even the package
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _docstring(entry: EntryPoint) -> str | None:
    """Docstring of the entry point's function, read from its source; None if it has none there."""
    source = _source(entry)
    if source is None or source.suffix != ".py":
        return None
    for node in ast.parse(source.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry.attr:
            return ast.get_docstring(node)
    return None


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jobcast", prog_name="jobcast")
def main(**_: Any) -> None:
    """Forecast what a job will need before it runs."""
