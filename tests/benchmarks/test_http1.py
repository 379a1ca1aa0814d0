"""The HTTP load client against a server on loopback that answers in every way a server may."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from jobcast_bench.http1 import Connection, LoneConnection, post
from jobcast_bench.loops import CallError

GOOD = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 4\r\n\r\nwell"


class Scripted:
    """Answers each request on its one connection at a time with the next bytes of a script; None closes."""

    def __init__(self, script: list[bytes | None]) -> None:
        self._script = iter(script)
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            with accepted:
                while request := accepted.recv(65536):
                    self.seen.append(request)
                    answer = next(self._script)
                    if answer is None:
                        break
                    for begin in range(0, len(answer), 40):
                        accepted.sendall(answer[begin : begin + 40])

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Scripted]]:
    running = []

    def start(*script: bytes | None) -> Scripted:
        running.append(Scripted(list(script)))
        return running[-1]

    yield start
    for server in running:
        server.close()


def outcomes(way: str, address: str, requests: list[bytes], timeout_s: float = 5.0) -> list[bytes | str]:
    """Each call's body, or the name of its failure, over one connection object."""
    if way == "blocking":
        with LoneConnection(address, timeout_s) as connection:
            return [_lone(connection, request) for request in requests]
    return asyncio.run(_looped(address, requests, timeout_s))


def _lone(connection: LoneConnection, request: bytes) -> bytes | str:
    try:
        return connection.call(request)
    except CallError as error:
        return str(error)


async def _looped(address: str, requests: list[bytes], timeout_s: float) -> list[bytes | str]:
    connection = Connection(address, timeout_s)
    found: list[bytes | str] = []
    for request in requests:
        try:
            found.append(await connection.call(request))
        except CallError as error:
            found.append(str(error))
    connection.close()
    return found


WAYS = pytest.mark.parametrize("way", ["blocking", "asyncio"])


@WAYS
def test_answers_come_back_whole_over_one_connection(serve: Callable[..., Scripted], way: str) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"z" * 100_000
    server = serve(GOOD, long, GOOD)
    assert outcomes(way, server.address, [b"a", b"b", b"c"]) == [b"well", b"z" * 100_000, b"well"]
    assert server.seen == [b"a", b"b", b"c"]


@WAYS
@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", "HTTP_503"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP_NO_LENGTH"),
        (None, "HTTP_DISCONNECTED"),
    ],
)
def test_a_failure_has_its_name_and_the_next_call_may_succeed(
    serve: Callable[..., Scripted], way: str, answer: bytes | None, name: str
) -> None:
    again = [] if name == "HTTP_NO_LENGTH" else [GOOD]
    server = serve(answer, *again)
    assert outcomes(way, server.address, [b"a", b"b"][: 1 + len(again)]) == [name, *[b"well"] * len(again)]


@WAYS
def test_silence_is_a_timeout(serve: Callable[..., Scripted], way: str) -> None:
    server = serve(b"", b"")
    assert outcomes(way, server.address, [b"a"], timeout_s=0.05) == ["HTTP_TIMEOUT"]


@WAYS
def test_nobody_there_is_refused(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    assert outcomes(way, address, [b"a", b"b"]) == ["HTTP_REFUSED", "HTTP_REFUSED"]


def test_a_post_is_a_whole_message() -> None:
    assert post("h:1", "/v2", b"{}") == (
        b"POST /v2 HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
