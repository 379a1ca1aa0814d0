"""MLServer's own server process loads the shipped repository as it lies there, and answers what the graph answers."""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
import open_inference_pb2 as oip
import pytest
from jobcast_bench.fleet import Cores
from jobcast_bench.peers.mlserver import MlServer
from jobcast_proto.manifest import GoldenRows, Manifest
from numpy.typing import NDArray

MODELS = Path(__file__).parents[2] / "models"
HOME = MODELS / "hpc-runtime"
SHIPPED = max((path for path in HOME.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
MANIFEST = Manifest.model_validate_json((SHIPPED / "manifest.json").read_bytes())
GOLDEN = GoldenRows.model_validate_json((SHIPPED / "golden.json").read_bytes())
MOST_ULPS = 4  # the server's own default: processors differ in the last places of exp and log
KINDS = {"string": np.object_, "int64": np.int64, "float64": np.float64}
WIRE = {"string": "BYTES", "int64": "INT64", "float64": "FP64"}

Rows = dict[str, NDArray[Any]]


def contents() -> dict[str, str]:
    files = (path for path in MODELS.rglob("*") if path.is_file())
    return {str(path.relative_to(MODELS)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def server() -> Iterator[MlServer]:
    before = contents()
    with MlServer(MODELS, Cores(None, None, 1)) as running:
        yield running
    assert contents() == before


@pytest.fixture(scope="module")
def golden() -> Rows:
    return {
        spec.name: np.array(GOLDEN.inputs[spec.name], dtype=KINDS[spec.type]).reshape(-1, *spec.shape[1:])
        for spec in MANIFEST.inputs
    }


@pytest.fixture(scope="module")
def graph() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(SHIPPED / "model.onnx", options, providers=["CPUExecutionProvider"])


def raw(values: NDArray[Any]) -> bytes:
    if values.dtype != np.object_:
        return values.tobytes()
    texts = [text.encode() for text in values.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def infer_grpc(server: MlServer, rows: Rows, version: str = "") -> dict[str, NDArray[np.float32]]:
    request = oip.ModelInferRequest(model_name="hpc-runtime", model_version=version, id="golden")
    for spec in MANIFEST.inputs:
        request.inputs.add(name=spec.name, datatype=WIRE[spec.type], shape=rows[spec.name].shape)
        request.raw_input_contents.append(raw(rows[spec.name]))
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = oip.ModelInferResponse.FromString(call(request.SerializeToString(), timeout=30))
    assert (answer.model_name, answer.model_version, answer.id) == ("hpc-runtime", SHIPPED.name, "golden")
    return {
        output.name: np.frombuffer(content, np.float32).reshape(output.shape)
        for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def post(server: MlServer, body: dict[str, Any], path: str = "/v2/models/hpc-runtime/infer") -> dict[str, Any]:
    asked = urllib.request.Request(
        f"http://{server.http_address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def tensors(rows: Rows, nested: bool) -> list[dict[str, Any]]:
    made = []
    for spec in MANIFEST.inputs:
        values = rows[spec.name]
        plain = [[None if value != value else value for value in row] for row in values.tolist()]
        data = plain if nested else [value for row in plain for value in row]
        made.append({"name": spec.name, "shape": list(values.shape), "datatype": WIRE[spec.type], "data": data})
    return made


def infer_rest(server: MlServer, rows: Rows, nested: bool) -> dict[str, NDArray[np.float32]]:
    answer = post(server, {"id": "golden", "inputs": tensors(rows, nested)})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("hpc-runtime", SHIPPED.name, "golden")
    return {
        output["name"]: np.array(output["data"], np.float32).reshape(output["shape"]) for output in answer["outputs"]
    }


def ulps(left: NDArray[np.float32], right: NDArray[np.float32]) -> int:
    bits = [values.astype(np.float32).view(np.int32).astype(np.int64) for values in (left, right)]
    return int(np.abs(bits[0] - bits[1]).max())


def same_bits(answers: dict[str, NDArray[np.float32]], native: dict[str, NDArray[np.float32]]) -> bool:
    assert answers.keys() == native.keys()
    return all(
        values.shape == native[name].shape and values.tobytes() == native[name].tobytes()
        for name, values in answers.items()
    )


@pytest.mark.parametrize("way", ["grpc", "rest", "rest-nested"])
def test_golden_rows_have_the_bits_of_the_graph(
    server: MlServer, golden: Rows, graph: onnxruntime.InferenceSession, way: str
) -> None:
    native = dict(zip([output.name for output in graph.get_outputs()], graph.run(None, golden), strict=True))
    answers = infer_grpc(server, golden) if way == "grpc" else infer_rest(server, golden, nested=way == "rest-nested")
    assert same_bits(answers, native)
    for name, stored in GOLDEN.outputs.items():
        assert ulps(answers[name], np.array(stored, np.float32).reshape(answers[name].shape)) <= MOST_ULPS


def test_a_single_row_of_the_named_version_has_the_bits_of_the_graph(
    server: MlServer, golden: Rows, graph: onnxruntime.InferenceSession
) -> None:
    names = [output.name for output in graph.get_outputs()]
    for index in (0, 7, 63):
        row = {name: values[index : index + 1] for name, values in golden.items()}
        native = dict(zip(names, graph.run(None, row), strict=True))
        assert same_bits(infer_grpc(server, row, version=SHIPPED.name), native)


def test_metadata_is_that_of_the_manifest(server: MlServer) -> None:
    url = f"http://{server.http_address}/v2/models/hpc-runtime"
    with urllib.request.urlopen(url, timeout=30) as answer:
        told = json.load(answer)
    assert [(tensor["name"], tensor["shape"]) for tensor in told["inputs"]] == [
        (spec.name, spec.shape) for spec in MANIFEST.inputs
    ]
    assert [tensor["name"] for tensor in told["outputs"]] == ["quantiles", "point"]


def test_only_the_wanted_outputs_come_back(server: MlServer, golden: Rows) -> None:
    answer = post(server, {"inputs": tensors(golden, nested=False), "outputs": [{"name": "point"}]})
    assert [output["name"] for output in answer["outputs"]] == ["point"]


def test_a_request_that_the_graph_refuses_is_the_callers_error(server: MlServer, golden: Rows) -> None:
    whole = tensors(golden, nested=False)
    for inputs, told in ((whole[1:], "processors_req"), ([{**whole[0], "shape": [3, 1]}, *whole[1:]], "reshape")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, {"inputs": inputs})
        assert caught.value.code == 400
        assert told in json.load(caught.value)["error"]
