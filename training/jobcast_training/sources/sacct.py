"""Slurm's accounting as `sacct -P` prints it: a header line, cells between bars, steps below their job.

A step is folded into its job: the job's peak memory is the largest MaxRSS of its lines. A requeued job has a line for
each run; there a step belongs to the run whose line it follows, and where none can be told the peaks stay unknown.
"""

from collections import Counter
from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources import cells, clock, tres
from jobcast_training.sources.lines import TEXT, numbered
from jobcast_training.sources.memory import AMOUNT, megabytes
from jobcast_training.sources.probe import Probe
from jobcast_training.sources.sheet import LINE, Format, Options, Reading, Rule, Sheet
from jobcast_training.sources.states import UNFINISHED, slurm_state, unknown_states, word

_AGAIN = "line that stands there before"
_JOB = "#job"
_RUN = "#run"
_STEPS_RSS = "#steps_rss"
_UNLIMITED = ("UNLIMITED", "PARTITION_LIMIT")
_TEXTS = (
    ("user", "User"), ("account", "Account"), ("partition", "Partition"), ("qos", "QOS"), ("job_name", "JobName"),
)  # fmt: skip
_SINGULAR = ("State", "Submit")


def recognises(probe: Probe) -> bool:
    """Text whose first line names sacct's columns between bars."""
    names = set(probe.header.split("|"))
    return len(names) > 1 and bool(names & {"JobID", "JobIDRaw"})


def open_sheet(path: Path, probe: Probe, options: Options) -> Sheet:
    """Sheet of one output; times are local times of the option's zone, by default UTC.

    Raises:
        SourceError: the header lacks a column without which there is no record.
    """
    columns = _columns(path.name, probe)
    lines = numbered(path, compressed=probe.compressed)
    cells_of = pl.col(TEXT).str.split("|")
    body = lines.filter((pl.col(LINE) > 1) & (pl.col(TEXT).fill_null("") != "")).with_columns(
        cells_of.alias("#list"), cells_of.list.len().alias("#cells")
    )
    given = [
        pl.col("#list").list.get(index, null_on_oob=True).str.strip_chars().alias(name)
        for index, name in enumerate(columns)
        if name
    ]
    body, again = _once(body)
    table = body.select(LINE, TEXT, "#cells", *given)
    job_id = "JobID" if "JobID" in columns else "JobIDRaw"
    table = table.with_columns(pl.col(job_id).str.split(".").list.first().alias(_JOB))
    rows, rejected, notes = _folded(table, job_id, len(columns), has_rss="MaxRSS" in columns)
    rejected += again
    complete = Rule(
        f"line without {len(columns)} cells", pl.col("#cells") != len(columns), TEXT, f"{len(columns)} cells"
    )
    unfinished = Rule("not finished", word("State").is_in(UNFINISHED))
    zone = options.timezone or "UTC"
    readings, assumed = _readings(rows.collect_schema(), set(columns), job_id, zone)
    if not options.timezone:
        notes = (*notes, "No timezone was given: times without a zone are taken as UTC.")
    whole = rows.filter(pl.col("#cells") == len(columns))
    notes = (*notes, *assumed, *unknown_states(whole, "State"))
    return Sheet(rows, readings, (complete, unfinished), place="line", rejected=rejected, notes=notes, timezone=zone)


def _columns(name: str, probe: Probe) -> list[str]:
    if probe.schema is not None or "|" not in probe.header:
        raise SourceError(f"{name} line 1: expected the columns of 'sacct -P' between bars, got {probe.header[:80]!r}")
    columns = [column.strip() for column in probe.header.split("|")]
    twice = {column for column in columns if column and columns.count(column) > 1}
    if twice:
        raise SourceError(f"{name} line 1: column {min(twice)!r} stands there twice; name each once in --format")
    for choices in (("JobID", "JobIDRaw"), *((single,) for single in _SINGULAR), ("ElapsedRaw", "Elapsed", "End")):
        if not set(choices) & set(columns):
            raise SourceError(f"{name} line 1: no column {' or '.join(choices)}; add it to sacct's --format")
    return columns


def _once(body: pl.LazyFrame) -> tuple[pl.LazyFrame, Counter[str]]:
    """Every line once, and how many stood there before: outputs of neighbouring periods put together overlap."""
    again = ~pl.col(TEXT).is_first_distinct()
    count = body.select(again.sum()).collect().item()
    return (body.filter(~again), Counter({_AGAIN: count})) if count else (body, Counter())


def _folded(
    table: pl.LazyFrame, job_id: str, width: int, *, has_rss: bool
) -> tuple[pl.LazyFrame, Counter[str], tuple[str, ...]]:
    """Lines of jobs with the largest MaxRSS of their steps; steps without a job are counted as rejected."""
    is_step = ((pl.col("#cells") == width) & pl.col(job_id).str.contains(".", literal=True)).fill_null(value=False)
    table = table.with_columns((~is_step).cum_sum().alias(_RUN))
    jobs = table.filter(~is_step)
    rss = megabytes(cells.stripped("MaxRSS"), bare="B") if has_rss else pl.lit(None, pl.Float64)
    legible = cells.stripped("MaxRSS").is_null() | rss.is_not_null() if has_rss else pl.lit(True)
    steps = (
        table.filter(is_step)
        .group_by(_JOB, _RUN)
        .agg(
            rss.max().alias(_STEPS_RSS),
            pl.len().alias("#steps"),
            (~legible).sum().alias("#illegible"),
            pl.col(job_id).is_duplicated().any().alias("#twice"),
        )
        .collect(engine="streaming")
    )
    orphans = steps.lazy().join(jobs, on=_JOB, how="anti").select(pl.col("#steps").sum()).collect().item()
    notes = []
    folded, illegible = steps["#steps"].sum() - orphans, steps["#illegible"].sum()
    if folded:
        notes.append(f"{folded:,} lines of steps are folded into their jobs.")
    if illegible:
        notes.append(f"{illegible:,} lines of steps hold an unreadable MaxRSS, which is left out.")
    peaks, unplaced = _peaks(jobs, steps)
    if unplaced and has_rss:
        notes.append(f"{unplaced:,} runs of requeued jobs have steps that follow no run of theirs: max_rss is unknown.")
    joined = jobs.join(peaks.lazy(), on=_RUN, how="left", maintain_order="left")
    return joined, Counter({"step without its job": orphans} if orphans else {}), tuple(notes)


def _peaks(jobs: pl.LazyFrame, steps: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The largest MaxRSS of the steps of each run, and the number of runs whose steps cannot be told apart."""
    runs = jobs.select(_JOB, _RUN).collect(engine="streaming").with_columns(pl.len().over(_JOB).alias("#runs"))
    once = steps.group_by(_JOB).agg(pl.col(_STEPS_RSS).max()).join(runs.filter(pl.col("#runs") == 1), on=_JOB)
    again = runs.filter((pl.col("#runs") > 1) & pl.col(_JOB).is_in(steps[_JOB].implode()))
    following = steps.join(again, on=[_JOB, _RUN], how="left")
    stray = following.filter(pl.col("#runs").is_null() | pl.col("#twice")).select(_JOB)
    unplaced = again.join(stray, on=_JOB, how="semi")
    placed = following.drop_nulls("#runs").join(stray, on=_JOB, how="anti")
    return pl.concat([one.select(_RUN, _STEPS_RSS) for one in (once, placed)]), unplaced.height


def _readings(
    schema: pl.Schema, columns: set[str], job_id: str, zone: str
) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    found = [cells.text("job_id", job_id)]
    found += [cells.text(field, column) for field, column in _TEXTS if column in columns]
    notes: list[str] = []
    cpus = _amount("processors_req", columns, schema, ("ReqCPUS", "NCPUS", "AllocCPUS"), "cpu", notes)
    nodes = _amount("nodes_req", columns, schema, ("ReqNodes", "NNodes", "AllocNodes"), "node", notes)
    found += [*cpus, *nodes, *_gpus(columns), *_memory(columns, cpus, nodes)]
    found += [*_limit(columns), *_run_time(columns, schema)]
    times = (("submit_time", "Submit"), ("start_time", "Start"), ("end_time", "End"))
    found += [clock.moment(field, column, schema, zone) for field, column in times if column in columns]
    if "End" in columns:
        found.append(clock.moment("end_time_late", "End", schema, zone, late=True))
    found.append(Reading("state", "State", slurm_state("State"), pl.lit(False), "a state of Slurm"))
    if "MaxRSS" in columns:
        own = megabytes(cells.stripped("MaxRSS"), bare="B")
        plain = cells.parsed("max_rss", "MaxRSS", own, AMOUNT)
        peak = pl.max_horizontal(own, _STEPS_RSS)
        found.append(Reading("max_rss", "MaxRSS", pl.when(peak > 0).then(peak), plain.unreadable, AMOUNT))
    return tuple(found), tuple(notes)


def _amount(
    field: str, columns: set[str], schema: pl.Schema, names: tuple[str, ...], resource: str, notes: list[str]
) -> list[Reading]:
    """A count from its own column, else from the requested resources, else from what was allocated."""
    requested, *allocated = names
    if requested in columns:
        return [cells.count(field, requested, schema)]
    if "ReqTRES" in columns:
        return [Reading(field, "ReqTRES", tres.count("ReqTRES", resource), pl.lit(False), "resources")]
    for name in allocated:
        if name in columns:
            notes.append(f"No {requested}: {name}, which is what was allocated, stands for {field}.")
            return [cells.count(field, name, schema)]
    if "AllocTRES" in columns:
        notes.append(f"No {requested}: AllocTRES, which is what was allocated, stands for {field}.")
        return [Reading(field, "AllocTRES", tres.count("AllocTRES", resource), pl.lit(False), "resources")]
    return []


def _gpus(columns: set[str]) -> list[Reading]:
    source = next((name for name in ("ReqTRES", "AllocTRES") if name in columns), None)
    return [Reading("gpus_req", source, tres.gpus(source), pl.lit(False), "resources")] if source else []


def _memory(columns: set[str], cpus: list[Reading], nodes: list[Reading]) -> list[Reading]:
    """MB over all nodes: from the requested resources, else from ReqMem and its `n` (per node) or `c` (per CPU)."""
    total = tres.memory("ReqTRES") if "ReqTRES" in columns else pl.lit(None, pl.Float64)
    if "ReqMem" not in columns:
        return [Reading("mem_req", "ReqTRES", total, pl.lit(False), "resources")] if "ReqTRES" in columns else []
    written = cells.stripped("ReqMem").replace("?", None)
    amount = megabytes(written.str.strip_suffix("n").str.strip_suffix("c"), bare="M")
    per_node = nodes[0].value.cast(pl.Float64) if nodes else pl.lit(None, pl.Float64)
    per_cpu = cpus[0].value.cast(pl.Float64) if cpus else pl.lit(None, pl.Float64)
    times = pl.when(written.str.ends_with("n")).then(per_node).when(written.str.ends_with("c")).then(per_cpu)
    asked = pl.when(amount > 0).then(amount * times.otherwise(1.0))
    unreadable = written.is_not_null() & amount.is_null()
    return [Reading("mem_req", "ReqMem", pl.coalesce(total, asked), unreadable, f"{AMOUNT}, 4Gn or 2Gc")]


def _limit(columns: set[str]) -> list[Reading]:
    """Seconds of the limit; a job without one, or with its partition's, has null."""
    name = next((name for name in ("TimelimitRaw", "Timelimit") if name in columns), None)
    if name is None:
        return []
    written = cells.stripped(name)
    bounded = pl.when(~written.str.to_uppercase().is_in(_UNLIMITED)).then(written)
    if name == "TimelimitRaw":
        value, expected = bounded.cast(pl.Float64, strict=False) * 60, "minutes"
    else:
        value, expected = clock.duration_seconds(bounded), clock.DURATION
    return [Reading("wallclock_req", name, value, bounded.is_not_null() & value.is_null(), expected)]


def _run_time(columns: set[str], schema: pl.Schema) -> list[Reading]:
    if "ElapsedRaw" in columns:
        return [cells.number("run_time", "ElapsedRaw", schema)]
    if "Elapsed" in columns:
        elapsed = clock.duration_seconds(cells.stripped("Elapsed"))
        return [cells.parsed("run_time", "Elapsed", elapsed, clock.DURATION)]
    return []


FORMAT = Format("sacct", recognises, open_sheet)
