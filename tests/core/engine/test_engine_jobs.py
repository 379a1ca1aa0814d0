"""The contract: whatever a caller sends, both engines say the same bytes or the same refusal."""

import math

import pytest
import rt_predictor_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobcast_bench.rows import batch_requests, single_requests

SERVICE = "/rtpredictor.v1.JobRuntimePredictor/"
PREDICT, BATCH, STREAM = (SERVICE + name for name in ("Predict", "PredictBatch", "PredictStream"))
OVER_THE_WIRE = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

WORDS = st.one_of(
    st.sampled_from(["", "normal", "batch", "ä" * 128, "ä" * 129, "x" * 256, "x" * 257, "a\0b", "\U0001d6fc"]),
    st.text(max_size=40),
)
NUMBERS = st.one_of(st.floats(), st.floats(0, 1e7), st.sampled_from([0.0, -0.0, 1.0, math.inf, math.nan, 5e-324, -1.0]))
WHOLE = st.one_of(st.integers(1, 4096), st.sampled_from([0, -1, 2**31 - 1, -(2**31)]))
GOOD = st.builds(
    pb.JobFeatures,
    processors_req=st.integers(1, 2**31 - 1),
    nodes_req=st.integers(1, 5000),
    mem_req=st.floats(0, 1e9),
    wallclock_req=st.floats(1, 1e7),
    partition=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30),
    qos=st.sampled_from(["normal", "high"]),
    submit_time=st.integers(0, 2**40),
    user=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    gpus_req=st.one_of(st.none(), st.integers(0, 8)),
    recent_runtimes=st.lists(st.floats(0, 1e7), max_size=14),
)
JOBS = st.one_of(
    GOOD,
    st.builds(
        pb.JobFeatures,
        processors_req=WHOLE,
        nodes_req=WHOLE,
        mem_req=NUMBERS,
        wallclock_req=NUMBERS,
        partition=WORDS,
        qos=WORDS,
        submit_time=st.one_of(st.sampled_from([-1, 0, -(2**63), 2**63 - 1]), st.integers(0, 2**41)),
        user=WORDS,
        account=WORDS,
        job_name=WORDS,
        gpus_req=st.one_of(st.none(), WHOLE),
        recent_runtimes=st.lists(NUMBERS, max_size=13),
    ),
)
METADATA = st.dictionaries(
    st.sampled_from(["feature_importance", "model", "trace"]), st.sampled_from(["true", "3", "0", "hpc-runtime", "x"])
)
REQUESTS = st.builds(
    pb.PredictRequest,
    features=st.one_of(st.none(), JOBS),
    request_id=st.one_of(st.just(""), WORDS),
    metadata=st.one_of(st.just({}), METADATA),
)


def damaged(draw, content):
    """Cut, flipped, with more behind it, or with a part twice."""
    kind = draw(st.sampled_from(["whole", "cut", "byte", "more", "twice", "tail"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if kind == "byte" and content:
        place = draw(st.integers(0, len(content) - 1))
        return content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :]
    if kind == "more":
        return content + draw(st.binary(max_size=12))
    if kind == "twice":
        return content + content
    if kind == "tail":
        return content[draw(st.integers(0, len(content))) :]
    return content


@st.composite
def singles(draw):
    return damaged(draw, draw(REQUESTS).SerializeToString())


@st.composite
def batches(draw):
    batch = pb.PredictBatchRequest(
        jobs=draw(st.lists(JOBS, max_size=6)), batch_id=draw(WORDS), max_parallel=draw(st.integers(-1, 3))
    )
    return damaged(draw, batch.SerializeToString())


def timeless(told):
    """A batch's answer without the time that it took."""
    if len(told) > 1:
        return told
    answer = pb.PredictBatchResponse.FromString(told[0])
    answer.processing_time_ms = 0
    return answer


@OVER_THE_WIRE
@given(singles())
def test_one_job(both, content):
    native, python = both.ask(PREDICT, content)
    assert native == python


@OVER_THE_WIRE
@given(batches())
def test_a_batch(both, content):
    native, python = both.ask(BATCH, content)
    assert timeless(native) == timeless(python)


@OVER_THE_WIRE
@given(st.lists(singles(), min_size=1, max_size=5))
def test_messages_of_a_stream(both, requests):
    def told(served):
        return [timestampless(answer) for answer in served.channel.stream_stream(STREAM)(iter(requests), timeout=30)]

    native, python = told(both.native), told(both.python)
    assert len(native) == len(requests)
    for content, one, other in zip(requests, native, python, strict=True):
        assert one == other or submitted_now(content)


def timestampless(content):
    answer = pb.PredictResponse.FromString(content)
    answer.prediction_timestamp = 0
    return answer


def submitted_now(content):
    """Whether the second in which it is answered matters."""
    return not pb.PredictRequest.FromString(content).features.submit_time


@pytest.mark.parametrize("rows", [33, 256, 257, 1000])
def test_a_large_batch(both, rows):
    content = batch_requests(rows, 3)[0]
    native, python = both.ask(BATCH, content)
    assert len(native) == 1
    assert timeless(native) == timeless(python)
    spoiled = pb.PredictBatchRequest.FromString(content)
    spoiled.jobs[rows // 2].nodes_req = 0
    native, python = both.ask(BATCH, spoiled.SerializeToString())
    assert timeless(native).failed_predictions == 1
    assert timeless(native) == timeless(python)


def test_generated_traffic(both):
    for content in single_requests(7)[:200]:
        native, python = both.ask(PREDICT, content)
        assert len(native) == 1
        assert native == python
