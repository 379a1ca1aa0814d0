"""What was refused and what was changed is written down: who, what, how it ended; no secret, and not without bound."""

import json
import os

import pytest
from jobcast_server.security import audit as audits
from jobcast_server.security.audit import Audit


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_flood_is_summed_up(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(audits.time, "monotonic", lambda: now[0])
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    for number in range(1000):
        audit.refused("call", "peer", "unauthenticated" if number % 2 else "denied", "why", "")
    audit.sum_up()  # not yet
    assert [line["event"] for line in lines(path)] == ["refused"] * audits.LINES
    now[0] += audits.SUMMARY_S
    audit.sum_up()
    audit.sum_up()
    left = 1000 - audits.LINES
    *_, last = lines(path)
    assert (last["event"], last["total"], sum(last["outcomes"].values())) == ("more refused", left, left)
    assert len(lines(path)) == audits.LINES + 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_acts_that_succeeded_are_all_written(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl")
    for _ in range(500):
        audit.acted("load", "peer", "success", "ops")
    assert len(lines(tmp_path / "audit.jsonl")) == 500
    for _ in range(500):
        audit.acted("load", "peer", "failed (404)", "ops")
    assert len(lines(tmp_path / "audit.jsonl")) < 500 + 2 * audits.LINES
    audit.sum_up(last=True)
    assert lines(tmp_path / "audit.jsonl")[-1]["outcomes"].keys() == {"failed (404)"}


def test_a_file_may_be_moved_away(tmp_path):
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.acted("one", "", "success", "")
    path.rename(tmp_path / "old")
    audit.acted("two", "", "success", "")
    assert [line["call"] for line in lines(path)] == ["two"]


def test_a_full_disk_ends_no_call_and_the_line_goes_to_the_log(capsys):
    audit = Audit(audits.Path("/dev/full"))
    audit.acted("load", "peer", "success", "ops")
    said = capsys.readouterr()
    assert "cannot be written" in said.out + said.err
    assert "ops" in said.out + said.err


def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path, capsys):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    audit = Audit(path)
    with pytest.raises(OSError, match="No such device"):
        audit.check()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    audit.check()
    for _ in range(2000):
        audit.acted("load", "peer", "success", "ops")
    said = capsys.readouterr()
    assert "cannot be written" in said.out + said.err
    assert os.read(reader, 10) == b'{"time": "'
    os.close(reader)


def test_what_a_caller_writes_is_one_short_line(tmp_path):
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    audit.refused('GET /"\n{"event": "admin"}' + "x" * 9999, "peer", "denied", "y" * 9999, "")
    (line,) = lines(path)
    assert len(json.dumps(line)) < 1000
    assert line["event"] == "refused"
