"""The page Predict run without a browser against a real server: every number is the server's own."""

import json
import re
import shlex
import subprocess
import sys
from datetime import datetime

import grpc
import open_inference_pb2 as pb
import pytest
from google.protobuf import json_format
from jobcast import Client, InferenceClient, Records
from jobcast_ui.amounts import amount
from jobcast_ui.answer import Answer, Chance, answer_of
from jobcast_ui.predict import calls
from jobcast_ui.predict.contributions import contributions, varied
from jobcast_ui.verdict import in_words, judge
from open_inference_pb2_grpc import GRPCInferenceServiceStub

JOB = {
    "processors_req": "32", "nodes_req": "4", "wallclock_req": "7200", "submit_time": "2024-05-01T10:00:00",
    "partition": "normal", "qos": "it's", "recent_runtimes": "610,595.5",
}  # fmt: skip
BUILD = {
    "build_profile": "linuxx86_64-gcc-release", "requested_memory": "500", "jobs": "500", "recent_peaks": "65.1 70.2",
    "time": "2024-05-01T10:00:00",
}  # fmt: skip


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
        field.set_value(
            datetime.fromisoformat(text) if kind == "DateTimeInput" else float(text) if kind == "NumberInput" else text
        )
    app.button[0].click().run()
    assert not app.exception
    return app


def texts(app):
    return "\n".join(
        str(one.value) for kind in ("markdown", "caption", "error", "warning", "success") for one in app.get(kind)
    )


@pytest.mark.parametrize(("model", "record"), [("hpc-runtime", JOB), ("build-memory", BUILD)])
def test_the_page_shows_the_servers_numbers(opened, asked, model, record):
    app = fill(opened("predict"), model, record)
    _, _, answer = asked(model, record)
    shown = texts(app)
    assert amount(answer.point, answer.unit) in shown
    for value in (*answer.quantiles, answer.request, answer.suggested):
        assert amount(value, answer.unit) in shown
    verdict = judge(answer)
    assert verdict is not None
    assert in_words(verdict) in shown
    table = app.table[0].value
    assert amount(answer.limit, answer.unit) in table["amount"].tolist()
