"""KServe's Python model server on one bundle: a process of its own in an environment of its own.

Its model class answers with what the graph gives (`runtimes/kserve_onnx.py`). It logs a line for every request unless
it is told not to; here it is.
"""

from dataclasses import dataclass
from pathlib import Path

from jobcast_bench.fleet import Cores
from jobcast_bench.peers.bundle import graph_of
from jobcast_bench.peers.environment import python_of
from jobcast_bench.peers.peer import Peer, await_http
from jobcast_bench.process import ServerProcess
from jobcast_bench.scenarios import PEER_SCENARIOS
from jobcast_bench.serving import free_port

NAME = "kserve"
RUNTIME = Path(__file__).with_name("runtimes") / "kserve_onnx.py"


@dataclass(frozen=True)
class Setup:
    """What its documentation leaves to the user: the event loop, and whether the model runs on it or in a thread."""

    loop: str = "asyncio"
    threads: bool = False

    def __str__(self) -> str:
        return f"{self.loop}, predict {'in a thread' if self.threads else 'on the loop'}"


class KServe:
    """A running KServe model server, pinned to the server's cores; a context manager.

    Attributes:
        address: host:port of its gRPC listener.
        http_address: host:port of its REST listener.
        pid: its process id.

    Raises:
        PeerError: its environment cannot be made.
        ServerError: it did not become ready.
    """

    def __init__(self, models: Path, cores: Cores, setup: Setup | None = None) -> None:
        chosen, model = setup or Setup(), graph_of(models)
        name, grpc_port, http_port = model.parents[1].name, free_port(), free_port()
        self.address, self.http_address = f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}"
        command = [
            str(python_of(NAME)), str(RUNTIME), "--model", str(model.resolve()), "--model_name", name,
            "--http_port", str(http_port), "--grpc_port", str(grpc_port), "--event-loop", chosen.loop,
            *(["--threads"] if chosen.threads else []),
        ]  # fmt: skip
        self._process = ServerProcess("kserve", command, cores, {"PYTHONDONTWRITEBYTECODE": "1"})
        self.pid = self._process.pid
        try:
            await_http(self._process, self.http_address, f"/v2/models/{name}/ready")
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self.close()
            raise

    def __enter__(self) -> "KServe":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and wait for it."""
        self._process.close()


KSERVE = Peer(
    NAME,
    "KServe",
    ("kserve", "grpcio", "uvicorn", "uvloop", "onnxruntime", "numpy"),
    (Setup(), Setup("uvloop"), Setup(threads=True), Setup("uvloop", threads=True)),
    tuple(scenario for scenario in PEER_SCENARIOS if scenario.target == "infer"),
    KServe,
    ("KServe logs no line for a request here; it does by default, and is slower with it",),
)
