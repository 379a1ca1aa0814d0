"""Synthetic records in the shape of NREL's Eagle, for tests of scale: no accuracy measured on them means anything.

Rows are made in blocks of a fixed size, each from its own random stream: a seed gives the same rows whatever the chunk
size, and fewer rows are the beginning of more.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from jobcast_training.sources.arrivals import START, bursts, local_seconds, positions
from jobcast_training.sources.eagle import COLUMNS, TIMEZONE
from jobcast_training.sources.population import PARTITIONS, QOS, USERS, Floats, Ints, Population, populate

BLOCK = 1 << 16
JOBS_PER_DAY = 7_000
_FIRST_JOB = 1_000_000
_DAYS_PER_WEEK = 7
_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
_TIMEOUT = _STATES.index("TIMEOUT")
_ENDS = np.cumsum([0.862, 0.08, 0.05, 0.0, 0.006, 0.002])
_MOMENT = pl.Datetime("ms")

SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String()),
    **dict.fromkeys(("job_id", "nodes_req", "processors_req", "gpus_req"), pl.Int64()),
    **dict.fromkeys(("wallclock_req", "mem_req", "run_time"), pl.Float64()),
    **dict.fromkeys(("submit_time", "start_time", "end_time"), _MOMENT),
}
"""Columns of the file; times are local to Denver and without a zone, as in the published one."""


def generate(
    rows: int,
    seed: int,
    out: Path,
    chunk: int = 1 << 18,
    *,
    jobs_per_day: float = JOBS_PER_DAY,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write records to a Parquet file in order of submission; memory does not grow with `rows`.

    Args:
        rows: number of jobs, at least 1.
        seed: decides every draw; not negative.
        out: file to write.
        chunk: rows per row group; the rows do not depend on it.
        jobs_per_day: average rate of arrival.
        progress: called with the number of rows made so far.

    Raises:
        ValueError: a number is out of its range.
    """
    for name, value, least in (
        ("rows", rows, 1),
        ("seed", seed, 0),
        ("chunk", chunk, 1),
        ("jobs_per_day", jobs_per_day, 1),
    ):
        if value < least:
            raise ValueError(f"{name}: must be at least {least}, got {value}")

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        made = 0
        for frame in blocks(rows if limit is None else min(rows, limit), seed, jobs_per_day):
            made += frame.height
            wanted = frame if columns is None else frame.select(columns)
            yield wanted if predicate is None else wanted.filter(predicate)
            if progress is not None:
                progress(made)

    register_io_source(source, schema=SCHEMA).sink_parquet(out, row_group_size=chunk, maintain_order=True)


def blocks(rows: int, seed: int, jobs_per_day: float = JOBS_PER_DAY) -> Iterator[pl.DataFrame]:
    """The records of a seed as frames of up to `BLOCK` rows with the columns of `SCHEMA`."""
    population = populate(seed)
    words = _words(population)
    for number in range(-(-rows // BLOCK)):
        yield _block(population, words, seed, number, jobs_per_day).head(rows - number * BLOCK)


def _words(population: Population) -> dict[str, pl.Series]:
    """Every label there is, by number."""
    labels = range(population.applications)
    return {
        "user": pl.Series([f"user{index:04d}" for index in range(USERS)]),
        "account": pl.Series([f"account{index:04d}" for index in range(USERS)]),
        "name": pl.Series([f"name{index:08d}" for index in labels]),
        "work_dir": pl.Series([f"work_dir{index:08d}" for index in labels]),
        "submit_line": pl.Series([f"submit_line{index:08d}" for index in labels]),
        "partition": pl.Series(PARTITIONS),
        "qos": pl.Series(QOS),
        "state": pl.Series(_STATES),
    }


def _block(
    population: Population, words: dict[str, pl.Series], seed: int, number: int, jobs_per_day: float
) -> pl.DataFrame:
    rng = np.random.default_rng([seed, 1, number])
    days = BLOCK / jobs_per_day
    lengths, burst = bursts(rng, BLOCK)
    share = positions(rng, burst, lengths.size, days * 86_400.0)
    order = np.argsort(share, kind="stable")
    users, applications = (drawn[burst][order] for drawn in population.draw(rng, lengths.size))
    submit = np.floor(START + local_seconds((number + share[order]) * days / _DAYS_PER_WEEK))
    nodes, limit = _requests(population, rng, applications)
    run, state = _outcomes(population, rng, applications, nodes, limit)
    wait = np.floor(rng.exponential(1.0, BLOCK) * np.exp(rng.normal(3.0, 2.0, BLOCK)) * np.sqrt(nodes))
    gpus = population.gpus[applications] * nodes
    memory = population.memory[applications] * nodes
    numbered = {
        "user": users, "account": population.account[applications], "name": applications, "work_dir": applications,
        "submit_line": applications, "partition": _partition(limit, gpus, memory / nodes),
        "qos": population.qos[applications], "state": state,
    }  # fmt: skip
    labels = {name: words[name].gather(index) for name, index in numbered.items()}
    frame = pl.DataFrame({
        **labels, "job_id": _FIRST_JOB + number * BLOCK + np.arange(BLOCK), "wallclock_req": limit.astype(np.float64),
        "nodes_req": nodes, "processors_req": nodes * population.cores[applications], "gpus_req": gpus,
        "mem_req": memory, "submit_time": submit, "run_time": run, "wait": wait,
    })  # fmt: skip
    return _dated(frame).select(SCHEMA.keys())


def _requests(population: Population, rng: np.random.Generator, applications: Ints) -> tuple[Ints, Ints]:
    """Nodes and limits: mostly the application's habit, and larger jobs with longer limits."""
    scale = rng.choice([1, 1, 1, 1, 2, 4], BLOCK)
    nodes = np.minimum(population.nodes[applications] * scale, 256)
    shift = rng.choice([0, 0, 0, 0, 0, 0, 1, -1], BLOCK) + (scale == 4)
    return nodes, population.limits_near(applications, shift)


def _outcomes(
    population: Population, rng: np.random.Generator, applications: Ints, nodes: Ints, limit: Ints
) -> tuple[Floats, Ints]:
    """Run times (whole s, at least 1) and numbers of states; what would run past its limit is stopped there."""
    spread = population.spread[applications] * np.where(rng.random(BLOCK) < 0.03, 4.0, 1.0)
    grown = 0.15 * np.log(nodes / population.nodes[applications])
    run = np.exp(population.log_run_time[applications] + grown + spread * rng.standard_normal(BLOCK))
    state = np.searchsorted(_ENDS / _ENDS[-1], rng.random(BLOCK), side="right")
    run = np.where(state > 0, run * rng.random(BLOCK) ** 2, run)
    stopped = run >= limit
    run = np.where(stopped, limit + rng.integers(0, 30, BLOCK), np.maximum(np.floor(run), 1.0))
    return run, np.where(stopped, _TIMEOUT, state)


def _partition(limit: Ints, gpus: Ints, memory: Floats) -> Ints:
    """Number of the partition that such a request goes to; memory is MB per node."""
    wanted = [gpus > 0, memory > 184_000, limit <= 900, limit <= 14_400, limit <= 172_800]
    places = ("gpu", "bigmem", "debug", "short", "standard")
    return np.select(wanted, [PARTITIONS.index(place) for place in places], PARTITIONS.index("long"))


def _dated(frame: pl.DataFrame) -> pl.DataFrame:
    """Local times from seconds: start and end follow in real seconds, also across a change of the clocks."""
    local = pl.from_epoch((pl.col("submit_time") * 1_000).cast(pl.Int64), time_unit="ms")
    submit = local.dt.replace_time_zone(TIMEZONE)
    start = submit + pl.duration(milliseconds=(pl.col("wait") * 1_000).cast(pl.Int64))
    end = start + pl.duration(milliseconds=(pl.col("run_time") * 1_000).cast(pl.Int64))
    times = {"submit_time": submit, "start_time": start, "end_time": end}
    return frame.with_columns(**{name: time.dt.replace_time_zone(None).cast(_MOMENT) for name, time in times.items()})
