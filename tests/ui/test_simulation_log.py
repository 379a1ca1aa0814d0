"""Logs to replay: order, ends, units, what is left out; and the formats that are read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobcast import InputError
from jobcast_proto.manifest import Manifest, Schema
from jobcast_ui.simulation import swf, synthetic
from jobcast_ui.simulation.log import MOST, NO_OUTCOME, Choice, Log, read_log
from jobcast_ui.simulation.presets import PRESETS, allocated, outcome

ROOT = Path(__file__).parents[2]


def schema(name: str) -> Schema:
    return Schema.of(Manifest.model_validate_json((ROOT / "models" / name / "1" / "manifest.json").read_bytes()))


def jobs(**columns: list[Any]) -> dict[str, list[Any]]:
    rows = len(next(iter(columns.values())))
    plain = {"processors_req": 4, "nodes_req": 2, "wallclock_req": 3600, "partition": "a", "qos": "b", "user": "u"}
    return {**{name: [value] * rows for name, value in plain.items()}, **columns}


def log(table: dict[str, list[Any]], choice: Choice, name: str = "hpc-runtime", *, written: bool = False) -> Log:
    return read_log("log", schema(name), table, table, choice, written=written)


def inputs(table: dict[str, list[Any]], *others: str) -> dict[str, list[Any]]:
    return {name: values for name, values in table.items() if name not in others}


def test_jobs_are_in_order_of_submission_with_their_ends() -> None:
    table = jobs(submit_time=[300, 100, 200], run_time=[30.0, 10.0, 20.0], wait_s=[0, 5, None])
    found = log(table, Choice("run_time", time="submit_time", wait="wait_s"))
    assert found.submit.tolist() == [100, 200, 300]
    assert found.actual.tolist() == [10, 20, 30]
    assert found.end.tolist() == [115, 220, 330]
    assert found.batch.columns["submit_time"] == [100, 200, 300]


def test_an_end_that_the_log_tells_stands() -> None:
    table = jobs(submit_time=["100", "200"], run_time=["10", "20"], end=["150", ""])
    table = {name: list(map(str, values)) for name, values in table.items()}
    found = log(table, Choice("run_time", time="submit_time", end="end"), written=True)
    assert found.end.tolist() == [150, 220]


def test_outcomes_are_turned_into_the_models_unit() -> None:
    table = jobs(submit_time=[100], minutes=[2.0])
    found = log(table, Choice("minutes", factor=60, time="submit_time"))
    assert (found.actual.tolist(), found.end.tolist()) == ([120], [220])


def test_memory_is_known_after_the_hours_of_the_job() -> None:
    table = {"build_profile": ["p"] * 3, "time": [0, 0, 0], "peak": [2**30, 2**31, 2**30], "hours": [2.0, None, 0.5]}
    found = log(table, Choice("peak", factor=1 / 2**30, time="time", hours="hours", assumed_hours=3.0), "build-memory")
    assert found.actual.tolist() == [1, 2, 1]
    assert found.end.tolist() == [7200, 10_800, 1800]
    assert np.isnan(found.hours[1])


def test_without_a_time_jobs_are_submitted_one_a_second() -> None:
    assert log(jobs(run_time=[9.0, 8.0]), Choice("run_time")).submit.tolist() == [0, 1]
    texts = {name: list(map(str, values)) for name, values in jobs(run_time=[9.0, 8.0]).items()}
    assert log(texts, Choice("run_time"), written=True).submit.tolist() == [0, 1]


def test_rows_that_cannot_be_replayed_are_counted_by_reason() -> None:
    table = jobs(submit_time=[1, 2, 3, 4, 5], run_time=[10.0, None, 0.0, 10.0, 10.0], nodes_req=[1, 1, 1, 0, 1])
    found = log(table, Choice("run_time", time="submit_time"))
    assert found.jobs == 2
    assert found.left_out[NO_OUTCOME] == 2
    assert sum(found.left_out.values()) == 3
    assert found.example.startswith("row 3, column nodes_req: must be finite and >= 1, got 0")


def test_a_log_without_a_job_or_with_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a job that can be replayed, all are left out: 1 outcome not known"):
        log(jobs(submit_time=[1], run_time=[None]), Choice("run_time", time="submit_time"))
    with pytest.raises(ValueError, match=f"at most {MOST:,} rows to be replayed, got {MOST + 1:,}"):
        log({"run_time": [1.0] * (MOST + 1)}, Choice("run_time"))
    with pytest.raises(InputError, match="processors_req"):
        log({"submit_time": [1], "run_time": [1.0]}, Choice("run_time", time="submit_time"))


@pytest.mark.parametrize("name", ["hpc-runtime", "build-memory", "llm-latency"])
def test_the_made_up_log_can_be_replayed_and_is_the_same_each_time(name: str) -> None:
    table = synthetic.columns(name)
    assert table is not None
    assert table == synthetic.columns(name)
    outcome_of = {"hpc-runtime": "run_time", "build-memory": "peak_memory_gib", "llm-latency": "latency_ms"}[name]
    time = "submit_time" if name == "hpc-runtime" else "time"
    known = {spec.name for spec in schema(name).inputs}
    own = {column: values for column, values in table.items() if column in known}
    found = read_log("made up", schema(name), own, table, Choice(outcome_of, time=time), written=False)
    assert found.jobs == synthetic.JOBS
    assert not found.left_out
    json.dumps(table)


def test_a_log_in_the_standard_format_is_read() -> None:
    text = (
        "; Computer: made up\n; UnixStartTime: 1000\n"
        "1 10 5 60 4 -1 -1 8 120 2048 1 3 2 7 1 -1 -1 -1\n"
        "2 20 -1 -1 4 -1 -1 -1 120 -1 5 3 2 -1 1 2 -1 -1\n"
    )
    found = swf.columns(text, "log.swf")
    assert found["submit_time"] == [1010, 1020]
    assert found["processors_req"] == [8, 4]
    assert found["mem_req"] == [16.0, None]
    assert found["run_time"] == [60, None]
    assert (found["user"], found["qos"], found["partition"]) == (["3", "3"], ["1", "1"], ["none", "2"])
    read = read_log("log", schema("hpc-runtime"), inputs(found, "wait_s", "run_time"), found,
                    Choice("run_time", time="submit_time", wait="wait_s"), written=False)  # fmt: skip
    assert (read.jobs, read.end.tolist(), dict(read.left_out)) == (1, [1075], {NO_OUTCOME: 1})


def test_a_log_that_is_not_in_the_standard_format_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: must have 18 numbers, got 3"):
        swf.columns("; UnixStartTime: 5\n1 2 3\n", "log.swf")
    with pytest.raises(ValueError, match="does not say when the log begins"):
        swf.columns("1 10 5 60 4 -1 -1 8 120 2048 1 3 2 7 1 -1 -1 -1\n", "log.swf")
    with pytest.raises(ValueError, match="holds no job"):
        swf.columns("; UnixStartTime: 5\n", "log.swf")


def test_presets_are_the_levels_that_they_say() -> None:
    levels = [0.5, 0.95, 0.99]
    quantiles = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    own = np.array([7.0, 8.0])
    found = {one.name: allocated(one, quantiles, levels, own) for one in PRESETS}
    assert [values.tolist() for values in found.values() if values is not None] == [[7, 8], [2, 5], [3, 6]]
    assert allocated(PRESETS[1], quantiles[:, :1], [0.5], own) is None


def test_an_outcome_is_what_was_given_against_what_was_used() -> None:
    found = outcome(np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0]), np.array([10.0, 100.0, 1.0]))
    assert found is not None
    assert (found.jobs, found.under, found.over) == (3, 1 / 3, 2 / 5)
    assert (found.waste, found.shortfall) == (20, 100)
    assert outcome(np.array([]), np.array([]), np.array([])) is None
