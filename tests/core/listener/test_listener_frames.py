"""HTTP/2 as nobody should speak it: whoever does is refused alone."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CONTRACT = "/rtpredictor.v1.JobRuntimePredictor/"
ECHO = "/jobcast.Echo/EchoStream"
CALM, REFUSED = 11, 7


@pytest.fixture
def neighbour(native, predict):
    """Another caller, who is answered before and after."""
    with native.channel() as channel:
        call = channel.unary_unary(CONTRACT + "Predict")
        assert call(predict, timeout=30)
        yield
        assert call(predict, timeout=30)


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize("method", ["Predict", "PredictStream", "GetModelInfo"])
def test_a_flood_of_resets_ends_its_connection_alone(native, http2, method):
    wire = http2.call(native)
    flood = [(http2.headers(stream, CONTRACT + method), http2.reset(stream)) for stream in range(1, 4001, 2)]
    with contextlib.suppress(ConnectionError):
        wire.send(*(frame for pair in flood for frame in pair))
    for frame in wire.frames():  # to the end of the connection
        assert frame.kind != http2.GOAWAY or struct.unpack(">I", frame.payload[4:8])[0] == CALM


@pytest.mark.usefixtures("neighbour")
def test_headers_that_are_too_large(native, http2, predict):
    """A header counts with 32 bytes more than it has (RFC 9113, 6.5.2)."""
    wire = http2.call(native)
    wire.send(http2.headers(1, CONTRACT + "Predict", *[(b"x", b"y")] * 500), http2.data(1, http2.message(predict)))
    assert wire.answer(1) == b""
    wire.send(http2.headers(3, CONTRACT + "Predict"), http2.data(3, http2.message(predict)))
    assert wire.answer(3)


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", bytes(64), b"\xff" * 64])
def test_a_preface_that_is_none(native, http2, first):
    wire = http2.call(native, first)
    assert not [frame for frame in wire.frames() if frame.kind == http2.DATA]


@pytest.mark.usefixtures("neighbour")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.floats(0, 1), max_size=6), lost=st.one_of(st.none(), st.floats(0, 1)))
def test_bytes_cut_anywhere(native, http2, predict, cuts, lost):
    """Whole conversations are answered however they are cut; of others nothing is left."""
    wire = http2.call(native, b"")
    parts = [http2.headers(1, CONTRACT + "Predict"), http2.data(1, http2.message(predict))]
    parts += [http2.headers(3, ECHO), http2.data(3, http2.message(b"one") + http2.message(b"two")[:7], end=False)]
    parts += [http2.data(3, http2.message(b"two")[7:] + http2.message(b""))]
    whole = http2.PREFACE + http2.settings.bytes() + b"".join(part.bytes() for part in parts)
    kept = whole if lost is None else whole[: int(lost * len(whole))]
    places = sorted({0, len(kept), *(int(cut * len(kept)) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        wire.raw(kept[start:end])
    if lost is None:
        answers = {1: b"", 3: b""}
        ends = set()
        for frame in wire.frames():
            if frame.kind == http2.DATA:
                answers[frame.stream] += frame.payload
            ends |= {frame.stream} if frame.ends else set()
            if ends == {1, 3}:
                break
        assert len(answers[1]) > 5
        assert answers[3] == b"".join(map(http2.message, (b"one", b"two", b"")))
    wire.close()


@pytest.mark.usefixtures("neighbour")
def test_garbage_behind_the_preface(native, http2):
    wire = http2.call(native, http2.PREFACE + b"\x00\x00\x01\x00\x00\x00\x00\x00\x01x" * 3)
    assert wire.until(lambda frame: frame.kind == http2.GOAWAY)


def test_more_calls_at_once_than_are_allowed(start, http2):
    served = start("native", "native", "--max-streams", "1", "--max-pending", "1", "--enable-echo")
    wire = http2.call(served)
    for stream in (1, 3, 5):
        wire.send(http2.headers(stream, ECHO), http2.data(stream, http2.message(b"x"), end=False))
    refused = wire.until(lambda frame: frame.kind == http2.RESET)[-1]
    assert (refused.stream, struct.unpack(">I", refused.payload)[0]) == (5, REFUSED)
    wire.send(http2.data(1, http2.message(b"y")), http2.data(3, b""))
    assert wire.answer(1).endswith(http2.message(b"y"))
