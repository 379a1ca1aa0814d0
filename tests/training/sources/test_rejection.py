"""Each reason to leave a row out, by the one cell that brings it about; and the cells that are merely missing."""

from dataclasses import replace
from pathlib import Path

import pytest
from jobcast_training.records import Records
from jobcast_training.sources import Mapping, read

SOUND = {
    "job_id": "1", "submit_time": "1700000000", "run_time": "60", "end_time": "1700000060", "processors_req": "4",
    "nodes_req": "2", "gpus_req": "0", "mem_req": "1G", "wallclock_req": "600", "max_rss": "10M", "state": "COMPLETED",
}  # fmt: skip
MAPPING = Mapping.parse({"timezone": "UTC", "columns": {name: name for name in SOUND}})

REASONS = [
    ("submit_time", "", "no submit_time"),
    ("submit_time", "soon", "unreadable submit_time"),
    ("submit_time", "1700000000000", "submit_time not from 1970 to 2099"),
    ("run_time", "inf", "unreadable run_time"),
    ("run_time", "-inf", "unreadable run_time"),
    ("run_time", "1e999", "unreadable run_time"),
    ("run_time", "0", "run_time not positive"),
    ("run_time", "-5", "run_time not positive"),
    ("end_time", "1600000000", "end_time before submit_time"),
    ("processors_req", "2.5", "unreadable processors_req"),
    ("processors_req", "3000000000", "unreadable processors_req"),
    ("processors_req", "0", "processors_req not positive"),
    ("nodes_req", "-1", "nodes_req not positive"),
    ("gpus_req", "-1", "gpus_req negative"),
    ("mem_req", "much", "unreadable mem_req"),
    ("mem_req", "inf", "unreadable mem_req"),
    ("mem_req", "-4", "mem_req negative"),
    ("max_rss", "-4", "max_rss negative"),
    ("wallclock_req", "0", "wallclock_req not positive"),
    ("wallclock_req", "1:2:3:4", "unreadable wallclock_req"),
    *(("state", word, "not finished") for word in ("RUNNING", "STOPPED", "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT")),
    *(("state", word, "not finished") for word in ("RESV_DEL_HOLD", "REQUEUE_FED", "POWER_UP_NODE")),
    ("run_time", "6e301", "run_time absurd, above 100 years"),
    ("wallclock_req", "4e9", "wallclock_req absurd, above 100 years"),
    ("end_time", "1700000060000", "end_time absurd, above 100 years after submit_time"),
]


def table(folder: Path, **changed: str) -> Path:
    rows = [SOUND, SOUND, {**SOUND, **changed}]
    path = folder / "jobs.csv"
    path.write_text("\n".join(",".join(row) for row in [list(SOUND), *(row.values() for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize(("field", "cell", "reason"), REASONS)
def test_one_bad_cell_leaves_out_its_row_alone(tmp_path: Path, field: str, cell: str, reason: str) -> None:
    records = read([table(tmp_path, **{field: cell})], mapping=MAPPING)
    assert records.rejected == {reason: 1}
    assert records.frame.height == 2


NUMBERS = ("processors_req", "nodes_req", "gpus_req", "mem_req", "wallclock_req", "max_rss")


@pytest.mark.parametrize(
    ("field", "cell"), [("job_id", ""), *((name, cell) for name in NUMBERS for cell in ("", "NaN"))]
)
def test_a_missing_optional_cell_is_null(tmp_path: Path, field: str, cell: str) -> None:
    records = read([table(tmp_path, **{field: cell})], mapping=MAPPING)
    assert not records.rejected
    assert records.frame[field].null_count() == 1


def test_a_missing_run_time_is_not_invented(tmp_path: Path) -> None:
    assert read([table(tmp_path, run_time="")], mapping=MAPPING).rejected == {"no run_time": 1}


def test_the_place_told_is_that_of_a_row_left_out_for_this_reason(tmp_path: Path) -> None:
    path = table(tmp_path, run_time="much")
    lines = path.read_text().splitlines()
    both = lines[1].replace("1700000000", "soon", 1).replace(",60,", ",long,", 1)
    path.write_text("\n".join([lines[0], both, *lines[1:], lines[1], lines[1]]) + "\n")
    records = read([path], mapping=MAPPING)
    assert records.rejected == {"unreadable submit_time": 1, "unreadable run_time": 1}
    notes = " ".join(records.notes)
    assert "line 2, column submit_time: expected" in notes
    assert "line 5, column run_time: expected" in notes
    assert "got 'much'" in notes


def test_a_wait_of_a_century_is_absurd(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("began,waited,took\n1700000000,3e9,60\n1700000000,4e9,60\n")
    columns = {"submit_time": "began", "wait_time": "waited", "run_time": "took"}
    records = read([path], mapping=Mapping.parse({"timezone": "UTC", "columns": columns}))
    assert records.rejected == {"end_time absurd, above 100 years after submit_time": 1}


def states(folder: Path, mapping: Mapping, *words: str) -> Records:
    sound = "\n".join(",".join({**SOUND, "state": word}.values()) for word in words)
    path = folder / "states.csv"
    path.write_text(f"{','.join(SOUND)}\n{sound}\n")
    return read([path], mapping=mapping)


def test_states_that_are_not_known_are_counted(tmp_path: Path) -> None:
    words = ("DONE", "COMPLETED", "done by 7", "3", "", "Unknown", "CANCELLED by 5")
    records = states(tmp_path, MAPPING, *words)
    assert records.notes == ("States that are not known, read as unknown: DONE (2), 3 (1).",)
    assert records.frame["state"].to_list().count("unknown") == 5
    own = replace(MAPPING, states={"DONE": "completed", "lost": "unknown"})
    assert states(tmp_path, own, "DONE", "lost", "fine").notes == (
        "States that are not known, read as unknown: fine (1).",
    )
    assert not states(tmp_path, MAPPING, "COMPLETED", "TIMEOUT", "").notes
