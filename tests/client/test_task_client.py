"""The clients of task times against a real server: every method, blocking and asyncio, with true answers."""

import asyncio
import dataclasses
import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
from jobcast import (
    AsyncPredictorClient,
    InvalidInput,
    NotFound,
    PredictionStream,
    PredictorClient,
    ServerFault,
    TaskKey,
    Unavailable,
)

KEY = TaskKey("gpt-3.5", "turbo", "A100", "vllm", "0.1.0")
MODELS = Path(__file__).parents[2] / "models"
NAMES = ("model_type", "model_name", "hardware", "software_name", "software_version")
IDENTITY = dict(zip(NAMES, KEY, strict=True))
METADATA = {"hardware": "A100", "input_tokens": 100, "output_tokens": 50}
TRACE = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}
TWO = [
    TRACE,
    {"input_feature": [{"param_name": "input_tokens", "val": 800}, {"param_name": "output_tokens", "val": 1}]},
]
METHODS = [name for name in vars(PredictorClient) if not name.startswith("_") and name != "close"]


class InTurn:
    """The asyncio client with the blocking one's manners, so that one test holds for both."""

    def __init__(self, loop, client):
        self._loop, self._client = loop, client

    def __getattr__(self, name):
        return lambda *given, **named: self._loop.run_until_complete(getattr(self._client, name)(*given, **named))


@pytest.fixture(params=["blocking", "asyncio"])
def open_client(request):
    """Makes clients of both kinds."""
    with asyncio.Runner() as runner:
        opened = []

        def make(url, **options):
            if request.param == "blocking":
                opened.append(PredictorClient(url, **options))
                return opened[-1]

            async def begin():
                return AsyncPredictorClient(url, **options)

            opened.append(InTurn(runner.get_loop(), runner.run(begin())))
            return opened[-1]

        yield make
        for client in opened:
            client.close()


@pytest.fixture
def client(open_client, tasks):
    return open_client(tasks.url)


def same(one, other):
    """Equal but for what is new with every request."""
    fresh = {"prediction_id": None, "summary": None}
    return dataclasses.replace(one, **fresh) == dataclasses.replace(other, **fresh)


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    for name in METHODS:
        blocking, aio = getattr(PredictorClient, name), getattr(AsyncPredictorClient, name)
        assert inspect.signature(blocking) == inspect.signature(aio), name
        assert inspect.iscoroutinefunction(aio), name


def test_predict_from_flat_metadata(client, toy):
    found = client.predict("gpt-3.5-turbo", METADATA)
    middle = toy.point("A100", 100, 50)
    assert found.status == "success"
    assert found.ok
    assert found.quantiles == (0.25, 0.5, 0.75, 0.99)
    assert found.quantile_predictions == pytest.approx([0.8 * middle, middle, 1.2 * middle, 2.6 * middle], rel=1e-6)
    assert found.interval[1] == pytest.approx(
        client.predict("gpt-3.5-turbo", METADATA, confidence_level=0.95).interval[1]
    )
    assert found.interval[0] < found.quantile_predictions[0] < found.expect < found.interval[1]
    assert found.error > 0
    assert (found.confidence_level, found.confidence, found.model_type) == (0.95, 0.95, "gpt-3.5-turbo")
    assert (found.prediction_method, found.model, found.outside, found.unused) == ("fallback", "llm-latency/1", 0, ())
    assert found.model_info.hardware == "A100"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.status = "error"


def test_median_and_range(client, toy):
    middle = toy.point("A100", 100, 50)
    assert client.get_median_prediction("gpt-3.5-turbo", METADATA) == pytest.approx(middle, rel=1e-6)
    assert client.get_prediction_range("gpt-3.5-turbo", METADATA) == pytest.approx(
        [0.6 * middle, 1.5 * middle], rel=1e-6
    )
    found = client.get_prediction_range("gpt-3.5-turbo", METADATA, confidence_level=0.98)
    assert found == pytest.approx([0.4 * middle, 2.6 * middle], rel=1e-6)
    assert found == client.get_prediction_range("gpt-3.5-turbo", METADATA, 0.98)


def test_the_median_where_the_service_states_no_such_level(start_tasks, open_client, toy):
    client = open_client(start_tasks(JOBCAST_QUANTILE_LEVELS="0.1,0.9").url)
    assert client.predict("x", METADATA).quantiles == (0.1, 0.9)
    assert client.get_median_prediction("x", METADATA) == pytest.approx(toy.point("A100", 100, 50), rel=1e-5)


def test_single_batch_and_flat_say_the_same(client, toy):
    one = client.predict_single(*KEY, TRACE, 0.9)
    assert (one.summary.total, one.summary.success, one.summary.failed, one.summary.confidence_level) == (1, 1, 0, 0.9)
    assert one.model_info == KEY
    many = client.predict_batch(*KEY, iter(TWO), 0.9)
    assert same(many.results[0], one)
    assert many.results[1].quantile_predictions[1] == pytest.approx(toy.point("A100", 800, 1), rel=1e-6)
    assert many.expect == sum(result.expect for result in many.results)
    assert many.error == pytest.approx(math.hypot(*(result.error for result in many.results)))
    assert (many.summary.total, many.summary.success) == (2, 2)
    names = {name: part for name, part in IDENTITY.items() if name != "model_type"}
    flat = client.predict(KEY.type, {**names, **TRACE["input_feature"]}, confidence_level=0.9)
    assert same(dataclasses.replace(flat, model_type=None, confidence=None), one)


def test_a_wrong_trace_of_a_batch_fails_alone(client):
    bad = {"input_feature": {"input_tokens": -1}}
    found = client.predict_batch(*KEY, [TRACE, bad])
    assert [result.status for result in found.results] == ["success", "error"]
    assert not found.results[1].ok
    assert found.results[1].expect is None
    assert "trace[1][input_tokens]" in found.results[1].message
    with pytest.raises(ValueError, match="trace\\[1\\]"):
        _ = found.results[1].distribution
    assert found.expect == found.results[0].expect


def test_keys_reach_the_server_as_they_are(client):
    for key in (TaskKey("a/b", "ü %2F", "A100", "v?x", "1#2"), TaskKey("a", "..", ".", "v", "1")):
        assert client.predict_single(*key, TRACE).model_info == key


def test_tables_are_written_and_asked(client, tmp_path, tasks):
    (tmp_path / "traces.json").write_text(json.dumps(TWO))
    written = client.predict_table(*KEY, TWO, table_name="two.json")
    assert (written.status, written.lookup_table_name, written.summary.success) == ("successful", "two.json", 2)
    assert written.path == str(tasks.folder / "tables" / "two.json")
    named = client.predict_table(*KEY, tmp_path / "traces.json", 0.5)
    assert named.summary.confidence_level == 0.5
    assert (tasks.folder / "tables" / named.lookup_table_name).exists()
    found = client.predict_single(*KEY, TRACE, lookup_table=True, lookup_table_name="two.json")
    assert (found.prediction_method, found.model) == ("lookup", None)
    assert found.expect == client.predict_single(*KEY, TRACE).expect
    batch = client.predict_batch(*KEY, TWO, lookup_table=True, lookup_table_name="two.json")
    assert {result.prediction_method for result in batch.results} == {"lookup"}
    with pytest.raises(NotFound, match=r"missing\.json"):
        client.predict_single(*KEY, TRACE, lookup_table=True, lookup_table_name="missing.json")


def test_outcomes_and_what_models_tell_of_them(start_tasks, open_client):
    client = open_client(start_tasks().url)
    prediction = client.predict_single(*KEY, TRACE)
    told = client.report_outcome(prediction.prediction_id, prediction.quantile_predictions[1] + 5)
    assert (told.status, told.new, told.inside_80) == ("success", True, True)
    assert told.error_ms == pytest.approx(5)
    assert not client.report_outcome(prediction.prediction_id, 9.0).new
    many = client.report_outcomes([{**IDENTITY, **TRACE, "duration_ms": 50}, {"prediction_id": "?", "duration_ms": 1}])
    assert (many.status, many.accepted, many.failed) == ("partial", 1, 1)
    assert [one.status for one in many.results] == ["success", "error"]
    (model,) = client.get_available_models()
    assert (model.model_type, model.model_name, model.total_predictions) == ("gpt-3.5", "turbo", 1)
    assert (model.hardware_types, model.software_versions) == (("A100",), ("0.1.0",))
    (key,) = model.keys
    assert (key.outcomes, key.own_bundle, key.drift, dict(key.predictions)) == (2, False, False, {"fallback": 1})
    with pytest.raises(NotFound, match="prediction_id"):
        client.report_outcome("?", 1.0)
    with pytest.raises(InvalidInput) as error:
        client.report_outcome(prediction.prediction_id, 0)
    assert error.value.violations[0].field == "duration_ms"


def test_training_and_its_job(start_tasks, open_client, toy):
    client = open_client(start_tasks().url, timeout=30)
    traces = [
        {"input_feature": {"input_tokens": n}, "duration_ms": toy.point("A100", n, scale=3)} for n in (8, 80, 800)
    ]
    done = client.train({**IDENTITY, "traces": traces})
    assert (done.status, done.model_key, done.version) == ("success", "/".join(KEY), 1)
    assert done.metrics["scale"] == pytest.approx(3)
    assert done.duration_seconds > 0
    found = client.predict_single(*KEY, TRACE)
    assert (found.prediction_method, found.model) == ("model", f"{done.model_name}/1")
    queued = client.train({**IDENTITY, "traces": traces[:1]}, wait=False)
    assert queued.status in ("waiting", "running")
    while (state := client.training(queued.job)).status not in ("success", "error"):
        assert state.job == queued.job
    assert "at least 2 traces" in state.error
    with pytest.raises(InvalidInput) as error:
        client.train({**IDENTITY, "traces": [TRACE]})
    assert error.value.violations[0].field == "traces[0].duration_ms"
    with pytest.raises(NotFound):
        client.training("no-such-job")


def test_health_says_whether_predictions_can_be_answered(client, start_tasks, open_client, address):
    assert client.is_available()
    health = client.health()
    assert (health.status, health.service, health.mode) == ("healthy", "predictor", "default")
    assert health.ready
    assert not open_client(f"http://{address}").is_available()  # gRPC, no HTTP
    empty = open_client(start_tasks(models=MODELS / "hpc-runtime").url)
    assert empty.health().status == "healthy"
    assert not empty.is_available()
    with pytest.raises(Unavailable):
        empty.predict("x", METADATA)


def test_reports_that_are_none_are_told_by_their_place(client):
    with pytest.raises(InvalidInput, match=r"outcomes\[0\]"):
        client.report_outcomes({"prediction_id": "a", "duration_ms": 1.0})


def test_errors_carry_the_server_s_field_rule_and_value(client):
    with pytest.raises(InvalidInput) as error:
        client.predict("x", {"input_tokens": -3})
    (violation,) = error.value.violations
    assert violation.field == "metadata[input_tokens]"
    assert "-3" in violation.description
    with pytest.raises(InvalidInput) as error:
        client.predict_single(*KEY, TRACE, confidence_level=1.5)
    assert str(error.value) == "confidence_level: must be a number between 0 and 1, both excluded, got 1.5"


@pytest.mark.parametrize(
    ("value", "field", "words"),
    [
        (math.nan, "trace.input_feature.input_tokens", "must be a finite number, or None"),
        (-math.inf, "trace.input_feature.input_tokens", "got -inf"),
        (object, "trace.input_feature.input_tokens", "got type <class 'object'>"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_place(client, value, field, words):
    with pytest.raises(InvalidInput) as error:
        client.predict_single(*KEY, {"input_feature": {"input_tokens": value}})
    (violation,) = error.value.violations
    assert violation.field == field
    assert words in violation.description


def test_numbers_of_other_libraries_are_numbers(client):
    plain = client.predict("x", METADATA)
    other = client.predict("x", {**METADATA, "input_tokens": np.int64(100), "output_tokens": np.float32(50)})
    assert same(plain, other)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"base_url": "localhost:8200"}, "base_url"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://x:port"}, "base_url"),
        ({"base_url": "http://x:0"}, "base_url"),
        ({"base_url": "http://x:73736"}, "base_url"),
        ({"base_url": "http://x..y"}, "base_url"),
        ({"base_url": "http://x/?a=b"}, "base_url"),
        ({"base_url": "http://x/#a"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
    ],
)
@pytest.mark.parametrize("kind", [PredictorClient, AsyncPredictorClient, PredictionStream])
def test_arguments_of_a_client(kind, options, field):
    with pytest.raises(InvalidInput) as error:
        kind(**options)
    assert error.value.violations[0].field == field


@pytest.mark.parametrize("part", ["", None, 7])
def test_a_key_must_be_whole(client, part):
    with pytest.raises(InvalidInput) as error:
        client.predict_single("llm", "x", part, "vllm", "1", TRACE)
    assert str(error.value) == f"hardware: must be a text, not empty, got {part!r}"


def test_an_address_may_end_in_a_slash(tasks):
    with PredictorClient(tasks.url + "/") as client:
        assert client.is_available()
    with pytest.raises(Unavailable, match="closed"):
        client.health()


def test_another_path_or_service_is_told(tasks):
    with PredictorClient(tasks.url + "/nowhere") as client, pytest.raises(NotFound):
        client.health()
    with PredictorClient(tasks.url + "/v2") as client, pytest.raises((ServerFault, NotFound)):
        client.get_available_models()
