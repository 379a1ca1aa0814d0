"""Outcomes: an acknowledged one is never lost, and what they say of the forecasts is true."""

import http.client
import json
import os
import resource
import sqlite3
import threading
import time
from contextlib import closing

import pytest
import serving

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
IDENTITY = dict(
    zip(("model_type", "model_name", "hardware", "software_name", "software_version"), PATH.split("/"), strict=True)
)  # fmt: skip
TRACE = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}  # 60 ms


def rows(served):
    """Times and moments of what is stored, in the order of the reports."""
    with closing(sqlite3.connect(served.folder / "state" / "outcomes.sqlite")) as store:
        return store.execute("SELECT duration_ms, at_ms FROM outcomes ORDER BY id").fetchall()


def line(served, name="turbo"):
    models = served.get("/models").good["models"]
    return next(key for one in models if one["model_name"] == name for key in one["keys"])


def test_an_outcome_by_the_prediction_s_id(server):
    path = "by/id/A100/vllm/1"
    predicted = server.single(TRACE, path=path).good["results"]
    report = {"prediction_id": predicted["prediction_id"], "duration_ms": 100}
    told = server.post("/outcomes", report).good
    assert (told["status"], told["accepted"], told["failed"]) == ("success", 1, 0)
    assert told["results"] == [
        {
            "status": "success", "new": True, "model_key": path, "predicted_ms": 60.0, "error_ms": 40.0,
            "inside_80": False, "message": "",
        }
    ]  # fmt: skip
    again = server.post("/outcomes", {**report, "duration_ms": 1}).good["results"][0]
    assert again["new"] is False
    assert "reported before" in again["message"]
    known = line(server, "id")
    assert (known["outcomes"], known["mae_ms"], known["median_ape"], known["coverage_80"]) == (1, 40.0, 0.4, 0.0)


def test_an_outcome_by_key_and_features(server):
    path = "by/key/A100/vllm/1"
    identity = dict(zip(IDENTITY, path.split("/"), strict=True))
    features = [{"param_name": "input_tokens", "val": 80}, {"param_name": "output_tokens", "val": 30}]
    told = server.post("/outcomes", {**identity, "input_feature": features, "duration_ms": 66}).good["results"][0]
    assert (told["model_key"], told["predicted_ms"], told["inside_80"]) == (path, 60.0, True)


@pytest.mark.parametrize(
    ("report", "field", "problem"),
    [
        ({}, "duration_ms", "must be a number of milliseconds >= 1e-06 and <= 1e+12, got null"),
        ({"duration_ms": 1e300}, "duration_ms", "must be a number of milliseconds >= 1e-06 and <= 1e+12, got 1e+300"),
        ({**IDENTITY, **TRACE, "duration_ms": 5e-324}, "duration_ms", ">= 1e-06 and <= 1e+12, got 5e-324"),
        ({**IDENTITY, **TRACE, "duration_ms": -1}, "duration_ms", "got -1"),
        ({**IDENTITY, **TRACE, "duration_ms": "5"}, "duration_ms", "got '5'"),
        ({**TRACE, "duration_ms": 5}, "model_type", "must be given and not empty"),
        ({**IDENTITY, "duration_ms": 5}, "outcome.input_feature", "must be given"),
        ({"prediction_id": 7, "duration_ms": 5}, "prediction_id", "must be a text, got 7"),
        ({"prediction_id": {}, "duration_ms": 5}, "prediction_id", "must be a text, got an object"),
        ([], "outcomes", "must hold 1 to 10000 reports"),
        ([7], "outcomes[0]", "must be an object, got 7"),
        ({"outcomes": [{}]}, "outcomes[0].duration_ms", "must be a number"),
    ],
)
def test_a_report_that_breaks_a_rule(server, report, field, problem):
    server.post("/outcomes", report).wrong(field, problem)


def test_an_unknown_prediction_is_404(server):
    answer = server.post("/outcomes", {"prediction_id": "deadbeef-1", "duration_ms": 5})
    assert answer.status == 404
    assert "'deadbeef-1' is not known, or not any more" in answer.json()["error"]


def test_a_bad_report_of_a_list_hurts_only_itself(server):
    reports = [{**IDENTITY, **TRACE, "duration_ms": 60}, {"duration_ms": 5}, {**IDENTITY, **TRACE, "duration_ms": 61}]
    told = server.post("/outcomes", reports).good
    assert (told["status"], told["accepted"], told["failed"]) == ("partial", 2, 1)
    assert [one["status"] for one in told["results"]] == ["success", "error", "success"]
    assert told["results"][1]["message"].startswith("outcomes[1].model_type: must be given")


def test_figures_are_the_same_after_a_restart_and_in_the_metrics(start):
    served = start()
    reports = [{**IDENTITY, **TRACE, "duration_ms": 60 + shift} for shift in (0, 6, -30, 60)]
    assert served.post("/outcomes", reports).good["accepted"] == 4
    before = line(served)
    assert (before["outcomes"], before["mae_ms"], before["coverage_80"]) == (4, 24.0, 0.5)
    assert before["median_ape"] == pytest.approx((6 / 66 + 0.5) / 2)
    served.process.terminate()
    served.process.wait(timeout=30)
    again = start("--prediction-cache", "2")
    assert line(again) == before
    samples, key = again.metrics(), (("model_key", PATH),)
    assert samples["jobcast_task_outcomes_total", key] == 4
    assert samples["jobcast_task_error_ms", key] == 24
    assert samples["jobcast_task_coverage_80", key] == 0.5
    assert samples["jobcast_task_drift", key] == 0
    for tokens in (1, 2, 1, 3, 2):  # the third is known, the fifth has gone
        again.single({"input_feature": {"input_tokens": tokens}})
    samples = again.metrics()
    names = ("hits_total", "misses_total", "evictions_total", "entries")
    assert [samples[f"jobcast_prediction_cache_{name}", ()] for name in names] == [1, 4, 2, 2]
    assert samples["jobcast_task_predictions_total", (("method", "fallback"), ("model_key", PATH))] == 5


def test_what_is_older_than_the_retention_goes(start):
    served = start()
    served.post("/outcomes", [{**IDENTITY, **TRACE, "duration_ms": took} for took in (1, 2)])
    served.process.terminate()
    served.process.wait(timeout=30)
    day = 86_400_000
    with sqlite3.connect(served.folder / "state" / "outcomes.sqlite") as store:
        store.execute("UPDATE outcomes SET at_ms = at_ms - ? WHERE duration_ms = 1", (3 * day,))
        store.execute("UPDATE outcomes SET at_ms = at_ms - ? WHERE duration_ms = 2", (1 * day,))
    store.close()
    again = start("--outcome-retention-days", "2")
    again.post("/outcomes", {**IDENTITY, **TRACE, "duration_ms": 3})
    assert [took for took, _ in rows(again)] == [2.0, 3.0]


def test_no_acknowledged_outcome_is_lost_when_the_server_is_killed(start):
    """Four callers report as fast as they can until the server is killed with SIGKILL amid them."""
    served = start()
    acknowledged: list[float] = []
    enough = threading.Event()

    def report(caller):
        connection = http.client.HTTPConnection(*served.address, timeout=30)
        try:
            for number in range(1, 10**6):
                took = caller * 10**6 + number
                body = json.dumps({**IDENTITY, **TRACE, "duration_ms": took})
                connection.request("POST", "/outcomes", body)
                answer = connection.getresponse()
                if answer.status == 200 and answer.read():
                    acknowledged.append(float(took))
                if len(acknowledged) >= 200:
                    enough.set()
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    callers = [threading.Thread(target=report, args=(number,)) for number in range(1, 5)]
    for caller in callers:
        caller.start()
    assert enough.wait(60)
    served.process.kill()
    for caller in callers:
        caller.join(30)
    assert len(acknowledged) >= 200
    again = start()
    assert line(again)["outcomes"] >= len(acknowledged)
    kept = {took for took, _ in rows(again)}
    assert not set(acknowledged) - kept


def test_a_store_that_cannot_be_written_is_told_and_predictions_go_on(start, tmp_path):
    served = start()
    (tmp_path / "state").write_text("a file where the folder should be")
    answer = served.post("/outcomes", {**IDENTITY, **TRACE, "duration_ms": 5})
    assert answer.status == 503
    assert "outcomes cannot be written" in answer.json()["error"]
    assert served.single(TRACE).status == 200
    (tmp_path / "state").unlink()
    assert served.post("/outcomes", {**IDENTITY, **TRACE, "duration_ms": 5}).status == 200


@pytest.mark.parametrize("option", ["store", "tables"])
def test_a_path_that_cannot_be_one_stops_the_start(start, tmp_path, option):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "deep" / "outcomes.sqlite"
    with pytest.raises(AssertionError, match=f"{option}: .*{tmp_path}/file is none; name another with --{option}"):
        start(f"--{option}", str(path))


def test_a_store_that_may_not_be_written_is_told_at_the_start(toy, tmp_path):
    toy.make(tmp_path / "models")
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere")
    process = serving.spawn("--store", str(closed / "outcomes.sqlite"), models=tmp_path / "models")
    try:
        assert serving.wait(process, "store cannot be written")["path"] == str(closed)
        serving.wait(process)
    finally:
        serving.end(process)
    closed.chmod(0)
    process = serving.spawn("--store", str(closed / "outcomes.sqlite"), models=tmp_path / "models")
    try:
        assert "outcomes.sqlite'; name another file with --store" in process.communicate(timeout=60)[1]
        assert process.returncode == 1
    finally:
        serving.end(process)


def test_a_store_that_cannot_grow_says_so_and_takes_reports_again_once_it_can(start):
    served = start()
    report = {**IDENTITY, **TRACE, "duration_ms": 5}
    assert served.post("/outcomes", report).status == 200
    unlimited = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
    answer = served.post("/outcomes", report)
    assert answer.status == 503
    assert answer.json()["error"].endswith("outcomes cannot be written: disk I/O error")
    assert served.single(TRACE).status == 200
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert served.post("/outcomes", report).status == 200
    assert len(rows(served)) == 2


def test_predictions_go_on_while_another_process_holds_the_store(start):
    served = start()
    served.post("/outcomes", {**IDENTITY, **TRACE, "duration_ms": 5})
    with sqlite3.connect(served.folder / "state" / "outcomes.sqlite", isolation_level=None) as store:
        store.execute("BEGIN IMMEDIATE")
        told = []
        waiting = threading.Thread(
            target=lambda: told.append(served.post("/outcomes", {**IDENTITY, **TRACE, "duration_ms": 6}))
        )
        waiting.start()
        for _ in range(20):
            assert served.single(TRACE).status == 200
        assert not told
        store.execute("COMMIT")
        waiting.join(30)
    store.close()
    assert told[0].status == 200
    assert time.time_ns() // 1_000_000 - rows(served)[-1][1] < 60_000


def test_a_store_that_was_removed_or_spoilt_under_the_server_takes_or_refuses_the_next_report(start):
    served = start()
    store = served.folder / "state" / "outcomes.sqlite"
    report = {**IDENTITY, **TRACE, "duration_ms": 60}
    assert served.post("/outcomes", report).good["accepted"] == 1
    for one in store.parent.glob("outcomes.sqlite*"):
        one.unlink()
    assert served.post("/outcomes", report).good["accepted"] == 1
    assert len(rows(served)) == 1
    for one in store.parent.glob("outcomes.sqlite*"):
        one.unlink()
    store.write_bytes(b"no store" * 1000)
    for path, body in (("/outcomes", report), ("/train", {**IDENTITY, "from_outcomes": True})):
        answer = served.post(path, body)
        assert answer.status == 503, answer.body
        assert answer.json()["error"].startswith("store: outcomes cannot be")
