"""The records of a command line, read from their files or, where that is asked for, as the last run read them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from jobcast_training.allocation.command.preprocessed import Preprocessed
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.sources import describe, read_records


@dataclass(frozen=True)
class Data:
    """Records as a command line names them; see `sources.read_records`.

    Attributes:
        paths: files.
        format: of the files.
        mapping: TOML file of columns; None = none.
        assumed_hours: from a record's time to its end; None = not assumed.
        name: of the data; None = the files' names.
        again: whether the records are taken as the last run read them.
    """

    paths: tuple[Path, ...]
    format: str = "auto"
    mapping: Path | None = None
    assumed_hours: float | None = None
    name: str | None = None
    again: bool = False

    def read(self, predictor: Predictor) -> AllocationRecords:
        """Return the records, and keep them for the next run.

        Raises:
            RecordError: a file cannot be read or is not what it should be; or the records are to be taken as the last
                run read them, and there are none, or a file has changed.
        """
        mapping = read_mapping(self.mapping) if self.mapping else {}
        kept = Preprocessed(predictor, self.paths, self.format, mapping, self.assumed_hours)
        if self.again:
            records = kept.take()
        else:
            seen = kept.seen()
            records = read_records(
                predictor, self.paths, format=self.format, mapping=mapping, assumed_hours=self.assumed_hours
            )
            try:
                kept.keep(records, seen)
            except RecordError as error:
                click.echo(f"note: --skip-preprocessing will not find these records: {error}", err=True)
        return replace(records, source=self.name or records.source)


def read_mapping(path: Path) -> Mapping[str, str]:
    """Return column -> name of a TOML file; raises RecordError when it is anything else."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise RecordError(f"{path}: cannot be read: {cause.strerror}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise RecordError(f"{path}: not valid TOML: {cause}") from cause
    for column, name in document.items():
        if not isinstance(name, str):
            raise RecordError(f'{path}: {column} must be the name of a value such as "build_profile", got {name!r}')
    return document


def tell_records(console: Console, predictor: Predictor, records: AllocationRecords) -> None:
    """Print what was read, and every row that was left out by its reason."""
    console.print(describe(predictor, records), markup=False, highlight=False, soft_wrap=True)
