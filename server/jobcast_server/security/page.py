"""The port of the metrics: /metrics behind the gate, over TLS where that is on, for callers that take their time too.

Each connection has a thread and `TIMEOUT_S` for every read; of more than `CONNECTIONS` the oldest is ended, so that no
idle one can keep a scraper out.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from jobcast_server.errors import RequestError, StartupError
from jobcast_server.rest.faults import refusal
from jobcast_server.security.gate import Gate
from jobcast_server.security.tls import Certificates
from jobcast_server.sockets import address

CONNECTIONS = 64
TIMEOUT_S = 10.0
BACKLOG = 128

LINGER_S = 2.0
LINGER_READS = 64
"""How long, and how often, a caller that was answered may go on sending; closing at once would take the answer away."""


class Page(ThreadingWSGIServer):
    """The port; `begin` and `end` it."""

    certificates: Certificates | None = None
    request_queue_size = BACKLOG

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(*arguments, **named)

    def begin(self) -> None:
        """Answer, on a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection; the oldest goes when there are too many."""
        with self._lock:
            if len(self._open) >= CONNECTIONS:
                oldest = self._open.pop(next(iter(self._open)))
                with contextlib.suppress(OSError):  # it may have ended just now
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[id(request)] = request
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer one connection, on its thread."""
        request.settimeout(TIMEOUT_S)
        if self.certificates is None:
            super().finish_request(request, client_address)
            return
        begin = self.certificates.context.wrap_socket
        with begin(request, server_side=True, do_handshake_on_connect=False) as wrapped:
            with self._lock:
                if id(request) in self._open:
                    self._open[id(request)] = wrapped
            wrapped.do_handshake()
            super().finish_request(wrapped, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a caller that went, or was too slow, or spoke no HTTP or TLS."""


class _Answer(WSGIRequestHandler):
    """One connection; says nothing of it."""

    def handle(self) -> None:
        """Answer, then read what nobody asked for, such as a body, until the caller has its answer and ends."""
        super().handle()
        self.connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + LINGER_S
        for _ in range(LINGER_READS):
            self.connection.settimeout(max(until - time.monotonic(), 0.001))
            if not self.connection.recv(65536):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def open_page(host: str, port: int, registry: CollectorRegistry, gate: Gate, certificates: Certificates | None) -> Page:
    """Bind the port.

    Raises:
        StartupError: it is taken.
    """
    host = host.strip("[]")
    try:
        family, *_, where = next(iter(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)))
        kind = type("Bound", (Page,), {"address_family": family, "certificates": certificates})
        return make_server(str(where[0]), port, _guarded(registry, gate), kind, _Answer)
    except OSError as error:
        raise StartupError(
            f"metrics_port: {address(host, port)} cannot be listened on ({error.strerror}); "
            "choose another --metrics-port"
        ) from None


def _guarded(registry: CollectorRegistry, gate: Gate) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """The page behind the gate; without keys it answers any path, as Prometheus' own does."""
    page: Callable[[dict[str, Any], Any], Iterable[bytes]] = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if gate.open:
            return page(environ, start_response)
        verb, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        call = f"METRICS {path}" if verb == "GET" else f"METRICS({verb}) {path}"
        names = (("authorization", "HTTP_AUTHORIZATION"), ("x-api-key", "HTTP_X_API_KEY"))
        try:
            gate.check(call, [(name, environ[key].encode("latin-1")) for name, key in names if key in environ])
        except RequestError as error:
            peer = f"{environ.get('REMOTE_ADDR', '')}:{environ.get('REMOTE_PORT', '')}".rstrip(":")
            gate.tell(call, peer, error)
            told = refusal(error)
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(told.body)))]
            headers += [(name.decode().title(), value.decode()) for name, value in told.headers]
            start_response(f"{told.status} {error.__class__.__name__.removesuffix('Error')}", headers)
            return [told.body]
        return page(environ, start_response)

    return app
