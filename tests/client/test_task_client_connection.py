"""What is tried again when a connection breaks, and what never is: counted by a peer between client and server."""

import asyncio
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from jobcast import (
    AsyncPredictorClient,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    PredictorClient,
    ServerFault,
    Unavailable,
)

IDENTITY = dict(
    zip(
        ("model_type", "model_name", "hardware", "software_name", "software_version"),
        ("gpt-3.5", "turbo", "A100", "vllm", "0.1.0"),
        strict=True,
    )
)
METADATA = {"hardware": "A100", "input_tokens": 100}
TRACE = {"input_feature": {"input_tokens": 80}}


class Between:
    """Takes whole requests; answers each of the first with `plan`'s bytes (none = hang up), passes on the others.

    Attributes:
        seen: the first line of every request.
    """

    def __init__(self, upstream, *plan):
        self.seen = []
        self._upstream = upstream
        self._plan = list(plan)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not (request := self._request(connection)):
                    return
                self.seen.append(request.split(b"\r\n")[0].decode())
                connection.sendall(self._plan.pop(0) if self._plan else self._pass_on(request))

    def _request(self, connection):
        whole = b""
        while b"\r\n\r\n" not in whole:
            if not (piece := connection.recv(65536)):
                return b""
            whole += piece
        head, _, body = whole.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(lines.get(b"content-length", 0)):
            body += connection.recv(65536)
        return head + b"\r\nconnection: close\r\n\r\n" + body

    def _pass_on(self, request):
        host = urlsplit(self._upstream)
        with socket.create_connection((host.hostname, host.port)) as server:
            server.sendall(
                request.replace(b"Connection: keep-alive\r\n", b"").replace(b"connection: keep-alive\r\n", b"")
            )
            parts = []
            while piece := server.recv(65536):
                parts.append(piece)
        return b"".join(parts)

    def close(self):
        with socket.create_connection(self._listener.getsockname()):
            pass  # wakes the thread, which takes an empty request for the end
        self._thread.join()
        self._listener.close()


@pytest.fixture
def between(tasks):
    opened = []

    def make(*plan):
        opened.append(Between(tasks.url, *plan))
        return opened[-1]

    yield make
    for peer in opened:
        peer.close()


@pytest.fixture
def pauses(monkeypatch):
    """Seconds that the client wanted to wait; it does not."""
    waited = []

    async def at_once(seconds):
        waited.append(seconds)

    monkeypatch.setattr("jobcast.tasks.client.time.sleep", waited.append)
    monkeypatch.setattr("jobcast.tasks.aio.asyncio.sleep", at_once)
    return waited


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request):
    """Call one method of a client of either kind."""

    def blocking(url, method, *given, timeout=10.0, retries=2):
        with PredictorClient(url, timeout=timeout, retries=retries) as client:
            return getattr(client, method)(*given)

    def aio(url, method, *given, timeout=10.0, retries=2):
        async def once():
            async with AsyncPredictorClient(url, timeout=timeout, retries=retries) as client:
                return await getattr(client, method)(*given)

        return asyncio.run(once())

    return blocking if request.param == "blocking" else aio


HANG_UP = b""


def answer(status, body, length=None):
    size = len(body) if length is None else length
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, size, body)


def test_what_may_be_repeated_is_tried_again_after_growing_pauses(ask, between, pauses):
    peer = between(HANG_UP, HANG_UP)
    assert ask(peer.url, "predict", "x", METADATA).ok
    assert peer.seen == ["POST /predict HTTP/1.1"] * 3
    assert pauses == [0.1, 0.2]
    peer = between(HANG_UP)
    assert ask(peer.url, "get_available_models")
    assert len(peer.seen) == 2


def test_tries_end(ask, between, pauses):
    peer = between(HANG_UP, HANG_UP, HANG_UP, HANG_UP)
    with pytest.raises(Unavailable, match=f"connection to {peer.url} broke"):
        ask(peer.url, "predict", "x", METADATA)
    assert len(peer.seen) == 3
    with pytest.raises(Unavailable):
        ask(peer.url, "predict", "x", METADATA, retries=0)
    assert len(peer.seen) == 4


def test_training_is_never_sent_twice(ask, between, pauses):
    peer = between(HANG_UP)
    with pytest.raises(Unavailable):
        ask(peer.url, "train", {**IDENTITY, "traces": []})
    assert peer.seen == ["POST /train HTTP/1.1"]
    assert pauses == []


def test_outcomes_are_sent_twice_only_when_the_second_counts_for_nothing(ask, between, pauses, tasks):
    with PredictorClient(tasks.url) as client:
        identity = client.predict("x", METADATA).prediction_id
    peer = between(HANG_UP)
    assert ask(peer.url, "report_outcome", identity, 9.0).status == "success"
    assert len(peer.seen) == 2
    peer = between(HANG_UP)
    assert ask(peer.url, "report_outcomes", [{"prediction_id": identity, "duration_ms": 9.0}]).accepted == 1
    assert len(peer.seen) == 2
    peer = between(HANG_UP)
    with pytest.raises(Unavailable):
        ask(peer.url, "report_outcomes", [{**IDENTITY, **TRACE, "duration_ms": 9.0}])
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (400, InvalidInput, "why not"),
        (404, NotFound, "why not"),
        (409, Conflict, "why not"),
        (413, Overloaded, "refused for lack of room: why not"),
        (429, Overloaded, "refused for lack of room: why not"),
        (500, ServerFault, "answered 500: why not"),
        (503, Unavailable, "cannot answer now: why not"),
    ],
)
def test_an_answer_is_never_asked_for_again(ask, between, pauses, status, error, words):
    peer = between(answer(status, b'{"error": "why not"}'))
    with pytest.raises(error, match=words) as told:
        ask(peer.url, "predict", "x", METADATA)
    assert type(told.value) is error
    assert len(peer.seen) == 1
    if error is ServerFault:
        assert told.value.code == "HTTP_500"


def test_nor_is_one_that_broke_off(ask, between, pauses):
    peer = between(answer(200, b'{"status": "succ', length=500))
    with pytest.raises(Unavailable, match="broke before the answer was whole"):
        ask(peer.url, "predict", "x", METADATA)
    assert len(peer.seen) == 1


@pytest.mark.parametrize("body", [b"hello", b"[]", b"{}", b'{"status": "success", "surprise": 1, "model_info": {}}'])
def test_another_service_is_told_as_such(ask, between, body):
    peer = between(answer(200, body))
    with pytest.raises(ServerFault, match="is not the task-time service"):
        ask(peer.url, "predict", "x", METADATA)


def test_a_proxy_s_page_is_shortened(ask, between):
    peer = between(answer(502, b"<html>" + b"x" * 5000))
    with pytest.raises(Unavailable) as error:
        ask(peer.url, "predict", "x", METADATA)
    assert len(str(error.value)) < 500


def test_a_timeout_is_not_tried_again(ask, silent, pauses):
    with pytest.raises(DeadlineExceeded, match=r"no answer from http://.* within 0.05 s"):
        ask(f"http://{silent}", "predict", "x", METADATA, timeout=0.05)
    assert not ask(f"http://{silent}", "is_available", timeout=0.05)
    assert pauses == []


def test_a_server_that_is_not_up_yet_is_waited_for_even_to_train(ask, tasks, monkeypatch):
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{place.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"no server at {url}"):
            ask(url, "train", {}, retries=0)
        assert not ask(url, "is_available")

        def refuse():
            connection, _ = place.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer(409, b'{"error": "is being trained already"}'))

        thread = threading.Thread(target=refuse)

        def come_up(seconds):
            place.listen()
            thread.start()

        async def come_up_too(seconds):
            come_up(seconds)

        monkeypatch.setattr("jobcast.tasks.client.time.sleep", come_up)
        monkeypatch.setattr("jobcast.tasks.aio.asyncio.sleep", come_up_too)
        with pytest.raises(Conflict):
            ask(url, "train", {}, retries=1)
        thread.join()


def test_nobody_waits_when_nothing_broke(ask, tasks, monkeypatch):
    monkeypatch.setattr(time, "sleep", None)
    assert ask(tasks.url, "predict", "x", METADATA).ok
