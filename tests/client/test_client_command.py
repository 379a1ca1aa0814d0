"""The command as a process of its own: what it prints, where, and its exit code."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("jobcast")
ONE = ("--processors", 32, "--nodes", 4, "--mem", "128G", "--wallclock", "1:00:00", "--partition", "normal",
       "--qos", "normal", "--submit-time", 1_000_000_000)  # fmt: skip
NOWHERE = ("--address", "localhost:1")
HEADER = "request_id,processors,nodes,wallclock,partition,qos,submit_time"


def good_lines(count):
    return "".join(f"{i},{1 + i % 64},1,{60 + i},p,q,1000000000\n" for i in range(count))


def test_predict_prints_what_the_client_says(run, address, client):
    expected = client.predict(
        processors_req=32, nodes_req=4, mem_req=131072, wallclock_req=3600, partition="normal", qos="normal",
        submit_time=1_000_000_000,
    )  # fmt: skip
    done = run("predict", *ONE, "--address", address)
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{expected.runtime_seconds:,.0f} s" in shown
    assert f"{expected.suggested_wallclock_seconds:,.0f} s" in shown
    assert f"{expected.confidence:.2f}" in shown
    assert f"version {expected.model_version}" in shown
    assert "short (under 1 h)" in shown

    data = json.loads(run("predict", *ONE, "--address", address, "--json", "--request-id", "r").stdout)
    assert list(data) == [
        "request_id", "predicted_runtime_seconds", "interval_lower_seconds", "interval_upper_seconds",
        "suggested_wallclock_seconds", "runtime_category", "prediction_confidence", "model_version", "error",
        "quantile_seconds", "feature_importance_seconds", "predicted_at",
    ]  # fmt: skip
    assert data["predicted_runtime_seconds"] == pytest.approx(expected.runtime_seconds, abs=0.001)
    assert data["interval_upper_seconds"] == pytest.approx(expected.interval.upper_seconds, abs=0.001)
    assert [float(level) for level in data["quantile_seconds"]] == list(expected.quantiles)
    assert (data["request_id"], data["error"], data["feature_importance_seconds"]) == ("r", "", {})


def test_explain_shows_contributions(run, address):
    data = json.loads(run("predict", *ONE, "--address", address, "--json", "--explain").stdout)
    assert len(data["feature_importance_seconds"]) == 5
    shown = run("predict", *ONE, "--address", address, "--explain").stdout.decode()
    assert all(name in shown for name in data["feature_importance_seconds"])


def test_invalid_input_is_named_by_its_flags(run, address):
    done = run("predict", *ONE, "--address", address, "--nodes", 0, "--user", "u" * 5000)
    assert done.returncode == 2
    assert b"--nodes: must be >= 1, got 0\n--user: must" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nodes", 1), "missing --processors, --wallclock, --partition, --qos"),
        ((*ONE, "--wallclock", "1:99"), "must have minutes and seconds of at most 59, got '1:99'"),
        ((*ONE, "--mem", "12P"), "must be a size in MB or with suffix K, M, G or T, got '12P'"),
        ((*ONE, "--submit-time", "2026-03-01T14:00"), "must have a time zone"),
        ((*ONE, "--walclock", "60"), "Did you mean"),
        ((*ONE, "--address", "http://localhost"), "address: must be HOST:PORT"),
        ((*ONE, "--out", "x.csv"), "--out only goes with --file"),
        (("--file", "-", "--nodes", 1, "--explain"), "--nodes, --explain does not go with --file"),
        (("--file", "no-such.csv"), "does not exist"),
    ],
)
def test_wrong_use_exits_with_2(run, arguments, message):
    done = run("predict", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()


@pytest.mark.parametrize("arguments", [("predict", *ONE), ("info",), ("health",)])
def test_no_server_exits_with_1_and_says_how_to_start_one(run, arguments):
    done = run(*arguments, *NOWHERE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no server at localhost:1: start one with `make serve`" in done.stderr


def test_a_file_keeps_rows_and_order(run, address, client, tmp_path):
    source, out = tmp_path / "jobs.csv", tmp_path / "predictions.csv"
    source.write_text(f"{HEADER}\n{good_lines(2500)}")
    done = run("predict", "--file", source, "--out", out, "--address", address)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"2,500 rows: 2,500 predicted, 0 failed" in done.stderr
    with out.open(newline="") as file:
        answered = list(csv.DictReader(file))
    assert [row["request_id"] for row in answered] == [str(i) for i in range(2500)]
    assert ",".join(answered[0]).startswith(f"{HEADER},predicted_runtime_seconds,")
    sample = client.predict_batch(
        {"processors_req": int(row["processors"]), "nodes_req": 1, "wallclock_req": float(row["wallclock"]),
         "partition": "p", "qos": "q", "submit_time": 1_000_000_000}
        for row in answered
    )  # fmt: skip
    for row, prediction in zip(answered, sample, strict=True):
        assert float(row["predicted_runtime_seconds"]) == pytest.approx(prediction.runtime_seconds, abs=0.001)
        assert float(row["interval_lower_seconds"]) == pytest.approx(prediction.interval.lower_seconds, abs=0.001)


@pytest.mark.parametrize("model", [(), ("hpc-runtime",)])
def test_a_file_that_is_no_text_is_named_with_what_to_do(run, address, tmp_path, model):
    packed = gzip.compress((HEADER + "\n" + good_lines(1)).encode())
    path = tmp_path / "jobs.csv"
    for content, what in ((packed, b"a gzip file: unpack it"), (HEADER.encode("utf-16"), b"UTF-16: save it as UTF-8")):
        path.write_bytes(content)
        done = run("predict", *model, "--file", path, "--address", address)
        assert done.returncode == 2
        assert b"jobs.csv: must be text in UTF-8, got " + what in b" ".join(done.stderr.split())


def test_rows_that_fail_carry_their_error_and_exit_with_3(run, address):
    bad = b"a,0,1,60,p,q,\nb,x,1,60,p,q,\nc,1,1,60,p\xff,q,\nd,1\ne,3000000000,1,60,p,q,\n"
    text = HEADER.encode() + b"\n" + good_lines(1).encode() + bad + good_lines(1).encode()
    done = run("predict", "--file", "-", "--address", address, input=b"\xef\xbb\xbf" + text)
    assert done.returncode == 3
    assert b"7 rows: 2 predicted, 5 failed" in done.stderr
    assert b"first failure: line 3, processors_req: must be >= 1, got 0" in done.stderr
    answered = list(csv.DictReader(io.StringIO(done.stdout.decode(errors="surrogateescape"), newline="")))
    assert [row["request_id"] for row in answered] == ["0", "a", "b", "c", "d", "e", "0"]
    assert [row["error"] for row in answered] == [
        "",
        "line 3, processors_req: must be >= 1, got 0",
        "line 4, column 'processors': must be a whole number, got 'x'",
        "line 5, column 'partition': must be UTF-8 text, got b'p\\xff': save the file as UTF-8",
        "line 6: must have 7 cells as the header, got 2",
        "line 7, processors_req: must lie between -2147483648 and 2147483647, got 3000000000",
        "",
    ]
    assert all(bool(row["predicted_runtime_seconds"]) != bool(row["error"]) for row in answered)
    assert answered[3]["partition"] == "p\udcff", "the cell is not as it came"

    lines = run("predict", "--file", "-", "--json", "--address", address, input=text).stdout.splitlines()
    objects = [json.loads(line) for line in lines]
    assert [o["line"] for o in objects] == [2, 3, 4, 5, 6, 7, 8]
    assert [o["error"] for o in objects] == [row["error"] for row in answered]
    assert [o["predicted_runtime_seconds"] is None for o in objects] == [bool(row["error"]) for row in answered]


def test_a_file_that_is_no_table_exits_with_2(run, address):
    done = run("predict", "--file", "-", "--address", address, input=b"procesors,nodes\n1,1\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"standard input, line 1: unknown column 'procesors', did you mean 'processors'?" in done.stderr


def test_a_file_without_server_exits_with_1(run):
    done = run("predict", "--file", "-", *NOWHERE, input=f"{HEADER}\n{good_lines(3)}".encode())
    assert done.returncode == 1
    assert b"stopped after 0 rows" in done.stderr
    assert b"no server at localhost:1" in done.stderr


def test_out_is_never_the_input(run, address, tmp_path):
    source = tmp_path / "jobs.csv"
    source.write_text(f"{HEADER}\n{good_lines(1)}")
    done = run("predict", "--file", source, "--out", source, "--address", address)
    assert done.returncode == 2
    assert b"--out: must be another file than --file" in done.stderr
    assert source.read_text() == f"{HEADER}\n{good_lines(1)}"


def test_a_narrow_terminal_cuts_nothing_off(run, address, client):
    told = run("info", "--address", address, env=os.environ | {"COLUMNS": "40"}).stdout.decode()
    assert "…" not in told
    assert all(name in "".join(told.split()) for name in ("xgboost", "onnxruntime"))


def test_info_and_health(run, address, client):
    info = json.loads(run("info", "--json", "--address", address).stdout)
    assert info["model_version"] == client.model_info().model_version
    assert {"validation_mae_seconds", "test_mape_percent", "training_samples"} <= set(info)
    assert f"version {info['model_version']}" in run("info", "--address", address).stdout.decode()
    health = run("health", "--address", address)
    assert (health.returncode, b"SERVING" in health.stdout) == (0, True)
    assert json.loads(run("health", "--json", "--address", address).stdout)["status"] == "SERVING"


def test_version_and_suggestion(run):
    version = run("--version").stdout.decode()
    assert version.startswith("jobcast, version ")
    done = run("predct")
    assert done.returncode == 2
    assert b"No such command 'predct'. Did you mean 'predict'?" in done.stderr


def test_commands_are_listed_without_being_imported_and_absent_ones_not_at_all(run, tmp_path):
    """Two packages that claim a sub-command: one that must not be imported for a list, one that is not there."""
    (tmp_path / "costly").mkdir()
    (tmp_path / "costly" / "__init__.py").touch()
    (tmp_path / "costly" / "command.py").write_text(
        textwrap.dedent('''
            raise SystemExit("imported")

            def roast():
                """Roast for an hour."""
            ''')
    )
    (tmp_path / "costly-1.dist-info").mkdir()
    (tmp_path / "costly-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: costly\nVersion: 1\n")
    (tmp_path / "costly-1.dist-info" / "entry_points.txt").write_text(
        "[jobcast.commands]\nroast = costly.command:roast\nabsent = nowhere_at_all.command:absent\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = run("--help", env=environment)
    assert done.returncode == 0
    assert re.search(rb"roast +Roast for an hour\.", done.stdout)
    assert b"predict" in done.stdout
    assert b"absent" not in done.stdout
    assert run("absent", env=environment).returncode == 2
    assert b"imported" in run("roast", env=environment).stderr


def test_predict_does_not_load_the_libraries_of_others():
    code = (
        "import sys; sys.argv = ['jobcast', 'predict', '--help']\n"
        "from jobcast.command import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr.decode()
    assert "'grpc'" in loaded
    for heavy in (
        "numpy",
        "onnxruntime",
        "polars",
        "xgboost",
        "lightgbm",
        "catboost",
        "pydantic",
        "rich",
        "matplotlib",
    ):
        assert f"'{heavy}'" not in loaded


def test_a_reader_that_leaves_early_is_no_crash(address, tmp_path):
    source = tmp_path / "jobs.csv"
    source.write_text(f"{HEADER}\n{good_lines(20_000)}")
    with subprocess.Popen(
        [COMMAND, "predict", "--file", source, "--address", address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(b"request_id,")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 1
