"""Bytes that are no message, on every method of every service: a status that says so, and a server that lives on."""

import random
import re
import urllib.request

import grpc
import open_inference_pb2
import psutil
import pytest
import rt_predictor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

DEADLINE_S = 20.0
REASONS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
}
GROWTH_BYTES = 3 * 2**19
"""Bound on the growth of the server's resident memory over `CALLS` garbled calls, after as many to warm up."""
CALLS = 2000

METHODS = [
    (f"/{service.full_name}/{method.name}", method.client_streaming, method.server_streaming, method.input_type)
    for contract in (open_inference_pb2, rt_predictor_pb2)
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
INFER = next(row for row in METHODS if row[0].endswith("/ModelInfer"))
PATHS = [row[0] for row in METHODS]
NAMES = [field.name for _, _, _, kind in METHODS for field in kind.fields]

TAGS = st.builds(
    lambda number, kind, rest: bytes([number << 3 | kind]) + rest,
    st.integers(1, 12),
    st.sampled_from([0, 1, 2, 3, 4, 5]),
    st.binary(max_size=12),
)
"""Pieces that begin as a field of a message does."""

GARBAGE = st.binary(max_size=200) | st.lists(TAGS, max_size=8).map(b"".join) | st.just(b"\x0a\xff\xff\xff\xff\x07")


def call(channel, path, client_streaming, server_streaming, messages):
    """End of a call: its status and reason; whatever it answered before is dropped."""
    timeout = {"timeout": DEADLINE_S}
    try:
        if client_streaming:
            list(channel.stream_stream(path)(iter(messages), **timeout))
        elif server_streaming:
            list(channel.unary_stream(path)(messages[0], **timeout))
        else:
            channel.unary_unary(path)(messages[0], **timeout)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize(("path", "client_streaming", "server_streaming", "kind"), METHODS, ids=PATHS)
def test_garbage_on_every_method(target, path, client_streaming, server_streaming, kind):
    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(st.lists(GARBAGE, min_size=1, max_size=3))
    def garbled(messages):
        code, reason = call(target.channel, path, client_streaming, server_streaming, messages)
        assert code is grpc.StatusCode.OK or (code in REASONS and reason), (code, reason)

    garbled()
    live = target.channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=DEADLINE_S)
    assert live == b"\x08\x01"


def test_bytes_that_are_no_message_are_never_answered(target):
    for path, client_streaming, server_streaming, kind in METHODS:
        if not kind.fields:  # nothing to read: any bytes will do
            continue
        code, reason = call(target.channel, path, client_streaming, server_streaming, [b"\xff\xff\xff"])
        if client_streaming and code is grpc.StatusCode.OK:  # told in the stream
            continue
        assert code is not grpc.StatusCode.OK, path
        assert reason, path


@pytest.mark.parametrize(
    "path", ["/inference.GRPCInferenceService/", "/a/b", "/inference.GRPCInferenceService/X\u00e4"]
)
def test_methods_that_do_not_exist(target, path):
    code, _ = call(target.channel, path.encode(), False, False, [b""])
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_memory_and_metrics_do_not_grow_with_what_callers_make_up(target):
    lines = random.Random(20)  # noqa: S311 - a fixed sequence, no secret
    server = psutil.Process(target.process.pid)
    garble(target, lines, CALLS)
    memory, values = server.memory_info().rss, label_values(target)
    garble(target, lines, CALLS)
    grown = server.memory_info().rss - memory
    assert grown <= GROWTH_BYTES, f"{grown / 2**20:.1f} MiB over {CALLS} calls"
    assert label_values(target) == values


def garble(target, lines, count):
    """Calls that are each unlike any before: made-up names, versions, parameters, methods and bytes."""
    for _ in range(count):
        path, client_streaming, server_streaming, _ = INFER if lines.random() < 0.5 else lines.choice(METHODS)
        call(target.channel, path, client_streaming, server_streaming, [made_up(lines) for _ in range(2)])


def made_up(lines):
    word = lines.randbytes(lines.randrange(4, 40)).hex()
    message = open_inference_pb2.ModelInferRequest(model_name=word, model_version=word, id=word)
    if lines.random() < 0.5:
        message.model_name, message.model_version = "hpc-runtime", ""
    message.parameters[word].string_param = word
    for _ in range(lines.randrange(14)):
        message.inputs.add(name=lines.choice([word, *NAMES]), datatype="FP64", shape=[lines.randrange(-2, 2**62), 1])
        message.raw_input_contents.append(lines.randbytes(lines.randrange(64)))
    raw = bytearray(message.SerializeToString())
    if lines.random() < 0.3:
        raw[lines.randrange(len(raw))] = lines.randrange(256)
    return bytes(raw)


def label_values(target):
    """Every label value of every metric: a closed set, whatever callers send."""
    with urllib.request.urlopen(f"http://{target.metrics}/metrics", timeout=DEADLINE_S) as page:
        return set(re.findall(r'"([^"]*)"', page.read().decode()))
