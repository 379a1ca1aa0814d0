"""The typed record table: every source ends here, every predictor starts here.

One row is one job. A value that the source does not give is null, never a stand-in.
"""

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

SCHEMA: dict[str, pl.DataType] = {
    "job_id": pl.String(),
    "user": pl.String(),
    "account": pl.String(),
    "partition": pl.String(),
    "qos": pl.String(),
    "job_name": pl.String(),
    "processors_req": pl.Int32(),  # over all nodes
    "nodes_req": pl.Int32(),
    "gpus_req": pl.Int32(),  # over all nodes
    "mem_req": pl.Float64(),  # MB over all nodes
    "wallclock_req": pl.Float64(),  # s
    "submit_time": pl.Float64(),  # Unix seconds, UTC
    "end_time": pl.Float64(),  # Unix seconds, UTC; outcome
    "run_time": pl.Float64(),  # s; outcome
    "state": pl.String(),  # completed, failed, cancelled, timeout, out_of_memory, node_fail, preempted or unknown
    "max_rss": pl.Float64(),  # MB, peak of the job; outcome
}
"""Columns of the record table with their types; units beside them."""

OUTCOMES = ("end_time", "run_time", "state", "max_rss")
"""Columns that nobody knows when the job is submitted."""


@dataclass(frozen=True)
class Records:
    """Jobs in order of submission, and what was left out.

    Attributes:
        frame: one row per job with exactly the columns of `SCHEMA`, sorted by `submit_time`.
        rejected: number of rows left out, by reason.
        source: name of the file or files, without any folder.
        notes: what the reader had to assume, in sentences.
        timezone: IANA name of the machine's local time: as the caller says, else as files or mapping do, else UTC.
    """

    frame: pl.DataFrame
    source: str
    rejected: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    timezone: str = "UTC"


class SourceError(ValueError):
    """A file is not what it says; the message names the file and the line or column."""
