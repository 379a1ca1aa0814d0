"""The page Predict run without a browser against a real server: every number is the server's own."""

import json
import os
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import grpc
import numpy as np
import open_inference_pb2 as pb
import pytest
import serving
from google.protobuf import json_format
from jobcast import Client, InferenceClient, Records
from jobcast_ui.amounts import amount
from jobcast_ui.answer import answer_of
from jobcast_ui.predict import picture
from jobcast_ui.predict.contributions import varied
from jobcast_ui.verdict import in_words, judge
from open_inference_pb2_grpc import GRPCInferenceServiceStub

JOB = {
    "processors_req": "32", "nodes_req": "4", "wallclock_req": "7200", "submit_time": "2024-05-01T10:00:00",
    "partition": "normal", "qos": "it's", "user": "ada", "recent_runtimes": "610,595.5",
}  # fmt: skip
BUILD = {
    "build_profile": "linuxx86_64-gcc-release", "requested_memory": "500", "jobs": "500", "has_dist": "1",
    "make_type": "rel", "recent_peaks": "65.1 70.2", "time": "2024-05-01T10:00:00",
}  # fmt: skip
TASK = {"model_name": "Llama-3-70B", "hardware": "NVIDIA H20", "input_tokens": "512", "batch_size": "8"}
RECORDS = {"hpc-runtime": JOB, "build-memory": BUILD, "llm-latency": TASK}


@pytest.fixture
def inference(server):
    with InferenceClient(server.address) as client:
        yield client


@pytest.fixture
def asked(inference):
    """Schema, batch and answer of a record, straight from the client."""

    def ask(model, record):
        schema, _ = inference.schema(model)
        batch = Records(schema.inputs, written=True).read([record])
        return schema, batch, answer_of(schema, batch, inference.infer(schema, batch), 0)

    return ask


def fill(app, model, record):
    app.selectbox(key="predict-model").set_value(model).run()
    for name, text in record.items():
        field = app.get_by_key(f"predict-{model}-{name}")
        kind = type(field).__name__
        if kind == "Selectbox" and text.isdecimal():
            field.set_value(int(text))
        else:
            number = float(text) if kind == "NumberInput" else text
            field.set_value(datetime.fromisoformat(text) if kind == "DateTimeInput" else number)
    app.button[0].click().run()
    assert not app.exception
    return app


def verdicts(app):
    return [one.value for one in (*app.warning, *app.error, *app.success)]


def tables(app):
    return [dict(one.value.itertuples(index=False, name=None)) for one in app.table]


@pytest.mark.parametrize("model", RECORDS)
def test_the_page_shows_the_servers_numbers(opened, asked, model):
    app = fill(opened("predict"), model, RECORDS[model])
    _, _, answer = asked(model, RECORDS[model])
    figures, quantiles = tables(app)
    unit = answer.unit
    assert figures["Point prediction"] == amount(answer.point, unit)
    assert amount(answer.limit, unit) in figures.values()
    assert f"{amount(answer.interval[0], unit)} to {amount(answer.interval[1], unit)}" in figures.values()
    assert list(quantiles.values()) == [amount(value, unit) for value in answer.quantiles]
    assert figures.get("Requested") == (None if answer.request is None else amount(answer.request, unit))
    assert figures.get("Recommended allocation") == (
        None if answer.allocation is None else amount(answer.allocation, unit)
    )
    verdict = judge(answer)
    assert verdicts(app) == ([] if verdict is None else [in_words(verdict)])


@pytest.mark.parametrize("model", RECORDS)
def test_the_picture_is_drawn_from_the_same_numbers(asked, model):
    _, _, answer = asked(model, RECORDS[model])
    area, curve, marks = (layer["data"]["values"] for layer in picture.picture(answer)["layer"])
    assert [(row["level"], row["amount"]) for row in curve] == list(zip(answer.levels, answer.quantiles, strict=True))
    assert (area[0]["amount"], area[-1]["amount"]) == answer.interval
    assert {row["what"]: row["amount"] for row in marks} == picture.marked(answer)
    words = picture.in_words(answer)
    assert all(amount(value, answer.unit) in words for value in (*answer.quantiles, *picture.marked(answer).values()))


@pytest.mark.parametrize("model", RECORDS)
def test_contributions_are_what_the_server_answers_to_each_replacement(opened, inference, asked, model):
    app = fill(opened("predict"), model, RECORDS[model])
    schema, batch, answer = asked(model, RECORDS[model])
    state = app.session_state["predict-state"]
    moved, left = state.moved, state.left
    assert moved
    read = Records(schema.inputs)
    typical = {spec.name: spec for spec in schema.inputs}
    record = {name: values if len(values) > 1 else values[0] for name, values in batch.columns.items()}
    for name, value in moved.items():
        spec = typical[name]
        width = 10**6 if spec.type == "string" else spec.shape[1]
        baseline = spec.baseline if spec.type != "int64" else int(spec.baseline)
        other = record | {name: baseline if width in (1, 10**6) or baseline is None else [baseline] * width}
        point = inference.infer(schema, read.read([other]))["point"][0][0]
        assert value == answer.point - point, name
    shown = dict(list(moved.items())[:10])
    assert picture.bars_in_words(shown, answer.unit) in app.caption[-1].value.replace("\\", "")
    assert set(moved).isdisjoint(left)
    if model == "hpc-runtime":
        assert left == ("nodes_req", "partition", "qos")


def test_contributions_of_a_job_are_those_that_the_contract_of_run_times_tells(server, asked):
    job = {name: text for name, text in JOB.items() if name != "recent_runtimes"}
    schema, batch, _ = asked("hpc-runtime", job)
    with Client(server.address) as client:
        told = client.predict(
            processors_req=32, nodes_req=4, wallclock_req=7200, partition="normal", qos="it's", user="ada",
            submit_time=int(batch.columns["submit_time"][0]), feature_importance=50,
        ).contributions  # fmt: skip
    rows = varied(schema, batch)
    with InferenceClient(server.address) as client:
        points = [row[0] for row in client.infer(schema, rows.batch)["point"]]
    own = {name: points[0] - point for name, point in zip(rows.names, points[1:], strict=True)}
    assert len(told) > 10
    assert {name: own[name] for name in told if name in own} == {name: told[name] for name in told if name in own}
    assert told.keys() - own.keys() == set(rows.left)


@pytest.mark.parametrize(
    ("model", "changes", "name", "rule"),
    [
        ("hpc-runtime", {"nodes_req": "0"}, "nodes_req", r"must be finite and \>\= 1"),
        ("hpc-runtime", {"partition": ""}, "partition", "must be given"),
        ("hpc-runtime", {"user": "x" * 300}, "user", "must be at most 256 bytes, got 300"),
        ("hpc-runtime", {"recent_runtimes": "600, soon"}, "recent_runtimes", "must be a number in s"),
        ("build-memory", {"requested_memory": "-1"}, "requested_memory", "must be finite"),
    ],
)
def test_what_breaks_a_rule_stands_at_its_field_with_the_rule(opened, model, changes, name, rule):
    app = fill(opened("predict"), model, RECORDS[model] | changes)
    told = [one.value for one in app.markdown if ":material/error:" in one.value]
    assert len(told) == 1
    assert name.replace("_", r"\_") in told[0]
    assert rule.replace("\\", "").replace("'", "") in told[0].replace("\\", "").replace("'", "")
    assert verdicts(app) == [f"Not asked: mend {name} above."]
    assert len(app.table) == 0


def test_what_only_the_server_refuses_stands_at_its_field_too(opened, server, monkeypatch):
    monkeypatch.setattr("jobcast_proto.rules.Rules.broken", lambda self, value: None)  # the app's own look at it
    app = fill(opened("predict"), "hpc-runtime", JOB | {"nodes_req": "0"})
    told = [one.value.replace("\\", "") for one in app.markdown if ":material/error:" in one.value]
    assert len(told) == 1
    assert "nodes_req: must be finite and >= 1, got 0" in told[0]


def test_an_unseen_category_may_be_typed(opened, asked):
    app = fill(opened("predict"), "hpc-runtime", JOB | {"partition": "never seen before"})
    _, _, answer = asked("hpc-runtime", JOB | {"partition": "never seen before"})
    assert tables(app)[0]["Point prediction"] == amount(answer.point, "s")


def test_a_duration_turns_the_saving_into_gib_hours(opened, asked):
    app = fill(opened("predict"), "build-memory", BUILD)
    app.number_input(key="predict-hours").set_value(2.5).run()
    _, _, answer = asked("build-memory", BUILD)
    verdict = judge(answer, 2.5)
    assert verdict.cost == pytest.approx(2.5 * (500 - answer.allocation))
    assert verdicts(app) == [in_words(verdict)]
    assert "GiB-hours" in in_words(verdict)


@pytest.mark.parametrize("model", ["hpc-runtime", "build-memory"])
def test_every_call_to_copy_gives_the_same_numbers(opened, asked, server, model):
    app = fill(opened("predict"), model, RECORDS[model])
    _, _, answer = asked(model, RECORDS[model])
    shell, script, rest, rpc = (one.value for one in app.code)
    told = json.loads(run(shell).stdout)
    assert (told["point"], list(told["quantiles"].values())) == (answer.point, list(answer.quantiles))
    *_, levels, point = run(shlex.join([sys.executable, "-c", script])).stdout.splitlines()
    assert (float(point), levels) == (answer.point, str(dict(zip(answer.levels, answer.quantiles, strict=True))))
    outputs = {one["name"]: np.float32(one["data"]).tolist() for one in json.loads(run(rest).stdout)["outputs"]}
    assert (outputs["point"], outputs["quantiles"]) == ([answer.point], list(answer.quantiles))
    assert outputs_of(rpc, server.address) == [*answer.quantiles, answer.point]


def run(line):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = ["bash", "-euo", "pipefail", "-c", line]
    ended = subprocess.run(shell, capture_output=True, text=True, env=serving.environment(PATH=path), check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended


def outputs_of(line, address):
    """What the server answers to the message that grpcurl would send."""
    words = shlex.split(line)
    assert (words[0], words[-2:]) == ("grpcurl", [address, "inference.GRPCInferenceService/ModelInfer"])
    request = json_format.Parse(words[words.index("-d") + 1], pb.ModelInferRequest())
    request.parameters["binary_data_output"].bool_param = False
    with grpc.insecure_channel(address) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request)
    return [
        value for one in answer.outputs if one.name in ("quantiles", "point") for value in one.contents.fp32_contents
    ]
