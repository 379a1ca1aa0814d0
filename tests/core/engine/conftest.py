"""Two servers that differ in their engine alone, asked the same."""

import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
import serving

MODELS = serving.MODELS

Told = tuple[Any, ...]
"""What a caller hears: the answer's bytes, or status, text and details of the refusal."""


class Served:
    """`jobcast serve` with one engine, and a channel to it."""

    def __init__(self, models: Path, engine: str, path: str = "") -> None:
        variables = {"RUST_BACKTRACE": "0"}  # nobody reads what the server says once it is ready
        if path:
            variables["PYTHONPATH"] = path
        self.process, self.ready = serving.start("--engine", engine, models=models, **variables)
        self.address = f"127.0.0.1:{self.ready['port']}"
        self.channel = grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])

    def ask(self, method: str, request: bytes) -> Told:
        try:
            return (self.channel.unary_unary(method)(request, timeout=30),)
        except grpc.RpcError as error:
            # The id is each call's own.
            told = [item for item in error.trailing_metadata() or () if item.key != "x-request-id"]
            return error.code(), error.details(), told

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ready['metrics_port']}/metrics") as page:
            lines = page.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def close(self) -> None:
        self.channel.close()
        serving.end(self.process)


ANSWERS: dict[str, Any] = {
    "Predict": pb.PredictResponse,
    "ModelInfer": oip.ModelInferResponse,
    "ModelStreamInfer": oip.ModelStreamInferResponse,
}


def has_map(answer: Any) -> bool:
    """Whether an answer has a map, which only Python writes and whose order protobuf leaves open."""
    if isinstance(answer, oip.ModelStreamInferResponse):
        answer = answer.infer_response
    return bool(answer.feature_importance if isinstance(answer, pb.PredictResponse) else answer.parameters)


def ordered(method: str, told: Told) -> Told:
    """What was told, with maps in one order; an answer without a map stays as its bytes."""
    kind = ANSWERS.get(method.rsplit("/", 1)[-1])
    if kind is None or len(told) != 1:
        return told
    answer = kind.FromString(told[0])
    return (answer.SerializeToString(deterministic=True),) if has_map(answer) else told


@pytest.fixture(scope="session", name="ordered")
def _ordered() -> Callable[[str, Told], Told]:
    return ordered


class Both:
    """The native and the Python engine."""

    def __init__(self, native: Served, python: Served) -> None:
        self.native = native
        self.python = python

    def ask(self, method: str, request: bytes) -> tuple[Told, Told]:
        """What both say within the same second, which some answers tell."""
        while True:
            second = int(time.time())
            native, python = self.native.ask(method, request), self.python.ask(method, request)
            if int(time.time()) == second:
                return ordered(method, native), ordered(method, python)


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, bundles: Any) -> Iterator[Both]:
    """Servers of the shipped bundles and of a small one whose inputs have defaults, closed texts and a width."""
    models = tmp_path_factory.mktemp("models")
    for shipped in MODELS.iterdir():
        shutil.copytree(shipped, models / shipped.name)
    bundles.toy(models)
    pair = Both(Served(models, "native"), Served(models, "python"))
    assert set(pair.native.ready["engine"].values()) == {"native"}
    assert set(pair.python.ready["engine"].values()) == {"python"}
    yield pair
    pair.native.close()
    pair.python.close()


@pytest.fixture(scope="session")
def serve() -> Callable[..., Served]:
    """Starts servers of one's own, to be closed by whoever asked."""
    return Served


def golden_of(folder: Path) -> dict[str, Any]:
    rows = json.loads((folder / "golden.json").read_text())["inputs"]
    columns: dict[str, Any] = {}
    for spec in json.loads((folder / "manifest.json").read_text())["inputs"]:
        kind: Any = {"string": object, "int64": np.int64, "float64": np.float64}[spec["type"]]
        columns[spec["name"]] = np.array(rows[spec["name"]], kind).reshape(-1, *spec["shape"][1:])
    return columns


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, Any]]:
    """Columns of the golden rows by predictor."""
    return {folder.parent.name: golden_of(folder) for folder in sorted(MODELS.glob("*/1"))}


@pytest.fixture(scope="session")
def raw_request() -> Callable[..., oip.ModelInferRequest]:
    """A raw request of columns."""

    def make(model: str, columns: dict[str, Any], **more: Any) -> oip.ModelInferRequest:
        request = oip.ModelInferRequest(model_name=model, **more)
        for name, values in columns.items():
            datatype = {"f": "FP64", "i": "INT64", "O": "BYTES"}[values.dtype.kind]
            request.inputs.add(name=name, datatype=datatype, shape=values.shape)
            raw = values.tobytes()
            if datatype == "BYTES":
                texts = [text.encode() for text in values.reshape(-1).tolist()]
                raw = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
            request.raw_input_contents.append(raw)
        return request

    return make
