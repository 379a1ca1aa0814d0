"""Predictions of a real server: the contract's fields with true values."""

import json
import math

import numpy as np
import pytest
from jobcast_server.taskpredictor.forecast import forecasts
from jobcast_server.taskpredictor.law import Law

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
OWN = "own/x/A100/vllm/1"
TRACE = {"input_feature": {"input_tokens": 80, "output_tokens": 30}}


def expected(toy, middle, wanted):
    stated = np.array([np.float32(middle) * np.array(toy.FACTORS, np.float32)])
    told = forecasts(Law(tuple(toy.LEVELS)), stated, [0.0], tuple(wanted))[0]
    return told.predictions, told.expect, told.error


def test_a_single_answer_has_every_field_of_the_contract(server, toy):
    told = server.single(TRACE, 0.9).good
    assert set(told) == {"summary", "results"}
    summary, result = told["summary"], told["results"]
    assert {name: summary[name] for name in ("total", "success", "failed", "confidence_level")} == {
        "total": 1, "success": 1, "failed": 0, "confidence_level": 0.9,
    }  # fmt: skip
    assert summary["duration_seconds"] > 0
    quantiles, mean, deviation = expected(toy, toy.point("A100", 80, 30), [0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    assert result["status"] == "success"
    assert result["quantiles"] == [0.25, 0.5, 0.75, 0.99]
    assert result["quantile_predictions"] == [*quantiles[1:4], quantiles[5]]
    assert result["interval"] == pytest.approx([quantiles[0], quantiles[4]], rel=1e-12)
    assert (result["expect"], result["error"]) == (mean, deviation)
    assert result["model_info"] == {
        "type": "gpt-3.5", "name": "turbo", "hardware": "A100", "software_name": "vllm", "software_version": "0.1.0",
    }  # fmt: skip
    assert (result["outside"], result["unused"], result["model"]) == (0, [], "llm-latency/1")


@pytest.mark.parametrize(
    ("path", "method", "scale"), [(PATH, "fallback", 1.0), (OWN, "model", 2.0), ("own/x/A100/vllm/2", "fallback", 1.0)]
)
def test_the_key_s_own_bundle_answers_and_else_the_general_one_says_so(server, toy, path, method, scale):
    result = server.single(TRACE, path=path).good["results"]
    assert result["prediction_method"] == method
    assert result["quantile_predictions"][1] == pytest.approx(toy.point("A100", 80, 30, scale), rel=1e-6)
    assert ("general bundle" in result["message"]) == (method == "fallback")
    assert result["model"].startswith("llm-latency.own-x-a100" if method == "model" else "llm-latency/")


@pytest.mark.parametrize(
    "features",
    [
        [{"param_name": "input_tokens", "val": 80}, {"param_name": "output_tokens", "val": 30}],
        {"input_tokens": 80.0, "output_tokens": 30, "pixel_num": None},
        {"Input Tokens": 80.0, "output-tokens": 30},
    ],
)
def test_features_as_a_list_or_as_an_object_are_the_same(server, toy, features):
    result = server.single({"input_feature": features, "model_id": "m", "duration_ms": 5}).good["results"]
    assert result["quantile_predictions"][1] == toy.point("A100", 80, 30)


def test_hardware_facts_are_features_and_the_trace_s_own_go_first(server, toy):
    trace = {**TRACE, "hardware_info": {"name": "A100", "memory_bandwidth_gb_s": 2039, "output_tokens": 999}}
    result = server.single(trace).good["results"]
    assert result["quantile_predictions"][1] == toy.point("A100", 80, 30)
    assert result["unused"] == ["name"]


def test_what_the_bundle_does_not_use_is_said(server):
    trace = {"input_feature": {"input_tokens": 80, "moon_phase": 3}, "note": "x"}
    result = server.single(trace).good["results"]
    assert result["unused"] == ["moon_phase", "note"]
    assert "not used: moon_phase, note" in result["message"]


@pytest.mark.parametrize(
    ("path", "tokens", "outside"), [(PATH, 80, 0), (PATH, 20000, 1), ("a/b/abacus/vllm/1", 20000, 2)]
)
def test_what_lies_outside_of_training_is_said(server, toy, path, tokens, outside):
    result = server.single({"input_feature": {"input_tokens": tokens}}, path=path).good["results"]
    assert result["outside"] == outside
    assert ("outside what training saw" in result["message"]) == bool(outside)
    assert result["quantile_predictions"][1] == toy.point(path.split("/")[2], tokens)


def test_confidence_drives_the_interval_and_nothing_else(server, toy):
    told = [server.single(TRACE, c).good["results"] for c in (0.02, 0.5, 0.8, 0.98, 0.9999999999999999)]
    widths = [high - low for low, high in (one["interval"] for one in told)]
    assert widths == sorted(widths)
    assert len(set(widths)) == 5
    assert len({json.dumps([one["quantile_predictions"], one["expect"], one["error"]]) for one in told}) == 1
    assert told[3]["interval"] == pytest.approx(expected(toy, toy.point("A100", 80, 30), [0.01, 0.99])[0])


def test_parts_of_the_path_are_decoded_once(server):
    path = "meta%2Fllama/a%20b/NVIDIA%20H20/v%252F/0.5.5.post2"
    info = server.single(TRACE, path=path).good["results"]["model_info"]
    assert list(info.values()) == ["meta/llama", "a b", "NVIDIA H20", "v%2F", "0.5.5.post2"]


def test_a_batch_sums_up(server, toy):
    sizes = [10, 400, 80]
    traces = [{"input_feature": {"input_tokens": size}} for size in sizes]
    told = server.post(f"/predict/batch/{PATH}", {"trace": traces, "confidence_level": 0.9}).good
    assert told["summary"]["success"] == told["summary"]["total"] == 3
    singles = [server.single(trace, 0.9).good["results"] for trace in traces]
    for item, single in zip(told["results"], singles, strict=True):
        assert {**item, "prediction_id": ""} == {**single, "prediction_id": ""}
    assert told["expect"] == pytest.approx(sum(one["expect"] for one in singles))
    assert told["error"] == pytest.approx(math.sqrt(sum(one["error"] ** 2 for one in singles)))


def test_a_large_batch_is_answered_in_order_and_bad_items_alone_fail(server, toy):
    bad = {3: {}, 299: {"input_feature": {"input_tokens": -1}}, 700: {"input_feature": {"input_tokens": "x"}}}
    traces = [bad.get(place, {"input_feature": {"input_tokens": place}}) for place in range(1000)]
    told = server.post(f"/predict/batch/{PATH}", {"trace": traces, "confidence_level": 0.9}).good
    assert told["summary"] | {"duration_seconds": 0} == {
        "total": 1000, "success": 997, "failed": 3, "confidence_level": 0.9, "duration_seconds": 0,
    }  # fmt: skip
    for place, item in enumerate(told["results"]):
        if place in bad:
            assert item["status"] == "error"
            assert f"trace[{place}]" in item["message"]
            assert item["quantile_predictions"] is item["expect"] is item["error"] is None
        else:
            assert item["quantile_predictions"][1] == pytest.approx(toy.point("A100", place), rel=1e-6)
    assert len({item["prediction_id"] for item in told["results"] if item["status"] == "success"}) == 997


def test_flat_metadata(server, toy):
    metadata = {"hardware": "A100", "input_tokens": 100, "output_tokens": 50, "note": "text"}
    told = server.post("/predict", {"model_type": "gpt-3.5-turbo", "metadata": metadata}).good
    assert (told["status"], told["model_type"], told["prediction_method"]) == ("success", "gpt-3.5-turbo", "fallback")
    assert told["quantiles"] == [0.25, 0.5, 0.75, 0.99]
    assert told["quantile_predictions"][1] == toy.point("A100", 100, 50)
    assert told["confidence"] == 0.95
    assert told["unused"] == ["note"]
    whole = {**metadata, "model_name": "x", "software_name": "vllm", "software_version": "1"}
    own = server.post("/predict", {"model_type": "own", "metadata": whole, "confidence_level": 0.5}).good
    assert (own["prediction_method"], own["confidence"]) == ("model", 0.5)


def test_other_levels_are_a_setting(start, toy):
    result = start("--quantile-levels", "0.1,0.5,0.9").single(TRACE).good["results"]
    assert result["quantiles"] == [0.1, 0.5, 0.9]
    assert result["quantile_predictions"] == expected(toy, toy.point("A100", 80, 30), [0.1, 0.5, 0.9])[0]


def test_health_and_models(server):
    told = server.get("/health").good
    assert told["status"] == "healthy"
    assert told["service"] == "predictor"
    assert (told["mode"], told["lookup_predictor_loaded"], told["model_loaded"]) == ("default", False, True)
    server.single(TRACE, path="models/test/A100/vllm/1")
    server.single(TRACE, path="models/test/H100/vllm/2")
    models = server.get("/models").good
    assert models["status"] == "success"
    found = {(one["model_type"], one["model_name"]): one for one in models["models"]}
    line = found["models", "test"]
    assert (line["total_predictions"], line["hardware_types"], line["software_versions"]) == (
        2, ["A100", "H100"], ["1", "2"],
    )  # fmt: skip
    assert [key["predictions"] for key in line["keys"]] == [{"fallback": 1}] * 2
    assert [key["own_bundle"] for key in found["own", "x"]["keys"] if key["software_version"] == "1"] == [True]
