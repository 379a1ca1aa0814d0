"""Calls of real clients as they came over the wire: both engines say the same bytes, the core for all that is plain."""

from pathlib import Path

import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.inprocess import newest_bundle
from jobcast_server import forest
from jobcast_server.native import Builder
from jobcast_server.repository.bundle import load

SERVICES = {
    "Predict": "/rtpredictor.v1.JobRuntimePredictor/",
    "PredictBatch": "/rtpredictor.v1.JobRuntimePredictor/",
    "PredictStream": "/rtpredictor.v1.JobRuntimePredictor/",
    "ModelInfer": "/inference.GRPCInferenceService/",
    "ModelStreamInfer": "/inference.GRPCInferenceService/",
}
RECORDED = Path(__file__).with_name("recorded")
CALLS = sorted(RECORDED.glob("*/*.bin"))
UNARY = [call for call in CALLS if not call.parent.name.endswith(("Stream", "StreamInfer"))]
STREAMS = sorted({(call.parent.name, call.stem.rsplit("-", 1)[0]) for call in CALLS if call not in UNARY})
CLIENTS = {"jobcast", "jobcast-aio", "jobcast-tensors", "perf-analyzer", "triton-grpc", "triton-grpc-aio"}


def test_every_method_and_client_is_recorded():
    assert {call.parent.name for call in CALLS} == set(SERVICES)
    assert {call.stem.rsplit("-", 1)[0] for call in CALLS} == CLIENTS


@pytest.mark.parametrize("call", UNARY, ids=lambda call: f"{call.parent.name}-{call.stem}")
def test_a_call(both, call):
    method = call.parent.name
    native, python = both.ask(SERVICES[method] + method, call.read_bytes())
    if method == "PredictBatch":
        native, python = (timeless(told) for told in (native, python))
    assert native == python


def timeless(told):
    """A batch's answer without the time that it took."""
    answer = pb.PredictBatchResponse.FromString(told[0])
    answer.processing_time_ms = 0
    return answer.SerializeToString()


@pytest.mark.parametrize(("method", "client"), STREAMS)
def test_a_stream(both, ordered, method, client):
    messages = [call.read_bytes() for call in sorted((RECORDED / method).glob(f"{client}-[0-9]*.bin"))]

    def told(served):
        stream = served.channel.stream_stream(SERVICES[method] + method)
        return [ordered(method, (timestampless(method, answer),)) for answer in stream(iter(messages), timeout=30)]

    native = told(both.native)
    assert len(native) == len(messages)
    assert native == told(both.python)


def timestampless(method, content):
    if method == "ModelStreamInfer":
        return content
    answer = pb.PredictResponse.FromString(content)
    answer.prediction_timestamp = 0
    return answer.SerializeToString()


def test_the_core_answers_what_clients_plainly_ask():
    """So that equal bytes above are those of two engines, not of Python's twice."""
    bundle = load(
        newest_bundle(Path(__file__).parents[3] / "models"),
        trees="native",
        builder=Builder("native", 10_000, contract=True),
    )
    for call in CALLS:
        content = call.read_bytes()
        match call.parent.name:
            case "Predict" | "PredictStream":
                taken = bundle.core.predict(content) is not None
                plain = not pb.PredictRequest.FromString(content).metadata
            case "PredictBatch":
                taken, plain = bundle.core.part(content, 10_000) is not None, True
            case _:
                message = oip.ModelInferRequest.FromString(content)
                if message.model_name != "hpc-runtime":
                    continue
                read = forest.core().read_infer(content)
                taken = read is not None and bundle.core.admit(read) is not None
                plain = is_plain(message)
        assert taken == plain, call.name


def is_plain(message):
    tensors = [*message.inputs, *message.outputs]
    return (
        bool(message.raw_input_contents) and not message.parameters and not any(tensor.parameters for tensor in tensors)
    )
