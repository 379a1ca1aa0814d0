"""The engine gives the same answer whichever way a job comes in, and the golden rows through the whole path."""

import contextlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import rt_predictor_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from jobcast_proto.manifest import GoldenRows
from jobcast_server.errors import InvalidRequestError
from jobcast_server.repository.bundle import tensor
from jobcast_server.rtpredictor import columns
from jobcast_server.rtpredictor.batch import PIECE_ROWS, split
from jobcast_server.rtpredictor.validate import Rules

MODELS = Path(os.environ.get("MODELS", Path(__file__).parents[2] / "models"))
WORDS = st.one_of(st.sampled_from(["", "normal", "batch", "ä" * 130, "x" * 257]), st.text(max_size=70))
NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, math.inf, math.nan, 5e-324, -1.0]))
WHOLE = st.integers(-(2**31), 2**31 - 1)
JOBS = st.builds(
    pb.JobFeatures,
    processors_req=st.one_of(st.integers(0, 64), WHOLE),
    nodes_req=st.one_of(st.integers(0, 64), WHOLE),
    mem_req=NUMBERS,
    wallclock_req=st.one_of(st.floats(1, 1e6), NUMBERS),
    partition=WORDS,
    qos=WORDS,
    submit_time=st.one_of(
        st.sampled_from([-1, 0, -(2**63), 2**40 + 1, 1_764_000_000_000, 2**63 - 1]), st.integers(0, 2**40)
    ),
    user=WORDS,
    account=WORDS,
    job_name=WORDS,
    gpus_req=st.one_of(st.none(), st.integers(-1, 8)),
    recent_runtimes=st.lists(st.one_of(st.floats(0, 1e6), NUMBERS), max_size=12),
)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and (np.array_equal(one[name], other[name], equal_nan=one[name].dtype == np.float64))
        for name in one
    )


@given(JOBS)
def test_one_row_has_the_columns_of_a_batch_of_one(job):
    assert same(columns.feeds_of(job, 77), columns.feeds(columns.read([job]), 77))


@given(st.lists(JOBS, min_size=1, max_size=5))
def test_the_quick_check_flags_what_the_explanation_explains(engine, jobs):
    rules = Rules.of(engine.bundle.manifest)
    flags = rules.flagged(columns.read(jobs))
    flagged = [False] * len(jobs) if flags is None else flags.tolist()
    assert flagged == [bool(rules.violations(job)) for job in jobs]


@given(st.lists(JOBS, min_size=1, max_size=6))
def test_alone_together_or_in_a_batch_the_answer_is_the_same(engine, jobs):
    for job in jobs:
        job.submit_time = job.submit_time or 1  # 0 is now, which passes
    requests = [pb.PredictRequest(features=job, request_id=str(n)).SerializeToString() for n, job in enumerate(jobs)]
    batch = pb.PredictBatchResponse.FromString(
        engine.predict_batch(pb.PredictBatchRequest(jobs=jobs, batch_id="b").SerializeToString())
    )
    assert (batch.batch_id, batch.total_predictions) == ("b", len(jobs))
    together = engine.predict_many(requests)
    for index, (request, shared, row) in enumerate(zip(requests, together, batch.predictions, strict=True)):
        row.prediction_timestamp = 0
        if isinstance(shared, InvalidRequestError):
            with pytest.raises(InvalidRequestError) as caught:
                engine.predict(request)
            assert str(caught.value) == str(shared) == row.error
            assert row.runtime_category == "error"
            continue
        alone = pb.PredictResponse.FromString(engine.predict(request))
        other = pb.PredictResponse.FromString(shared)
        alone.prediction_timestamp = other.prediction_timestamp = 0
        assert alone.request_id == other.request_id == str(index)
        assert alone.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
        alone.request_id = ""
        assert alone.SerializeToString(deterministic=True) == row.SerializeToString(deterministic=True)
    assert batch.failed_predictions == sum(1 for row in batch.predictions if row.error)


@given(st.lists(JOBS, max_size=9), st.text(max_size=5), st.integers(1, 4))
def test_pieces_of_a_batch_are_the_batch(jobs, batch_id, rows):
    request = pb.PredictBatchRequest(jobs=jobs, batch_id=batch_id, max_parallel=3).SerializeToString()
    pieces = list(split(request, rows))
    assert b"".join(piece for piece, _ in pieces) == request
    assert sum(count for _, count in pieces) == len(jobs)
    assert all(count <= rows for _, count in pieces)
    parsed = [pb.PredictBatchRequest.FromString(piece) for piece, _ in pieces]  # each is a message of its own
    assert [len(piece.jobs) for piece in parsed] == [count for _, count in pieces]


@given(st.binary(max_size=300))
def test_garbage_is_never_lost_when_it_is_cut(request_bytes):
    assert b"".join(piece for piece, _ in split(request_bytes, 2)) == request_bytes


@given(st.binary(max_size=200))
def test_garbage_is_answered_or_refused(engine, request_bytes):
    for call in (engine.predict, engine.predict_batch):
        with contextlib.suppress(InvalidRequestError):
            assert isinstance(call(request_bytes), bytes)


def test_zero_memory_is_not_known_and_zero_gpus_are():
    feeds = columns.feeds_of(pb.JobFeatures(gpus_req=0), 9)
    assert math.isnan(feeds["mem_req"].item())
    assert feeds["gpus_req"].item() == 0
    assert math.isnan(columns.feeds_of(pb.JobFeatures(), 9)["gpus_req"].item())
    assert feeds["submit_time"].item() == 9


def test_only_the_ten_latest_run_times_are_taken():
    feeds = columns.feeds_of(pb.JobFeatures(recent_runtimes=range(15)), 9)
    assert feeds["recent_runtimes"].tolist() == [[float(n) for n in range(10)]]


def test_a_batch_of_many_pieces_keeps_its_order(engine):
    jobs = [
        pb.JobFeatures(processors_req=1, nodes_req=1, wallclock_req=60.0 + n, partition="p", qos="q", submit_time=1)
        for n in range(3 * PIECE_ROWS + 5)
    ]
    batch = pb.PredictBatchResponse.FromString(
        engine.predict_batch(pb.PredictBatchRequest(jobs=jobs).SerializeToString())
    )
    single = engine.predict(pb.PredictRequest(features=jobs[700]).SerializeToString())
    assert len(batch.predictions) == len(jobs)
    assert batch.predictions[700].quantile_seconds == pb.PredictResponse.FromString(single).quantile_seconds


@pytest.mark.parametrize("rows", [10_001, 20_000])
def test_too_many_rows_are_refused(engine, rows):
    with pytest.raises(InvalidRequestError, match=f"jobs: must hold at most 10000 jobs, got {rows}"):
        engine.predict_batch(pb.PredictBatchRequest(jobs=[pb.JobFeatures()] * rows).SerializeToString())


def test_rows_hidden_behind_another_field_are_counted_too(engine):
    tail = pb.PredictBatchRequest(jobs=[pb.JobFeatures()] * 10_001).SerializeToString()
    with pytest.raises(InvalidRequestError, match="at most 10000 jobs, got 10001"):
        engine.predict_batch(pb.PredictBatchRequest(batch_id="x").SerializeToString() + tail)


def test_contributions_are_differences_to_the_typical_input(engine):
    job = pb.JobFeatures(
        processors_req=64, nodes_req=8, wallclock_req=7200, partition="normal", qos="normal", submit_time=1_000_000_000
    )

    def ask(**change):
        request = pb.PredictRequest(features=job, metadata={"feature_importance": "100"})
        for name, value in change.items():
            setattr(request.features, name, value)
        return pb.PredictResponse.FromString(engine.predict(request.SerializeToString()))

    answer = ask()
    inputs = {spec.name: spec for spec in engine.bundle.manifest.inputs}
    moved = ask(wallclock_req=inputs["wallclock_req"].baseline)
    expected = answer.predicted_runtime_seconds - moved.predicted_runtime_seconds
    assert answer.feature_importance["wallclock_req"] == pytest.approx(expected, abs=1e-3)


def test_golden_inputs_as_messages_give_golden_answers(engine):
    golden = json.loads((MODELS / "hpc-runtime" / "1" / "golden.json").read_text())
    inputs = {name: values for name, values in golden["inputs"].items() if name in columns.INPUTS}
    manifest = engine.bundle.manifest
    feeds = {spec.name: tensor(spec, GoldenRows(**golden)) for spec in manifest.inputs if spec.name in inputs}
    rows = len(feeds["partition"])
    _, points = engine.bundle.session.run(columns.Absent(manifest).add(feeds, rows))
    checked = 0
    for row in range(rows):
        known = {name: values[row][0] if isinstance(values[row], list) and name != "recent_runtimes" else values[row]
                 for name, values in inputs.items()}  # fmt: skip
        known["recent_runtimes"] = [value for value in known["recent_runtimes"] if value is not None]
        job = pb.JobFeatures(**{name: _whole(name, value) for name, value in known.items() if value is not None})
        if Rules.of(engine.bundle.manifest).violations(job) or known["mem_req"] == 0 or not known["submit_time"]:
            continue
        answer = pb.PredictResponse.FromString(engine.predict(pb.PredictRequest(features=job).SerializeToString()))
        assert answer.predicted_runtime_seconds == pytest.approx(float(points[row, 0]), rel=1e-6)
        checked += 1
    assert checked > 0


def _whole(name, value):
    return int(value) if name in {"processors_req", "nodes_req", "gpus_req", "submit_time"} else value
