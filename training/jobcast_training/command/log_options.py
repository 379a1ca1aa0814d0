"""The options that name a log and how it is fitted to, the same for every command, and the one way to read the log."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from jobcast_training.records import Records

Command = Callable[..., None]

data_option = click.option(
    "--data",
    "paths",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of job records; repeat it for the parts of one log.",
)
format_option = click.option("--format", "source", default="auto", show_default=True, help="Format of the files.")
mapping_option = click.option(
    "--mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Columns of a plain table."
)
timezone_option = click.option(
    "--timezone",
    help="The machine's local time, such as Europe/Berlin.  [default: that of the format or mapping, else UTC]",
)


@dataclass(frozen=True)
class Log:
    """Job records as a command line names them.

    Attributes:
        paths: the log's files. format: a source's name, or "auto". mapping: file that maps a plain table's columns.
        timezone: the machine's local time; None = that of the format or mapping, else UTC.
        name: of the log; None = the files' names.
    """

    paths: tuple[Path, ...]
    format: str = "auto"
    mapping: Path | None = None
    timezone: str | None = None
    name: str | None = None

    def read(self) -> "Records":
        """Return the records.

        Raises:
            SourceError: a file cannot be read or is not what it says.
        """
        from jobcast_training.sources import Mapping, Options, read

        mapping = Mapping.load(self.mapping) if self.mapping else None
        records = read(self.paths, format=self.format, mapping=mapping, options=Options(timezone=self.timezone))
        return replace(records, source=self.name or records.source)


def log_options(name_help: str) -> Callable[[Command], Command]:
    """Give a command the options of a log, as its argument `log`, and `config` and `seed` of a fit to it.

    Args:
        name_help: what --name is for.
    """
    options = (
        data_option,
        click.option("--name", help=f"{name_help}  [default: the file names]"),
        format_option,
        mapping_option,
        timezone_option,
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="TOML file of hyper-parameters; keys left out keep their defaults.",
        ),
        click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0)),
    )

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_log(
            paths: tuple[Path, ...],
            name: str | None,
            source: str,
            mapping: Path | None,
            timezone: str | None,
            **others: Any,
        ) -> None:
            command(log=Log(paths, source, mapping, timezone, name), **others)

        decorated: Command = with_log
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
