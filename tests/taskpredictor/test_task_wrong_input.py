"""What is wrong is told by status, field, rule and value; nothing hides behind a success."""

import json

import pytest

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
SINGLE, BATCH = f"/predict/single/{PATH}", f"/predict/batch/{PATH}"
GOOD = {"input_feature": {"input_tokens": 80}}


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"confidence_level": 0.5}, "trace", "must be given"),
        ({"trace": GOOD}, "confidence_level", "must be given"),
        ({"trace": GOOD, "confidance_level": 0.5}, "confidance_level", "must be written 'confidence_level', got"),
        ({"trace": GOOD, "confidence_level": 0.5, "lookupTable": True}, "lookupTable", "written 'lookup_table'"),
        ({"trace": GOOD, "confidence_level": 1}, "confidence_level", "between 0 and 1, both excluded, got 1"),
        ({"trace": GOOD, "confidence_level": 0}, "confidence_level", "got 0"),
        ({"trace": GOOD, "confidence_level": "0.5"}, "confidence_level", "got '0.5'"),
        ({"trace": GOOD, "confidence_level": True}, "confidence_level", "got true"),
        ({"trace": [GOOD], "confidence_level": 0.5}, "trace", "must be an object, got an array"),
        ({"trace": {}, "confidence_level": 0.5}, "trace.input_feature", "must be given"),
        ({"trace": GOOD, "confidence_level": 0.5, "lookup_table": 1}, "lookup_table", "must be a boolean, got 1"),
        ({"trace": GOOD, "confidence_level": 0.5, "lookup_table_name": 1}, "lookup_table_name", "must be a text"),
        ({"trace": GOOD, "confidence_level": 0.5, "lookup_table": True}, "lookup_table_name", "must be given"),
        ({"trace": {**GOOD, "model_id": 1}, "confidence_level": 0.5}, "trace.model_id", "must be a text, got 1"),
        ({"trace": {**GOOD, "duration_ms": 0}, "confidence_level": 0.5}, "trace.duration_ms", "<= 1e+12, got 0"),
        ({"trace": {**GOOD, "hardware_info": []}, "confidence_level": 0.5}, "trace.hardware_info", "must be an object"),
        (
            {"trace": {**GOOD, "hardware_info": {"x": True}}, "confidence_level": 0.5},
            "trace.hardware_info['x']", "must be a number",
        ),
    ],
)  # fmt: skip
def test_a_body_that_breaks_a_rule(server, body, field, problem):
    server.post(SINGLE, body).wrong(field, problem)


@pytest.mark.parametrize(
    ("features", "field", "problem"),
    [
        ({"input_tokens": -1}, "trace[input_tokens]", "must be finite and >= 0, got -1"),
        ({"input_tokens": 2e9}, "trace[input_tokens]", "must be <= 1e+09, got 2000000000"),
        ({"output_tokens": 1}, "trace[input_tokens]", "must be given"),
        ({"input_tokens": None}, "trace[input_tokens]", "must be given"),
        ({"input_tokens": "80"}, "trace.input_feature['input_tokens']", "must be a number, or null"),
        ({"input_tokens": True}, "trace.input_feature['input_tokens']", "got true"),
        ({"": 1}, "trace.input_feature['']", "must have a name of 1 to 64 characters, got 0"),
        ({f"x{n}": n for n in range(200)}, "input_feature", "must have at most 128 numbers, got 200"),
        ("x", "trace.input_feature", "must be a list of {param_name, val}"),
        ([1], "trace.input_feature[0]", "must be an object with param_name and val, got 1"),
        ([{"param_name": "input_tokens"}], "trace.input_feature[0]", "param_name and val"),
        ([{"param_name": 1, "val": 1}], "trace.input_feature[0].param_name", "must be a text, got 1"),
        ([{"param_name": "input_tokens", "val": "1"}], "trace.input_feature[0].val", "must be a number"),
        ([{"param_name": "a", "val": 1}] * 2, "trace.input_feature[1].param_name", "must be given once"),
    ],
)
def test_features_that_break_a_rule(server, features, field, problem):
    server.single({"input_feature": features}).wrong(field, problem)


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"metadata": {}}, "model_type", "must be a text that is not empty, got null"),
        ({"model_type": "", "metadata": {}}, "model_type", "not empty"),
        ({"model_type": "x"}, "metadata", "must be given"),
        ({"model_type": "x", "metadata": []}, "metadata", "must be an object"),
        ({"model_type": "x", "metadata": {"hardware": 1}}, "metadata.hardware", "must be a text, got 1"),
        (
            {"model_type": "x", "metadata": {"model_type": "y"}},
            "metadata.model_type",
            "must be the request's model_type",
        ),
        ({"model_type": "x", "metadata": {}, "lookup_table": 1}, "lookup_table", "must be a boolean, got 1"),
        ({"model_type": "x", "metadata": {"input_tokens": [1]}}, "metadata['input_tokens']", "must be a number"),
        ({"model_type": "x", "metadata": {"input_tokens": -1}}, "metadata[input_tokens]", "must be finite and >= 0"),
        ({"model_type": "x", "metadata": {}, "confidence_level": 2}, "confidence_level", "got 2"),
        ({"model_type": "x", "metadata": {}, "confidence": 0.5}, "confidence", "must be written 'confidence_level'"),
    ],
)
def test_flat_metadata_that_breaks_a_rule(server, body, field, problem):
    server.post("/predict", body).wrong(field, problem)


def test_a_number_in_text_is_not_taken_and_not_passed_over_in_silence(server):
    answer = server.post("/predict", {"model_type": "x", "metadata": {"input_tokens": "80"}})
    answer.wrong("metadata[input_tokens]", "must be given")


@pytest.mark.parametrize(
    ("trace", "field", "problem"),
    [
        ({}, "trace", "must be a list of traces, got an object"),
        ([], "trace", "must hold 1 to 10000 traces (max_batch_rows), got 0"),
        ([GOOD] * 10001, "trace", "got 10001"),
        ([7, {}], "trace[0]", "must be an object, got 7"),
        ([{"input_feature": {"input_tokens": -1}}], "trace[0][input_tokens]", "must be finite and >= 0"),
    ],
)
def test_a_batch_without_any_good_trace(server, trace, field, problem):
    server.post(BATCH, {"trace": trace, "confidence_level": 0.5}).wrong(field, problem)


@pytest.mark.parametrize("path", [SINGLE, BATCH, "/predict", "/train", "/outcomes"])
def test_what_is_no_json(server, path):
    server.post(path, b'{"trace": ').wrong("body", "must be JSON: ")
    assert server.ask("POST", path, b"\xff").status == 422
    assert server.ask("POST", path, b"").status == 422


@pytest.mark.parametrize("path", [SINGLE, BATCH, "/predict"])
def test_a_body_is_an_object(server, path):
    server.post(path, b"[1]").wrong("body", "must be a JSON object, got an array")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", SINGLE, 405), ("PUT", "/predict", 405), ("POST", "/health", 405), ("GET", "/outcomes", 405),
        ("POST", "/predict/single/a/b/c/d", 404), ("POST", "/predict/single/a/b/c/d/e/f", 404),
        ("POST", "/predict/single/a//c/d/e", 404), ("POST", "/predict/many/a/b/c/d/e", 404), ("GET", "/train/x", 404),
        ("POST", "/predict/single/%ff/b/c/d/e", 404),
    ],
)  # fmt: skip
def test_paths_and_methods(server, method, path, status):
    answer = server.ask(method, path, b"{}")
    assert answer.status == status
    assert set(answer.json()) == {"error"}


def test_a_field_of_the_path_is_bounded(server):
    answer = server.single(GOOD, path=f"{'m' * 129}/b/c/d/e")
    answer.wrong("model_type", "must be at most 128 characters, got 129")
    answer = server.single(GOOD, path=f"{'m' * 100}/b/c/d/e")
    answer.wrong("model_type", "must be at most 64 bytes, got 100")


def test_body_bounds(start):
    served = start("--max-body-bytes", "2000")
    assert served.post(SINGLE, b" " * 3000).status == 413
    assert served.ask("POST", SINGLE, b"{}", {"Content-Type": "text/xml"}).status == 415
    assert served.upload(b" " * 3000).status == 413
    assert served.ask("POST", f"/predict/table/{PATH}", b"{}", {"Content-Type": "application/json"}).status == 415


def test_an_unknown_model_is_404_and_one_that_cannot_answer_503(start, toy, tmp_path):
    key = dict(zip(("type", "name", "hardware", "software_name", "software_version"), "abcde", strict=True))
    toy.make(tmp_path / "models", key=key)
    served = start()
    assert served.single(GOOD, path="a/b/c/d/e").good["results"]["prediction_method"] == "model"
    answer = served.single(GOOD)
    assert answer.status == 404
    assert answer.json() == {"error": f"model {PATH}: has no bundle of its own, and there is no general llm-latency"}
    batch = served.post(BATCH, {"trace": [GOOD, GOOD], "confidence_level": 0.5})
    assert batch.status == 404


def test_without_any_bundle_of_tasks_it_is_503(start, bundles, tmp_path):
    bundles.toy(tmp_path / "models")
    served = start()
    for answer in (served.single(GOOD), served.post("/predict", {"model_type": "x", "metadata": {}})):
        assert answer.status == 503
        assert "no llm-latency bundle is loaded" in answer.json()["error"]
    assert served.get("/health").good["model_loaded"] is False


def test_a_bundle_that_does_not_fit_the_contract_is_refused(start, bundles, toy, tmp_path):
    good = toy.make(tmp_path / "models")
    bundles.toy(tmp_path / "models")
    other = toy.make(tmp_path / "models", 2)
    bundles.edit(other, lambda manifest: manifest["outputs"][0].update(unit="s"))
    served = start()
    index = served.post("/v2/repository/index", {}).good
    reasons = {(one["name"], one["version"]): one["reason"] for one in index}
    assert "the unit of quantiles must be ms, got 's'" in reasons["llm-latency", "2"]
    assert served.single(GOOD).good["results"]["model"] == f"llm-latency/{good.name}"


def test_a_key_in_another_folder_is_refused(start, bundles, toy, tmp_path):
    toy.make(tmp_path / "models")
    folder = toy.make(
        tmp_path / "models",
        key=dict(zip(("type", "name", "hardware", "software_name", "software_version"), "abcde", strict=True)),
    )
    bundles.edit(folder, lambda manifest: manifest["task_key"].update(hardware="other"))
    served = start()
    reasons = [one["reason"] for one in served.post("/v2/repository/index", {}).good if one["name"] != "llm-latency"]
    assert len(reasons) == 1
    assert "a bundle for one key lies in llm-latency.a-b-other-d-e-" in reasons[0]
    assert served.single(GOOD, path="a/b/c/d/e").good["results"]["prediction_method"] == "fallback"


def test_a_default_table_that_cannot_be_read_stops_the_start(start, tmp_path):
    (tmp_path / "broken.json").write_text('[{"status": "success"}]')
    with pytest.raises(AssertionError, match=r"default_lookup_table: .*broken.json: .*\[0\]: must be an object with"):
        start(DEFAULT_LOOKUP_TABLE=str(tmp_path / "broken.json"))


def test_a_store_that_is_none_stops_the_start(start, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outcomes.sqlite").write_text("this is no database, " * 100)
    with pytest.raises(AssertionError, match=r"store: .*outcomes.sqlite: file is not a database; name another"):
        start()


@pytest.mark.parametrize("levels", ["", "0.5,x", "0.9,0.1", "0,0.5", "0.5,0.5"])
def test_levels_that_are_none_stop_the_start(start, levels):
    with pytest.raises(AssertionError, match="quantile_levels: must be numbers between 0 and 1, ascending"):
        start("--quantile-levels", levels)


def test_errors_keep_what_cannot_be_utf8(server):
    body = json.dumps({"trace": {"input_feature": {"\ud800": "x"}}, "confidence_level": 0.5}).encode()
    assert server.ask("POST", SINGLE, body).status == 422
