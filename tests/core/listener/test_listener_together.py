"""Calls that come together share a pass, over however many connections; what goes wrong in it goes wrong alone."""

from pathlib import Path

import grpc
import pytest
import rt_predictor_pb2 as pb

PREDICT = "/rtpredictor.v1.JobRuntimePredictor/Predict"
FAULTY = Path(__file__).parents[3] / "core" / "target" / "faults"
"""Where `make test-core` puts a core that panics for the partition `__panic__`."""


def crowd(http2, served, contents, connections=8):
    """Every connection calls with all contents at once; their answers, by connection."""
    wires = [http2.call(served) for _ in range(connections)]
    streams = range(1, 2 * len(contents), 2)
    for wire in wires:
        frames = []
        for stream, content in zip(streams, contents, strict=True):
            frames += [http2.headers(stream, PREDICT), http2.data(stream, http2.message(content))]
        wire.send(*frames)
    found = []
    for wire in wires:
        answers = dict.fromkeys(streams, b"")
        left = set(streams)
        for frame in wire.frames():
            if frame.kind == http2.DATA:
                answers[frame.stream] += frame.payload[5:]
            if frame.ends:
                left.discard(frame.stream)
            if not left:
                break
        found.append(list(answers.values()))
    return found


def timeless(answer):
    """An answer without the second in which it was made."""
    message = pb.PredictResponse.FromString(answer)
    message.ClearField(message.DESCRIPTOR.fields_by_number[5].name)
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("together", [True, False], ids=["on", "off"])
def test_the_switch(start, http2, predict, together):
    flag = "--dynamic-batching" if together else "--no-dynamic-batching"
    served = start("native", "native", flag, "--listener-threads", "1", "--max-inflight", "1000")
    before = served.passes()
    alone = crowd(http2, served, [predict], connections=1)[0][0]
    assert {timeless(answer) for answers in crowd(http2, served, [predict] * 16) for answer in answers} == {
        timeless(alone)
    }
    sizes = {rows: count - before.get(rows, 0) for rows, count in served.passes().items()}
    assert sum(rows * count for rows, count in sizes.items()) == 1 + 8 * 16
    if together:
        assert max(rows for rows, count in sizes.items() if count) > 1
        assert max(sizes) <= 32
    else:
        assert {rows for rows, count in sizes.items() if count} == {1}


def test_a_panic_ends_its_own_call_alone(start, http2, predict):
    if not list(FAULTY.glob("jobcast_core/_core.*")):
        pytest.skip("there is no core that can be made to panic: `make test-core` builds it")
    served = start("native", "native", "--listener-threads", "1", path=str(FAULTY))
    request = pb.PredictRequest.FromString(predict)
    request.features.partition = "__panic__"
    panics = request.SerializeToString()
    contents = [predict] * 3 + [panics] + [predict] * 4
    for answers in crowd(http2, served, contents, connections=4):
        assert [answer == b"" for answer in answers] == [content is panics for content in contents]
    with served.channel() as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(PREDICT)(panics)
        assert channel.unary_unary(PREDICT)(predict)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert served.metrics()['rt_predictor_requests_total{method="Predict",status="error"}'] == 5
