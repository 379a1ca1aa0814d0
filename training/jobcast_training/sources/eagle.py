"""Jobs of NREL's Eagle, as CSV or Parquet: local times of Denver without a zone, memory in MB over all nodes."""

from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError
from jobcast_training.sources import cells, clock
from jobcast_training.sources.columnar import scan_values
from jobcast_training.sources.delimited import EMPTY, scan_csv
from jobcast_training.sources.probe import Probe
from jobcast_training.sources.sheet import Format, Options, Reading, Rule, Sheet
from jobcast_training.sources.states import UNFINISHED, slurm_state, unknown_states, word

TIMEZONE = "America/Denver"

COLUMNS = (
    "job_id", "user", "account", "partition", "qos", "wallclock_req", "nodes_req", "processors_req", "gpus_req",
    "mem_req", "submit_time", "start_time", "end_time", "run_time", "state", "name", "work_dir", "submit_line",
)  # fmt: skip
"""Columns of the published file; the last two are not read."""

_READ = COLUMNS[:-2]


def recognises(probe: Probe) -> bool:
    """A table with Eagle's names of requests and times."""
    return {"wallclock_req", "nodes_req", "start_time", "end_time", "submit_line"} <= set(probe.columns)


def open_sheet(path: Path, probe: Probe, options: Options) -> Sheet:
    """Sheet of one file.

    Raises:
        SourceError: a column is missing or holds no single values, or the CSV is broken.
    """
    missing = [column for column in _READ if column not in probe.columns]
    if missing:
        raise SourceError(f"{path.name}: no column {missing[0]!r}; Eagle records have all of {', '.join(_READ)}")
    rows = scan_csv(path) if probe.schema is None else scan_values(path, probe.schema, _READ)
    schema = rows.collect_schema()
    zone = options.timezone or TIMEZONE
    memory = cells.number("mem_req", "mem_req", schema)
    given = pl.when(memory.value != 0).then(memory.value)
    readings = (
        *(cells.text(name, name) for name in ("job_id", "user", "account", "partition", "qos")),
        cells.text("job_name", "name"),
        *(cells.count(name, name, schema) for name in ("processors_req", "nodes_req", "gpus_req")),
        Reading("mem_req", "mem_req", given, memory.unreadable, memory.expected),
        *(cells.number(name, name, schema) for name in ("wallclock_req", "run_time")),
        *(clock.moment(name, name, schema, zone) for name in ("submit_time", "start_time", "end_time")),
        clock.moment("end_time_late", "end_time", schema, zone, late=True),
        Reading("state", "state", slurm_state("state"), pl.lit(False), "a state of Slurm"),
    )
    unfinished = Rule("not finished", word("state").is_in(UNFINISHED))
    text = probe.schema is None
    rules = (EMPTY, unfinished) if text else (unfinished,)
    notes = unknown_states(rows, "state")
    return Sheet(rows, readings, rules, place="line" if text else "row", notes=notes, timezone=zone)


FORMAT = Format("eagle", recognises, open_sheet)
