"""Real servers in processes of their own, on free ports, with the shipped models (or those that MODELS names)."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import open_inference_pb2 as oip
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
import serving

MODELS = serving.MODELS
SERVICE = "rtpredictor.v1.JobRuntimePredictor"
CHOSEN = {name: os.environ[name] for name in ("JOBCAST_ENGINE", "JOBCAST_LISTENER") if name in os.environ}
"""The engine and the listener that are to be tested."""


@dataclass
class Served:
    """A running `jobcast serve`."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    ready: dict[str, Any]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def channel(self) -> grpc.Channel:
        # pools of its own: otherwise equal channels of one process share a connection
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, options)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@dataclass(frozen=True)
class Shelf:
    """A repository whose versions of hpc-runtime answer `factor(version)` times what the shipped bundle does."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "hpc-runtime"

    @staticmethod
    def factor(version: int) -> np.float32:
        return np.float32(1 - version / 1024)

    def add(self, version: int, spoil: Callable[[Path], None] = lambda folder: None) -> Path:
        """Put a version there in one step, altered by `spoil` before."""
        staged = self.root / f".staged-{version}"
        shutil.copytree(MODELS / "hpc-runtime" / "1", staged)
        model = onnx.load(staged / "model.onnx")
        factor = onnx.numpy_helper.from_array(np.array([self.factor(version)]), "factor")
        model.graph.initializer.append(factor)
        for name in ("quantiles", "point"):
            for node in model.graph.node:
                node.output[:] = [f"{name}_whole" if found == name else found for found in node.output]
                node.input[:] = [f"{name}_whole" if found == name else found for found in node.input]
            model.graph.node.append(onnx.helper.make_node("Mul", [f"{name}_whole", "factor"], [name]))
        onnx.save(model, staged / "model.onnx")
        golden = json.loads((staged / "golden.json").read_text())
        for name, values in golden["outputs"].items():
            golden["outputs"][name] = (np.array(values, np.float32) * self.factor(version)).tolist()
        (staged / "golden.json").write_text(json.dumps(golden))
        manifest = json.loads((staged / "manifest.json").read_text()) | {"version": version}
        (staged / "manifest.json").write_text(json.dumps(manifest))
        sign(staged)
        spoil(staged)
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / str(version)).parent.mkdir(exist_ok=True)
        staged.rename(self.home / str(version))
        return self.home / str(version)


def sign(folder: Path) -> None:
    """Write the hashes of the files as they are now."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "golden.json")
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def truncate(folder: Path) -> None:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])


def flip(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def rehash(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.onnx"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def misremember(folder: Path) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    golden["outputs"]["point"][3] *= 1.001
    (folder / "golden.json").write_text(json.dumps(golden))
    sign(folder)


def outsource(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../secret")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    sign(folder)


SPOILS = (
    (truncate, "model.onnx: SHA-256 is"),
    (flip, "model.onnx: SHA-256 is"),
    (rehash, "manifest.json says 0000"),
    (misremember, "it does not answer as when exported"),
    (outsource, "keeps its data outside the file"),
)
"""Ways in which a bundle goes bad, and what the server says of it."""


@pytest.fixture(params=SPOILS, ids=lambda spoil: spoil[0].__name__)
def spoil(request: pytest.FixtureRequest) -> tuple[Callable[[Path], None], str]:
    """One of them."""
    found: tuple[Callable[[Path], None], str] = request.param
    return found


@pytest.fixture
def spoils() -> tuple[tuple[Callable[[Path], None], str], ...]:
    """All of them."""
    return SPOILS


def spawn(*flags: str, **extra: str) -> subprocess.Popen[str]:
    return serving.spawn(*flags, **CHOSEN | extra)


def launch(*flags: str, **extra: str) -> Served:
    process, ready = serving.start(*flags, **CHOSEN | extra)
    return Served(process, ready["port"], ready["metrics_port"], ready)


def end(served: Served) -> None:
    serving.end(served.process)


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    """One server for every test that leaves it as it was."""
    served = launch("--enable-echo")
    yield served
    end(served)


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers with flags and variables of one's own."""
    yield from serving.starting(launch, end)


@pytest.fixture(scope="module")
def start_for_all() -> Iterator[Callable[..., Served]]:
    """The same, for every test of a module."""
    yield from serving.starting(launch, end)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty repository."""
    return Shelf(tmp_path / "models")


@pytest.fixture
def channel(server: Served) -> Iterator[grpc.Channel]:
    with server.channel() as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> rpc.JobRuntimePredictorStub:
    return rpc.JobRuntimePredictorStub(channel)


@pytest.fixture
def job() -> pb.JobFeatures:
    return pb.JobFeatures(
        processors_req=32, nodes_req=4, mem_req=128000, wallclock_req=3600, partition="normal", qos="normal",
        submit_time=1_000_000_000,
    )  # fmt: skip


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Input columns of the shipped bundle's golden rows, each [64, ...]."""
    folder = MODELS / "hpc-runtime" / "1"
    rows = json.loads((folder / "golden.json").read_text())["inputs"]
    columns: dict[str, Any] = {}
    for spec in json.loads((folder / "manifest.json").read_text())["inputs"]:
        kind: Any = {"string": object, "int64": np.int64, "float64": np.float64}[spec["type"]]
        columns[spec["name"]] = np.array(rows[spec["name"]], kind).reshape(-1, *spec["shape"][1:])
    return columns


def datatype(values: Any) -> str:
    return {"f": "FP64", "i": "INT64", "O": "BYTES"}[values.dtype.kind]


def raw_of(values: Any) -> bytes:
    if values.dtype.kind != "O":
        return bytes(values.tobytes())
    texts = [text.encode() for text in values.reshape(-1).tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@pytest.fixture(scope="session")
def infer_request(golden: dict[str, Any]) -> Callable[..., oip.ModelInferRequest]:
    """Raw requests of golden rows, as many as asked for, over and over."""

    def make(rows: int = 1, first: int = 0) -> oip.ModelInferRequest:
        request = oip.ModelInferRequest(model_name="hpc-runtime")
        for name, values in golden.items():
            chosen = values[(first + np.arange(rows)) % len(values)]
            request.inputs.add(name=name, datatype=datatype(chosen), shape=chosen.shape)
            request.raw_input_contents.append(raw_of(chosen))
        return request

    return make


@pytest.fixture(scope="session")
def models() -> Path:
    """The repository that is tested."""
    return MODELS


@pytest.fixture(name="spawn")
def _spawn() -> Callable[..., subprocess.Popen[str]]:
    """Start a server and wait for nothing."""
    return spawn
