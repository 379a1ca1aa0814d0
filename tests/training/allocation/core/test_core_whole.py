"""From records to a server: what is exported answers as the graph does, by every way in, and says what it is."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import polars as pl
import pytest
import serving
from jobcast import DeployableModel
from jobcast_export.allocation import Classes, Trees, export_allocation
from jobcast_export.forest import Forest
from jobcast_export.parity import ParityError
from jobcast_proto.manifest import GoldenRows, Manifest, Schema
from jobcast_training.allocation import pipeline
from jobcast_training.allocation.deciding import WASTAGE, allocate
from jobcast_training.allocation.declaration import AMOUNT, CENSORED, Predictor
from jobcast_training.allocation.settings import INTERVAL, LIMIT, SERVED
from numpy.typing import NDArray

ROWS = 100
OUTPUTS = ("quantiles", "point", "allocation")
DATATYPES = {"f": "FP64", "i": "INT64", "O": "BYTES"}


@pytest.fixture(scope="session")
def served(repository: Path) -> Iterator[dict[str, Any]]:
    """What a server of all bundles says of itself when it is ready."""
    with serving.running(models=repository) as ready:
        yield ready


@pytest.fixture(scope="session")
def columns(model: Any) -> Mapping[str, NDArray[Any]]:
    """Raw rows that a server accepts."""
    found: Mapping[str, NDArray[Any]] = model.rows(ROWS, 21)
    return found


@pytest.fixture(scope="session")
def expected(core: SimpleNamespace, bundle: Path, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What onnxruntime itself makes of them."""
    found: dict[str, NDArray[Any]] = core.answers(core.session((bundle / "model.onnx").read_bytes()), columns)
    return found


def manifest_of(bundle: Path) -> Manifest:
    return Manifest.model_validate_json((bundle / "manifest.json").read_bytes())


def same(found: Mapping[str, Any], expected: Mapping[str, NDArray[Any]]) -> None:
    assert set(found) == set(expected) == set(OUTPUTS)
    for name, values in expected.items():
        got = np.asarray(found[name], dtype=np.float32).reshape(values.shape)
        assert got.tobytes() == values.tobytes(), name


def test_the_graph_that_is_exported_is_the_one_that_was_judged(core: SimpleNamespace, model: Any, bundle: Path) -> None:
    content = (bundle / "model.onnx").read_bytes()
    assert content == model.trained.assembled.served.SerializeToString()
    result = model.result
    later = np.arange(result.split, result.records.frame.height)
    again = model.trained.assembled.answer(model.predictor, result.records.frame[later], result.past.rows(later))
    assert np.array_equal(again.quantiles, model.trained.test.quantiles)
    assert np.array_equal(again.allocation, model.trained.test.allocation)
    used, failed = (result.records.frame[name].to_numpy()[later] for name in (AMOUNT, CENSORED))
    scores = model.trained.test_scores
    too_little = np.where(failed, again.allocation <= used, again.allocation < used)
    assert scores["under_percent"] == pytest.approx(100 * np.mean(too_little))
    missed = np.abs(again.quantiles[:, SERVED.index(0.5)] - used)
    assert scores["mae"] == pytest.approx(np.mean(missed[~failed]))


def test_the_graph_says_what_training_reckons(model: Any) -> None:
    trained, result, encoded = model.trained, model.result, model.result.encoded
    served = {name: own.served(encoded.x) for name, own in result.fit.members.items()}
    reckoned = trained.calibrated.quantiles(served, encoded.log_anchor)
    assert trained.test.quantiles == pytest.approx(reckoned, rel=1e-3)
    allocated = allocate(trained.decided.rule, result.test_outcomes(trained))
    assert np.isclose(trained.test.allocation, allocated, rtol=1e-4).mean() > 0.98, "but where two cost the same"
    if trained.decided.rule.confidence is not None:
        binned = result.fit.members[trained.name]
        edge = np.exp(binned.log_edge(encoded.x, trained.decided.rule.confidence) + encoded.log_anchor)
        assert np.isclose(trained.test.allocation, edge * trained.decided.rule.factor, rtol=1e-4).mean() > 0.98


def test_golden_rows_are_the_graphs_answers_and_no_record_is_among_them(
    core: SimpleNamespace, model: Any, bundle: Path
) -> None:
    golden = GoldenRows.model_validate_json((bundle / "golden.json").read_bytes())
    told, kinds = {}, {"float64": np.float64, "int64": np.int64, "string": np.object_}
    for spec in model.predictor.inputs():
        told[spec.name] = np.array(golden.inputs[spec.name], kinds[spec.type]).reshape(-1, *spec.shape[1:])
    same({name: golden.outputs[name] for name in OUTPUTS}, core.answers(model.graph(), told))
    tables = model.result.fit.encoder.known.tables
    for text in model.predictor.texts:
        said = set(told[text.name][:, 0])
        assert ("" in said) is not text.required
        assert said <= {*text.values, ""} if text.values else "never-seen" in said
        assert text.name not in tables or not tables[text.name].keys or said & set(tables[text.name].keys), text.name
    for own in model.predictor.histories:
        assert len(set(np.isfinite(told[own.name]).sum(axis=1).tolist())) > 5, "histories of any length"
    known = set(model.result.records.frame["time"].floor().cast(int).to_list())
    assert not known & set(told["time"][:, 0].tolist())


def test_the_manifest_says_what_was_trained(model: Any, bundle: Path) -> None:
    manifest, result, trained = manifest_of(bundle), model.result, model.trained
    predictor, objective = model.predictor, model.result.plan.objective
    assert (manifest.predictor, manifest.version) == (model.name, 1)
    assert manifest.quantile_levels == list(SERVED)
    assert (manifest.interval_levels, manifest.limit_level) == (INTERVAL, LIMIT)
    assert [(one.name, one.shape, one.unit) for one in manifest.outputs] == [
        ("quantiles", [-1, len(SERVED)], "GiB"),
        ("point", [-1, 1], "GiB"),
        ("allocation", [-1, 1], "GiB"),
    ]
    inputs = {one.name: one for one in manifest.inputs}
    assert list(inputs) == [one.name for one in predictor.inputs()]
    for spec in predictor.inputs():
        assert inputs[spec.name].model_copy(update={"baseline": None}) == spec.model_copy(update={"baseline": None})
    request = result.records.frame["requested_memory"][result.known]
    assert inputs["requested_memory"].baseline == request.median()
    if predictor.name == "build-memory":
        assert inputs["make_type"].categories == ["opt", "rel", "dbg"]
        assert inputs["requested_memory"].columns["memreq_mib"] == 2.0**-10
        assert inputs["build_profile"].columns == {"buildProfile": 1.0}

    own = manifest.allocation
    assert own is not None
    assert own.request == "requested_memory"
    assert own.objective == objective.name
    assert own.under_share_target == trained.decided.most_under
    assert 0 < own.under_share_target <= objective.most_under
    assert own.under_share_test == pytest.approx(trained.test_scores["under_percent"] / 100)
    assert own.waste_per_gib > 0
    assert own.failed_per_job + own.failed_per_gib > 0
    assert (own.retry_factor > 0) is (objective.name == WASTAGE)

    data = manifest.training_data
    assert (data.rows, data.test_rows, data.calibration_rows) == (len(result.known), 120, len(result.chained.row))
    assert manifest.test == trained.test_scores
    assert manifest.validation == trained.validation_scores
    assert manifest.feature_names == [one.name for one in result.fit.encoder.described]
    assert set(manifest.importances) == set(manifest.feature_names)
    assert sum(manifest.importances.values()) == pytest.approx(1, abs=1e-6)
    assert set(manifest.ensemble_weights) == set(trained.calibrated.model.members)
    assert sum(manifest.ensemble_weights.values()) == pytest.approx(1)
    assert set(manifest.parity.max_difference) == set(trained.calibrated.model.members)
    assert max(manifest.parity.max_difference.values()) <= manifest.parity.tolerance


def test_the_card_names_the_version_and_the_figures(model: Any, bundle: Path) -> None:
    text = (bundle.parent / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {model.name}, version 1\n")
    assert "{version}" not in text
    assert f"jobcast train {model.predictor.name} --data" in text


def packed(values: NDArray[Any]) -> bytes:
    if values.dtype.kind != "O":
        return bytes(values.tobytes())
    texts = [text.encode() for text in values.reshape(-1)]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def test_a_server_gives_over_grpc_what_the_graph_does(
    model: Any, served: dict[str, Any], columns: Mapping[str, NDArray[Any]], expected: dict[str, NDArray[Any]]
) -> None:
    for order in (np.arange(ROWS), np.arange(1), np.arange(ROWS)[::-1][:37]):
        request = pb.ModelInferRequest(model_name=model.name)
        for name, values in columns.items():
            kind = DATATYPES[values.dtype.kind]
            request.inputs.add(name=name, datatype=kind, shape=values[order].shape)
            request.raw_input_contents.append(packed(values[order]))
        with grpc.insecure_channel(f"127.0.0.1:{served['port']}") as channel:
            answer = rpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        found = {
            one.name: np.frombuffer(data, "<f4")
            for one, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        same(found, {name: values[order] for name, values in expected.items()})


def test_a_server_gives_over_rest_what_the_graph_does(
    model: Any,
    bundle: Path,
    served: dict[str, Any],
    columns: Mapping[str, NDArray[Any]],
    expected: dict[str, NDArray[Any]],
) -> None:
    inputs = [
        {
            "name": name,
            "datatype": DATATYPES[values.dtype.kind],
            "shape": list(values.shape),
            "data": [None if one != one else one for one in values.reshape(-1).tolist()],
        }
        for name, values in columns.items()
    ]
    with closing(http.client.HTTPConnection("127.0.0.1", served["http_port"], timeout=30)) as connection:
        connection.request("POST", f"/v2/models/{model.name}/infer", json.dumps({"inputs": inputs}))
        told = json.loads(connection.getresponse().read())
        same({one["name"]: one["data"] for one in told["outputs"]}, expected)
        connection.request("GET", f"/v2/models/{model.name}/config")
        schema = json.loads(json.loads(connection.getresponse().read())["parameters"]["jobcast.schema"]["string_value"])
    assert Schema.model_validate(schema) == Schema.of(manifest_of(bundle))


def test_a_record_in_python_gives_what_the_graph_does(
    bundle: Path, columns: Mapping[str, NDArray[Any]], expected: dict[str, NDArray[Any]]
) -> None:
    deployed = DeployableModel.load(bundle)
    plain = {name: (own if own.shape[1] > 1 else own[:, 0]).tolist() for name, own in columns.items()}
    found = deployed.predict_distribution(plain)
    same({name: getattr(found, name) for name in OUTPUTS}, expected)


def tampered(members: Trees | Classes) -> Trees | Classes:
    """One number of one leaf, or of the classes' bias, off by a little."""

    def moved(values: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = values.copy()
        changed[np.unravel_index(np.argmax(np.abs(values)), values.shape)] += 0.01
        return changed

    if isinstance(members, Trees):
        name = next(iter(members.forests))
        forest = members.forests[name]
        return replace(members, forests={**members.forests, name: replace(forest, values=moved(forest.values))})
    if isinstance(members.scores, Forest):
        return replace(members, scores=replace(members.scores, values=moved(members.scores.values)))
    return replace(members, scores=replace(members.scores, bias=moved(members.scores.bias)))


def test_a_model_that_does_not_equal_its_library_is_not_exported(model: Any, tmp_path: Path) -> None:
    candidate = model.result.candidate(model.trained, model.predictor.name)
    name = model.trained.calibrated.model.members[0]
    with pytest.raises(ParityError, match=rf"^{name}: \d+ of \d+ rows differ by more than .*: held-out row|threshold"):
        export_allocation(replace(candidate, members=tampered(candidate.members)), tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is written"
    first, second = (export_allocation(candidate, tmp_path) for _ in range(2))
    assert [first.name, second.name] == ["1", "2"]
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    with pytest.raises(ParityError):
        export_allocation(replace(candidate, members=tampered(candidate.members)), tmp_path)
    assert sorted(one.name for one in first.parent.iterdir() if one.is_dir()) == ["1", "2"]


@pytest.mark.parametrize("amounts", [(2.0,), (2.0, 3.0), (1e-9,)])
def test_amounts_that_coincide_are_trained_exported_and_loaded(
    core: SimpleNamespace, predictor: Predictor, tmp_path: Path, amounts: tuple[float, ...]
) -> None:
    records = core.invented(predictor.name, 100, 7)
    few = pl.Series(AMOUNT, [amounts[row % len(amounts)] for row in range(100)])
    plan = replace(core.WEIGHTED, settings=replace(core.SMALL, links=1))
    result = pipeline.train(
        predictor, replace(records, frame=records.frame.with_columns(few)), plan, seed=1, step=lambda text: None
    )
    for trained in result.models:
        folder = export_allocation(result.candidate(trained, trained.name.replace("_", "-")), tmp_path)
        deployed = DeployableModel.load(folder)
        assert all(np.isfinite(value) for value in deployed.manifest.test.values())
        assert ("r2_log" in deployed.manifest.test) is (len(amounts) > 1)
    deployed = DeployableModel.load(tmp_path / "quantile-ensemble")
    if len(amounts) == 1:
        rows = {"time": [1_700_000_000] * 2, predictor.fields[0].name: ["a-b-c", "never seen"]}
        assert deployed.predict_distribution(rows).point == pytest.approx([amounts[0]] * 2, rel=0.01)


def test_a_manifest_that_nobody_could_read_is_not_written(model: Any, tmp_path: Path) -> None:
    candidate = model.result.candidate(model.trained, model.name)
    spoilt = replace(candidate, about={**candidate.about, "test": {"mae": float("nan")}})
    with pytest.raises(ValueError, match=r"test\.mae\s+Input should be a valid number"):
        export_allocation(spoilt, tmp_path)
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]
