"""Lookup tables: the same question always gets the same row, and a miss is said and answered by a bundle."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobcast_server.errors import InvalidRequestError
from jobcast_server.taskpredictor import tablefile
from jobcast_server.taskpredictor.forecast import forecasts
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.law import law_of
from jobcast_server.taskpredictor.table import Row, Table

PATH = "gpt-3.5/turbo/A100/vllm/0.1.0"
KEY = Key(*PATH.split("/"))
LEVELS = (0.25, 0.5, 0.75, 0.99)
DOCUMENTED = [
    {
        "status": "success",
        "model_type": "gpt-3.5-turbo",
        "quantiles": [0.25, 0.5, 0.75, 0.99],
        "quantile_predictions": [100.0, 150.0, 200.0, 500.0],
        "expect": 150.0,
        "error": 25.0,
        "model_info": {
            "type": "gpt-3.5-turbo", "name": "turbo", "hardware": "A100", "software_name": "vllm",
            "software_version": "0.1.0",
        },
    }
]  # fmt: skip


def row(features, median, key=KEY):
    return Row(key, features, LEVELS, (median / 2, median, median * 2, median * 3))


def table(*rows):
    law = law_of(LEVELS)
    return Table(list(rows), forecasts(law, np.array([one.quantiles for one in rows]), [0.0] * len(rows), LEVELS))


def found(made, features, key=KEY, distance=0.05):
    told = made.find(key, features, distance)
    return None if told is None else told.predictions[1]


def write(server, name, content):
    folder = server.folder / "state" / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def look(server, name, features, path=PATH):
    trace = {"input_feature": features}
    return server.single(trace, path=path, lookup_table=True, lookup_table_name=name)


def test_exact_goes_before_near_and_near_before_the_row_of_the_whole_key():
    made = table(row({}, 9), row({"a": 101.0}, 1), row({"a": 100.0}, 2), row({"a": 100.0, "b": 1.0}, 3))
    assert found(made, {"a": 100.0}) == 2
    assert found(made, {"a": 102.0}) == 1
    assert found(made, {"a": 106.4}) == 9  # more than 5 % from either
    assert found(made, {"a": 106.2}) == 1
    assert found(made, {"a": 100.0, "b": 1.04}) == 3
    assert found(made, {"c": 100.0}) == 9


def test_distance_is_the_largest_relative_difference():
    made = table(row({"a": 100.0, "b": 10.0}, 1), row({"a": 104.0, "b": 10.0}, 2))
    assert found(made, {"a": 102.0, "b": 9.6}) is not None
    assert found(made, {"a": 102.0, "b": 9.4}) is None
    assert found(made, {"a": 103.9, "b": 10.0}) == 2
    assert found(made, {"a": 103.9, "b": 10.0}, distance=0) is None
    zero = table(row({"a": 0.0}, 1))
    assert (found(zero, {"a": 0.0}), found(zero, {"a": 0.001})) == (1, None)


@given(st.permutations(range(6)), st.floats(95, 105))
def test_of_rows_equally_near_the_first_answers(order, asked):
    rows = [row({"a": value}, place + 1.0) for place, value in enumerate((98.0, 98.0, 102.0, 102.0, 100.0, 100.0))]
    made = table(*(rows[place] for place in order))
    first = found(made, {"a": asked})
    nearest = min(abs(asked - value) / max(asked, value) for value in (98.0, 100.0, 102.0))
    fitting = [
        rows[place].quantiles[1]
        for place in order
        if abs(asked - (value := rows[place].features["a"])) / max(asked, value) == nearest
    ]
    assert first == fitting[0]


def test_all_five_fields_must_fit():
    made = table(row({}, 1))
    for place in range(5):
        other = Key(*(part + "x" if at == place else part for at, part in enumerate(KEY)))
        assert found(made, {}, other) is None


def test_a_key_with_open_fields_is_found_where_only_one_fits():
    some = Key("gpt-3.5", "", "A100", "", "")
    other = KEY._replace(hardware="H100")
    assert found(table(row({}, 1), row({}, 2, other)), {}, some) == 1
    assert found(table(row({}, 1), row({}, 2, other)), {}, some._replace(hardware="")) is None


def test_the_documented_table_answers_the_documented_request(server):
    write(server, "predictions.json", DOCUMENTED)
    path = "gpt-3.5-turbo/turbo/A100/vllm/0.1.0"
    result = look(server, "predictions.json", {"anything": 1}, path).good["results"]
    assert result["prediction_method"] == "lookup"
    assert result["quantile_predictions"] == [100.0, 150.0, 200.0, 500.0]
    assert (result["expect"], result["error"]) == (150.0, 25.0)
    assert result["model"] is None


def test_a_miss_is_said_and_answered_by_a_bundle(server, toy):
    write(server, "predictions.json", DOCUMENTED)
    result = look(server, "predictions.json", {"input_tokens": 80}).good["results"]
    assert result["prediction_method"] == "fallback"
    assert "no row of the table is within a distance of 0.05" in result["message"]
    assert result["quantile_predictions"][1] == toy.point("A100", 80)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_a_table_that_was_written_gives_the_same_answers(server, ending):
    traces = [
        {"input_feature": {"input_tokens": 80, "output_tokens": 7}},
        {"input_feature": [{"param_name": "input_tokens", "val": 20000}], "hardware_info": {"memory_gb": 80}},
        {"input_feature": {"input_tokens": 1 / 3, "free_number": -0.1}},
    ]
    told = server.upload(json.dumps(traces).encode(), table_name=f"written.{ending}", confidence_level="0.9").good
    assert told["status"] == "successful"
    assert told["path"].endswith(f"tables/written.{ending}")
    assert told["summary"]["confidence_level"] == 0.9
    batch = {"trace": traces, "confidence_level": 0.7}
    model = server.post(f"/predict/batch/{PATH}", batch).good["results"]
    lookup = {**batch, "lookup_table": True, "lookup_table_name": told["lookup_table_name"]}
    table_ = server.post(f"/predict/batch/{PATH}", lookup).good["results"]
    for one, other in zip(model, table_, strict=True):
        assert other["prediction_method"] == "lookup"
        for field in ("quantiles", "quantile_predictions", "expect", "error", "model_info", "outside"):
            assert one[field] == other[field], field
        assert one["interval"] == (other["interval"] if ending == "json" else pytest.approx(other["interval"]))
    assert {one["outside"] for one in model} == {0, 1}


def test_confidence_by_query_and_the_same_name_for_the_same_traces(server):
    file = json.dumps({"trace": [{"input_feature": {"input_tokens": 5}}]}).encode()
    first, second = server.upload(file, query="?confidence_level=0.6").good, server.upload(file).good
    assert (first["summary"]["confidence_level"], second["summary"]["confidence_level"]) == (0.6, 0.95)
    assert first["path"] == second["path"]
    rows = json.loads((server.folder / "state" / "tables" / first["lookup_table_name"]).read_bytes())
    assert [(one["quantiles"], one["model_info"]["type"]) for one in rows] == [(list(LEVELS), "gpt-3.5")]


@pytest.mark.parametrize(
    ("file", "fields", "field", "problem"),
    [
        (b"{", {}, "trace_file", "must be JSON"),
        (b"{}", {}, "trace_file", "must be a list of traces, got an object"),
        (b"[]", {}, "trace_file", "must hold 1 to 10000"),
        (b'[{"input_feature": {"input_tokens": 1}}, {}]', {}, "trace_file[1].input_feature", "must be given"),
        (b'[{"input_feature": {"input_tokens": -1}}]', {}, "trace_file[0][input_tokens]", "must be finite and >= 0"),
        (b"[{}]", {"confidence_level": "1.5"}, "confidence_level", "between 0 and 1"),
        (b"[{}]", {"confidence_level": "much"}, "confidence_level", "must be a number"),
        (b"[{}]", {"confidence_level": "inf"}, "confidence_level", "must be a number between 0 and 1, got 'inf'"),
        (
            b'[{"input_feature": {"error": 1, "hardware": 2, "input_tokens": 3}}]',
            {"table_name": "taken.csv"},
            "input_feature",
            "must have no names of other columns where the table is CSV, got error, hardware; use .json",
        ),
        (b"[{}]", {"table_name": "../x.json"}, "table_name", "bare file name"),
        (b"[{}]", {"table_name": "x.txt"}, "table_name", "bare file name"),
    ],
)
def test_a_file_of_traces_that_is_none_writes_nothing(server, file, fields, field, problem):
    folder = server.folder / "state" / "tables"
    before = sorted(os.listdir(folder)) if folder.exists() else []
    server.upload(file, **fields).wrong(field, problem)
    assert (sorted(os.listdir(folder)) if folder.exists() else []) == before


def test_a_form_without_a_file(server):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="confidence_level"\r\n\r\n0.5\r\n--x--\r\n'
    server.ask("POST", f"/predict/table/{PATH}", body, kind).wrong("trace_file", "must be given")
    answer = server.ask("POST", f"/predict/table/{PATH}", body, {"Content-Type": "multipart/form-data"})
    answer.wrong("body", "must be multipart/form-data: ")


@pytest.mark.parametrize(
    "name",
    ["../secret.json", "/etc/passwd", "a/b.json", "..json", "x", "", "a\\b.json", "x.json\n", ".x.json", "%2e.json"],
)
def test_a_name_never_leads_out_of_the_folder(server, name):
    if name:
        look(server, name, {"input_tokens": 1}).wrong("lookup_table_name", "must be a bare file name")
    else:
        look(server, name, {"input_tokens": 1}).wrong("lookup_table_name", "must be given")


def test_a_link_out_of_the_folder_is_not_followed(server):
    (server.folder / "secret.json").write_text(json.dumps(DOCUMENTED))
    write(server, "other.json", DOCUMENTED)
    link = server.folder / "state" / "tables" / "link.json"
    link.symlink_to(server.folder / "secret.json")
    look(server, "link.json", {"input_tokens": 1}).wrong("lookup_table_name", "leads out of it")


def test_a_table_that_is_not_there_is_404(server):
    answer = look(server, "nowhere.json", {"input_tokens": 1})
    assert answer.status == 404
    assert "'nowhere.json' is not in the folder of tables" in answer.json()["error"]


def test_a_changed_file_is_read_again(server):
    path = "gpt-3.5-turbo/turbo/A100/vllm/0.1.0"
    for median in (150.0, 151.0, 152.0):
        changed = [{**DOCUMENTED[0], "quantile_predictions": [100.0, median, 200.0, 500.0]}]
        write(server, "changing.json", changed)
        assert look(server, "changing.json", {}, path).good["results"]["quantile_predictions"][1] == median


def test_csv_without_a_key_is_for_any(server):
    write(
        server, "any.csv", "input_tokens,q0.25,0.5,quantile_0.75,q0.99,expect,error\n80,1,2,3,4,2.5,0.5\n90,5,6,7,8,,\n"
    )
    result = look(server, "any.csv", {"input_tokens": 80}).good["results"]
    assert (result["quantile_predictions"], result["expect"], result["error"]) == ([1, 2, 3, 4], 2.5, 0.5)
    result = look(server, "any.csv", {"input_tokens": 90}, "a/b/c/d/e").good["results"]
    assert result["quantile_predictions"] == [5, 6, 7, 8]
    assert 5 < result["expect"] < 8


GOOD = DOCUMENTED[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[", "line 1, column 2: must be JSON"),
        ("{}", "the file: must be an array of results, got an object"),
        ([GOOD, {**GOOD, "quantiles": [0.5]}], "[1].quantiles: must be two or more levels, ascending"),
        ([{**GOOD, "quantile_predictions": [1, 2]}], "[0].quantile_predictions: must be 4, one for a level, got 2"),
        (
            [{**GOOD, "quantile_predictions": [2, 1, 3, 4]}],
            "must be times >= 0 and <= 1e+12 ms that do not fall, got [2.0, 1.0",
        ),
        ([{**GOOD, "quantile_predictions": "x"}], "[0].quantile_predictions: must be a list of numbers, got 'x'"),
        (
            [{**GOOD, "quantile_predictions": [1, 2, 3, 1e308]}],
            "and <= 1e+12 ms that do not fall, got [1.0, 2.0, 3.0, 1e",
        ),
        ([{**GOOD, "expect": -1}], "[0].expect: must be a number >= 0 and <= 1e+12, or null, got -1"),
        ([{**GOOD, "outside": 1e300}], "[0].outside: must be a number >= 0 and <= 128, or null, got 1e+300"),
        ([{**GOOD, "model_info": {"type": "x"}}], "[0]model_name: must be given and not empty"),
        ([{**GOOD, "input_feature": {"a": "x"}}], "[0].input_feature['a']: must be a number"),
        ([7], "[0]: must be an object with a model_info object, got 7"),
    ],
)
def test_a_json_table_that_is_none_says_where(tmp_path, content, problem):
    path = tmp_path / "t.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InvalidRequestError) as error:
        tablefile.read(path)
    assert problem in str(error.value)
    assert str(error.value).startswith("t.json: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "line 1: must name features, quantiles"),
        ("a,b\n1,2\n", "line 1: must name features, quantiles"),
        ("a,a,q0.5\n1,1,2\n", "line 1: must name features, quantiles"),
        ("a,q0.5,q0.9\n1,2\n", "line 2: must have 3 cells as line 1, got 2"),
        ("a,q0.5,q0.9\n1,2,x\n", "line 2, column 3 (q0.9): must be a finite number or empty, got 'x'"),
        (
            "a,q0.5,q0.9\n1,2,3\n1,2,1\n",
            "line 3.quantile_predictions: must be times >= 0 and <= 1e+12 ms that do not fall",
        ),
        ("a,q0.5\n1,2\n", "line 2.quantiles: must be two or more levels"),
        ("hardware,q0.5,q0.9\nA100,2,3\n", "line 2, model_type: must be given and not empty"),
        ("a,q0.5,q0.9,outside\n1,2,3,-1\n", "line 2, outside: must be a number >= 0 and <= "),
    ],
)
def test_a_csv_table_that_is_none_says_where(tmp_path, content, problem):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InvalidRequestError) as error:
        tablefile.read(path)
    assert problem in str(error.value)


def test_rows_that_failed_are_passed_over(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"status": "error"}, GOOD]))
    assert len(tablefile.read(path)) == 1


def test_the_preloaded_table_answers_without_a_name(start, tmp_path):
    (tmp_path / "predictions.json").write_text(json.dumps(DOCUMENTED))
    served = start(DEFAULT_LOOKUP_TABLE=str(tmp_path / "predictions.json"))
    health = served.get("/health").good
    assert (health["mode"], health["lookup_predictor_loaded"]) == ("lookup_table", True)
    flat = {"model_type": "gpt-3.5-turbo", "metadata": {"hardware": "A100", "input_tokens": 1}}
    assert served.post("/predict", flat).good["prediction_method"] == "lookup"
    flat["metadata"]["hardware"] = "H100"
    assert served.post("/predict", flat).good["prediction_method"] == "fallback"
    body = {"trace": {"input_feature": {}}, "confidence_level": 0.8, "lookup_table": True}
    for name in ({}, {"lookup_table_name": "predictions.json"}):
        told = served.post("/predict/single/gpt-3.5-turbo/turbo/A100/vllm/0.1.0", body | name).good
        assert told["results"]["prediction_method"] == "lookup"
    assert [one["model_type"] for one in served.get("/models").good["models"]].count("gpt-3.5-turbo") == 2


def test_a_preloaded_table_that_is_spoilt_or_gone_later_goes_on_answering(start, tmp_path):
    table = tmp_path / "predictions.json"
    table.write_text(json.dumps(DOCUMENTED))
    served = start(DEFAULT_LOOKUP_TABLE=str(table))
    flat = {"model_type": "gpt-3.5-turbo", "metadata": {"hardware": "A100", "input_tokens": 1}}
    before = served.post("/predict", flat).good
    table.write_text("[{")
    assert served.post("/predict", flat).good["quantile_predictions"] == before["quantile_predictions"]
    table.unlink()
    assert served.post("/predict", flat).good["prediction_method"] == "lookup"
    changed = [{**DOCUMENTED[0], "quantile_predictions": [1, 2, 3, 4]}]
    table.write_text(json.dumps(changed))
    assert served.post("/predict", flat).good["quantile_predictions"] == [1, 2, 3, 4]


def test_flat_metadata_looks_in_the_table_it_names_or_in_none(start, tmp_path):
    (tmp_path / "default.json").write_text(json.dumps(DOCUMENTED))
    served = start(DEFAULT_LOOKUP_TABLE=str(tmp_path / "default.json"))
    flat = {"model_type": "gpt-3.5-turbo", "metadata": {"hardware": "A100", "input_tokens": 1}}
    assert served.post("/predict", flat | {"lookup_table": False}).good["prediction_method"] == "fallback"
    folder = tmp_path / "state" / "tables"
    folder.mkdir(parents=True)
    (folder / "other.json").write_text(json.dumps([{**DOCUMENTED[0], "quantile_predictions": [1, 2, 3, 4]}]))
    named = flat | {"lookup_table": True, "lookup_table_name": "other.json"}
    assert served.post("/predict", named).good["quantile_predictions"] == [1, 2, 3, 4]
    served.post("/predict", named | {"lookup_table_name": "../x.json"}).wrong("lookup_table_name", "bare file name")
