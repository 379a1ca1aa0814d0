"""What any model of a server tells of itself, and tensors of many rows, through the public client."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobcast import Batch, InferenceClient, NotFound, Records

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"


@pytest.fixture
def inference(address: str) -> Iterator[InferenceClient]:
    with InferenceClient(address) as connected:
        yield connected


def test_the_index_names_every_version_and_its_state(inference):
    told = inference.models()
    assert [one.name for one in told] == sorted(path.name for path in MODELS.iterdir() if path.is_dir())
    assert {(one.version, one.state, one.reason, one.ready) for one in told} == {("1", "READY", "", True)}


def test_a_line_of_the_index_that_does_not_answer_says_why(tmp_path, bundles, start_repository):
    bundles.toy(tmp_path, 1)
    bundles.flip(bundles.toy(tmp_path, 2))
    with InferenceClient(start_repository(tmp_path)) as client:
        first, second = client.models()
        assert (first.version, first.ready, second.version, second.ready) == ("1", True, "2", False)
        assert "SHA-256" in second.reason
        assert client.schema("toy-latency")[0].version == 1


def test_a_manifest_is_the_whole_file(inference):
    written = json.loads((MODELS / "build-memory" / "1" / "manifest.json").read_bytes())
    told = inference.manifest("build-memory").model_dump(mode="json")
    assert {name: told[name] for name in written} == written
    assert inference.manifest("build-memory", "1") == inference.manifest("build-memory")


def test_a_named_version_tells_its_own_schema(tmp_path, bundles, start_repository):
    for version in (1, 2):
        bundles.toy(tmp_path, version, scale=float(version))
    (tmp_path / "toy-latency" / "config.pbtxt").write_text("version_policy: { all {} }\n")
    with InferenceClient(start_repository(tmp_path)) as client:
        assert [client.schema("toy-latency", version)[0].version for version in ("", "1", "2")] == [2, 1, 2]
        assert [client.manifest("toy-latency", version).test["mae"] for version in ("1", "2")] == [12.0, 24.0]
        with pytest.raises(NotFound, match="version '3' not found"):
            client.schema("toy-latency", "3")


def test_a_card_is_told_as_it_was_when_the_version_was_loaded(tmp_path, bundles, start_repository):
    bundles.toy(tmp_path)
    card = tmp_path / "toy-latency" / "README.md"
    card.write_text("# Toy\n\nRechnet in Zehntelsekunden \u2013 mehr nicht.\n", encoding="utf-8")
    with InferenceClient(start_repository(tmp_path)) as client:
        assert client.card("toy-latency") == card.read_text(encoding="utf-8")


def test_a_card_is_cut_at_its_bound_between_letters(tmp_path, bundles, start_repository):
    bundles.toy(tmp_path)
    (tmp_path / "toy-latency" / "README.md").write_text("a" + "ä" * 2**16, encoding="utf-8")
    with InferenceClient(start_repository(tmp_path)) as client:
        assert client.card("toy-latency") == "a" + "ä" * (2**15 - 1)


def test_a_card_that_leads_elsewhere_or_is_not_there_is_empty(tmp_path, bundles, start_repository):
    models = tmp_path / "models"
    bundles.toy(models)
    with InferenceClient(start_repository(models)) as client:
        assert client.card("toy-latency") == ""
    (tmp_path / "secret").write_text("not to be told")
    (models / "toy-latency" / "README.md").symlink_to(tmp_path / "secret")
    with InferenceClient(start_repository(models)) as client:
        assert client.card("toy-latency") == ""


def test_many_rows_come_back_as_each_would_alone(inference):
    schema, most = inference.schema("hpc-runtime")
    records = [
        {"processors_req": 1 + row % 64, "nodes_req": 1 + row % 5, "wallclock_req": 600.0 * (1 + row % 7),
         "partition": ("normal", "größer", "x" * 200)[row % 3], "qos": "normal", "submit_time": 10**9 + row,
         "recent_runtimes": [float(row)] * (row % 4), "user": ("", "ada")[row % 2]}
        for row in range(most)
    ]  # fmt: skip
    read = Records(schema.inputs)
    together = inference.infer(schema, read.read(records))
    assert {name: (len(rows), len(rows[0])) for name, rows in together.items()} == {
        "quantiles": (most, len(schema.quantile_levels)), "point": (most, 1)
    }  # fmt: skip
    for row in range(0, most, most // 20):
        alone = inference.infer(schema, read.read([records[row]]))
        assert {name: rows[row] for name, rows in together.items()} == {name: rows[0] for name, rows in alone.items()}


def test_numbers_cross_the_wire_to_the_bit(tmp_path, bundles, start_repository, toy_point):
    bundles.toy(tmp_path)
    with InferenceClient(start_repository(tmp_path)) as client:
        schema, _ = client.schema("toy-latency")
        columns = {"prompt_tokens": [8.0, 1e6], "output_tokens": [float("nan"), 3.0], "submit_time": [3600, 2**40],
                   "model": ["small", "grüße"]}  # fmt: skip
        told = client.infer(schema, Batch(2, columns))
        assert told["point"] == [[toy_point(*(column[row] for column in columns.values()))] for row in (0, 1)]
