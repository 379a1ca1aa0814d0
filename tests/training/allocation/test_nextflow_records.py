"""Nextflow's trace file, readable and raw, and tables made of traces."""

import os
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.allocation.records import AllocationRecords
from jobcast_training.allocation.sources import read_records
from jobcast_training.predictors.workflow_memory import PREDICTOR

NOW = 1_800_000_000.0
DATA = Path(__file__).parent / "data"
# Task 2 has a tag with a quotation mark, task 3 an index instead of a tag, task 4 nothing after its name.
READABLE, RAW = ((DATA / name).read_text() for name in ("trace.txt", "trace-raw.txt"))


def read(path: Path, text: str = "", **options: object) -> AllocationRecords:
    if text:
        path.write_text(text)
    return read_records(PREDICTOR, [path], now=NOW, **options)  # type: ignore[arg-type]


@pytest.fixture(params=[READABLE, RAW], ids=["readable", "raw"])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> AllocationRecords:
    return read(tmp_path / "trace.txt", request.param)


def test_both_forms_give_the_same_records(trace: AllocationRecords) -> None:
    frame = trace.frame
    assert frame["process"].to_list() == ["QC:FASTQC", "QC:FASTQC", "MERGE"]
    assert frame["tag"].to_list() == ["s1", '5" s2', None]
    assert frame["container"].to_list() == ["q/fastqc", "q/fastqc", None]
    assert frame["amount"].to_list() == [1.5, 0.5, 3 / 1024]
    assert frame["requested_memory"].to_list() == [4.0, 1.0, 0.0]
    assert frame["time_limit"].to_list() == [14_400.0, 86_400.0, None]
    assert frame["attempt"].to_list() == [1.0, 1.0, 2.0]
    assert frame["cpus"].to_list() == [2.0, 2.0, 1.0]
    assert frame["time"].to_list() == [1_714_557_600.25, 1_714_557_601.0, 1_714_557_602.0]
    assert frame["hours"].to_list() == pytest.approx([0.459 / 3600, 3723 / 3600, 10 / 3600])


def test_a_task_ends_when_its_duration_has_passed_since_its_submission(trace: AllocationRecords) -> None:
    assert (trace.frame["end_time"] - trace.frame["time"]).to_list() == pytest.approx([65.0, 7200.0, 20.5])


def test_a_task_killed_for_want_of_memory_is_a_lower_bound(trace: AllocationRecords) -> None:
    assert trace.frame["censored"].to_list() == [False, True, False]
    assert any("1 jobs failed with exit 137, 139, 143" in note for note in trace.notes)


def test_what_is_no_run_is_left_out_by_its_status(trace: AllocationRecords) -> None:
    assert trace.rejected == {
        "status CACHED: taken from an earlier run, not a run": 1,
        "status NEW, SUBMITTED, PENDING, RUNNING: not ended": 1,
        "status FAILED or ABORTED without peak_memory": 2,
    }


def test_the_columns_of_a_trace_are_all_known(trace: AllocationRecords) -> None:
    assert not any("not used" in note for note in trace.notes)


def test_completion_and_start_come_before_what_is_worked_out(tmp_path: Path) -> None:
    text = (
        "task_id\tprocess\ttag\tsubmit\tstart\tcomplete\tduration\tpeak_rss\n"
        "1\tA\t12\t1714557600000\t1714557610000\t1714557646000\t99000\t1024\n"
    )
    row = read(tmp_path / "trace.txt", text).frame.row(0, named=True)
    assert row["end_time"] - row["time"] == 46.0
    assert row["hours"] == pytest.approx(0.01)
    assert row["tag"] == "12"  # a tag that the trace gives itself is one, digits or not


def test_a_failed_task_with_a_peak_is_kept_and_counted(tmp_path: Path) -> None:
    text = READABLE.replace(
        "REPORT\tFAILED\t1\t2024-05-01 10:00:03.000\t5s\t-\t-\t-\t",
        "REPORT\tFAILED\t1\t2024-05-01 10:00:03.000\t5s\t-\t-\t9 MB\t",
    )
    records = read(tmp_path / "trace.txt", text)
    assert records.frame["censored"].to_list() == [False, True, False, False]
    assert "1 jobs that failed for another reason are kept with what they used." in records.notes


def test_a_code_of_want_of_memory_without_failure_is_no_failure(tmp_path: Path) -> None:
    records = read(tmp_path / "trace.txt", READABLE.replace("FAILED\t137", "COMPLETED\t137"))
    assert not records.frame["censored"].any()


def test_an_end_in_whole_seconds_is_not_before_a_submission_in_milliseconds(tmp_path: Path) -> None:
    table = "process,submit_time,complete_time,peak_rss_bytes\nA,2024-05-01 10:00:00.163,2024-05-01 10:00:00,5000\n"
    frame = read(tmp_path / "tasks.csv", table).frame
    assert frame["end_time"].equals(frame["time"].alias("end_time"))


def test_a_plain_table_may_be_read_as_a_trace_when_it_is_said(tmp_path: Path) -> None:
    table = "process,submit,time,peak_rss\nA,1714557600,60000,5000\n"
    assert read(tmp_path / "tasks.csv", table, format="nextflow").frame["time_limit"].to_list() == [60.0]
    with pytest.raises(ValueError, match="columns 'time' and 'submit' both give time"):
        read(tmp_path / "tasks.csv", format="table")


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS does not name the folder of public data")
@pytest.mark.parametrize(
    ("name", "kept", "rejected"),
    [
        ("chipseq", 2_937, {"peak_memory not positive": 1}),
        ("rnaseq", 1_308, {}),
        ("eager", 1_576, {}),
        ("iwd", 1_661, {}),
        ("methylseq", 1_011, {"status FAILED or ABORTED without peak_memory": 72}),
    ],
)
def test_public_workflows(name: str, kept: int, rejected: dict[str, int]) -> None:
    records = read(Path(os.environ["LOGS"]) / "mem-nextflow-sizey" / f"{name}.parquet")
    assert records.frame.height == kept
    assert records.rejected == rejected
    assert records.frame["hours"].null_count() == records.frame["requested_memory"].null_count() == 0
    if name == "eager":
        assert dict(records.frame["attempt"].value_counts().iter_rows()) == {1.0: 1_566, 2.0: 9, 3.0: 1}


@pytest.mark.skipif("LOGS" not in os.environ, reason="LOGS does not name the folder of public data")
def test_public_tools() -> None:
    records = read(Path(os.environ["LOGS"]) / "mem-galaxy-tools" / "runs-until-2021-09.parquet")
    assert records.frame.height == 157_978
    assert not records.rejected
    assert records.frame.select(pl.col("process", "cpus", "input_size", "amount").null_count()).row(0) == (0,) * 4
