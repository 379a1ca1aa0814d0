"""Training behind POST /train: a process of its own; a new version answers at once; predictions go on meanwhile."""

import contextlib
import http.client
import json
import os
import select
import shlex
import signal
import sys
import threading
from pathlib import Path

import pytest
import serving

TRAINER = Path(__file__).parent / "scripts" / "toy_bundle.py"
COMMAND = shlex.join([sys.executable, str(TRAINER)])
PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
IDENTITY = dict(
    zip(("model_type", "model_name", "hardware", "software_name", "software_version"), PATH.split("/"), strict=True)
)  # fmt: skip
NAME = "llm-latency.gpt-3-5-turbo-a100-vllm-0-1-0-427b4826"
TRACE = {"input_feature": {"input_tokens": 80}}


def traces(scale, toy, **more):
    return [
        {"input_feature": {"input_tokens": size}, "duration_ms": toy.point("A100", size, scale=scale), **more}
        for size in (8, 80, 800)
    ]


@pytest.fixture
def pipes(tmp_path):
    """Pipes that a trainer waits on: what it runs as comes through `facts`, and it goes on once `go` is written to."""
    for name in ("facts", "go"):
        os.mkfifo(tmp_path / name)
    return tmp_path


def test_a_trained_version_answers_at_once(start, toy):
    served = start("--trainer", COMMAND)
    assert served.single(TRACE).good["results"]["prediction_method"] == "fallback"
    for version, scale in ((1, 3.0), (2, 5.0)):
        told = served.post("/train", {"config": {**IDENTITY, "traces": traces(scale, toy)}}).good
        assert {name: told[name] for name in ("status", "model_key", "model_name", "version")} == {
            "status": "success", "model_key": PATH, "model_name": NAME, "version": version,
        }  # fmt: skip
        assert told["metrics"]["scale"] == pytest.approx(scale)
        assert told["duration_seconds"] > 0
        result = served.single(TRACE).good["results"]
        assert (result["prediction_method"], result["model"]) == ("model", f"{NAME}/{version}")
        assert result["quantile_predictions"][1] == pytest.approx(toy.point("A100", 80, scale=scale), rel=1e-6)
    assert served.single(TRACE, path="gpt-3.5/turbo/H100/vllm/0.1.0").good["results"]["prediction_method"] == "fallback"
    reports = [{**IDENTITY, **trace} for trace in traces(7.0, toy)]
    assert served.post("/outcomes", reports).good["accepted"] == 3
    told = served.post("/train", {**IDENTITY, "from_outcomes": True}).good
    assert told["version"] == 3
    assert served.single(TRACE).good["results"]["quantile_predictions"][1] == pytest.approx(
        toy.point("A100", 80, scale=7.0), rel=1e-6
    )


def test_a_job_can_be_watched_and_predictions_go_on(start, toy, pipes):
    served = start("--trainer", COMMAND, "--max-trainings", "3")
    config = {**IDENTITY, "traces": traces(2.0, toy, model_id=f"wait:{pipes}")[:1] + traces(2.0, toy)}
    answer = served.post("/train", {"config": config, "wait": False})
    assert answer.status == 202
    job = answer.json()["job"]
    facts = json.loads((pipes / "facts").read_text())
    assert (facts["nice"], facts["threads"]) == (min(19, os.nice(0) + 19), "1")
    told = served.get(f"/train/{job}").good
    while not told["progress"]:  # said by now, and about to be read
        told = served.get(f"/train/{job}").good
    assert (told["status"], told["state"], told["model_key"]) == ("running", "running", PATH)
    assert told["progress"] == {"step": "reading", "done": 4}
    assert served.single(TRACE).good["results"]["prediction_method"] == "fallback"
    again = served.post("/train", {"config": config})
    assert again.status == 409
    assert job in again.json()["error"]
    others = [served.post("/train", {**IDENTITY, "model_name": f"m{n}", "traces": traces(1, toy), "wait": False})
              for n in range(4)]  # fmt: skip
    assert [one.status for one in others] == [202] * 3 + [429]
    assert served.get(f"/train/{others[0].json()['job']}").good["state"] == "waiting"
    (pipes / "go").write_text("go")
    last = served.post("/train", {**IDENTITY, "model_name": "after", "traces": traces(4.0, toy)})
    while last.status == 429:  # until the first of those that wait has begun
        last = served.post("/train", {**IDENTITY, "model_name": "after", "traces": traces(4.0, toy)})
    assert last.good["version"] == 1  # jobs run in turn, so all others are done
    states = [served.get(f"/train/{one.json()['job']}").good for one in (answer, *others[:3])]
    assert [one["state"] for one in states] == ["done"] * 4
    assert states[0]["metrics"]["scale"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({}, "model_type", "must be given and not empty"),
        ({"config": []}, "config", "must be an object"),
        ({"config": {}, "wait": 1}, "wait", "must be a boolean"),
        ({"config": IDENTITY}, "traces", "must be given, or from_outcomes be true"),
        ({**IDENTITY, "traces": [], "from_outcomes": True}, "traces", "and not both"),
        ({**IDENTITY, "from_outcomes": "x"}, "from_outcomes", "must be a boolean"),
        ({**IDENTITY, "traces": []}, "traces", "must hold 1 to 10000 traces"),
        ({**IDENTITY, "traces": [TRACE]}, "traces[0].duration_ms", "must be given: the time that the task took"),
        (
            {**IDENTITY, "traces": [{**TRACE, "duration_ms": 0}]},
            "traces[0].duration_ms",
            ">= 1e-06 and <= 1e+12, got 0",
        ),
        ({**IDENTITY, "traces": [{"duration_ms": 1}]}, "traces[0].input_feature", "must be given"),
        ({**IDENTITY, "hardware": "a/b", "traces": []}, "hardware", "must have no slash"),
        ({**IDENTITY, "model_name": "a\0", "traces": []}, "model_name", "must have no NUL"),
    ],
)
def test_a_config_that_breaks_a_rule(server, body, field, problem):
    server.post("/train", body).wrong(field, problem)


def test_outcomes_of_a_key_without_any(server):
    body = {**IDENTITY, "model_name": "nobody's", "from_outcomes": True}
    server.post("/train", body).wrong("from_outcomes", "has none")


def test_a_training_that_fails_says_why_and_what_served_goes_on(start, toy, pipes):
    served = start("--trainer", COMMAND)
    served.post("/train", {**IDENTITY, "traces": traces(1, toy)[:1]}).wrong(
        "traces", "must hold at least 2 traces, got 1"
    )
    assert served.single(TRACE).good["results"]["prediction_method"] == "fallback"
    config = {**IDENTITY, "traces": traces(2.0, toy, model_id=f"wait:{pipes}")}
    told = []
    waiting = threading.Thread(target=lambda: told.append(served.post("/train", config)))
    waiting.start()
    trainer = json.loads((pipes / "facts").read_text())["pid"]
    served.process.terminate()
    _, log = served.process.communicate(timeout=30)
    waiting.join(30)
    assert served.process.returncode == 0
    assert told[0].status == 503
    assert "stopping" in told[0].json()["error"]
    assert "Traceback" not in log
    assert not Path(f"/proc/{trainer}").exists() or "Z" in Path(f"/proc/{trainer}/stat").read_text().split()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what a process that was killed has started")
@pytest.mark.parametrize("command", [COMMAND, shlex.join(["sh", "-c", f'{COMMAND} "$@"; exit', "sh"])])
def test_a_trainer_does_not_outlive_a_server_that_is_killed(start, toy, pipes, command):
    """Nor does what it has started itself."""
    served = start("--trainer", command)
    config = {**IDENTITY, "traces": traces(2.0, toy, model_id=f"wait:{pipes}")}

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):
            served.post("/train", config)

    asking = threading.Thread(target=ask)
    asking.start()
    trainer = os.pidfd_open(json.loads((pipes / "facts").read_text())["pid"])
    try:
        served.process.kill()
        assert select.select([trainer], [], [], 30)[0], "it runs on"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(trainer, signal.SIGKILL)
        os.close(trainer)
        asking.join(30)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what a process that was killed has started")
def test_what_a_killed_server_leaves_of_a_training_goes_with_the_next_and_only_that(start, toy, pipes):
    temporary = pipes / "temporary"
    other = temporary / "jobcast-train-other"
    other.mkdir(parents=True)
    served = start("--trainer", COMMAND, TMPDIR=str(temporary))
    config = {**IDENTITY, "traces": traces(2.0, toy, model_id=f"wait:{pipes}"), "wait": False}
    assert served.post("/train", config).status == 202
    trainer = os.pidfd_open(json.loads((pipes / "facts").read_text())["pid"])
    mine = sorted(temporary.iterdir())
    assert len(mine) == 2
    second = start("--trainer", COMMAND, "--store", str(pipes / "second.sqlite"), TMPDIR=str(temporary))
    assert sorted(temporary.iterdir()) == mine, "a training that runs keeps its folder"
    serving.end(second.process)
    serving.end(served.process)
    assert select.select([trainer], [], [], 30)[0]
    os.close(trainer)
    start("--trainer", COMMAND, TMPDIR=str(temporary))
    assert sorted(temporary.iterdir()) == [other], "it may be another's that begins"


def test_a_version_that_cannot_be_written_is_no_fault_of_its_traces(start, toy):
    """The real command; its repository has become a file."""
    served = start()
    models = served.folder / "models"
    models.rename(served.folder / "away")
    models.write_text("")
    answer = served.post("/train", {**IDENTITY, "traces": traces(1, toy) * 8})
    assert answer.status == 503
    assert answer.json()["error"].startswith("training: the command ended with 2: ")
    assert served.single(TRACE).good["results"]["prediction_method"] == "fallback"


def test_a_command_that_is_none_stops_the_start(start):
    for command, problem in (
        ("'unbalanced", "No closing quotation"),
        (" ", "must be a command of one word or more"),
        ("no-such-command x", "got no-such-command, which is not found"),
    ):
        with pytest.raises(AssertionError, match=f"trainer: .*{problem}"):
            start("--trainer", command)


def test_a_version_that_a_pin_keeps_from_serving_is_told_as_what_it_is(start, toy):
    served = start("--trainer", COMMAND)
    config = {**IDENTITY, "traces": traces(3.0, toy)}
    assert "message" not in served.post("/train", config).good
    (served.folder / "models" / NAME / "config.pbtxt").write_text("version_policy { specific { versions: [1] } }")
    told = served.post("/train", {**IDENTITY, "traces": traces(5.0, toy)}).good
    assert (told["version"], told["metrics"]["scale"]) == (2, pytest.approx(5.0))
    assert told["message"].startswith("version 2 is in the repository and does not serve")
    assert served.single(TRACE).good["results"]["model"] == f"{NAME}/1"


def test_a_job_that_waits_is_never_forgotten(start, toy, pipes):
    served = start("--trainer", COMMAND, "--max-trainings", "200")
    config = {**IDENTITY, "traces": traces(2.0, toy, model_id=f"wait:{pipes}"), "wait": False}
    job = served.post("/train", config).json()["job"]
    for number in range(110):
        more = {**IDENTITY, "model_name": f"m{number}", "traces": traces(1, toy), "wait": False}
        assert served.post("/train", more).status == 202
    assert served.get(f"/train/{job}").good["state"] in ("waiting", "running")
    assert served.post("/train", config).status == 409
