"""CSV files of jobs: what is read, and how a mistake is named."""

import io
import random
from datetime import UTC, datetime

import pytest
from jobcast.command.table import ALIASES, Table, TableError

HEADER = "processors,nodes,wallclock,partition,qos"


def rows(text):
    return list(Table(io.StringIO(text, newline=""), "jobs.csv").rows())


def test_every_column_is_read_as_its_field():
    header = (
        "request_id,processors_req,nodes_req,mem_req,time_req,partition,qos,submit_time,user,account,job_name,"
        "gpus_req,recent_runtimes"
    )
    (row,) = rows(f"{header}\n7,32,4.0,2G,1-00:00:00,p,q,2026-03-01T14:00:00Z,u,a,j,1,60;1:00\n")
    assert row.error == ""
    assert row.job == {
        "request_id": "7", "processors_req": 32, "nodes_req": 4, "mem_req": 2048, "wallclock_req": 86400,
        "partition": "p", "qos": "q", "submit_time": datetime(2026, 3, 1, 14, tzinfo=UTC), "user": "u",
        "account": "a", "job_name": "j", "gpus_req": 1, "recent_runtimes": (60, 60),
    }  # fmt: skip


@pytest.mark.parametrize(("alias", "field"), ALIASES.items())
def test_an_alias_is_its_field(alias, field):
    required = {"processors_req": "1", "nodes_req": "1", "wallclock_req": "60", "partition": "p", "qos": "q"}
    cells = {name: value for name, value in required.items() if name != field} | {alias.upper(): "5"}
    (row,) = rows(f"{','.join(cells)}\n{','.join(cells.values())}\n")
    assert row.job[field] in (5, (5,))


def test_lines_are_counted_as_an_editor_counts_them():
    text = f'{HEADER}\n1,1,60,"a\nb",q\n\n1,1,60,p,q\n1,1,60,"c"\n'
    assert [(row.line, row.error) for row in rows(text)] == [
        (2, ""), (5, ""), (6, "line 6: must have 5 cells as the header, got 4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ("x,1,60,p,q", "line 2, column 'processors': must be a whole number, got 'x'"),
        ("1,1,1:99,p,q", "line 2, column 'wallclock': must have minutes and seconds of at most 59, got '1:99'"),
        ("1,1,60,,q", "line 2, column 'partition': must not be empty"),
        ("1,1,60,\udcff,q", "line 2, column 'partition': must be UTF-8 text, got b'\\xff': save the file as UTF-8"),
        (
            "x,1,60, ,q",
            "line 2, column 'processors': must be a whole number, got 'x'; column 'partition': must not be empty",
        ),
        ("1,1,60,p,q,r", "line 2: must have 5 cells as the header, got 6"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(cells, error):
    (row,) = rows(f"{HEADER}\n{cells}\n")
    assert row.error == error
    assert len(row.cells) == 5


def test_an_empty_optional_cell_is_not_given():
    (row,) = rows(f"{HEADER},gpus,mem,user\n1,1,60,p,q,,,\n")
    assert row.error == ""
    assert not {"gpus_req", "mem_req", "user"} & set(row.job)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", r"^jobs\.csv: is empty; the first line must name the columns"),
        (HEADER + ",memm\n", r"^jobs\.csv, line 1: unknown column 'memm', did you mean 'mem'\?$"),
        (HEADER + ",zzz\n", r"^jobs\.csv, line 1: unknown column 'zzz'; known are processors_req, "),
        (HEADER + ",\udcff\n", r"^jobs\.csv, line 1: a column's name must be UTF-8 text, got b'\\xff': save the file"),
        (HEADER + ",time_req\n", r"^jobs\.csv, line 1: column 'time_req' gives wallclock_req a second time"),
        ("processors,nodes,wallclock\n", r"^jobs\.csv, line 1: missing column 'partition', 'qos'$"),
        (f'{HEADER}\n1,1,60,p,q\n1,1,60,"p,q\n', r"^jobs\.csv, line 3: is not CSV: unexpected end of data$"),
    ],
)
def test_a_file_that_is_no_table_is_named(text, error):
    with pytest.raises(TableError, match=error):
        rows(text)


def test_rows_are_read_one_at_a_time():
    """An endless file gives its first row at once: memory does not grow with the file."""

    class Endless(io.TextIOBase):
        lines = 0

        def __next__(self):
            self.lines += 1
            return f"{HEADER}\n" if self.lines == 1 else f"{random.randint(1, 9)},1,60,p,q\n"  # noqa: S311

        def __iter__(self):
            return self

    endless = Endless()
    assert next(Table(endless, "endless").rows()).line == 2
    assert endless.lines <= 3
