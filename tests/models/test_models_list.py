"""`jobcast models list` says of every version what a server does with it."""

import os
import pty
import subprocess

import pytest
import serving


def states(rows):
    return {(row["name"], row["version"]): row["state"] for row in rows}


def test_only_the_newest_good_version_serves(toys, bundles, run_json):
    bundles.flip(toys / "toy-latency" / "3")
    rows = run_json("list")
    assert [(row["version"], row["state"]) for row in rows] == [("1", "kept"), ("2", "serve"), ("3", "refused")]
    assert rows[2]["reason"].startswith("model.onnx: SHA-256 is ")
    assert rows[0]["reason"] == "not among the versions served (latest:1)"


def test_what_is_told_of_a_version(toys, run_json):
    row = run_json("list")[1]
    files = (toys / "toy-latency" / "2").iterdir()
    assert row == {
        "name": "toy-latency", "version": "2", "state": "kept", "reason": "not among the versions served (latest:1)",
        "pinned": False, "size_bytes": sum(path.stat().st_size for path in files),
        "created": "2026-01-02T00:00:00+00:00", "test_mae": 24.0, "unit": "ms", "test_coverage": 0.89,
        "coverage_target": 0.9,
    }  # fmt: skip


def test_the_configurations_policy_goes_first(toys, run_json):
    (toys / "toy-latency" / "config.pbtxt").write_text("version_policy { specific { versions: [1, 2] } }\n")
    rows = run_json("list", JOBCAST_VERSION_POLICY="latest:3")
    assert [(row["state"], row["pinned"]) for row in rows] == [("serve", True), ("serve", True), ("kept", False)]


def test_the_servers_own_policy_is_read_where_serve_reads_it(toys, run_json):
    assert [row["state"] for row in run_json("list", JOBCAST_VERSION_POLICY="all")] == ["serve"] * 3


def test_folders_that_are_no_versions_and_models_that_are_none(toys, bundles, run_json):
    (toys / "toy-latency" / "latest").mkdir()
    (toys / "Upper").mkdir()
    bundles.toy(toys.parent / "other", 1)
    (toys.parent / "other" / "toy-latency").rename(toys / "broken")
    (toys / "broken" / "config.pbtxt").write_text("version_policy {")
    rows = run_json("list")
    found = states(rows)
    assert found[("toy-latency", "latest")] == found[("Upper", "")] == found[("broken", "")] == "refused"
    assert found[("toy-latency", "3")] == "serve"
    reasons = {row["name"]: row["reason"] for row in rows if not row["version"]}
    assert "a model's name must match" in reasons["Upper"]
    assert "config.pbtxt: is not a model configuration" in reasons["broken"]


def test_a_manifest_that_cannot_be_read_is_no_reason_to_stop(toys, run, run_json):
    (toys / "toy-latency" / "3" / "manifest.json").write_text("{")
    assert [row["state"] for row in run_json("list")] == ["kept", "serve", "refused"]
    assert run("list").stdout.splitlines()[3].split()[:4] == ["toy-latency", "3", "refused", "-"]


@pytest.mark.parametrize("policy", ["latest:1", "latest:2", "all", "specific:1,3"])
def test_a_running_server_agrees(toys, bundles, start, run_json, policy):
    bundles.copy(toys, 1)
    bundles.move_golden(bundles.copy(toys, 2), 100)
    bundles.flip(toys / "toy-latency" / "3", "golden.json")
    bundles.edit(bundles.copy(toys, 3), lambda manifest: manifest["inputs"].pop())  # no job has such a schema
    (toys / "toy-latency" / "x").mkdir()
    address = start("--version-policy", policy)
    rows = run_json("list", "--address", address, JOBCAST_VERSION_POLICY=policy)
    assert len(rows) == 7
    for row in rows:
        serves = row["state"] == "serve"
        assert row["server"]["state"] == ("READY" if serves else "UNAVAILABLE"), row
        assert ("refused: " in row["server"]["reason"]) == (row["state"] == "refused" and row["version"] != "x"), row


def test_versions_that_only_the_server_knows(toys, bundles, start, run, run_json):
    address = start("--version-policy", "all")
    (toys / "toy-latency" / "2").rename(toys.parent / "gone")
    bundles.toy(toys, 4)
    rows = {row["version"]: row for row in run_json("list", "--address", address)}
    assert rows["2"]["state"] == "absent"
    assert rows["2"]["server"]["state"] == rows["3"]["server"]["state"] == "READY"
    assert rows["4"]["server"] is None
    header = run("list", "--address", address).stdout.splitlines()[0].split()
    assert header[-2:] == ["Server", "Reason"]


def test_no_server_there(toys, run):
    result = run("list", "--address", "127.0.0.1:1", code=1)
    assert "no index from 127.0.0.1:1: UNAVAILABLE" in result.stderr


def test_one_row_a_line_when_piped(toys, bundles, run):
    bundles.flip(toys / "toy-latency" / "3")
    lines = run("list").stdout.splitlines()
    assert len(lines) == 4
    assert lines[2].split()[:6] == ["toy-latency", "2", "serve", "2026-01-02T00:00:00+00:00", lines[2].split()[4], "kB"]
    assert lines[2].index("serve") == lines[3].index("refused") == lines[0].index("State")
    assert lines[2].endswith("-")


def on_a_terminal(toys, columns):
    ours, theirs = pty.openpty()
    command = [serving.COMMAND, "models", "list", "--models", str(toys)]
    environment = serving.environment(TERM="xterm", COLUMNS=str(columns))
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 4096):
                said += chunk
        except OSError:  # Linux says so when the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return said.decode()


def test_lines_on_a_terminal(toys):
    assert "│ toy-latency │ 3       │ serve │" in on_a_terminal(toys, 160)


def test_nothing_is_cut_off_on_a_narrow_terminal(toys, run):
    assert on_a_terminal(toys, 40).splitlines() == run("list").stdout.splitlines()


def test_empty_and_missing_repositories(repository, run, run_json):
    assert run_json("list") == []
    assert "the repository is empty" in run("list").stdout
    result = run("list", "--models", str(repository / "nowhere"), code=2)
    assert "is not a folder; name the repository of bundles with --models" in result.stderr


def test_a_wrong_setting_names_its_source(repository, run):
    result = run("list", "--golden-ulps", "5000", code=2)
    assert "flag: golden_ulps: input should be less than or equal to 1024, got '5000'" in result.stderr
    result = run("list", code=2, JOBCAST_GOLDEN_ULPS="-1")
    assert "environment: golden_ulps" in result.stderr
