"""Wrong input: each kind has its reason or its error, which names file, field, rule and value."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.sources import read_records
from jobcast_training.predictors.build_memory import PREDICTOR
from jobcast_training.predictors.workflow_memory import PREDICTOR as WORKFLOW

NOW = 1_800_000_000.0
SOUND = {
    "time": "1750000000", "end_time": "1750003600", "duration_h": "1", "build_profile": "a-b-c", "makeType": "opt",
    "jobs": "8", "memreq": "4 GB", "max_rss": "1 GB",
}  # fmt: skip

REASONS = [
    ("time", "", "no time"),
    ("time", "soon", "text where a time is expected in time"),
    ("time", "-5", "negative number in time"),
    ("time", "1900000000", "time in the future"),
    ("time", "1750000000000", "mixed units in time"),
    ("time", "2025-06-15T15:06:40", "mixed units in time"),
    ("time", "inf", "infinite number in time"),
    ("end_time", "1749999000", "end_time before time"),
    ("end_time", "1900000000", "end_time in the future"),
    ("duration_h", "-1", "negative number in hours"),
    ("build_profile", " ", "no build_profile, which is required"),
    ("makeType", "foo", "make_type not one of opt, rel, dbg (first: 'foo')"),
    ("makeType", "OPT", "make_type not one of opt, rel, dbg (first: 'OPT')"),
    ("jobs", "-8", "negative number in jobs"),
    ("jobs", "many", "text where a number is expected in jobs"),
    ("jobs", "8 GB", "text where a number is expected in jobs"),
    ("jobs", "1e999", "infinite number in jobs"),
    ("jobs", "1e16", "jobs absurd, above 1,000,000,000,000,000 jobs"),
    ("memreq", "-1 GB", "negative number in requested_memory"),
    ("memreq", "4096", "mixed units in requested_memory"),
    ("memreq", "5 min", "text where a number is expected in requested_memory"),
    ("memreq", "much", "text where a number is expected in requested_memory"),
    ("max_rss", "", "no peak_memory"),
    ("max_rss", "NA", "no peak_memory"),
    ("max_rss", "0", "peak_memory not positive"),
    ("max_rss", "-2 GB", "peak_memory not positive"),
    ("max_rss", "1073741824", "mixed units in peak_memory"),
    ("max_rss", "2 EB", "peak_memory absurd, above 1,000,000 GiB"),
]


def table(folder: Path, *cells: str, field: str = "jobs", name: str = "builds.csv") -> Path:
    rows = [SOUND, SOUND, SOUND, *({**SOUND, field: cell} for cell in cells)]
    path = folder / name
    path.write_text("\n".join(",".join(row) for row in [list(SOUND), *(row.values() for row in rows)]) + "\n")
    return path


def read(*paths: Path, **options: object) -> AllocationRecords:
    return read_records(PREDICTOR, paths, now=NOW, **options)  # type: ignore[arg-type]


def refused(path: Path, *parts: str, **options: object) -> None:
    with pytest.raises(RecordError) as raised:
        read(path, **options)
    for part in (path.name, *parts):
        assert part in str(raised.value)


@pytest.mark.parametrize(("field", "cell", "reason"), REASONS)
def test_one_bad_cell_leaves_out_its_row_alone(tmp_path: Path, field: str, cell: str, reason: str) -> None:
    records = read(table(tmp_path, cell, field=field))
    assert records.rejected == {reason: 1}
    assert records.frame.height == 3


@pytest.mark.parametrize(("field", "cell", "reason"), REASONS)
def test_the_first_bad_cell_is_quoted_with_its_line(tmp_path: Path, field: str, cell: str, reason: str) -> None:
    notes = read(table(tmp_path, cell, field=field)).notes
    rule = reason.partition(" (first")[0]
    shown = repr(cell) if cell else "None"
    assert any(f"builds.csv line 5, column {field}: " in one and rule in one and "1 of 4 rows" in one for one in notes)
    assert any(shown in one for one in notes)


@pytest.mark.parametrize(("field", "cell", "reason"), [one for one in REASONS if "mixed" not in one[2]])
def test_a_file_most_of_whose_rows_break_one_rule_is_refused(
    tmp_path: Path, field: str, cell: str, reason: str
) -> None:
    path = table(tmp_path, cell, cell, cell, cell, field=field)
    refused(path, f"line 5, column {field}", reason.partition(" (first")[0], "4 of 7 rows")


def test_half_of_the_rows_is_not_most_of_them(tmp_path: Path) -> None:
    assert read(table(tmp_path, "x", "x", "x")).rejected == {"text where a number is expected in jobs": 3}


@pytest.mark.parametrize(("field", "cell"), [("max_rss", "5"), ("memreq", "5"), ("time", "1750000000000")])
def test_a_column_half_in_one_unit_and_half_in_another_is_refused(tmp_path: Path, field: str, cell: str) -> None:
    refused(table(tmp_path, cell, cell, cell, field=field), "mixed units", "line 5", repr(cell), "line 2")


def test_the_rarer_unit_is_left_out_whichever_it_is(tmp_path: Path) -> None:
    records = read(table(tmp_path, "5", "6", "7", "8", field="memreq"))
    assert records.frame["requested_memory"].to_list() == [5 / 1024, 6 / 1024, 7 / 1024, 8 / 1024]
    assert records.rejected == {"mixed units in requested_memory": 3}


def test_a_row_of_many_faults_is_counted_once_and_an_empty_line_is_a_row(tmp_path: Path) -> None:
    path = table(tmp_path, "x")
    path.write_text(path.read_text() + ",,,,,,,\n\n")
    records = read(path)
    assert records.rejected == {"text where a number is expected in jobs": 1, "empty line": 2}
    assert "builds.csv line 6: empty line (2 of 6 rows)." in records.notes


def test_a_reason_over_two_files_names_the_first_value_of_the_first(tmp_path: Path) -> None:
    first = table(tmp_path, "foo", field="makeType")
    second = table(tmp_path, "bar", "baz", field="makeType", name="more.csv")
    rejected = read(first, second).rejected
    assert rejected["make_type not one of opt, rel, dbg (first: 'foo')"] == 3


def test_a_future_time_is_measured_from_now_with_a_day_of_grace(tmp_path: Path) -> None:
    path = table(tmp_path)
    assert read_records(PREDICTOR, [path], now=1_750_000_000 - 86_400 + 3600).frame.height == 3
    with pytest.raises(RecordError, match="time in the future"):
        read_records(PREDICTOR, [path], now=1_750_000_000 - 86_401)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.csv").write_text(text)
    refused(tmp_path / "empty.csv", "the file is empty")


def test_a_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "builds.csv"
    path.write_text(",".join(SOUND) + "\n")
    refused(path, "no row")
    pl.DataFrame(schema=dict.fromkeys(SOUND, pl.String)).write_parquet(tmp_path / "builds.parquet")
    refused(tmp_path / "builds.parquet", "no row")


def changed(folder: Path, old: str, new: str) -> Path:
    path = table(folder)
    header, rest = path.read_text().split("\n", 1)
    path.write_text(",".join(new if one == old else one for one in header.split(",")) + "\n" + rest)
    return path


def test_a_missing_column_is_named_with_what_would_do_and_what_is_near(tmp_path: Path) -> None:
    refused(
        changed(tmp_path, "build_profile", "buildProfil"),
        "no column gives build_profile", "build_profile or buildProfile", "the closest here is 'buildProfil'",
    )  # fmt: skip
    refused(changed(tmp_path, "max_rss", "x"), "no column gives peak_memory", "max_rss_bytes or max_rss_mib")
    refused(
        changed(tmp_path, "time", "x"),
        "no column gives time",
        "timestamp or submit_time",
        "The file has the columns x,",
    )


def test_two_columns_for_one_field(tmp_path: Path) -> None:
    refused(changed(tmp_path, "jobs", "make_type"), "columns 'make_type' and 'makeType' both give make_type", "mapping")
    refused(changed(tmp_path, "jobs", "makeType"), "line 1: column 'makeType' stands there twice")


def test_a_mapping_that_names_what_is_not(tmp_path: Path) -> None:
    path = table(tmp_path)
    refused(path, "mapping of column 'jobs': unknown field 'local_job'", "'local_jobs'", mapping={"jobs": "local_job"})
    refused(path, "no column 'job', which the mapping names for jobs", "'jobs'", mapping={"job": "jobs"})
    refused(
        path, "columns 'max_rss' and 'memreq' both give peak_memory",
        mapping={"max_rss": "peak_memory", "memreq": "max_rss_mib"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("prose.txt", b"not a table", "unknown format"),
        ("list.json", b'[{"time": 1}]', "unknown format: a JSON list"),
        ("builds.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0), "unknown format: the file is gzip-compressed"),
        ("wide.csv", b"a,b\n1,2\n1,2,3\n", "line 3: expected 2 cells as in the header, got 3"),
        ("quote.csv", b'a,b\n"1,2\n', "damaged file"),
        ("cut.jsonl", b'{"time": 1}\n{"time": \n', "line 2: damaged file: expected a JSON object"),
        ("gap.jsonl", b'{"time": 1}\n\n{"time": \n', "line 3: damaged file: expected a JSON object"),
        ("nan.jsonl", b'{"time": 1}\n\n{"time": NaN}\n', "line 3: damaged file: NaN is not JSON; write null"),
        ("kinds.jsonl", b'{"a": 1}\n{"a": null}\n{"a": [1]}\n',
         "line 3, column a: expected a value as in line 1, got a list"),
        ("cut.parquet", b"PAR1" + b"x" * 40, "damaged Parquet file"),
        ("noise.bin", b"ab\0cd", "neither text nor Parquet"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, said)


def test_a_parquet_file_cut_in_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "builds.parquet"
    pl.read_csv(table(tmp_path)).write_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes(len(whole) - 400) + whole[len(whole) - 340 :])
    refused(path)


@pytest.mark.parametrize(("field", "value"), [("jobs", [1]), ("time", [1]), ("makeType", {"a": 1}), ("max_rss", [2.0])])
def test_a_column_of_lists_is_no_column_of_values(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "builds.parquet"
    pl.read_csv(table(tmp_path)).with_columns(pl.Series(field, [value] * 3)).write_parquet(path)
    refused(path, f"column {field}: expected")


JSON = {"time": 1_750_000_000, "build_profile": "a-b-c", "max_rss_gib": 2.0}


def lines(folder: Path, *rows: dict[str, object] | None) -> Path:
    path = folder / "builds.jsonl"
    path.write_text("".join(f"{json.dumps(row) if row else ''}\n" for row in rows))
    return path


def test_blank_lines_among_json_lines_are_rows_and_keep_line_numbers_right(tmp_path: Path) -> None:
    path = lines(tmp_path, JSON, None, JSON, None, None, {**JSON, "max_rss_gib": -5.0}, JSON, None)
    records = read(path)
    assert records.rejected == {"empty line": 4, "peak_memory not positive": 1}
    assert records.frame.height == 3
    notes = " ".join(records.notes)
    assert "builds.jsonl line 2: empty line (4 of 8 rows)" in notes
    assert "builds.jsonl line 6, column max_rss_gib" in notes


def test_lists_and_texts_in_one_column_of_json_lines_are_the_same_words(tmp_path: Path) -> None:
    targets = [["a", "b"], "a,b", ["c", 1, True], None, "[a"]
    path = lines(tmp_path, *({**JSON, "targets": cell} for cell in targets))
    assert read(path).frame["targets"].to_list() == ["a,b", "a,b", "c,1,true", None, "[a"]


@pytest.mark.parametrize("cell", [{"a": 1}, [["a"]]])
def test_objects_beside_texts_in_json_lines_are_no_texts_and_hurt_no_other_column(tmp_path: Path, cell: object) -> None:
    path = lines(tmp_path, {**JSON, "targets": "a"}, None, {**JSON, "targets": cell})
    refused(path, "column targets: expected texts for targets")
    path = lines(tmp_path, {**JSON, "unread": "[a"}, None, {**JSON, "unread": cell})
    assert read(path).frame.height == 2


def test_wrong_arguments(tmp_path: Path) -> None:
    path = table(tmp_path)
    for options, said in (
        ({"format": "netflow"}, "unknown format 'netflow'; did you mean 'nextflow'?"),
        ({"assumed_hours": -1}, "assumed_hours: must be a number from 0, got -1"),
        ({"assumed_hours": float("nan")}, "assumed_hours: must be a number from 0, got nan"),
    ):
        with pytest.raises(RecordError) as raised:
            read(path, **options)
        assert said in str(raised.value)
    with pytest.raises(RecordError, match="no file of records was given"):
        read()
    refused(tmp_path / "none.csv", "cannot be read")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("eagle.csv", "job_id,wallclock_req,nodes_req,start_time,end_time,submit_line\n1,2,3,4,5,6\n", "(eagle)"),
        ("jobs.swf", "; Version: 2\n" + " ".join(["1"] * 18) + "\n", "(swf)"),
        ("sacct.txt", "JobID|Submit|State|Elapsed\n1|2|3|4\n", "(sacct)"),
        ("trace.txt", "task_id\tname\tsubmit\trealtime\tpeak_rss\n1\ta\t1\t1\t1\n", "a trace of Nextflow"),
        ("tasks.csv", "software_name,hardware_name,runtime_ms\na,b,1\n", "no column gives peak_memory"),
    ],
)  # fmt: skip
def test_records_of_something_else_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    refused(tmp_path / name, "no column gives build_profile", said)


def test_columns_made_of_others_are_not_said_to_be_in_the_file(tmp_path: Path) -> None:
    names = ["task_id", "name", "submit", "realtime", "peak_rss"]
    (tmp_path / "trace.txt").write_text("\t".join(names) + "\n1\ta (b)\t1\t1\t1\n")
    refused(tmp_path / "trace.txt", f"The file has the columns {', '.join(names)}. It looks like")


def test_a_file_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("task_id\tprocess\tstatus\tsubmit\trealtime\tpeak_rss\n1\ta\tCACHED\t1700000000000\t1\t5\n")
    with pytest.raises(RecordError, match=r"trace\.txt: no row can be kept: 1 x status CACHED"):
        read_records(WORKFLOW, [path], now=NOW)
