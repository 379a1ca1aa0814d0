"""One page for all workers: what was counted anywhere is counted there once, and never less than before."""

import math
from collections import Counter
from contextlib import closing

import open_inference_pb2_grpc as inference
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_server.security import keys as keyfile
from jobcast_server.security.keyring import share
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope
from jobcast_server.workers.merge import merge, read, retire, snapshot
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as Counted

CALLS = 30


def test_calls_over_many_connections_are_all_there(server, infer):
    def served():
        found = Counter()
        for (name, labels), value in server.metrics().items():
            told = dict(labels)
            if told.get("method") == "ModelInfer":
                found[name, told.get("outcome", ""), told.get("le", "")] += value
            elif name.startswith("jobcast_model_success_seconds") and told["model"] == "toy-latency":
                found[name, "", told.get("le", "")] += value
        return found

    before = served()
    for number in range(CALLS):
        with server.channel() as channel:
            assert infer(inference.GRPCInferenceServiceStub(channel), number)
    now = served()
    for key in (
        ("jobcast_requests_total", "success", ""), ("jobcast_request_duration_seconds_count", "", ""),
        ("jobcast_request_duration_seconds_bucket", "", "+Inf"), ("jobcast_model_success_seconds_count", "", ""),
    ):  # fmt: skip
        assert now[key] - before[key] == CALLS, key


def test_a_process_has_its_own_lines(server):
    samples = server.metrics()
    workers = {dict(labels).get("worker") for (name, labels) in samples if name == "process_resident_memory_bytes"}
    assert workers == {"0", "1", "supervisor"}
    assert {key[1] for key in samples if key[0] == "jobcast_worker_up"} == {(("worker", "0"),), (("worker", "1"),)}
    assert samples["jobcast_ready", ()] == 1
    assert samples["rt_predictor_active_connections", ()] >= 0
    assert len([labels for name, labels in samples if name == "python_info"]) == 1


def page(counting, serving, kept=None):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in merge(counting, serving, kept or {})
        for sample in metric.samples
    }


def counted(calls, rows, gauges):
    registry = CollectorRegistry()
    counter, histogram = Counted("calls", "x", ["kind"], registry=registry), Histogram("rows", "x", registry=registry)
    for kind, times in calls.items():
        counter.labels(kind).inc(times)
    for value in rows:
        histogram.observe(value)
    for name, value in gauges.items():
        Gauge(name, "x", registry=registry).set(value)
    return read(snapshot(registry))


whole = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1000), min_size=1)
rows = st.lists(st.integers(0, 20), max_size=5)


@given(st.lists(st.tuples(whole, rows), min_size=1, max_size=4), st.data())
def test_sums_are_the_same_whoever_has_ended(told, data):
    families = [counted(calls, found, {}) for calls, found in told]
    ended = data.draw(st.sets(st.sampled_from(range(len(families)))))
    kept = {}
    for number in ended:
        retire(families[number], kept)
    alive = {str(number): one for number, one in enumerate(families) if number not in ended}
    samples = page(alive, list(alive), kept)
    for kind in "abc":
        wanted = sum(calls.get(kind, 0) for calls, _ in told)
        assert samples.get(("calls_total", (("kind", kind),)), 0) == wanted
    assert samples["rows_count", ()] == sum(len(found) for _, found in told)
    assert samples["rows_sum", ()] == sum(sum(found) for _, found in told)
    assert samples["rows_bucket", (("le", "10.0"),)] == sum(value <= 10 for _, found in told for value in found)


def test_gauges_by_what_they_mean():
    first = counted({}, [], {"rt_predictor_queue_size": 3, "jobcast_ready": 1, "jobcast_stale": 0, "process_x": 5})
    other = counted({}, [], {"rt_predictor_queue_size": 4, "jobcast_ready": 0, "jobcast_stale": 1, "process_x": 6})
    kept = {}
    retire(other, kept)
    assert kept.keys() <= {"calls", "rows"}  # a gauge of one that has ended says nothing
    both = page({"0": first, "1": other}, ["0", "1"])
    assert both["rt_predictor_queue_size", ()] == 7
    assert both["jobcast_ready", ()] == 0
    assert both["jobcast_stale", ()] == 1
    assert both["process_x", (("worker", "0"),)] == 5
    assert both["process_x", (("worker", "1"),)] == 6
    starting = page({"0": first, "1": other}, ["0"])  # one that starts is not asked what holds
    assert starting["jobcast_ready", ()] == 1


def test_outcomes_that_are_read_from_the_store_again_count_once():
    def told(outcomes):
        registry = CollectorRegistry()
        Counted("jobcast_task_outcomes", "x", ["model_key"], registry=registry).labels("k").inc(outcomes)
        return read(snapshot(registry))

    kept = {}
    retire(told(5), kept)
    name = ("jobcast_task_outcomes_total", (("model_key", "k"),))
    assert page({"1": told(0)}, ["1"], kept)[name] == 5  # while it is away
    assert page({"0": told(7), "1": told(0)}, ["0", "1"], kept)[name] == 7


def test_a_value_that_is_none_gives_way():
    first, other = (counted({}, [], {"jobcast_stale": value}) for value in (math.nan, 2.0))
    assert page({"0": first, "1": other}, ["0", "1"])["jobcast_stale", ()] == 2


@given(
    st.integers(2, 64), st.floats(0.001, 1e6), st.integers(1, 10**6),
    st.sets(st.sampled_from([Scope.PREDICT, Scope.REPORT]), min_size=1),
)  # fmt: skip
def test_the_parts_of_a_rate_are_no_more_than_the_rate(workers, rate, burst, scopes):
    key = Key(id="k", sha256="0" * 64, scopes=frozenset(scopes), rate=rate, burst=burst)
    per_second, at_once = share(key, workers)
    processes = workers + (Scope.REPORT in scopes)
    assert per_second * processes == pytest.approx(rate)
    assert at_once == max(1, burst / processes)
    assert share(key, 1) == key.bounds


def test_keys_hold_over_all_workers_and_for_the_page(start, tmp_path):
    tokens = {}
    kept = []
    for name, scopes, more in (
        ("caller", [Scope.PREDICT], {"rate": 0.001, "burst": 4}), ("watcher", [Scope.REPORT], {}),
        ("prober", [Scope.PREDICT], {}),
    ):  # fmt: skip
        tokens[name] = keyfile.secret()
        sha256 = keyfile.digest(tokens[name].encode()).hex()
        kept.append(Key(id=name, sha256=sha256, scopes=frozenset(scopes), **more))
    keyfile.write(tmp_path / "keys.json", tuple(kept))
    served = start("--listener", "asyncio", "--keys", str(tmp_path / "keys.json"))
    served.headers = {"authorization": f"Bearer {tokens['prober']}"}
    limited = {"authorization": f"Bearer {tokens['caller']}"}
    statuses = Counter()
    with served.each() as connections:
        body = {"trace": {"input_feature": {"input_tokens": 80}}, "confidence_level": 0.8}
        for _ in range(10):
            for connection in connections:
                answer = connection.ask("POST", "/predict/single/a/b/c/d/e", body, limited)
                statuses[answer.status] += 1
        assert "may call 0.0005 times a second, 2 at once" in answer.json()["error"]
    assert statuses == {200: 4, 429: 16}
    asked = {}
    for name in ("prober", "watcher"):
        with closing(served.page(tokens[name])) as page:
            asked[name] = page.get("/metrics").status
    assert asked == {"prober": 403, "watcher": 200}
    served.headers = {"authorization": f"Bearer {tokens['watcher']}"}
    samples = served.metrics()
    assert samples["jobcast_refused_total", (("outcome", "limited"),)] == 16  # by both workers
    assert samples["jobcast_refused_total", (("outcome", "denied"),)] == 1  # by the supervisor
    assert samples["jobcast_keys", ()] == 3
