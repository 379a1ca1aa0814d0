"""Logs of the Parallel Workloads Archive, in whichever file format: one reading of their fields.

The archive's fields: D. Feitelson et al., "Experience with using the Parallel Workloads Archive", JPDC 74(10), 2014.
"""

from dataclasses import dataclass

import polars as pl

from jobcast_training.sources import cells
from jobcast_training.sources.sheet import Reading, Rule
from jobcast_training.sources.states import at_limit

COLUMNS = (
    "job_id", "submit_time", "wait_s", "run_time", "processors_alloc", "cpu_time_avg", "mem_used_kb", "processors_req",
    "wallclock_req", "mem_req_kb", "status", "user", "group", "application", "queue", "partition",
)  # fmt: skip
"""The log's fields, in the order of the Standard Workload Format; times in s, memory in KB per processor."""

_STATES = {0.0: "failed", 1.0: "completed", 5.0: "cancelled"}
_PARTIAL = (2.0, 3.0, 4.0)
_STATUS_CODES = (-1.0, *_STATES, *_PARTIAL)


@dataclass(frozen=True)
class _Shape:
    """What holds for the whole log, and so decides how its fields are read."""

    requests_processors: bool
    allocates_processors: bool
    partitions: int
    queues: int
    exit_codes: bool


def readings(rows: pl.LazyFrame, submit: Reading) -> tuple[tuple[Reading, ...], tuple[Rule, ...], tuple[str, ...]]:
    """How to read the archive's columns: readings, rules and notes.

    Args:
        rows: one row per job with all of `COLUMNS`; unknown values null.
        submit: how to read `submit_time`, which differs between file formats.
    """
    schema = rows.collect_schema()
    shape = _shape(rows, schema)
    processors = "processors_req" if shape.requests_processors else "processors_alloc"
    cpus = cells.count("processors_req", processors, schema)
    wallclock = cells.number("wallclock_req", "wallclock_req", schema)
    run_time = cells.number("run_time", "run_time", schema)
    memory = cells.number("mem_req", "mem_req_kb", schema, 1 / 1024)
    per_job = Reading(
        "mem_req", "mem_req_kb", memory.value * cpus.value.cast(pl.Float64), memory.unreadable, memory.expected
    )
    status = cells.number("state", "status", schema)
    state = at_limit(_state(status.value, exit_codes=shape.exit_codes), run_time.value, wallclock.value)
    fields = (
        cells.text("job_id", "job_id"), cells.text("user", "user"), cells.text("account", "group"), *_places(shape),
        cells.text("job_name", "application"), cpus, per_job, wallclock, submit,
        cells.number("wait_time", "wait_s", schema), run_time,
        Reading("state", "status", state, status.unreadable, status.expected),
    )  # fmt: skip
    rules = () if shape.exit_codes else (Rule("part of a job that is listed whole", status.value.is_in(_PARTIAL)),)
    return fields, rules, _notes(shape, rows)


def _shape(rows: pl.LazyFrame, schema: pl.Schema) -> _Shape:
    status = cells.number("state", "status", schema).value
    facts = rows.select(
        requested=pl.col("processors_req").is_not_null().any(),
        allocated=pl.col("processors_alloc").is_not_null().any(),
        partitions=pl.col("partition").drop_nulls().n_unique(),
        queues=pl.col("queue").drop_nulls().n_unique(),
        exit_codes=(~status.is_in(_STATUS_CODES)).any(),
    ).collect(engine="streaming")
    requested, allocated, partitions, queues, exit_codes = facts.row(0)
    return _Shape(bool(requested), bool(allocated), partitions, queues, bool(exit_codes))


def _state(status: pl.Expr, *, exit_codes: bool) -> pl.Expr:
    if exit_codes:
        ended = pl.when(status == 0).then(pl.lit("completed")).when(status.is_not_null()).then(pl.lit("failed"))
        return ended.otherwise(pl.lit("unknown"))
    return status.replace_strict(_STATES, default="unknown", return_dtype=pl.String).fill_null("unknown")


def _places(shape: _Shape) -> tuple[Reading, ...]:
    """The partition, and the queue as its second where both tell jobs apart."""
    if shape.partitions > 1:
        queue = (cells.text("qos", "queue"),) if shape.queues > 1 else ()
        return cells.text("partition", "partition"), *queue
    return (cells.text("partition", "queue" if shape.queues else "partition"),)


def _notes(shape: _Shape, rows: pl.LazyFrame) -> tuple[str, ...]:
    notes = []
    if not shape.requests_processors and shape.allocates_processors:
        notes.append("No job has requested processors: allocated processors stand for them.")
    if shape.partitions > 1 and shape.queues > 1:
        notes.append("Partitions and queues both tell jobs apart: the queue is read as qos.")
    elif shape.partitions <= 1 and shape.queues:
        notes.append("Partitions do not tell jobs apart: the queue is read as partition.")
    if shape.exit_codes:
        notes.append("Status holds exit codes: 0 is read as completed, any other as failed.")
    waits = rows.select(pl.col("wait_s").is_not_null().any()).collect(engine="streaming").item()
    if not waits:
        notes.append("No wait is recorded: each job is taken to start when it was submitted.")
    return tuple(notes)
