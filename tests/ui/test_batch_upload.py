"""Files as people have them, to the records that a model reads."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobcast import InferenceClient
from jobcast_ui.batch import mapping
from jobcast_ui.batch.upload import UploadError, read

SACCT = """\
JobID|User|Account|Partition|QOS|JobName|Submit|Timelimit|ReqCPUS|NNodes|ReqMem|State
100|ada|physics|normal|normal|say "hi"|2024-05-01T10:00:00|1-02:00:00|64|2|4Gc|COMPLETED
100.batch||||||2024-05-01T10:00:00||64|2|4Gc|COMPLETED
100.0||||||2024-05-01T10:00:00||64|2|4Gc|COMPLETED
101|bob|chemistry|debug|high|x|2024-05-01T10:05:00|00:30:00|8|1|2Gn|FAILED
102|bob|chemistry|debug|high|x|2024-05-01T10:06:00|UNLIMITED|8|1|16G|TIMEOUT
"""


@pytest.fixture
def schema(server):
    with InferenceClient(server.address) as client:
        yield lambda model: client.schema(model)[0]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_is_read_by_its_separator_and_numbers_stay_as_written(separator):
    lines = [["jobs", "name"], ["007", "a b"], ["1e3", ""]]
    upload = read("jobs.csv", "\n".join(separator.join(line) for line in lines).encode())
    assert (upload.columns, upload.rows, upload.written) == ({"jobs": ["007", "1e3"], "name": ["a b", ""]}, 2, True)


def test_a_byte_order_mark_and_quoted_lines_are_no_values():
    upload = read("jobs.csv", '\ufeffjobs,name\r\n1,"two\nlines, really"\r\n'.encode())
    assert upload.columns == {"jobs": ["1"], "name": ["two\nlines, really"]}


def test_names_of_columns_may_be_quoted_and_padded_and_their_numbers_stay_text():
    upload = read("jobs.csv", b'"processors, all", nodes ,"qos"\n8,007,normal\n')
    assert upload.columns == {"processors, all": ["8"], "nodes": ["007"], "qos": ["normal"]}


def test_parquet_keeps_numbers_lists_and_what_is_not_known():
    file = io.BytesIO()
    pq.write_table(pa.table({"jobs": [1.5, None], "recent": [[1.0, 2.0], []], "name": ["a", None]}), file)
    upload = read("jobs.PARQUET", file.getvalue())
    assert upload.columns == {"jobs": [1.5, None], "recent": [[1.0, 2.0], []], "name": ["a", None]}
    assert not upload.written


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", b"", "must begin with a line that names the columns"),
        ("a.csv", b"jobs,nodes\n", "must hold at least one record"),
        ("a.csv", b"jobs,nodes", "a.csv: must hold at least one record, got none"),
        ("a.csv", "name\nada\nJörg\n".encode("latin-1"), "must be text in UTF-8, got the byte 0xf6 in line 3: save it"),
        ("a.csv", "größe\n1\n".encode("latin-1"), "must be text in UTF-8, got the byte 0xf6 in line 1: save it"),
        ("a.csv", "jobs\n1\n".encode("utf-16"), "must be text in UTF-8, got UTF-16: save it as UTF-8"),
        ("a.csv", b"\x1f\x8b\x08\x00", "must be text in UTF-8, got a gzip file: unpack it"),
        ("a.csv", b"PK\x03\x04\x14\xf6", "must be text in UTF-8, got a workbook or an archive: save it as CSV"),
        ("a.csv", b"jobs,jobs\n1,2\n", "must name each column once, got jobs again"),
        ("a.csv", b"jobs,nodes\n1,2,3\n", "cannot be read as text with columns separated by ','"),
        ("a.csv", b"a,b\r1,2\r", "a.csv: the line that names the columns cannot be read: "),
        ("a.csv", b"a" * 200_000 + b",b\n1,2\n", "a.csv: the line that names the columns cannot be read: field larger"),
        ("a.parquet", b"jobs,nodes\n", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(name, content, text):
    with pytest.raises(UploadError, match=text):
        read(name, content)


def test_sacct_gives_jobs_without_their_steps_in_the_models_units(schema):
    upload = read("sacct.txt", SACCT.encode())
    assert (upload.rows, upload.steps) == (3, 2)
    inputs = schema("hpc-runtime")
    chosen = mapping.guess(inputs, list(upload.columns))
    assert {name for name, column in chosen.items() if column is None} == {
        "gpus_req", "recent_runtimes", "similar_runtimes", "named_runtimes", "running_elapsed", "since_last"
    }  # fmt: skip
    found = mapping.mapped(inputs, upload.columns, chosen)
    assert found["wallclock_req"] == ["93600.0", "1800.0", "UNLIMITED"]
    assert found["mem_req"] == ["262144.0", "2048.0", "16384.0"]
    assert (found["user"], found["job_name"][0]) == (["ada", "bob", "bob"], 'say "hi"')


def test_numbers_of_a_typed_file_become_numbers(schema):
    inputs = schema("hpc-runtime")
    columns = {"TimelimitRaw": [90, None], "ReqMem": ["2Gn", "1G"], "NNodes": [3, 1]}
    chosen = mapping.guess(inputs, list(columns))
    found = mapping.mapped(inputs, columns, chosen, written=False)
    assert found == {"wallclock_req": [5400.0, None], "mem_req": [6144.0, 1024.0], "nodes_req": [3, 1]}


def test_an_alias_keeps_its_unit_and_a_misspelt_name_is_found(schema):
    inputs = schema("build-memory")
    chosen = mapping.guess(inputs, ["Build-Profile", "memreq_mib", "timestamp"])
    assert {name: column for name, column in chosen.items() if column} == {
        "build_profile": "Build-Profile", "requested_memory": "memreq_mib", "time": "timestamp"
    }  # fmt: skip
    columns = {"Build-Profile": ["a"], "memreq_mib": ["2048"], "timestamp": ["0"]}
    assert mapping.mapped(inputs, columns, chosen) == {
        "build_profile": ["a"],
        "memreq_mib": ["2048"],
        "timestamp": ["0"],
    }


def test_times_that_python_has_none_for_are_named_by_their_column():
    file = io.BytesIO()
    pq.write_table(pa.table({"jobs": [1], "when": pa.array([10**15], pa.timestamp("ms"))}), file)
    with pytest.raises(UploadError, match=r"far\.parquet: column when \(timestamp\[ms\]\) cannot be read: "):
        read("far.parquet", file.getvalue())


@pytest.mark.parametrize(
    "header", ["reqcpus,timelimitraw,reqmem", "ReqCPUS,Timelimit Raw,req_mem", "NCPUS,TimelimitRaw,ReqMem"]
)
def test_units_of_sacct_are_read_however_its_columns_are_spelled(schema, header):
    upload = read("jobs.csv", f"{header}\n4,60,2Gc\n".encode())
    inputs = schema("hpc-runtime")
    found = mapping.mapped(inputs, upload.columns, mapping.guess(inputs, list(upload.columns)))
    assert [float(found[name][0]) for name in ("processors_req", "wallclock_req", "mem_req")] == [4, 3600, 8192]
