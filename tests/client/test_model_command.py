"""`jobcast predict MODEL` as a process of its own: what it prints, where, and its exit code."""

import csv
import io
import json
import time
import urllib.request
from importlib.metadata import entry_points

import pytest
import serving
from click.testing import CliRunner
from jobcast import InferenceClient, NotFound, Records, Unavailable
from jobcast.command import ELSEWHERE, main
from jobcast.command.model import Following
from jobcast.command.server import SOME_ROWS_FAILED

RECORD = ("--set", "build_profile=linuxx86_64-gcc-release", "--set", "jobs=500", "--set", "recent_peaks=65.1,70.2")
HEADER = "build_profile,make_type,jobs,memreq_mib,timestamp,recent_peaks,note"
GOOD = 'linuxx86_64-gcc-debug,dbg,500,2048,2024-05-01T10:00:00Z,"65.1,70.2",x'


@pytest.fixture
def ask(run, memory_server):
    return lambda *arguments, **options: run("predict", *arguments, "--address", memory_server["address"], **options)


@pytest.fixture
def refused(memory_server):
    """What the command says in this process, without the time that a process takes to start, when it refuses."""

    def ask(*arguments):
        ended = CliRunner().invoke(main, ["predict", *map(str, arguments), "--address", memory_server["address"]])
        assert (ended.exit_code, ended.stdout) == (2, "")
        return " ".join(ended.stderr.split())

    return ask


def test_one_record_is_shown_with_units(ask):
    done = ask("toy-memory", *RECORD, "--set", "memreq_mib=204800", "--set", "timestamp=2024-05-01T10:00:00")
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(
        ask("toy-memory", *RECORD, "--set", "requested_memory=200", "--set", "time=1714557600", "--json").stdout
    )
    assert list(told) == [
        "model", "model_version", "unit", "recommended", "allocation", "point", "interval_lower", "interval_upper",
        "request", "saving", "quantiles", "error",
    ]  # fmt: skip
    assert (told["model"], told["model_version"], told["unit"], told["error"]) == ("toy-memory", "1", "GiB", "")
    assert told["recommended"] == told["allocation"]
    assert (told["request"], told["saving"]) == (200.0, 200.0 - told["allocation"])
    assert list(told["quantiles"]) == ["0.1", "0.5", "0.95"]
    assert f"Recommended allocation   {told['allocation']:.1f} GiB" in shown
    assert f"{told['point']:.1f} GiB" in shown
    assert "85 % interval" in shown
    assert "Request                  200.0 GiB" in shown
    assert "of the request" in shown
    assert "toy-memory version 1" in shown


def test_a_record_without_a_time_is_of_now(ask):
    before = int(time.time()) // 3600
    told = json.loads(ask("toy-memory", *RECORD, "--json").stdout)["point"]
    after = int(time.time()) // 3600
    hours = [json.loads(ask("toy-memory", *RECORD, "--set", f"time={hour * 3600}", "--json").stdout)["point"]
             for hour in {before, after}]  # fmt: skip
    assert told in hours
    assert (
        told != json.loads(ask("toy-memory", *RECORD, "--set", f"time={(before + 5) * 3600}", "--json").stdout)["point"]
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--set", "jobs=5"), "needs build_profile: Architecture, compiler and optimisation."),
        ((*RECORD, "--set", "make_type=relx"), "make_type: must be one of 'opt', 'rel', 'dbg'"),
        ((*RECORD, "--set", "make_type=relx"), "did you mean 'rel'?"),
        ((*RECORD, "--set", "memreq_mib=-5"), "memreq_mib: must be finite and >= 0"),
        ((*RECORD, "--set", "memreq_mib=16GiB"), "memreq_mib: must be a number without a unit in GiB"),
        ((*RECORD, "--set", "cores=many"), "cores: must be a number in cores, got text 'many'"),
        ((*RECORD, "--set", "corse=4"), "toy-memory has no input 'corse', did you mean 'cores'?"),
        ((*RECORD, "--set", "jobs=4"), "must give jobs once, got it twice"),
        ((*RECORD, "--set", "jobs"), "must be NAME=VALUE, got 'jobs'"),
        ((*RECORD, "--nodes", "4"), "--nodes does not go with a model's name"),
        ((*RECORD, "--out", "x.csv"), "--out only goes with --file"),
        ((), "describe one record with --set NAME=VALUE, or name a file of them with --file"),
    ],
)
def test_wrong_use_is_told(refused, arguments, text):
    assert text in refused("toy-memory", *arguments)


def test_an_unknown_model_a_silent_server_and_set_without_a_model(ask, run):
    done = ask("toy-memroy", *RECORD)
    assert done.returncode == 2
    assert "model 'toy-memroy': not found; served: toy-memory" in " ".join(done.stderr.decode().split())
    done = run("predict", "toy-memory", *RECORD, "--address", "localhost:1")
    assert (done.returncode, b"no server at localhost:1" in done.stderr) == (1, True)
    done = ask("--set", "jobs=4")
    assert (done.returncode, b"only goes with a model's name" in done.stderr) == (2, True)


def test_rows_of_a_file_fail_alone_and_are_counted_by_reason(ask, tmp_path):
    rows = [
        GOOD,
        GOOD.replace("dbg,", "dgb,"),
        GOOD.replace("2048", "-1"),
        GOOD.replace("2048", "2 GiB"),
        GOOD.replace("500", "many").replace("2048", "-1"),
        "a,b",
        GOOD.replace("linuxx86_64-gcc-debug", ""),
        "",
        GOOD,
    ]
    (tmp_path / "raw.csv").write_text("\n".join([HEADER, *rows]))
    done = ask("toy-memory", "--file", tmp_path / "raw.csv")
    assert done.returncode == 3
    told = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [bool(row["error"]) for row in told] == [False, True, True, True, True, True, True, False]
    assert told[0]["note"] == "x"
    assert told[0]["allocation"] == told[-1]["allocation"] != ""
    assert told[0]["request"] == "2.0"
    assert told[1]["error"].startswith("line 3, column make_type: must be one of 'opt', 'rel', 'dbg'")
    assert "line 6, column jobs: must be a number in jobs, got text 'many'; column memreq_mib: must" in told[4]["error"]
    assert told[5]["error"] == "line 7, must have 7 cells as the header, got 2"
    assert told[6]["error"] == "line 8, column build_profile: must be given, got nothing"
    said = done.stderr.decode().splitlines()
    assert said[0] == "8 rows: 2 predicted, 6 failed"
    assert said[1].startswith("rows by reason: negative value 2, ")
    for reason in ("unknown category 1", "mixed units 1", "wrong type 1", "not a record 1", "missing value 1"):
        assert reason in said[1]


def test_the_line_of_a_record_counts_the_header(ask, tmp_path):
    (tmp_path / "two.csv").write_text("build_profile,jobs,time\nx,a,0\n\n\nx,b,0\n")
    done = ask("toy-memory", "--file", tmp_path / "two.csv")
    assert done.returncode == SOME_ROWS_FAILED
    assert b"line 2, column jobs: " in done.stdout
    assert b"line 5, column jobs: " in done.stdout
    assert b"first failure: line 2, " in done.stderr


def test_a_file_goes_on_with_the_version_that_took_over(bundles, tmp_path):
    repository = tmp_path / "models"
    bundles.toy(repository, 1)
    explicit = ("--model-control", "explicit", "--load-model", "toy-latency")
    with serving.running(*explicit, models=repository) as told, InferenceClient(f"localhost:{told['port']}") as client:
        schema, _ = client.schema("toy-latency")
        batch = Records(schema.inputs).read([{"prompt_tokens": 8, "submit_time": 0, "model": "small"}])
        model = Following(client, schema)
        first = model.infer(batch)["point"][0][0]
        bundles.toy(repository, 2, scale=2.0)
        with urllib.request.urlopen(urllib.request.Request(
            f"http://localhost:{told['http_port']}/v2/repository/models/toy-latency/load", method="POST"
        )):  # fmt: skip
            pass
        with pytest.raises((NotFound, Unavailable)):
            client.infer(schema, batch)
        assert model.infer(batch)["point"][0][0] == 2 * first
        assert (schema.version, model.schema.version) == (1, 2)
        with pytest.raises(NotFound):
            Following(client, schema.model_copy(update={"predictor": "nobody"})).infer(batch)


def test_the_packages_of_commands_are_those_that_bring_them():
    brought = {entry.name: entry.dist.name for entry in entry_points(group="jobcast.commands")}
    assert {name: package for name, package in brought.items() if package != "jobcast"} == ELSEWHERE


def test_a_command_of_another_package_names_it(monkeypatch):
    monkeypatch.setattr("jobcast.command._installed", dict)
    refused = CliRunner().invoke(main, ["train", "hpc-runtime"])
    assert refused.exit_code == 2
    assert "train comes with the package jobcast-training" in refused.stderr


def test_cells_come_back_as_they_came(ask, tmp_path):
    notes = ["größe", "two\r\nlines", 'a "quote", and more', b"\xff".decode("utf-8", "surrogateescape")]
    rows = [GOOD.rpartition(",")[0].split(",", 5) for _ in notes]
    with (tmp_path / "raw.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        writer.writerows([[*row[:5], "65.1;70.2", note] for row, note in zip(rows, notes, strict=True)])
    done = ask("toy-memory", "--file", tmp_path / "raw.csv", "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row["note"] for row in csv.DictReader(file)] == notes


def test_columns_that_the_answers_have_too_are_told_apart(ask, tmp_path):
    """Answers of an earlier day, asked about anew: no name stands twice, and what was given is kept."""
    source = tmp_path / "builds.csv"
    source.write_text(f"{HEADER},model,error,error_given\n{GOOD},mine,,kept\n")
    done = ask("toy-memory", "--file", source, "--out", tmp_path / "first.csv")
    assert done.returncode == 0, done.stderr
    assert b"model as model_given, error as error_given_given\n" in done.stderr
    (row,) = csv.DictReader(io.StringIO((tmp_path / "first.csv").read_text()))
    assert (row["model_given"], row["error_given_given"], row["error_given"]) == ("mine", "", "kept")
    assert (row["model"], row["error"]) == ("toy-memory", "")
    again = ask("toy-memory", "--file", tmp_path / "first.csv", "--out", tmp_path / "second.csv")
    assert again.returncode == 0, again.stderr
    header = (tmp_path / "second.csv").read_text().splitlines()[0].split(",")
    assert len(header) == len(set(header))
    assert {"quantile_0.5", "quantile_0.5_given", "model_given_given"} <= set(header)


def test_lines_of_json_that_lack_a_field_fail_alone(ask, tmp_path):
    good = {"build_profile": "x", "time": 5, "jobs": 3}
    lines = [json.dumps(good), '{"time": 5}', "[1]", "nonsense", json.dumps(good | {"jobs": "3"})]
    (tmp_path / "raw.jsonl").write_text("\n".join(lines))
    done = ask("toy-memory", "--file", tmp_path / "raw.jsonl", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [one["line"] for one in told]) == (3, [1, 2, 3, 4, 5])
    assert told[0]["point"] > 0
    assert [one["point"] for one in told[1:]] == [None] * 4
    assert [one["error"].partition(", ")[2][:46] for one in told[1:]] == [
        "column build_profile: must be given, got nothi",
        "must be a JSON object, got [1]",
        "must be a JSON object, got other text: Expecti",
        "column jobs: must be a number in jobs, got tex",
    ]
    (tmp_path / "raw.jsonl").write_text('{"time": 5}')
    assert ask("toy-memory", "--file", tmp_path / "raw.jsonl").returncode == 3


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("raw.csv", "", "is empty; the first line must name the columns"),
        ("raw.csv", HEADER, "is empty: it holds no records"),
        ("raw.jsonl", "\n", "is empty: it holds no records"),
        (
            "raw.csv",
            "jobs,timestamp\n1,2\n",
            "column build_profile: must be given (or buildProfile), got no such column",
        ),
        ("raw.csv", "jobs,jobs\n1,2\n", "must name each column once, got 'jobs' again"),
        ("raw.csv", HEADER.replace("make_type", "Make Type") + "\n" + GOOD, "must be written 'make_type'"),
        ("raw.csv", HEADER + '\n"a', "line 2: is not CSV"),
        ("raw.txt", "x", "must end in .csv, .jsonl, .ndjson, .parquet, got '.txt'"),
        ("raw.parquet", "x", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_stops_before_anything_is_written(refused, tmp_path, name, content, text):
    (tmp_path / name).write_text(content)
    assert text in refused("toy-memory", "--file", tmp_path / name, "--out", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_standard_input_is_csv_and_the_input_is_not_overwritten(ask, tmp_path):
    many = "\n".join([HEADER, *[GOOD] * 2500]).encode()
    done = ask("toy-memory", "--file", "-", "--json", input=many)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2500)
    (tmp_path / "raw.csv").write_bytes(many)
    done = ask("toy-memory", "--file", tmp_path / "raw.csv", "--out", tmp_path / "raw.csv")
    assert done.returncode == 2
    assert (tmp_path / "raw.csv").read_bytes() == many


def test_the_contract_s_own_model_can_be_named_too(run, address):
    job = {"processors_req": 32, "nodes_req": 4, "wallclock_req": 3600, "partition": "normal", "qos": "normal"}
    pairs = [part for name, value in job.items() for part in ("--set", f"{name}={value}")]
    done = run("predict", "hpc-runtime", *pairs, "--json", "--address", address)
    told = json.loads(done.stdout)
    assert (told["unit"], told["allocation"], told["request"]) == ("s", None, None)
    assert told["recommended"] == told["point"] > 0
