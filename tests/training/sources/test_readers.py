"""Every format, read from a small file: the values that must come out, and the rows that must be counted."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from jobcast_training.records import SCHEMA, Records
from jobcast_training.sources import Mapping, Options, read

DATA = Path(__file__).parent.parent / "data"
COLORADO = Options(timezone="America/Denver")


def job(records: Records, job_id: str) -> dict[str, object]:
    (row,) = records.frame.filter(pl.col("job_id") == job_id).iter_rows(named=True)
    return row


def denver(*moment: int) -> float:
    return datetime(*moment, tzinfo=ZoneInfo("America/Denver")).timestamp()  # type: ignore[arg-type,misc]


def is_typed(records: Records) -> bool:
    return dict(records.frame.schema) == SCHEMA and records.frame["submit_time"].is_sorted()


def test_the_eagle_sample_becomes_a_thousand_records() -> None:
    records = read([DATA / "eagle-sample.csv"])
    assert is_typed(records)
    assert records.frame.height == 1_000
    assert not records.rejected
    assert records.source == "eagle-sample.csv"
    assert dict(records.frame["state"].value_counts().iter_rows()) == {"completed": 985, "timeout": 15}
    first = job(records, "532209")
    assert first == {
        "job_id": "532209", "user": "user0014", "account": "account0003", "partition": "partition001", "qos": "normal",
        "job_name": "name00005115", "processors_req": 10, "nodes_req": 10, "gpus_req": 0, "mem_req": None,
        "wallclock_req": 172_800.0, "submit_time": denver(2019, 1, 1, 8, 55, 55),
        "end_time": denver(2019, 1, 2, 12, 39, 41), "run_time": 99_825.0, "state": "completed", "max_rss": None,
    }  # fmt: skip


def test_an_eagle_memory_request_is_kept_in_mb() -> None:
    asked = read([DATA / "eagle-sample.csv"]).frame["mem_req"].drop_nulls()
    assert sorted(set(asked)) == [100.0, 184_000.0, 552_000.0, 1_440_000.0, 20_160_000.0]


def test_eagle_times_follow_the_timezone_option() -> None:
    utc = read([DATA / "eagle-sample.csv"], options=Options(timezone="UTC"))
    assert job(utc, "532209")["submit_time"] == datetime(2019, 1, 1, 8, 55, 55, tzinfo=UTC).timestamp()


def test_eagle_parquet_and_csv_give_the_same_records(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv", try_parse_dates=True)
    table.write_parquet(tmp_path / "jobs.parquet")
    assert read([tmp_path / "jobs.parquet"]).frame.equals(read([DATA / "eagle-sample.csv"]).frame)


def test_a_job_that_ends_in_the_repeated_hour_ends_after_it_ran(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv", infer_schema=False).head(1)
    table = table.with_columns(
        submit_time=pl.lit("2019-11-03 01:50:00"), start_time=pl.lit("2019-11-03 01:50:00"),
        end_time=pl.lit("2019-11-03 01:10:00"), run_time=pl.lit("1200.0"),
    )  # fmt: skip
    table.write_csv(tmp_path / "fall.csv")
    (row,) = read([tmp_path / "fall.csv"]).frame.iter_rows(named=True)
    assert row["end_time"] - row["submit_time"] == 1_200.0


def test_a_local_time_that_no_clock_shows_is_unreadable(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv", infer_schema=False).head(3)
    first = pl.int_range(pl.len()) == 0
    skipped = pl.when(first).then(pl.lit("2019-03-10 02:30:00")).otherwise("submit_time")
    table.with_columns(submit_time=skipped).write_csv(tmp_path / "spring.csv")
    records = read([tmp_path / "spring.csv"])
    assert records.rejected == {"unreadable submit_time": 1}
    assert "spring.csv line 2, column submit_time" in records.notes[0]
    assert "2019-03-10 02:30:00" in records.notes[0]


def test_swf_reads_header_and_jobs() -> None:
    records = read([DATA / "small.swf"])
    assert is_typed(records)
    assert records.frame["job_id"].to_list() == ["1", "2", "6", "9"]
    assert job(records, "1") == {
        "job_id": "1", "user": "7", "account": "3", "partition": "short", "qos": None, "job_name": "9",
        "processors_req": 4, "nodes_req": None, "gpus_req": None, "mem_req": 4.0, "wallclock_req": 200.0,
        "submit_time": 1_000_000_000.0, "end_time": 1_000_000_110.0, "run_time": 100.0, "state": "completed",
        "max_rss": None,
    }  # fmt: skip
    assert job(records, "2")["partition"] == "long jobs"
    assert job(records, "2")["end_time"] == 1_000_000_210.0  # no wait recorded: it starts when submitted
    assert job(records, "9")["processors_req"] is None


def test_swf_says_what_it_left_out_and_where() -> None:
    records = read([DATA / "small.swf"])
    assert records.rejected == {
        "line without 18 fields": 1, "unreadable run_time": 1, "part of a job that is listed whole": 1,
        "no run_time": 1, "run_time not positive": 1,
    }  # fmt: skip
    notes = " ".join(records.notes)
    assert "small.swf line 14: expected 18 numbers" in notes
    assert "small.swf line 16, column run_time: expected a finite number, got 'abc' (1 of 9 rows)" in notes
    assert "time zone is US/Pacific" in notes
    assert "more than the 64 processors" in notes


@pytest.mark.parametrize(
    ("job_id", "state"),
    [("1", "completed"), ("2", "timeout"), ("6", "completed"), ("9", "cancelled")],
    ids=["within", "failed at its limit", "completed far past its limit", "cancelled within"],
)
def test_swf_states_know_the_limit(job_id: str, state: str) -> None:
    assert job(read([DATA / "small.swf"]), job_id)["state"] == state


def test_swf_compressed_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "small.swf.gz").write_bytes(gzip.compress((DATA / "small.swf").read_bytes()))
    assert read([tmp_path / "small.swf.gz"]).frame.equals(read([DATA / "small.swf"]).frame)


def test_swf_start_may_come_from_local_time_and_zone(tmp_path: Path) -> None:
    text = (DATA / "small.swf").read_text()
    local = text.replace("UnixStartTime: 1000000000", "StartTime: Sat Sep 8 18:46:40 PDT 2001")
    (tmp_path / "local.swf").write_text(local)
    assert read([tmp_path / "local.swf"]).frame.equals(read([DATA / "small.swf"]).frame)


@pytest.mark.parametrize(
    ("header", "said", "zone"),
    [("US/Pacific", None, "US/Pacific"), ("US/Pacific", "UTC", "UTC"), ("Summer", None, "UTC")],
)
def test_swf_is_local_to_the_zone_of_its_header(tmp_path: Path, header: str, said: str | None, zone: str) -> None:
    (tmp_path / "zone.swf").write_text((DATA / "small.swf").read_text().replace("US/Pacific", header))
    assert read([tmp_path / "zone.swf"], options=Options(timezone=said)).timezone == zone


def test_parts_of_a_log_that_differ_in_their_zone_are_told() -> None:
    parts = [DATA / "eagle-sample.csv", DATA / "sacct.txt"]
    records = read(parts)
    assert records.timezone == "America/Denver"
    assert "differ in their time zone (America/Denver, UTC)" in " ".join(records.notes)
    assert read(parts, options=COLORADO).timezone == "America/Denver"
    assert "differ" not in " ".join(read(parts, options=COLORADO).notes)


def test_swf_header_in_latin_1_keeps_its_letters(tmp_path: Path) -> None:
    text = (DATA / "small.swf").read_text().replace("Queue: 1 short", "Queue: 1 f\u00fcr alle")
    (tmp_path / "latin.swf").write_bytes(text.encode("latin-1"))
    assert job(read([tmp_path / "latin.swf"]), "1")["partition"] == "f\u00fcr alle"


def test_sacct_folds_steps_and_reads_units() -> None:
    records = read([DATA / "sacct.txt"], options=COLORADO)
    assert is_typed(records)
    assert job(records, "100") == {
        "job_id": "100", "user": "ann", "account": "phys", "partition": "batch", "qos": "normal", "job_name": "train",
        "processors_req": 8, "nodes_req": 2, "gpus_req": 4, "mem_req": 8_192.0, "wallclock_req": 86_400.0,
        "submit_time": denver(2024, 3, 1, 10, 0, 0), "end_time": denver(2024, 3, 1, 11, 5, 0), "run_time": 3_600.0,
        "state": "completed", "max_rss": 2_560.0,
    }  # fmt: skip
    expected = {
        "101": ("cancelled", 8_192.0, None),  # 2 GB per CPU, no limit
        "102_3": ("out_of_memory", 1_500.0, None),  # 500 MB per node, the partition's limit
        "103": ("timeout", 16_384.0, 1_800.0),  # for the whole job
        "104": ("node_fail", None, 1_800.0),  # memory not asked for
    }
    for job_id, (state, memory, limit) in expected.items():
        row = job(records, job_id)
        assert (row["state"], row["mem_req"], row["wallclock_req"]) == (state, memory, limit)


def test_sacct_counts_what_is_no_finished_job() -> None:
    records = read([DATA / "sacct.txt"], options=COLORADO)
    assert records.rejected == {
        "not finished": 1, "run_time not positive": 1, "line without 18 cells": 1, "step without its job": 1
    }  # fmt: skip
    assert any("3 lines of steps are folded" in note for note in records.notes)
    assert any("sacct.txt line 12: expected 18 cells" in note for note in records.notes)


REQUEUED = """\
7|2024-03-01T10:00:00|00:10:00|NODE_FAIL|
7.batch|2024-03-01T10:00:00|00:10:00|CANCELLED|1G
7.0|2024-03-01T10:01:00|00:09:00|CANCELLED|2G
7|2024-03-01T10:12:00|00:58:00|COMPLETED|
7.batch|2024-03-01T10:12:00|00:58:00|COMPLETED|64G
7|2024-03-01T12:12:00|00:00:30|CANCELLED|
8|2024-03-01T13:00:00|00:01:00|COMPLETED|
8.batch|2024-03-01T13:00:00|00:01:00|COMPLETED|3G
"""


@pytest.mark.parametrize(
    ("order", "peaks"),
    [
        (range(8), [2_048.0, 65_536.0, None, 3_072.0]),
        ([0, 3, 5, 1, 2, 4, 6, 7], [None, None, None, 3_072.0]),
        ([1, 2, 4, 0, 3, 5, 7, 6], [None, None, None, 3_072.0]),
    ],
    ids=["as sacct prints them", "jobs before steps", "steps before jobs"],
)
def test_the_peak_of_a_requeued_job_is_that_of_its_run(
    tmp_path: Path, order: list[int], peaks: list[float | None]
) -> None:
    lines = REQUEUED.splitlines()
    text = ["JobID|Submit|Elapsed|State|MaxRSS", *(lines[place] for place in order)]
    (tmp_path / "again.txt").write_text("\n".join(text))
    records = read([tmp_path / "again.txt"])
    assert records.frame["job_id"].to_list() == ["7", "7", "7", "8"]
    assert records.frame["max_rss"].to_list() == peaks
    assert ("3 runs of requeued jobs" in " ".join(records.notes)) == (None in peaks[:2])
    assert "4 lines of steps are folded" in " ".join(records.notes)
    assert not records.rejected
    (tmp_path / "bare.txt").write_text("\n".join(line.rpartition("|")[0] for line in text))
    assert "max_rss" not in " ".join(read([tmp_path / "bare.txt"]).notes), "nothing is said of what is not there"


def test_sacct_outputs_put_together_hold_every_job_once(tmp_path: Path) -> None:
    once = read([DATA / "sacct.txt"], options=COLORADO)
    header, *lines = (DATA / "sacct.txt").read_text().splitlines(keepends=True)
    (tmp_path / "both.txt").write_text("".join([header, *lines, *lines]))
    both = read([tmp_path / "both.txt"], options=COLORADO)
    assert both.frame.equals(once.frame)
    assert both.rejected - once.rejected == {"line that stands there before": len(lines)}


def test_sacct_without_requests_says_that_allocations_stand_for_them(tmp_path: Path) -> None:
    (tmp_path / "alloc.txt").write_text(
        "JobIDRaw|AllocCPUS|NNodes|AllocTRES|TimelimitRaw|Submit|ElapsedRaw|State|MaxRSS|\n"
        "5|8|2|cpu=8,gres/gpu:v100=3,mem=9G|90|1709290800|60|COMPLETED|1048576|\n"
    )
    records = read([tmp_path / "alloc.txt"])
    row = job(records, "5")
    assert (row["processors_req"], row["nodes_req"], row["gpus_req"]) == (8, 2, 3)
    assert (row["wallclock_req"], row["run_time"], row["max_rss"]) == (5_400.0, 60.0, 1.0)
    assert (row["submit_time"], row["end_time"]) == (1_709_290_800.0, 1_709_290_860.0)
    assert sum("allocated" in note for note in records.notes) == 2
    assert any("taken as UTC" in note for note in records.notes)


def test_a_table_is_read_through_its_mapping() -> None:
    records = read([DATA / "table.csv"], mapping=Mapping.load(DATA / "table.toml"))
    assert is_typed(records)
    row = job(records, "1")
    assert (row["submit_time"], row["run_time"], row["end_time"]) == (1.7e9, 60.0, 1.7e9 + 60)
    assert (row["mem_req"], row["processors_req"], row["state"]) == (8.0, 4, "completed")
    assert job(records, "3")["state"] == "unknown"
    assert records.rejected == {"unreadable mem_req": 1}
    assert "table.csv line 3, column mem_kb_per_core" in " ".join(records.notes)


def test_files_that_overlap_count_each_job_once(tmp_path: Path) -> None:
    lines = (DATA / "sacct.txt").read_text().splitlines(keepends=True)
    (tmp_path / "march.txt").write_text("".join(lines[:7]))
    (tmp_path / "april.txt").write_text(lines[0] + "".join(lines[5:9]))
    records = read([tmp_path / "march.txt", tmp_path / "april.txt"], options=COLORADO)
    assert records.frame["job_id"].to_list() == ["102_3", "103", "104", "100", "101"]
    assert records.rejected == {"already in an earlier file": 2}
    assert records.source == "march.txt, april.txt"


def test_tasks_of_an_array_that_are_alike_all_stay(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv", infer_schema=False).head(1)
    pl.concat([table, table]).write_csv(tmp_path / "twice.csv")
    assert read([tmp_path / "twice.csv"]).frame.height == 2


def test_blank_lines_of_a_table_are_counted_and_keep_line_numbers_right(tmp_path: Path) -> None:
    (tmp_path / "blank.csv").write_text((DATA / "table.csv").read_text().replace("\n2,", "\n\n2,"))
    records = read([tmp_path / "blank.csv"], mapping=Mapping.load(DATA / "table.toml"))
    assert records.rejected == {"empty line": 1, "unreadable mem_req": 1}
    assert "blank.csv line 4, column mem_kb_per_core" in " ".join(records.notes)


def test_columns_have_their_names_whatever_the_header_puts_around_them(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text('id, began , took,"cores, all"\n1,1700000060, 60,4\n2, 1700000090,30 ,8\n')
    columns = {"job_id": "id", "submit_time": "began", "run_time": "took", "processors_req": "cores, all"}
    records = read([path], mapping=Mapping.parse({"timezone": "UTC", "columns": columns}))
    assert not records.rejected
    assert records.frame["submit_time"].to_list() == [1_700_000_060.0, 1_700_000_090.0]
    assert records.frame["run_time"].to_list() == [60.0, 30.0]
    assert records.frame["processors_req"].to_list() == [4, 8]


def test_a_line_in_latin_1_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    text = (DATA / "sacct.txt").read_text().replace("|ann|", "|m\u00fcller|", 1).encode()
    changed = text.replace(b"|bob|", "|jos\u00e9|".encode("latin-1"), 1)
    assert changed != text
    (tmp_path / "mixed.txt").write_bytes(changed)
    users = set(read([tmp_path / "mixed.txt"], options=COLORADO).frame["user"])
    assert {"m\u00fcller", "jos\u00e9"} <= users
