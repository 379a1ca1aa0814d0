"""The blocking client against the real server."""

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest
from jobcast import (
    Client,
    DeadlineExceeded,
    InferenceClient,
    InvalidInput,
    Job,
    Overloaded,
    PredictorClient,
    Unavailable,
)
from jobcast.job import FIELDS
from jobcast.stream import WINDOW

NOWHERE = "localhost:1"
PATIENCE_S = 30


def jobs(count):
    return [
        {"processors_req": 1 + i % 64, "nodes_req": 1, "wallclock_req": 60.0 + i, "partition": "p", "qos": "q",
         "submit_time": 1_000_000_000, "request_id": str(i)}
        for i in range(count)
    ]  # fmt: skip


def answers(predictions):
    return [(p.request_id, p.runtime_seconds, p.interval, tuple(p.quantiles.items())) for p in predictions]


def test_predict_answers_the_whole_contract(client, job):
    before = datetime.now(UTC).replace(microsecond=0)
    prediction = client.predict(**job, request_id="a job")
    assert prediction.ok
    assert 0 <= prediction.runtime_seconds <= job["wallclock_req"]
    assert 0 <= prediction.interval.lower_seconds <= prediction.interval.upper_seconds <= job["wallclock_req"]
    levels, seconds = list(prediction.quantiles), list(prediction.quantiles.values())
    assert levels == sorted(levels)
    assert seconds == sorted(seconds)
    assert 0 < levels[0] < levels[-1] < 1
    assert 0 < prediction.suggested_wallclock_seconds <= job["wallclock_req"]
    assert prediction.category == "short"
    assert 0 < prediction.confidence <= 1
    assert prediction.model_version == client.model_info().model_version
    assert before <= prediction.predicted_at <= datetime.now(UTC)
    assert prediction.request_id == "a job"
    assert prediction.contributions == {}


def test_every_field_reaches_the_server(client, job):
    """A value that breaks its rule is named by its field: so it arrived there."""
    given = dict(
        job, user="u" * 5000, account="a" * 5000, job_name="j" * 5000, gpus_req=-1, recent_runtimes=[1.0, -2.0]
    )
    given |= {"processors_req": -3, "nodes_req": -4, "mem_req": -5.0, "wallclock_req": -6.0, "submit_time": -7}
    given |= {"partition": "", "qos": ""}
    named = set()
    for name, value in given.items():
        with pytest.raises(InvalidInput) as caught:
            client.predict(**dict(job, **{name: value}))
        named |= {violation.field.partition("[")[0] for violation in caught.value.violations}
    assert named == set(given)


def test_time_req_is_wallclock_req(client, job):
    expected = client.predict(**job)
    limit = job.pop("wallclock_req")
    assert answers([client.predict(**job, time_req=limit)]) == answers([expected])
    assert answers([client.predict(**job, time_req=limit, wallclock_req=limit)]) == answers([expected])
    with pytest.raises(InvalidInput, match=r"^time_req: is the same as wallclock_req, got 60 against 3600.0"):
        client.predict(**job, time_req=60, wallclock_req=limit)


def test_submit_time_as_datetime_is_the_same_instant(client, job):
    instant = datetime.fromtimestamp(job["submit_time"], UTC)
    assert answers([client.predict(**dict(job, submit_time=instant))]) == answers([client.predict(**job)])


@pytest.mark.parametrize(("wanted", "count"), [(2, 2), (True, 5)])
def test_feature_importance_gives_the_contributions_asked_for(client, job, wanted, count):
    contributions = client.predict(**job, user="someone", feature_importance=wanted).contributions
    assert 0 < len(contributions) <= count
    assert set(contributions) <= set(FIELDS)


def test_a_job_and_its_keywords_are_one(client, job):
    assert answers([client.predict(Job(**job))]) == answers([client.predict(**job)])
    with pytest.raises(TypeError, match="not both"):
        client.predict(Job(**job), qos="normal")


def test_invalid_input_names_field_rule_and_value(client, job):
    with pytest.raises(InvalidInput) as caught:
        client.predict(**dict(job, nodes_req=0, partition=""))
    assert {violation.field for violation in caught.value.violations} == {"nodes_req", "partition"}
    assert "nodes_req: must be >= 1, got 0" in str(caught.value)


def test_batch_equals_single_predictions_in_order(client):
    given = jobs(70)
    singles = [client.predict(job) for job in given]
    for rows in (1, 7, 70, 1000):
        assert answers(client.predict_batch(iter(given), rows_per_request=rows)) == answers(singles)
    assert client.predict_batch([]) == []


def test_an_invalid_job_fails_alone_in_a_batch(client):
    given = jobs(6)
    given[1]["nodes_req"] = 0
    given[2]["nodes"] = 3
    given[3]["processors_req"] = 2**31
    given[4] = "no job"
    predictions = client.predict_batch(given)
    assert [p.ok for p in predictions] == [True, False, False, False, False, True]
    assert predictions[1].error == "nodes_req: must be >= 1, got 0"
    assert predictions[2].error == "nodes: unknown field, did you mean 'nodes_req'?"
    assert predictions[3].error == "processors_req: must lie between -2147483648 and 2147483647, got 2147483648"
    assert predictions[4].error == "a job must be a Job or a mapping, got str"
    assert predictions[1].runtime_seconds != predictions[1].runtime_seconds  # NaN, never a number to be used
    assert [p.request_id for p in predictions] == ["0", "1", "2", "3", "", "5"]


def test_a_large_answer_comes_through(client):
    wrong = {"processors_req": -1, "nodes_req": -5, "wallclock_req": -1.0, "partition": "", "qos": ""}
    predictions = client.predict_batch([wrong] * 10_000, rows_per_request=10_000)
    assert sum(len(p.error) for p in predictions) > 1_000_000
    assert not any(p.ok for p in predictions)


def test_batch_refuses_zero_rows_per_request(client):
    with pytest.raises(ValueError, match="rows_per_request: must be >= 1, got 0"):
        client.predict_batch(jobs(1), rows_per_request=0)


def test_one_job_is_no_batch(client, job):
    for one in (job, {"processors_req": 1}, "text"):
        with pytest.raises(InvalidInput, match="jobs: must be several jobs, got one "):
            client.predict_batch(one)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), 1e10, float("inf"), "5", True])
def test_no_time_at_all_is_refused(timeout):
    with pytest.raises(InvalidInput, match="timeout: must be seconds > 0 and <= 1e\\+09"):
        Client("localhost:1", timeout=timeout)
    with Client("localhost:1") as client:
        for call in (
            client.health,
            client.model_info,
            lambda timeout: list(client.predict_stream([], timeout=timeout)),
        ):
            with pytest.raises((DeadlineExceeded, Unavailable) if timeout in (0, -1) else InvalidInput):
                call(timeout=timeout)  # of a deadline nothing may be left


def test_nothing_is_no_address_and_no_jobs():
    with pytest.raises(InvalidInput, match="address: must be a text HOST:PORT, got None"):
        Client(None)
    with Client("localhost:1") as client, pytest.raises(InvalidInput, match="jobs: must be several jobs, got None"):
        client.predict_batch(None)


def test_stream_answers_every_job_in_order(client):
    given = jobs(3 * WINDOW)
    assert answers(client.predict_stream(given)) == answers(client.predict_batch(given))


def test_an_invalid_job_fails_alone_in_a_stream(client):
    given = jobs(5)
    given[1]["nodes_req"] = 0
    given[3]["nodes"] = 3
    predictions = list(client.predict_stream(given))
    assert [p.request_id for p in predictions] == ["0", "1", "2", "3", "4"]
    assert [p.error for p in predictions] == [
        "", "nodes_req: must be >= 1, got 0", "", "nodes: unknown field, did you mean 'nodes_req'?", "",
    ]  # fmt: skip


def test_stream_of_jobs_that_come_one_by_one(client):
    """Each job is there only after the answer to the one before: no answer may wait for more jobs."""
    waiting = SimpleQueue()
    given = jobs(5)
    waiting.put(given[0])
    seen = []
    for prediction in client.predict_stream(iter(waiting.get, None)):
        seen.append(prediction.request_id)
        waiting.put(given[len(seen)] if len(seen) < len(given) else None)
    assert seen == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("sendable", [True, False])
def test_an_endless_stream_stays_in_step_and_ends_when_left(client, sendable):
    taken = itertools.count()
    stopped = threading.Event()

    def endless():
        try:
            for job in itertools.cycle(jobs(10)):
                next(taken)
                yield job if sendable else {}
        finally:
            stopped.set()

    stream = client.predict_stream(endless())
    first = list(itertools.islice(stream, 10))
    stream.close()
    assert [p.ok for p in first] == [sendable] * 10
    assert stopped.wait(10), "the source is still read"
    assert next(taken) <= WINDOW + 12


def test_a_source_is_never_read_further_ahead_than_the_window(client):
    """Jobs that are not sent meet no flow control but this."""
    too_far = threading.Event()

    def source():
        for count in itertools.count(1):
            if count > WINDOW + 2:
                too_far.set()
            yield {}

    stream = client.predict_stream(source())
    assert not next(stream).ok
    assert not too_far.wait(0.2)
    stream.close()


def test_what_the_source_raises_reaches_the_caller(client):
    def source():
        yield from jobs(3)
        raise LookupError("the queue is gone")

    seen = []
    with pytest.raises(LookupError, match="the queue is gone"):
        seen.extend(p.request_id for p in client.predict_stream(source()))


def test_stream_feature_importance(client):
    for prediction in client.predict_stream(jobs(3), feature_importance=1):
        assert len(prediction.contributions) == 1


def test_one_client_serves_many_threads(client):
    given = jobs(200)
    with ThreadPoolExecutor(8) as threads:
        assert answers(threads.map(client.predict, given)) == answers(client.predict_batch(given))


def test_model_info_and_health(client):
    info, health = client.model_info(), client.health()
    assert info.is_loaded
    assert info.training_samples > 0
    assert len(info.feature_names) > 0
    assert sum(info.ensemble_weights.values()) == pytest.approx(1)
    assert health.serving
    assert health.status == "SERVING"
    assert health.memory_usage_mb > 0
    assert health.model_status


def test_no_server_says_how_to_start_one(job):
    with Client(NOWHERE) as nobody:
        for call in (lambda: nobody.predict(**job), lambda: nobody.predict_batch([job]), nobody.health):
            with pytest.raises(Unavailable, match=r"^no server at localhost:1: start one with `make serve`"):
                call()


def test_a_name_that_stands_for_no_server_is_told_as_none():
    """No resolver takes a blank, so that nobody has to be asked."""
    with Client("no host") as nobody, pytest.raises(Unavailable, match=r"^no server at no host:50051: start one"):
        nobody.health()


def test_a_stream_without_server_fails_while_its_source_waits(job):
    """The source never gives its second job; the failure must reach the reader all the same."""
    release = threading.Event()

    def source():
        yield job
        release.wait()

    def idle():
        release.wait()
        yield from ()

    with Client(NOWHERE) as nobody:
        for waiting in (source, idle):
            with pytest.raises(Unavailable, match="no server at localhost:1"):
                list(nobody.predict_stream(waiting()))
        release.set()


def test_a_closed_client_says_so(address, job):
    client = Client(address)
    stream = client.predict_stream(itertools.repeat(job))
    assert next(stream).ok
    client.close()
    calls = (
        client.health,
        lambda: client.predict(**job),
        lambda: list(stream),  # what had come before may still be taken
        lambda: list(client.predict_stream([job])),
    )
    for call in calls:
        with pytest.raises(Unavailable, match=r"^this client is closed"):
            call()
    inference = InferenceClient(address)
    inference.close()
    with pytest.raises(Unavailable, match=r"^this client is closed"):
        inference.models()
    tasks = PredictorClient(f"http://{address}")
    tasks.close()
    assert not tasks.is_available()
    with pytest.raises(Unavailable, match=r"^this client is closed"):
        tasks.health()


def test_a_server_that_is_away_is_looked_for_every_second():
    """The library by itself comes a seventh time after 16 s, and then more and more rarely."""
    over = threading.Event()

    def call(client):
        while not over.is_set():
            with pytest.raises(Unavailable):
                client.health()

    with socket.create_server(("127.0.0.1", 0)) as away:
        away.settimeout(PATIENCE_S)
        with Client(f"127.0.0.1:{away.getsockname()[1]}", timeout=PATIENCE_S) as client:
            calling = threading.Thread(target=call, args=(client,))
            calling.start()
            try:
                for _ in range(14):
                    away.accept()[0].close()
            finally:
                over.set()
                away.close()
                calling.join()


def test_a_timeout_is_a_deadline_exceeded(silent, job):
    with Client(silent, timeout=0.05) as mute:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s: give a longer timeout"):
            mute.predict(**job)
        with pytest.raises(TimeoutError, match=r"within 0\.06 s"):
            mute.predict(**job, timeout=0.06)
        with pytest.raises(DeadlineExceeded):
            list(mute.predict_stream([job], timeout=0.05))


def test_too_large_a_message_is_refused_with_a_way_out(client, job):
    with pytest.raises(Overloaded, match="send fewer rows in one request"):
        client.predict_batch([dict(job, user="u" * 20_000)] * 1000)
