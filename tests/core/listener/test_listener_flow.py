"""Flow control in both directions: nothing is read for a caller that does not read, and every window is kept."""

import pytest
import rt_predictor_pb2 as pb
from jobcast_bench.rows import batch_requests

CONTRACT = "/rtpredictor.v1.JobRuntimePredictor/"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WINDOW = 2**20
"""Bytes that the native listener takes of a call before it reads them."""

PASS = 2**15
"""Bytes that it may have read when the answers of its first pass wait: two frames hold the 32 messages of one."""

OPEN = 2**31 - 1 - 65535


def chunks(content, size=16384):
    return [content[start : start + size] for start in range(0, len(content), size)]


def messages_of(content):
    found = []
    while content:
        length = int.from_bytes(content[1:5], "big")
        found.append(content[5 : 5 + length])
        content = content[5 + length :]
    return found


def called(http2, served, size):
    """A caller whose calls have a window of `size`, once the server takes more than 64 KiB of the connection."""
    wire = http2.call(served, initial_window_size=size)
    wire.until(lambda frame: (frame.kind, frame.stream) == (http2.WINDOW, 0))
    return wire


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", [CONTRACT + "PredictStream", "/jobcast.Echo/EchoStream"])
@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_caller_that_does_not_read(servers, http2, predict, path, engine):
    wire = called(http2, servers["native", engine], 0)
    wire.send(http2.headers(1, path))
    request = pb.PredictRequest.FromString(predict)
    sent, content = [], b""
    while len(content) < WINDOW - 200:
        request.request_id = str(len(sent))
        sent.append(request.SerializeToString())
        content += http2.message(sent[-1])
    assert len(sent) > 5000
    wire.send(*(http2.data(1, chunk, end=False) for chunk in chunks(content)))
    # meanwhile the connection is alive, and the server has every occasion to read on
    read = 0
    for _ in range(100):
        wire.send(http2.ping)
        seen = [frame for frame in wire.until(lambda frame: frame.kind == http2.PING) if frame.stream == 1]
        assert not [frame for frame in seen if frame.kind == http2.DATA]
        read += sum(int.from_bytes(frame.payload, "big") for frame in seen if frame.kind == http2.WINDOW)
    assert read <= PASS
    wire.send(http2.window(1, OPEN), http2.window(0, OPEN), http2.data(1, b""))
    answers = messages_of(wire.answer(1))
    if path.endswith("EchoStream"):
        assert answers == sent
    else:
        assert [pb.PredictResponse.FromString(answer).request_id for answer in answers] == [
            str(number) for number in range(len(sent))
        ]


def test_a_pass_holds_no_more_than_one_message_may_have(start, http2, predict):
    """And the one that goes beyond it: otherwise 32 messages, small on the wire, may unpack to 32 times the bound."""
    served = start("native", "native", "--max-message-bytes", "100000")
    before = served.passes()
    large = predict + b"\xc2\x3e\xe0\xd4\x03" + bytes(60_000)  # a field that nobody knows
    wire = called(http2, served, OPEN)
    content = http2.message(large) * 16
    wire.send(http2.headers(1, CONTRACT + "PredictStream"))
    wire.send(*(http2.data(1, chunk, end=False) for chunk in chunks(content)), http2.data(1, b""))
    assert len(messages_of(wire.answer(1))) == 16
    sizes = {rows: count - before.get(rows, 0) for rows, count in served.passes().items()}
    assert sum(rows * count for rows, count in sizes.items()) == 16
    assert max(rows for rows, count in sizes.items() if count) <= 2


@pytest.mark.timeout(120)
def test_small_messages_of_a_caller_that_does_not_read_cost_it_no_connection(servers, http2):
    """A window full of small frames: the library's own bound is on four million bytes that they lack of 256."""
    wire = called(http2, servers["native", "native"], 0)
    wire.send(http2.headers(1, "/jobcast.Echo/EchoStream"))
    sent = [f"{number:021}".encode() for number in range(WINDOW // 26 - 8)]
    wire.send(*(http2.data(1, http2.message(one), end=False) for one in sent), http2.ping)
    assert wire.until(lambda frame: frame.kind == http2.PING)
    wire.send(http2.window(1, OPEN), http2.window(0, OPEN), http2.data(1, b""))
    assert messages_of(wire.answer(1)) == sent


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_caller_that_takes_little_at_a_time(servers, http2, engine):
    request = batch_requests(2000, 0)[0]
    wire = called(http2, servers["native", engine], 700)
    wire.send(http2.headers(1, CONTRACT + "PredictBatch"))
    wire.send(*(http2.data(1, chunk, end=False) for chunk in chunks(http2.message(request))), http2.data(1, b""))
    content = b""
    for frame in wire.frames():
        if frame.kind == http2.DATA:
            assert len(frame.payload) <= 700
            content += frame.payload
            wire.send(http2.window(1, len(frame.payload)), http2.window(0, len(frame.payload)))
        if frame.ends:
            break
    answer = pb.PredictBatchResponse.FromString(content[5:])
    with servers["native", engine].channel() as channel:
        whole = pb.PredictBatchResponse.FromString(channel.unary_unary(CONTRACT + "PredictBatch")(request))
    for told in (answer, whole):
        told.processing_time_ms = 0
        for prediction in told.predictions:
            prediction.prediction_timestamp = 0
    assert len(answer.predictions) == 2000
    assert answer == whole
