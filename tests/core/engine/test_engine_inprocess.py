"""The engine in process: it takes what is plainly valid, and gives back everything else without harm."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rt_predictor_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.rows import batch_requests, single_requests
from jobcast_server import forest
from jobcast_server.native import Builder
from jobcast_server.repository.bundle import load
from jobcast_server.rtpredictor.batch import split
from jobcast_server.rtpredictor.engine import Engine
from jobcast_server.rtpredictor.native import NativeEngine

PLAIN_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
PLAIN = st.builds(
    pb.PredictRequest,
    features=st.builds(
        pb.JobFeatures,
        processors_req=st.integers(1, 2**31 - 1),
        nodes_req=st.integers(1, 2**31 - 1),
        mem_req=st.floats(0, 1e300),
        wallclock_req=st.floats(5e-324, 1e300),
        partition=PLAIN_TEXT.filter(bool),
        qos=PLAIN_TEXT.filter(bool),
        submit_time=st.integers(1, 2**40),
        user=PLAIN_TEXT,
        account=PLAIN_TEXT,
        job_name=PLAIN_TEXT,
        gpus_req=st.one_of(st.none(), st.integers(0, 2**31 - 1)),
        recent_runtimes=st.lists(st.floats(0, 1e300), max_size=14),
    ),
    request_id=PLAIN_TEXT,
)


@pytest.fixture(scope="module", params=["native", "stock"])
def bundle(request, models):
    return load(newest_bundle(models), trees=request.param, builder=Builder("native", 10_000, contract=True))


@pytest.fixture(scope="module")
def models():
    return Path(__file__).parents[3] / "models"


def in_one_second(work):
    while True:
        second = int(time.time())
        found = work()
        if int(time.time()) == second:
            return found


@settings(max_examples=80, deadline=None)
@given(PLAIN)
def test_what_is_plainly_valid_is_answered_by_the_core(bundle, request_):
    content = request_.SerializeToString()
    core, python = in_one_second(lambda: (bundle.core.predict(content), Engine(bundle, 100).predict(content)))
    assert core is not None
    assert core[0] == python
    assert all(seconds > 0 for seconds in core[1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(PLAIN.map(pb.PredictRequest.SerializeToString), st.binary(max_size=40)), max_size=8))
def test_several_in_one_pass_are_those_of_one_each(bundle, requests):
    engine = NativeEngine(bundle, bundle.core, 100)
    together, alone = in_one_second(
        lambda: (engine.predict_many(requests), [bundle.core.predict(content) for content in requests])
    )
    for one, single in zip(together, alone, strict=True):
        if single is not None:
            assert one == single[0]
        else:
            assert isinstance(one, Exception)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered_or_given_back(bundle, content):
    for told in (bundle.core.predict(content), bundle.core.part(content, 10), bundle.core.predict_many([content])):
        assert told is None or told[0]
    read = forest.core().read_infer(content)
    if read is not None:
        bundle.core.admit(read)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=9).map(lambda job: b"\n" + bytes([len(job)]) + job), st.binary(max_size=3)))
)
def test_a_batch_is_cut_where_python_cuts_it(pieces):
    content = b"".join(pieces)
    for rows in (1, 2, 256):
        assert forest.core().split(content, rows) == list(split(content, rows))


def test_a_piece_of_more_jobs_than_allowed_is_given_back(bundle):
    content = batch_requests(8, 0)[0]
    assert bundle.core.part(content, 8) is not None
    assert bundle.core.part(content, 7) is None


def test_threads_share_an_engine(bundle):
    requests = single_requests(1)[:64]

    def predict(content):
        return bundle.core.predict(content)[0]

    def answers():
        alone = [predict(content) for content in requests]
        with ThreadPoolExecutor(8) as threads:
            return alone, [list(threads.map(predict, requests)) for _ in range(4)]

    alone, shared = in_one_second(answers)
    assert all(found == alone for found in shared)
