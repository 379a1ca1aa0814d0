"""A key is revoked while its calls and a stream of its run: it ends within a second, other keys do not notice."""

import threading
import time
from collections.abc import Iterator

import grpc

from jobcast_bench.chaos import tokens
from jobcast_bench.chaos.callers import Lane
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, Fault, Ground, Record, endings, moment
from jobcast_bench.chaos.rule import Rule, calm
from jobcast_bench.chaos.timeline import RIGHT, figures
from jobcast_bench.rows import single_requests
from jobcast_bench.worker import METHODS

MESSAGE_S = 0.02
PATIENCE_S = 60.0
BOUND_S = 1.0
"""What `docs/security.md` promises."""

ENDED = "UNAUTHENTICATED"


class Stream:
    """A stream of predictions that says a message again and again, until the server ends it.

    Attributes:
        answers: so far. code: how it ended. ended: when.
    """

    def __init__(self, address: str, token: str) -> None:
        self.answers = 0
        self.code = ""
        self.ended = 0
        self._address, self._token = address, token
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _messages(self) -> Iterator[bytes]:
        while not self._stop.wait(MESSAGE_S):
            yield single_requests(0)[0]

    def _go(self) -> None:
        with grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            metadata = (("authorization", f"Bearer {self._token}"),)
            call = channel.stream_stream(METHODS["stream"])(self._messages(), metadata=metadata, timeout=PATIENCE_S)
            try:
                for _ in call:
                    self.answers += 1
                self.code = "OK"
            except grpc.RpcError as error:
                self.code = str(error.code().name)
            self.ended = time.monotonic_ns()

    def finish(self) -> None:
        """Say no more."""
        self._stop.set()
        self._thread.join(PATIENCE_S)


def bring(ground: Ground) -> Record:
    """Revoke one of two keys by the command, under calls and streams of both."""
    file = ground.folder / "keys.json"
    gone, stays = tokens.new(file, "gone"), tokens.new(file, "stays")
    server = ground.serve("--keys", str(file))
    callers = ground.callers(server, Lane("gone", token=gone, rate=100), Lane("stays", token=stays, rate=200))
    streams = [Stream(server.address, token) for token in (gone, stays)]
    for stream in streams:
        ground.stack.callback(stream.finish)
    ground.last(CALM_S)
    brought = moment()
    tokens.revoke(file, "gone")
    revoked = moment()
    ground.last(AFTER_S)
    cleared = moment()
    ground.last(AFTER_S)
    for stream in streams:
        stream.finish()
    timeline = callers.finish()
    lane = timeline.of("gone")
    due = lane.due[lane.right]
    answered = int((due + lane.took[lane.right]).max()) if len(due) else brought
    measures = figures(timeline.of("stays"), brought, cleared, since=brought) | {
        "revoked_calls_before": lane.count(RIGHT),
        "refused_after_s": max(answered - revoked, 0) / 1e9,
        "stream_ended_after_s": max(streams[0].ended - revoked, 0) / 1e9,
        "stream_unauthenticated": streams[0].code == ENDED,
        "revoked_refused": lane.count(ENDED),
        "revoked_unexpected": len(lane.due) - lane.count(RIGHT, ENDED),
        "other_stream_ok": streams[1].code == "OK",
        "other_stream_answers": streams[1].answers,
    }
    notes = [f"`jobcast keys revoke` itself took {(revoked - brought) / 1e9:.2f} s; times count from its end"]
    return Record(measures, notes + endings(timeline))


REVOCATION = Fault(
    "key-revocation",
    "`jobcast keys revoke` under load",
    "the key opens nothing and its streams end within a second (the server looks at the file twice a second); calls "
    "and streams of other keys do not notice",
    bring,
    (
        *calm(normal_s=5.0),
        Rule("revoked_calls_before", ">=", 1, "the key opened before"),
        Rule("refused_after_s", "<=", BOUND_S, "it opens nothing after a second"),
        Rule("revoked_refused", ">=", 1, "its calls are refused"),
        Rule("revoked_unexpected", "==", 0, "with UNAUTHENTICATED only"),
        Rule("stream_unauthenticated", "==", 1, "its stream ends with UNAUTHENTICATED"),
        Rule("stream_ended_after_s", "<=", BOUND_S, "within a second"),
        Rule("other_stream_ok", "==", 1, "the stream of another key goes on to its end"),
    ),
)
