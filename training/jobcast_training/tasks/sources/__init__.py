"""Sources of task times: published sets by their columns, and trace JSON."""

from collections.abc import Sequence
from pathlib import Path

from jobcast_proto.manifest import TaskKey

from jobcast_training.tasks.records import TaskRecords, TaskSourceError, joined
from jobcast_training.tasks.sources.published import SETS, read_published
from jobcast_training.tasks.sources.traces import read_traces

FORMATS = ("auto", "trace", *SETS)


def read_tasks(paths: Sequence[Path], *, format: str = "auto", key: TaskKey | None = None) -> TaskRecords:
    """Read files of task times as one table.

    Args:
        paths: `.json` files of traces, or `.parquet` and `.csv` files of a published set.
        format: one of `FORMATS`; `auto` goes by the file's name and columns.
        key: the five identity fields of every row, in place of what the files say.

    Raises:
        TaskSourceError: a file is not what it should be.
    """
    if format not in FORMATS:
        raise TaskSourceError(f"format: must be one of {', '.join(FORMATS)}, got {format!r}")
    parts = []
    for path in paths:
        if format == "trace" or (format == "auto" and path.suffix == ".json"):
            parts.append(read_traces(path, key))
        elif path.suffix in (".parquet", ".csv"):
            parts.append(read_published(path, None if format == "auto" else format, key))
        else:
            raise TaskSourceError(
                f"{path.name}: must be a .json, .parquet or .csv file; rename it or name its --format"
            )
    return joined(parts)
