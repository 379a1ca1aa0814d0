"""Traces: a real OTLP service receives the spans of real calls; who decides what is traced; what the end does."""

import asyncio
import http.client
import itertools
import json
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import grpc
import open_inference_pb2_grpc as inference
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

collector = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")
pytest.importorskip("opentelemetry.sdk")

STAGES = ["queue", "decode", "compute", "encode"]
PREDICT = "rtpredictor.v1.JobRuntimePredictor/Predict"
ERROR = 2
"""Code of a span's status."""
TOGETHER = 160
"""So many calls at once that some wait for a pass even where the caller gets less of the processor than the server."""


@dataclass
class Receiver(collector.TraceServiceServicer):
    """Keeps what comes.

    Attributes:
        spans: by trace, in the order of their beginnings. resources: attributes of whoever sent them.
    """

    spans: dict[str, list[Any]] = field(default_factory=dict)
    resources: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _came: threading.Condition = field(default_factory=threading.Condition)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name on the wire
        with self._came:
            for resource in request.resource_spans:
                self.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    self.spans.setdefault(span.trace_id.hex(), []).append(span)
            self._came.notify_all()
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        return ExportTraceServiceResponse()

    def call(self, trace: str) -> Any:
        """The span of the call of a trace, once it is there; it is told last."""
        with self._came:
            assert self._came.wait_for(
                lambda: any(span.kind for span in self.spans.get(trace, ()) if is_call(span)), 30
            )
            (found,) = filter(is_call, self.spans[trace])
            return found

    def stages(self, trace: str) -> list[Any]:
        """The spans within it, in order."""
        call = self.call(trace)
        found = [span for span in self.spans[trace] if not is_call(span)]
        assert all(span.parent_span_id == call.span_id for span in found)
        return sorted(found, key=lambda span: span.start_time_unix_nano)


def is_call(span: Any) -> bool:
    return bool(span.kind == span.SPAN_KIND_SERVER)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    server = grpc.server(ThreadPoolExecutor(1))
    collector.add_TraceServiceServicer_to_server(made, server)
    made.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made
    server.stop(None).wait()


@pytest.fixture(scope="module")
def where(receiver: Receiver) -> tuple[str, ...]:
    """Flags by which spans come here; without a word of the caller none is traced."""
    address = f"http://127.0.0.1:{receiver.port}"
    return "--otlp-endpoint", address, "--trace-ratio", "0", "--listener", "asyncio"


@pytest.fixture(scope="module")
def served(start_for_all: Any, where: tuple[str, ...]) -> Any:
    """One server for most tests, whose spans come at once."""
    return start_for_all(*where, OTEL_BSP_SCHEDULE_DELAY="10")


def parent(sampled: bool = True) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Trace, span, and the metadata that says so."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, (("traceparent", f"00-{trace}-{span}-0{int(sampled)}"),)


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def post(served: Any, path: str, body: Any, headers: dict[str, str]) -> int:
    """The status of the answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", served.ready["http_port"])) as connection:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_a_call_s_spans_belong_to_the_caller_s_trace(served, receiver, job):
    trace, span, metadata = parent()
    with served.channel() as channel:
        request = pb.PredictRequest(features=job)
        rpc.JobRuntimePredictorStub(channel).Predict(request, metadata=(*metadata, ("x-request-id", "job-7")))
    call = receiver.call(trace)
    assert (call.name, call.parent_span_id.hex()) == (PREDICT, span)
    assert attributes(call) == {
        "rpc.system.name": "grpc", "rpc.method": PREDICT, "jobcast.request_id": "job-7",
        "rpc.response.status_code": "OK",
    }  # fmt: skip
    stages = receiver.stages(trace)
    assert [stage.name for stage in stages] == STAGES
    assert call.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert stages[-1].end_time_unix_nano <= call.end_time_unix_nano
    for earlier, later in itertools.pairwise(stages):
        assert earlier.end_time_unix_nano <= later.start_time_unix_nano
    assert receiver.resources[0]["service.name"] == "jobcast"


def test_every_protocol_and_a_large_batch_are_traced(served, receiver, job, infer_request):
    batch, infer, large, http, stream, socket = (parent() for _ in range(6))
    with served.channel() as channel:
        stub = rpc.JobRuntimePredictorStub(channel)
        stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 600), metadata=batch[2])
        list(stub.PredictStream(iter([pb.PredictRequest(features=job)]), metadata=stream[2]))
        call = inference.GRPCInferenceServiceStub(channel).ModelInfer
        call(infer_request(2), metadata=infer[2])
        call(infer_request(600), metadata=large[2])
    task = {"trace": {"input_feature": {"input_tokens": 9, "output_tokens": 9}}, "confidence_level": 0.8}
    assert post(served, "/predict/single/a/b/A100/vllm/1", task, dict(http[2])) == 200
    with connect(f"ws://127.0.0.1:{served.ready['http_port']}/ws/predict", additional_headers=dict(socket[2])) as ws:
        ws.send("{}")
        ws.recv()
    pieces = [stage.name for stage in receiver.stages(batch[0])]
    assert pieces[0] == "queue"
    assert pieces.count("compute") >= 2
    assert len(pieces) == 1 + 3 * pieces.count("compute")
    stages = receiver.stages(infer[0])
    assert [stage.name for stage in stages] == STAGES
    assert all(one.end_time_unix_nano <= two.start_time_unix_nano for one, two in itertools.pairwise(stages))
    pieces = [stage.name for stage in receiver.stages(large[0])]
    assert (pieces[0], pieces.count("decode"), pieces[-1], pieces.count("encode")) == ("queue", 3, "encode", 1)
    assert "compute" in [stage.name for stage in receiver.stages(stream[0])]
    assert receiver.call(http[0]).name == "POST PredictSingle"
    assert attributes(receiver.call(http[0]))["http.response.status_code"] == 200
    assert "compute" in [stage.name for stage in receiver.stages(http[0])]
    assert receiver.call(socket[0]).name == "GET PredictSocket"


def test_a_refused_call_says_its_status_and_is_no_error_of_the_server(served, receiver):
    (wrong, _, metadata), (http, _, headers) = parent(), parent()
    with served.channel() as channel, pytest.raises(grpc.RpcError):
        rpc.JobRuntimePredictorStub(channel).Predict(pb.PredictRequest(), metadata=metadata)
    post(served, "/v2/models/nobody/infer", {}, dict(headers))
    call = receiver.call(wrong)
    assert attributes(call)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert call.status.code != ERROR
    assert attributes(receiver.call(http))["http.response.status_code"] == 404
    assert receiver.call(http).status.code != ERROR


def test_a_call_that_the_native_listener_hands_over_is_traced(start, where, receiver):
    served = start(*where, "--listener", "auto", OTEL_BSP_SCHEDULE_DELAY="10")
    trace, span, metadata = parent()
    with served.channel() as channel, pytest.raises(grpc.RpcError):
        rpc.JobRuntimePredictorStub(channel).Predict(pb.PredictRequest(), metadata=metadata)
    assert receiver.call(trace).parent_span_id.hex() == span
    assert attributes(receiver.call(trace))["rpc.response.status_code"] == "INVALID_ARGUMENT"


def test_calls_that_share_a_pass_keep_their_own_traces(served, receiver, job):
    parents, before = [parent() for _ in range(4 * TOGETHER)], passes(served)

    async def all_at_once() -> None:
        async with grpc.aio.insecure_channel(served.address) as channel:
            call = rpc.JobRuntimePredictorStub(channel).Predict
            request = pb.PredictRequest(features=job)
            for first in range(0, len(parents), TOGETHER):
                together = parents[first : first + TOGETHER]
                await asyncio.gather(*(call(request, metadata=metadata) for _, _, metadata in together))

    asyncio.run(all_at_once())
    for trace, span, _ in parents:
        assert receiver.call(trace).parent_span_id.hex() == span
        assert [stage.name for stage in receiver.stages(trace)] == STAGES
    assert passes(served) - before < len(parents), "no pass was shared"


def passes(served: Any) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.metrics_port}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
    return sum(s.value for f in families for s in f.samples if s.name == "jobcast_model_passes_total")


def test_the_caller_decides_whether_its_call_is_traced(served, receiver, job):
    request = pb.PredictRequest(features=job)
    before, left, kept = set(receiver.spans), parent(sampled=False), parent()
    with served.channel() as channel:
        call = rpc.JobRuntimePredictorStub(channel).Predict
        call(request)
        call(request, metadata=left[2])
        call(request, metadata=(("traceparent", "not one"),))
        call(request, metadata=kept[2])
    receiver.call(kept[0])
    assert set(receiver.spans) - before == {kept[0]}


def test_a_share_of_the_others_is_traced_and_what_waits_is_sent_at_the_end(start, where, receiver, job):
    request = pb.PredictRequest(features=job)
    served = start(*where, "--trace-ratio", "1", OTEL_BSP_SCHEDULE_DELAY="3600000", OTEL_SERVICE_NAME="forecasts")
    before = set(receiver.spans)
    with served.channel() as channel:
        call = rpc.JobRuntimePredictorStub(channel).Predict
        call(request, metadata=parent(sampled=False)[2])
        call(request)
    assert set(receiver.spans) == before
    assert served.terminate() == 0
    (own,) = set(receiver.spans) - before
    assert receiver.call(own).parent_span_id == b""
    assert [stage.name for stage in receiver.stages(own)] == STAGES
    assert receiver.resources[-1]["service.name"] == "forecasts"


def test_a_receiver_that_is_away_changes_no_answer_and_does_not_hold_up_the_end(start, job):
    served = start("--otlp-endpoint", "http://127.0.0.1:9", "--trace-ratio", "1", "--listener", "asyncio")
    with served.channel() as channel:
        call = rpc.JobRuntimePredictorStub(channel).Predict
        answers = {call(pb.PredictRequest(features=job)).predicted_runtime_seconds for _ in range(20)}
    assert len(answers) == 1
    assert served.terminate() == 0
    assert "Failed to export" in served.process.stderr.read()


class Silent(collector.TraceServiceServicer):
    """Takes every batch and answers none.

    Attributes:
        batches: that have begun.
    """

    def __init__(self) -> None:
        self.batches = 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name on the wire
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

        self.batches += 1
        given_up = threading.Event()
        if context.add_callback(given_up.set):
            given_up.wait()
        return ExportTraceServiceResponse()


def test_a_receiver_that_never_answers_holds_up_the_end_for_one_batch_only(start):
    """Of the twenty that wait."""
    silent, server = Silent(), grpc.server(ThreadPoolExecutor(4))
    collector.add_TraceServiceServicer_to_server(silent, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        served = start(
            "--otlp-endpoint", f"http://127.0.0.1:{port}", "--trace-ratio", "1", "--listener", "asyncio",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
        )  # fmt: skip
        for _ in range(200):
            post(served, "/v2/nothing", {}, {})
        before = silent.batches
        assert served.terminate() == 0
        assert silent.batches <= before + 2  # one may have been in hand
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4317", "ftp://127.0.0.1", "http://", "http://h:99999"])
def test_an_endpoint_that_is_no_address_is_refused_at_the_start(endpoint):
    ended = subprocess.run(serve_without((), endpoint), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "otlp_endpoint: must be an address such as http://127.0.0.1:4317" in ended.stderr
    assert repr(endpoint) in ended.stderr


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc"])
def test_tracing_without_its_packages_is_refused_at_the_start(missing):
    ended = subprocess.run(serve_without((missing,), "http://127.0.0.1:4317"), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "otlp_endpoint: traces need OpenTelemetry" in ended.stderr
    assert "install jobcast-server[otlp]" in ended.stderr


def serve_without(missing: tuple[str, ...], endpoint: str) -> list[str]:
    """`jobcast serve` where packages are not installed."""
    absent = "".join(f"sys.modules[{name!r}] = None; " for name in missing)
    flags = ["--otlp-endpoint", endpoint, "--port", "0", "--http-port", "0", "--metrics-port", "0"]
    return [sys.executable, "-c", f"import sys; {absent}from jobcast_server.command import serve; serve({flags})"]
