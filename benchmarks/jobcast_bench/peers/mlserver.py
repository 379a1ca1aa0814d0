"""MLServer on a repository of bundles as it lies there: its own server process, in its own environment.

Its worker processes need an uvloop before 0.22, whose get_event_loop still makes a loop; the requirements pin one.
Settings go through its variables, as its documentation has them; the repository's model-settings.json stays as it is.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobcast_bench.fleet import Cores
from jobcast_bench.peers.environment import PeerError, python_of
from jobcast_bench.peers.peer import Peer, await_http
from jobcast_bench.process import ServerProcess
from jobcast_bench.scenarios import PEER_SCENARIOS
from jobcast_bench.serving import free_port

NAME = "mlserver"
RUNTIME = Path(__file__).resolve().parents[3] / "deploy" / "mlserver"


@dataclass(frozen=True)
class Setup:
    """What its documentation leaves to the user to find by trial.

    `parallel_workers` 0 answers in the server's own process; `max_batch_size` above 0 gathers so many requests, for at
    most `max_batch_time` seconds.
    """

    parallel_workers: int = 0
    max_batch_size: int = 0
    max_batch_time: float = 0.0

    def __str__(self) -> str:
        if not self.max_batch_size:
            return f"parallel_workers {self.parallel_workers}, no adaptive batching"
        wait_ms = self.max_batch_time * 1000
        return f"parallel_workers {self.parallel_workers}, max_batch_size {self.max_batch_size} within {wait_ms:g} ms"

    @property
    def variables(self) -> dict[str, str]:
        """As environment variables of MLServer."""
        return {
            "MLSERVER_PARALLEL_WORKERS": str(self.parallel_workers),
            "MLSERVER_MODEL_MAX_BATCH_SIZE": str(self.max_batch_size),
            "MLSERVER_MODEL_MAX_BATCH_TIME": str(self.max_batch_time),
        }


class MlServer:
    """A running MLServer on loopback, pinned to the server's cores; a context manager.

    Attributes:
        address: host:port of its gRPC listener.
        http_address: host:port of its REST listener.
        pid: its process id.

    Raises:
        PeerError: its environment or the runtime class is missing.
        ServerError: it did not become ready.
    """

    def __init__(self, models: Path, cores: Cores, setup: Setup | None = None) -> None:
        if not (RUNTIME / "mlserver_onnx.py").is_file():
            raise PeerError(
                "deploy/mlserver/mlserver_onnx.py is not here: MLServer runs from a checkout of the repository"
            )
        grpc_port, http_port, metrics_port = free_port(), free_port(), free_port()
        self.address, self.http_address = f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}"
        self._folder = tempfile.TemporaryDirectory()  # for the metrics that its workers share
        variables = {
            **(setup or Setup()).variables,
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_GRPC_PORT": str(grpc_port),
            "MLSERVER_HTTP_PORT": str(http_port),
            "MLSERVER_METRICS_PORT": str(metrics_port),
            "MLSERVER_DEBUG": "false",  # no line in the log for every request
            "PYTHONPATH": str(RUNTIME),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [str(python_of(NAME).with_name("mlserver")), "start", str(models.resolve())]
        self._process = ServerProcess("mlserver start", command, cores, variables, Path(self._folder.name))
        self.pid = self._process.pid
        try:
            # It calls itself ready before it has loaded a model.
            for settings in sorted(models.glob("*/model-settings.json")):
                await_http(self._process, self.http_address, f"/v2/models/{settings.parent.name}/ready")
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self.close()
            raise

    def __enter__(self) -> "MlServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and wait for it."""
        self._process.close()
        self._folder.cleanup()


MLSERVER = Peer(
    NAME,
    "MLServer",
    ("mlserver", "grpcio", "uvicorn", "uvloop", "onnxruntime", "numpy"),
    (Setup(0), Setup(1), Setup(0, 8, 0.001), Setup(1, 8, 0.001)),
    PEER_SCENARIOS,
    MlServer,
    (
        "`debug` is off, so that MLServer logs no line for every request",
        "MLServer does not take the binary-tensor extension over REST: both get JSON",
    ),
)
