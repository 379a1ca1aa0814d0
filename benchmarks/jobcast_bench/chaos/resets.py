"""A flood of resets (CVE-2023-44487): calls begun and taken back as fast as connections carry them."""

import struct
import threading

from jobcast_bench.chaos import wire
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, FAULT_S, Fault, Ground, Record, endings, loaded, moment
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.worker import METHODS

CONNECTIONS = 4
CALLS = 2000
"""Calls of one connection's flood, begun and reset."""

PAUSE_S = 0.05
ENHANCE_YOUR_CALM = 11


def flood() -> bytes:
    """All that one connection says."""
    pairs = (wire.headers(stream, METHODS["infer"]) + wire.reset(stream) for stream in range(1, 2 * CALLS, 2))
    return b"".join(pairs)


class Flood:
    """A caller that floods, is cut off, and comes again, until it is stopped."""

    def __init__(self, port: int) -> None:
        self.opened = self.ended = self.calmed = 0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        content = flood()
        while not self._stop.wait(PAUSE_S):
            with wire.connect(self._port) as opened:
                self.opened += 1
                said = b""
                try:
                    opened.sendall(content)
                    while part := opened.recv(65536):
                        said += part
                    self.ended += 1
                except TimeoutError:
                    continue
                except ConnectionError:  # cut off with what it had to say unread
                    self.ended += 1
                self.calmed += _goaway(said) == ENHANCE_YOUR_CALM

    def finish(self) -> None:
        """Let it end."""
        self._stop.set()
        self._thread.join()


def _goaway(said: bytes) -> int | None:
    """The reason of the GOAWAY among frames, if there is one."""
    at = 0
    while at + 9 <= len(said):
        length, kind = int.from_bytes(said[at : at + 3], "big"), said[at + 3]
        if kind == wire.GOAWAY and len(said) >= at + 17:
            return int(struct.unpack(">I", said[at + 13 : at + 17])[0])
        at += 9 + length
    return None


def bring(ground: Ground) -> Record:
    """Let some connections flood under calls."""
    server = ground.serve()
    load, callers = ground.load(server), ground.callers(server)
    ground.last(CALM_S)
    brought = moment()
    floods = [Flood(server.ports[0]) for _ in range(CONNECTIONS)]
    ground.last(FAULT_S)
    for one in floods:
        one.finish()
    cleared = moment()
    ground.last(AFTER_S)
    timeline = callers.finish()
    opened, ended = sum(one.opened for one in floods), sum(one.ended for one in floods)
    measures = figures(timeline, brought, cleared) | loaded(load)
    measures |= {
        "floods": opened,
        "floods_not_ended": opened - ended,
        "floods_told": sum(one.calmed for one in floods),
        "server_alive": server.alive(),
    }
    notes = [f"{opened} floods of {CALLS:,} calls begun and reset at once, over {CONNECTIONS} connections at a time"]
    return Record(measures, notes + endings(timeline, load))


RESETS = Fault(
    "reset-flood",
    "HEADERS and RST_STREAM as fast as possible",
    "the connection that floods is ended; good callers go on",
    bring,
    (
        *calm(normal_s=5.0),
        *LOADED,
        Rule("p99_during_us", "<=", 250_000, "p99 of good callers stays within 250 ms"),
        Rule("floods", ">=", 1, "there was a flood"),
        Rule("floods_not_ended", "==", 0, "every connection that floods is ended"),
        Rule("server_alive", "==", 1, "the server lives"),
    ),
)
