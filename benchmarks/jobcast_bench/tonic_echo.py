"""A bare echo on tonic, the floor under any gRPC server: started like a server under measure.

`make tonic-echo` builds it where cargo is.
"""

import socket
import time
from pathlib import Path

from jobcast_bench.fleet import Cores
from jobcast_bench.generator import BINARY as LOAD_BINARY
from jobcast_bench.process import ServerProcess
from jobcast_bench.serving import free_port

BINARY = LOAD_BINARY.parent / "examples" / "tonic_echo"
READY_TIMEOUT_S = 10.0
PAUSE_S = 0.02


def built(binary: Path = BINARY) -> bool:
    """Whether it is there."""
    return binary.is_file()


class TonicEcho:
    """A running echo on loopback, pinned to the server's cores; a context manager.

    Attributes:
        address, http_address: host:port of its only listener, which speaks HTTP/2.
        pid: its process id.

    Raises:
        ServerError: it does not come up.
    """

    def __init__(self, cores: Cores) -> None:
        port = free_port()
        self.address = self.http_address = f"127.0.0.1:{port}"
        self._process = ServerProcess("tonic_echo", [str(BINARY), self.address], cores)
        self.pid = self._process.pid
        try:
            self._await(port)
        except BaseException:  # Ctrl-C and SIGTERM end it too
            self._process.close()
            raise

    def _await(self, port: int) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                self._process.require_running()
                time.sleep(PAUSE_S)
                continue
            return
        raise self._process.failure(f"was not ready within {READY_TIMEOUT_S:.0f} s")

    def __enter__(self) -> "TonicEcho":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()
