"""Slow callers: hundreds of connections that say a byte a second, over HTTP/2 and over REST."""

import contextlib
import socket
import threading
import time

from jobcast_bench.chaos import wire
from jobcast_bench.chaos.callers import Lane
from jobcast_bench.chaos.ground import (
    AFTER_S,
    CALM_S,
    Fault,
    Ground,
    Record,
    endings,
    loaded,
    moment,
    usual_rate,
)
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.rows import single_requests
from jobcast_bench.worker import METHODS

EACH = 150
"""Connections of each kind."""

BYTE_S = 1.0
FIRST_BYTES_S = 10.0
"""What the native listener allows for a connection's first bytes; `docs/listener.md`."""

REST = b"POST /v2/models/hpc-runtime/infer HTTP/1.1\r\nHost: here\r\nContent-Length: 500\r\n\r\n"


class Slow:
    """Connections that say the rest of what they have to say a byte at a time."""

    def __init__(self, port: int, first: bytes, rest: bytes) -> None:
        self._rest = rest
        self._said = 0
        self.open = [wire.connect(port, first) for _ in range(EACH)]
        self.cut = 0
        for one in self.open:
            one.setblocking(False)

    def say(self) -> None:
        """One more byte over each; those that the server has ended are counted."""
        byte = self._rest[self._said : self._said + 1]
        self._said += 1
        kept = []
        for one in self.open:
            if _ended(one, byte):
                self.cut += 1
                one.close()
            else:
                kept.append(one)
        self.open = kept

    def close(self) -> None:
        """End them."""
        for one in self.open:
            one.close()


def _ended(one: socket.socket, byte: bytes) -> bool:
    try:
        with contextlib.suppress(BlockingIOError):
            if not one.recv(4096):
                return True
        with contextlib.suppress(BlockingIOError):
            one.send(byte)
    except OSError:
        return True
    return False


def _dribble(slow: list[Slow], stop: threading.Event) -> None:
    while not stop.wait(BYTE_S):
        for kind in slow:
            kind.say()


def bring(ground: Ground) -> Record:
    """Let slow callers come and stay under calls."""
    server = ground.serve()
    lanes = Lane("grpc", rate=usual_rate()), Lane("rest", "rest", rate=50, connections=2)
    load, callers = ground.load(server), ground.callers(server, *lanes)
    ground.last(CALM_S)
    brought = moment()
    message = wire.headers(1, METHODS["predict"]) + wire.data(1, single_requests(0)[0])
    port, http_port, _ = server.ports
    beginners = Slow(port, b"", wire.HELLO)
    slow = [beginners, Slow(port, wire.HELLO, message), Slow(http_port, b"", REST), Slow(http_port, REST, bytes(500))]
    stop = threading.Event()
    dribbling = threading.Thread(target=_dribble, args=(slow, stop), daemon=True)
    dribbling.start()
    # As long as the first bytes may take, and some more: what is over is to be cut off.
    time.sleep((FIRST_BYTES_S + 2.0) if ground.pace >= 1 else 2.0)
    cleared = moment()
    stop.set()
    dribbling.join()
    for kind in slow:
        kind.close()
    ground.last(AFTER_S)
    timeline = callers.finish()
    measures = figures(timeline.of("grpc"), brought, cleared) | loaded(load)
    rest = figures(timeline.of("rest"), brought, cleared)
    measures |= {f"rest_{name}": value for name, value in rest.items()}
    measures |= {"slow": 4 * EACH, "beginners_cut": beginners.cut / EACH}
    notes = [
        f"{EACH} connections each: HTTP/2 that has not begun, HTTP/2 amid its call, REST amid header, REST amid body",
        f"ended by the server meanwhile: {', '.join(str(kind.cut) for kind in slow)}",
    ]
    return Record(measures, notes + endings(timeline, load))


SLOW = Fault(
    "slow-clients",
    "callers that say a byte a second",
    "good callers hardly notice, over gRPC and REST; a connection that has not begun after 10 s is ended",
    bring,
    (
        *calm(normal_s=5.0),
        *LOADED,
        Rule("p99_during_us", "<=", 100_000, "p99 of good callers stays within 100 ms"),
        Rule("rest_wrong", "==", 0, "no answer over REST is wrong"),
        Rule("rest_unexpected", "==", 0, "no call over REST fails"),
        Rule("rest_worst_us", "<=", 2e6, "no answer over REST takes longer than 2 s"),
        Rule("beginners_cut", "==", 1, "connections that do not begin are ended"),
    ),
)
