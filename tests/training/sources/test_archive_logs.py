"""Logs of the Parallel Workloads Archive: the choices that hold for a whole log, and the public logs themselves."""

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.sources import read

SUBMIT = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)

KEPT = {
    "hpc-ctc-sp2-1996": (77_205, 77_222),
    "hpc-eagle-2019-sample": (1_000, 1_000),
    "hpc-hpc2n-2002": (202_871, 202_871),
    "hpc-kth-sp2-1996": (28_468, 28_476),
    "hpc-lanl-cm5-1994": (122_058, 122_060),
    "hpc-llnl-thunder-2007": (113_613, 121_039),
    "hpc-ricc-2010": (447_784, 447_794),
    "hpc-sandia-ross-2001": (55_605, 57_882),
    "hpc-sdsc-blue-2000": (232_536, 243_306),
    "hpc-sdsc-sp2-1998": (54_034, 59_715),
}
"""Rows with a run time above 0, and all rows, of each public log."""


def log(tmp_path: Path, **columns: list[object]) -> Path:
    given: dict[str, list[object]] = {
        "job_id": [1, 2], "user": [7, 8], "group": [3, 3], "application": [9, 9], "queue": [1, 2],
        "partition": [1, 1], "processors_req": [4, 8], "wallclock_req": [200, 200], "mem_req_kb": [1_024, None],
        "wait_s": [10, 20], "run_time": [100, 150], "processors_alloc": [2, 2], "cpu_time_avg": [1.0, 1.0],
        "mem_used_kb": [5, 5], "status": [1, 0],
    }  # fmt: skip
    frame = pl.DataFrame({**given, **columns}).with_columns(submit_time=pl.lit(SUBMIT).dt.cast_time_unit("ms"))
    frame.write_parquet(tmp_path / "jobs.parquet")
    return tmp_path / "jobs.parquet"


def test_units_and_times(tmp_path: Path) -> None:
    records = read([log(tmp_path)])
    assert records.frame["submit_time"].to_list() == [1e9, 1e9]
    assert records.frame["end_time"].to_list() == [1e9 + 110, 1e9 + 170]
    assert records.frame["mem_req"].to_list() == [4.0, None]
    assert records.frame["state"].to_list() == ["completed", "failed"]
    assert records.frame["max_rss"].null_count() == 2  # the log has an average, not a peak


def test_a_constant_partition_gives_way_to_the_queue(tmp_path: Path) -> None:
    assert read([log(tmp_path)]).frame["partition"].to_list() == ["1", "2"]


def test_a_partition_that_varies_stays_and_the_queue_becomes_qos(tmp_path: Path) -> None:
    records = read([log(tmp_path, partition=[5, 6])])
    assert records.frame["partition"].to_list() == ["5", "6"]
    assert records.frame["qos"].to_list() == ["1", "2"]


def test_allocated_processors_stand_for_requests_that_nobody_made(tmp_path: Path) -> None:
    records = read([log(tmp_path, processors_req=[None, None])])
    assert records.frame["processors_req"].to_list() == [2, 2]
    assert any("allocated processors stand" in note for note in records.notes)


def test_one_missing_request_stays_missing(tmp_path: Path) -> None:
    assert read([log(tmp_path, processors_req=[4, None])]).frame["processors_req"].to_list() == [4, None]


def test_exit_codes_are_told_from_status_codes(tmp_path: Path) -> None:
    records = read([log(tmp_path, status=[0, 137])])
    assert records.frame["state"].to_list() == ["completed", "failed"]
    assert any("exit codes" in note for note in records.notes)


@pytest.mark.parametrize(
    ("run_time", "status", "state"),
    [
        (197, 0, "failed"), (198, 0, "timeout"), (198, 5, "timeout"), (900, 5, "timeout"),
        (198, 1, "timeout"), (210, 1, "timeout"), (211, 1, "completed"), (100, 5, "cancelled"),
    ],
)  # fmt: skip
def test_a_job_at_its_limit_timed_out(tmp_path: Path, run_time: int, status: int, state: str) -> None:
    records = read([log(tmp_path, run_time=[run_time, 1], status=[status, 1])])
    assert records.frame["state"][0] == state


@pytest.mark.parametrize("name", KEPT)
def test_the_public_logs_are_read_whole(name: str) -> None:
    folder = os.environ.get("LOGS")
    if folder is None:
        pytest.skip("LOGS, the folder that holds the public logs, is not set")
    (path,) = (Path(folder) / name).glob("jobs.*")
    records = read([path])
    assert (records.frame.height, records.frame.height + records.rejected.total()) == KEPT[name]
    assert records.frame["submit_time"].is_sorted()
    assert (records.frame["end_time"] >= records.frame["submit_time"]).all()
