"""LitServe on one bundle: processes of its own in an environment of their own.

Its API answers with what the graph gives (`runtimes/litserve_onnx.py`). It has no gRPC and no Open Inference Protocol:
a request is a JSON object over HTTP, with the row as a list of numbers, and so is the answer.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil

from jobcast_bench.fleet import Cores
from jobcast_bench.peers.bundle import graph_of
from jobcast_bench.peers.environment import python_of
from jobcast_bench.peers.peer import Peer, await_http
from jobcast_bench.process import ServerProcess
from jobcast_bench.scenarios import LITSERVE_SCENARIOS
from jobcast_bench.serving import free_port

NAME = "litserve"
RUNTIME = Path(__file__).with_name("runtimes") / "litserve_onnx.py"
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Setup:
    """What its documentation leaves to the user: ZeroMQ between its processes, and how many requests make a batch.

    A batch waits for at most `batch_timeout` seconds.
    """

    fast_queue: bool = False
    max_batch_size: int = 1
    batch_timeout: float = 0.0

    def __str__(self) -> str:
        queue = "fast_queue" if self.fast_queue else "no fast_queue"
        if self.max_batch_size == 1:
            return f"{queue}, no batching"
        return f"{queue}, max_batch_size {self.max_batch_size} within {self.batch_timeout * 1000:g} ms"


class LitServe:
    """A running LitServe, pinned to the server's cores; a context manager.

    Attributes:
        address: host:port of its HTTP listener, as `http_address`: it has no other.
        pid: its process id.

    Raises:
        PeerError: its environment cannot be made.
        ServerError: it did not become ready.
    """

    def __init__(self, models: Path, cores: Cores, setup: Setup | None = None) -> None:
        chosen, port = setup or Setup(), free_port()
        self.address = self.http_address = f"127.0.0.1:{port}"
        command = [
            str(python_of(NAME)), str(RUNTIME), "--model", str(graph_of(models).resolve()), "--port", str(port),
            "--max-batch-size", str(chosen.max_batch_size), "--batch-timeout", str(chosen.batch_timeout),
            *(["--fast-queue"] if chosen.fast_queue else []),
        ]  # fmt: skip
        self._process = ServerProcess("litserve", command, cores, {"PYTHONDONTWRITEBYTECODE": "1"})
        self.pid = self._process.pid
        try:
            await_http(self._process, self.http_address, "/health")
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self.close()
            raise

    def __enter__(self) -> "LitServe":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and its processes, which outlive it, and wait for them."""
        try:
            others = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            others = []
        self._process.close()
        for process in others:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        _, stubborn = psutil.wait_procs(others, STOP_TIMEOUT_S)
        for process in stubborn:
            process.kill()


LITSERVE = Peer(
    NAME,
    "LitServe",
    ("litserve", "uvicorn", "uvloop", "pyzmq", "onnxruntime", "numpy"),
    (Setup(), Setup(True), Setup(False, 8, 0.001), Setup(True, 8, 0.001)),
    LITSERVE_SCENARIOS,
    LitServe,
    (
        "**the protocols differ**: LitServe has neither gRPC nor the Open Inference Protocol, only an endpoint of its "
        'own, `/predict`, with JSON whose shape the user chooses; here `{"id": ..., "numbers": [...]}` is answered by '
        '`{"quantiles": [...]}`',
        "over HTTP both are driven by the same client, from Python, and ours gets the longer requests of the Open "
        "Inference Protocol; in the other two loads ours is asked over gRPC, by the client that the line `load` names, "
        "and LitServe over HTTP, since that is the fastest that each of them offers",
    ),
)
