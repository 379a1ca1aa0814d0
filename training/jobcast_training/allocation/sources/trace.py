"""Nextflow's trace file, in its readable form and in its raw one (`trace.raw = true`).

The rules are those of Nextflow's documentation, "Trace file" (fields), and of what writes it, `TraceRecord`:

- `-` stands for a value that is not known;
- in the raw form memory is bytes, a duration milliseconds and a time milliseconds since 1970;
- in the readable form memory has a unit that is a power of 1,024 whatever its name (`MemoryUnit`: `1.2 GB`, `512 MB`,
  `0`), a duration reads `1h 2m 3s` or `459ms` (`Duration`), and a time is local to the machine, without a zone;
- `name` is `PROCESS (tag)`, or `PROCESS (index)` where the process has no tag;
- `duration` is the time from submission to completion, `realtime` the time from start to completion;
- `time` and `memory` are what was requested.
"""

from collections.abc import Sequence

import polars as pl

from jobcast_training.allocation.declaration import END, HOURS, TIME, Predictor

ELAPSED, START = "elapsed", "start_time"
"""Values that only a trace gives: seconds from submission to end, and when the task started."""

_NAME = r"^(.+?)(?:\s+\((.*)\))?$"
_INDEX = r"^\d+$"
_USUAL = ("task_id", "hash", "native_id", "submit", "duration", "realtime", "%cpu", "rchar", "wchar", "peak_vmem")
_ENOUGH = 3
_MILLISECOND = 1e-3
_HOUR = 3600.0


def recognises(columns: Sequence[str]) -> bool:
    """Whether columns are those of a trace: a peak, what ran, and at least three of a trace's usual others."""
    given = set(columns)
    return "peak_rss" in given and bool(given & {"name", "process"}) and len(given & set(_USUAL)) >= _ENOUGH


def prepared(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a trace with nulls for `-`, and with `process` and `tag`, out of `name` where they are not there.

    A tag that is only digits is Nextflow's index of the task and says nothing of its sample: it is no tag.
    """
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    frame = frame.with_columns(pl.col(name).replace("-", None) for name in texts)
    if "name" not in texts:
        return frame
    parts = pl.col("name").str.strip_chars().str.extract_groups(_NAME)
    tag = parts.struct[1]
    derived = {"process": parts.struct[0], "tag": pl.when(~tag.str.contains(_INDEX)).then(tag)}
    return frame.with_columns(value.alias(name) for name, value in derived.items() if name not in frame.columns)


def names(predictor: Predictor, plain: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the names under which a trace gives values, out of those of a plain table.

    Args:
        predictor: whose records are read.
        plain: by value, names of columns with the factor to the value's unit.
    """
    found = {name: dict(own) for name, own in plain.items()}
    found[TIME] = {"submit": 1.0} | {name: factor for name, factor in found[TIME].items() if name != "time"}
    found[END]["complete"] = 1.0
    found[HOURS]["realtime"] = _MILLISECOND / _HOUR
    found[ELAPSED] = {"duration": _MILLISECOND}
    found[START] = {"start": 1.0}
    for one in predictor.numbers:
        if one.name == "time_limit" and one.unit == "s":
            found[one.name]["time"] = _MILLISECOND
    return found
