"""What the peers' tests share: real servers, golden rows with plain onnxruntime's answers to them, peers' scripts."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from jobcast_bench.peers.environment import PeerError, python_of
from serving import MODELS, start

BUNDLE = MODELS / "hpc-runtime" / "1"
SCRIPTS = Path(__file__).with_name("scripts")
NUMPY = {"float64": np.float64, "int64": np.int64, "string": np.object_}

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Addresses:
    """Where a running server listens, as host:port."""

    grpc: str
    http: str


@contextmanager
def served(*flags: str) -> Iterator[Addresses]:
    """A server process of one's own, up to the end of the block; it must end with code 0."""
    process, ready = start(*flags)
    try:
        yield Addresses(f"127.0.0.1:{ready['port']}", f"127.0.0.1:{ready['http_port']}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture(scope="session")
def peer_server() -> Iterator[Addresses]:
    """One server for every test that leaves it as it was."""
    with served() as addresses:
        yield addresses


@pytest.fixture(scope="session")
def explicit_server() -> Iterator[Addresses]:
    """A server that lets its callers load and unload models."""
    with served("--model-control", "explicit") as addresses:
        yield addresses


@pytest.fixture(scope="session")
def golden_rows() -> Rows:
    """Golden rows with 1 for unknown numbers (JSON has no NaN), and plain onnxruntime's answers as exact numbers."""
    manifest = json.loads((BUNDLE / "manifest.json").read_bytes())
    golden = json.loads((BUNDLE / "golden.json").read_bytes())["inputs"]
    feeds = {}
    for spec in manifest["inputs"]:
        values = np.array(golden[spec["name"]], dtype=object)
        values[values == None] = 1.0  # noqa: E711 - element by element
        feeds[spec["name"]] = values.astype(NUMPY[spec["type"]]).reshape(-1, *spec["shape"][1:])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # several threads sum trees in an order that depends on the batch
    session = ort.InferenceSession(BUNDLE / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = dict(zip(names, session.run(names, feeds), strict=True))
    return {
        "inputs": {name: values.tolist() for name, values in feeds.items()},
        "outputs": {name: values.astype(np.float64).tolist() for name, values in answers.items()},
    }


@pytest.fixture(scope="session")
def rows_file(golden_rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden rows as a file, for scripts that run in a peer's environment."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(golden_rows))
    return path


@pytest.fixture(scope="session")
def run_script() -> Callable[..., Any]:
    """Run a script with a peer's own interpreter; its standard output is JSON."""

    def runner(peer: str, script: str, *arguments: object) -> Any:
        try:
            python = python_of(peer)
        except PeerError as error:
            pytest.skip(str(error))
        command = [python, SCRIPTS / script, *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return runner
