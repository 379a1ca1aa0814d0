"""The logs of a folder: their names and files, whatever they are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".parquet", ".csv", ".swf", ".txt", ".psv", ".log")
"""Files that may hold job records, each also with `.gz`; what a file holds is told by its content."""

_WHOLE = "jobs"


@dataclass(frozen=True)
class LogFile:
    """One log.

    Attributes:
        name: of its folder when the file is called `jobs`, else of the file.
    """

    name: str
    path: Path


class LogsError(ValueError):
    """A folder does not hold the logs that were asked for."""


def find_logs(folder: Path, only: Sequence[str] = ()) -> list[LogFile]:
    """Return the logs of a folder by name: files in it, and `jobs.*` in the folders in it.

    Args:
        folder: where to look.
        only: names of the logs wanted; empty for all.

    Raises:
        LogsError: there is none, two have the same name, or one that was asked for is missing.
    """
    files = [path for path in (*folder.iterdir(), *folder.glob(f"*/{_WHOLE}.*")) if path.is_file()]
    found: dict[str, LogFile] = {}
    for path in sorted(files):
        stem = _stem(path)
        if stem is None:
            continue
        name = path.resolve().parent.name if stem == _WHOLE else stem
        if name in found:
            raise LogsError(f"{folder}: {path.name} and {found[name].path.name} both name the log {name}; rename one")
        found[name] = LogFile(name, path)
    if not found:
        raise LogsError(
            f"{folder}: no job records; expected files ending in {', '.join(SUFFIXES)}, or folders with a file jobs.*"
        )
    missing = [name for name in only if name not in found]
    if missing:
        raise LogsError(f"{folder}: no log {missing[0]!r}; there are {', '.join(sorted(found))}")
    return [found[name] for name in sorted(only or found)]


def _stem(path: Path) -> str | None:
    """The file's name without its suffixes; None when it cannot hold job records."""
    name = path.name.removesuffix(".gz")
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), None)
