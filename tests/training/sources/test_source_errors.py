"""Files that are not what they say: each gets its own message, which names the place, the rule and the value."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from jobcast_training.records import SourceError
from jobcast_training.sources import Mapping, Options, archive, read

DATA = Path(__file__).parent.parent / "data"
EAGLE = (DATA / "eagle-sample.csv").read_text()
SWF = (DATA / "small.swf").read_text()
TIMED = Mapping.parse({"timezone": "UTC", "columns": {"submit_time": "began", "run_time": "took"}})
SACCT = (DATA / "sacct.txt").read_text()

BROKEN = [
    ("empty.csv", b"", "auto", "empty.csv: the file is empty"),
    ("blank.csv", b"\xef\xbb\xbf \n\r\n\t\n", "auto", "blank.csv: the file is empty"),
    ("blank.gz", gzip.compress(b"\n"), "auto", "blank.gz: the file is empty"),
    ("bytes.csv", b"abc\0def", "auto", "bytes.csv: neither text nor Parquet .byte 0 at offset 3"),
    ("any.csv", b"a,b\n1,2\n", "auto", "any.csv: no known format of job records; map its columns .a, b."),
    ("cut.parquet", b"PAR1 cut off", "auto", "cut.parquet: damaged Parquet file"),
    ("cut.swf.gz", gzip.compress(SWF.encode() * 50)[:200], "auto", "cut.swf.gz: damaged gzip file"),
    ("any.csv", b"a,b\n1,2\n", "eagle", "any.csv: no column 'job_id'; Eagle records have"),
    ("any.csv", b"a,b\n1,2\n", "archive", "any.csv: expected a Parquet file, got text that begins 'a,b'"),
    ("any.csv", b"a,b\n1,2\n", "sacct", "any.csv line 1: expected the columns of 'sacct -P' between bars, got 'a,b'"),
    ("any.csv", b"a,b\n1,2\n", "table", r"any.csv: a plain table needs a mapping \(--mapping\) of its columns a, b"),
    ("any.csv", b"a,b\n1,2\n", "eagel", "format: unknown source 'eagel'; did you mean 'eagle'"),
    ("more.csv", EAGLE.replace("\n", ",extra\n").replace(",extra", "", 1).encode(), "auto",
     "more.csv line 2: expected 18 cells as in the header, got 19"),
    ("more.csv.gz", gzip.compress(EAGLE.replace("\n", ",extra\n").replace(",extra", "", 1).encode()), "auto",
     "more.csv.gz line 2: expected 18 cells as in the header, got 19"),
    ("open.csv", EAGLE.replace("\n", '\n"', 1).encode(), "auto", "open.csv line 2: expected a quote that is closed"),
    ("twice.csv", EAGLE.replace("work_dir", "name", 1).encode(), "auto", "twice.csv line 1: column 'name' .* twice"),
    ("start.swf", SWF.replace("UnixStartTime", "Begin").encode(), "auto", "start.swf: the header does not say when"),
    ("start.swf", SWF.replace("1000000000", "soon").encode(), "auto", "header UnixStartTime: .* got 'soon'"),
    ("short.swf", SWF.replace(" -1 -1\n", " -1\n").encode(), "auto", "short.swf line 11: expected 18 numbers, got"),
    ("no.txt", SACCT.replace("State", "Stat").encode(), "auto", "no.txt line 1: no column State"),
    ("no.txt", SACCT.replace("JobName", "Account").encode(), "auto", "no.txt line 1: column 'Account' .* twice"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "chosen", "message"), BROKEN)
def test_a_file_that_is_not_what_it_says(tmp_path: Path, name: str, content: bytes, chosen: str, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read([tmp_path / name], format=chosen)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv: cannot be read: No such file"):
        read([tmp_path / "gone.csv"])


def test_no_file_at_all() -> None:
    with pytest.raises(SourceError, match="no file"):
        read([])


def test_an_unknown_timezone() -> None:
    with pytest.raises(SourceError, match=r"timezone: expected an IANA zone .* got 'Mars/Base'"):
        read([DATA / "eagle-sample.csv"], options=Options(timezone="Mars/Base"))


def test_a_parquet_log_without_a_column(tmp_path: Path) -> None:
    names = ["wait_s", "processors_alloc", "mem_req_kb", "status"]
    pl.DataFrame({name: [1] for name in names}).write_parquet(tmp_path / "jobs.parquet")
    with pytest.raises(SourceError, match="no column 'job_id'; an archive log has"):
        read([tmp_path / "jobs.parquet"])


def test_mostly_unreadable_column_refuses_the_file_and_names_its_first_line(tmp_path: Path) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv", infer_schema=False)
    later = pl.int_range(pl.len()) >= 400
    table = table.with_columns(run_time=pl.when(later).then(pl.lit("1h")).otherwise("run_time"))
    table.write_csv(tmp_path / "hours.csv")
    message = r"hours\.csv line 402, column run_time: expected a finite number, got '1h' \(600 of 1,000 rows\)"
    with pytest.raises(SourceError, match=message):
        read([tmp_path / "hours.csv"])


MAPPINGS: list[tuple[dict[str, object], str]] = [
    ({"column": {}}, r"unknown table 'column'; did you mean 'columns'"),
    ({"columns": {"subit_time": "a"}}, r"\[columns\]: unknown field 'subit_time'; did you mean 'submit_time'"),
    ({"columns": {"run_time": "a"}}, "submit_time is missing"),
    ({"columns": {"submit_time": "a"}}, "run_time is missing"),
    ({"columns": {"submit_time": "a", "run_time": {"column": "b", "unit": "KB"}}}, "run_time: unknown unit 'KB'"),
    ({"columns": {"submit_time": "a", "run_time": {"unit": "s"}}}, "column must be the name of a column, got None"),
    ({"columns": {"submit_time": "a", "run_time": {"column": "b", "units": "s"}}}, "unknown key 'units'; .* 'unit'"),
    ({"columns": {"submit_time": "a", "run_time": {"column": "b", "per": "node"}}}, "unknown per 'node'"),
    ({"columns": {"submit_time": "a", "run_time": "b", "user": {"column": "c", "unit": "s"}}}, "user has no unit"),
    ({"columns": {"submit_time": "a", "run_time": 3}}, "run_time: the value must be a table, got 3"),
    ({"columns": {"submit_time": "a", "run_time": "b"}, "states": {"x": "done"}}, "unknown state 'done'"),
    ({"columns": {"submit_time": "a", "run_time": "b"}, "timezone": "Mars/Base"}, "timezone: .* 'Mars/Base'"),
]


@pytest.mark.parametrize(("document", "message"), MAPPINGS)
def test_a_mapping_that_names_what_there_is_not(document: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        Mapping.parse(document)


def test_a_mapping_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("columns = {")
    with pytest.raises(SourceError, match=r"m\.toml: not valid TOML"):
        Mapping.load(tmp_path / "m.toml")


def test_a_mapped_column_that_the_table_lacks() -> None:
    mapping = Mapping.parse({"columns": {"submit_time": "submited", "run_time": "minutes"}})
    message = "table.csv: no column 'submited', which the mapping names for submit_time; did you mean 'submitted'"
    with pytest.raises(SourceError, match=message):
        read([DATA / "table.csv"], mapping=mapping)


def test_memory_per_processor_needs_processors() -> None:
    memory = {"column": "mem_kb_per_core", "unit": "KB", "per": "processor"}
    mapping = Mapping.parse({"columns": {"submit_time": "submitted", "run_time": "minutes", "mem_req": memory}})
    with pytest.raises(SourceError, match="per 'processor' needs processors_req"):
        read([DATA / "table.csv"], mapping=mapping)


def test_a_line_with_too_many_cells_is_found_beyond_the_columns_that_are_read(tmp_path: Path) -> None:
    lines = EAGLE.splitlines()
    lines[700] += ",more"
    (tmp_path / "more.csv").write_text("\n".join(lines))
    with pytest.raises(SourceError, match=r"more\.csv line 701: expected 18 cells as in the header, got 19"):
        read([tmp_path / "more.csv"])


def test_a_compressed_table_cut_beyond_the_first_look(tmp_path: Path) -> None:
    rows = "".join(f"{1_700_000_000 + number},{number * 7919 % 86_413}\n" for number in range(100_000))
    whole = gzip.compress(("began,took\n" + rows).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(SourceError, match=r"cut\.csv\.gz: damaged gzip file: .*end-of-stream"):
        read([tmp_path / "cut.csv.gz"], mapping=TIMED)


def test_lines_that_end_as_old_macs_end_them(tmp_path: Path) -> None:
    (tmp_path / "mac.csv").write_bytes(b"began,took\r1700000000,60\r1700000060,60\r")
    with pytest.raises(SourceError, match=r"mac\.csv line 1: its lines end in CR alone, .*2 names"):
        read([tmp_path / "mac.csv"], mapping=TIMED)


NO_VALUES = [
    ([60.0], r"List\(Float64\)"),
    ({"s": 60.0}, r"Struct\("),
    (b"\xff60", "Binary"),
]


@pytest.mark.parametrize(("cell", "dtype"), NO_VALUES)
def test_a_column_of_no_values_is_refused_by_name(tmp_path: Path, cell: object, dtype: str) -> None:
    path = tmp_path / "jobs.parquet"
    pl.DataFrame({"began": [1_700_000_000], "took": [cell]}).write_parquet(path)
    message = f"jobs\\.parquet column took: expected texts, numbers or times, got a column of {dtype}"
    with pytest.raises(SourceError, match=message):
        read([path], mapping=TIMED)
    pl.DataFrame({"began": [1_700_000_000], "took": [60], "more": [cell]}).write_parquet(path)
    assert read([path], mapping=TIMED).frame["run_time"].to_list() == [60.0], "nobody reads this column"


@pytest.mark.parametrize(("cell", "dtype"), NO_VALUES)
def test_eagle_columns_of_no_values_are_refused_by_name(tmp_path: Path, cell: object, dtype: str) -> None:
    table = pl.read_csv(DATA / "eagle-sample.csv").head(1)
    table.with_columns(pl.Series("user", [cell])).write_parquet(tmp_path / "jobs.parquet")
    with pytest.raises(SourceError, match=f"column user: .* {dtype}"):
        read([tmp_path / "jobs.parquet"])


def test_archive_columns_of_no_values_are_refused_by_name(tmp_path: Path) -> None:
    pl.DataFrame({name: [[1]] for name in archive.COLUMNS}).write_parquet(tmp_path / "jobs.parquet")
    with pytest.raises(SourceError, match=r"column job_id: .* List"):
        read([tmp_path / "jobs.parquet"])
