"""HTTP itself on raw sockets: what is no HTTP, too long, pipelined, or never ends."""

import asyncio
import json
import socket

import pytest
from jobcast_server.rest import connection
from jobcast_server.rest.connection import LONGEST_HEAD, LONGEST_REQUEST_S
from jobcast_server.rest.listener import Listener
from jobcast_server.settings import Settings
from jobcast_server.sockets import listen

INFER = b"POST /v2/models/hpc-runtime/infer HTTP/1.1\r\nHost: x\r\n"
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body, *fields):
    head = b"".join(field + b"\r\n" for field in (b"Content-Length: %d" % len(body), *fields))
    return INFER + head + b"\r\n" + body


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        INFER + b"Content-Length: -1\r\n\r\n",
        INFER + b"Content-Length: 1x\r\n\r\n",
        INFER + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        INFER + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        INFER + b"Content-Length: 99999999999999999999999\r\n\r\n",
        INFER + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        INFER + b"no colon\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_in_json_and_ends_the_connection(server, raw):
    caller = server.send(raw)
    answer = caller.read()
    assert answer.status == 400
    assert "request: must be HTTP/1.1" in answer.error
    assert answer.headers["connection"] == "close"
    assert caller.at_end()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2 HTTP/1.1\r\nX: " + b"x" * (4 * LONGEST_HEAD),
        b"GET /v2 HTTP/1.1\r\n" + b"X: y\r\n" * LONGEST_HEAD,
        b"GET /" + b"x" * (4 * LONGEST_HEAD),
        b"GET /" + b"x" * (LONGEST_HEAD + 60) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        INFER + b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n" + b"X: y\r\n" * LONGEST_HEAD,
    ],
    ids=["a field", "many fields", "path", "path a little too long", "trailer"],
)
def test_a_header_that_does_not_end(server, head):
    caller = server.send(head)
    answer = caller.read()
    assert (answer.status, f"at most {LONGEST_HEAD} bytes" in answer.error) == (431, True)
    assert caller.at_end()


def test_pipelined_requests_are_answered_in_order(server, rows):
    bodies = [json.dumps(rows.json([row]) | {"id": str(row)}).encode() for row in range(6)]
    caller = server.send(b"".join(post(body) for body in bodies) + LIVE)
    assert [caller.read().json()["id"] for _ in bodies] == list("012345")
    assert caller.read().json() == {"live": True}


def test_garbage_behind_a_request_does_not_cost_its_answer(server, good):
    caller = server.send(post(json.dumps(good).encode()) + b"\x00garbage\r\n\r\n")
    assert caller.read().status == 200
    caller.file.read()


def test_a_caller_that_waits_for_leave_to_send(server, good):
    body = json.dumps(good).encode()
    caller = server.send(INFER + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body))
    assert caller.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert caller.file.readline() == b"\r\n"
    caller.socket.sendall(body)
    assert caller.read().status == 200


def test_a_caller_that_waits_for_leave_to_send_too_much_is_told_at_once(server):
    caller = server.send(INFER + b"Content-Length: 999999999\r\nExpect: 100-continue\r\n\r\n")
    assert caller.read().status == 413


def test_an_offer_of_http_2_is_passed_over(server, good):
    fields = (b"Connection: Upgrade, HTTP2-Settings", b"UPGRADE: h2c", b"HTTP2-Settings: AAMAAABkAAQ")
    caller = server.send(post(json.dumps(good).encode(), *fields))
    for _ in range(2):
        assert caller.read().status == 200
        caller.socket.sendall(post(json.dumps(good).encode(), *fields))


def test_a_websocket_asked_for_by_another_method_than_get_is_refused(server, good):
    fields = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAA")
    caller = server.send(post(json.dumps(good).encode(), *fields))
    answer = caller.read()
    assert answer.status == 405
    assert "method: must be GET for a WebSocket, got POST" in answer.body.decode()
    assert caller.at_end()


@pytest.mark.parametrize(("version", "fields"), [(b"1.0", b""), (b"1.1", b"Connection: close\r\n")])
def test_connections_end_when_the_caller_says_so(server, version, fields):
    caller = server.send(b"GET /v2/health/live HTTP/" + version + b"\r\nHost: x\r\n" + fields + b"\r\n")
    assert caller.read().status == 200
    assert caller.at_end()


def test_callers_that_vanish_leave_the_server_as_it_was(server, rows, good):
    body = json.dumps(good).encode()
    for raw in (INFER, post(body)[:-20], post(body), post(json.dumps(rows.json([0] * 5000)).encode())):
        caller = server.send(raw)
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends with a reset
        caller.close()
    assert server.infer(good).status == 200


def test_slow_callers_hold_no_place(start, good):
    served = start("--max-inflight", "1")
    body = json.dumps(good).encode()
    slow = [served.send(post(body)[:-1]) for _ in range(20)]
    assert served.infer(good).status == 200
    for caller in slow:
        caller.socket.sendall(body[-1:])
        assert caller.read().status in (200, 429)
        caller.close()


async def _nothing(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize("raw", [b"", b"GET /v2 HT", INFER + b"Content-Length: 9\r\n\r\n12"])
def test_a_request_that_does_not_end_is_cut_off(raw):
    async def run():
        settings = Settings(http_port=0)
        bound = listen(settings, "http_port")
        listener = Listener(_nothing, bound, settings)
        await listener.start()
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(raw)
        await writer.drain()
        while not (listener.server_state.connections and all(one._bytes == len(raw) for one in _of(listener))):
            await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        for one in _of(listener):
            one.look(now)
        assert _of(listener), "cut off before its time"
        for one in _of(listener):
            one.look(now + LONGEST_REQUEST_S + 1)
        told = await reader.read()
        writer.close()
        await listener.stop(1)
        return told

    told = asyncio.run(run())
    assert told.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert told.endswith(b'{"error":"request: must have arrived within 60 s"}')


def _of(listener):
    return [one for one in listener.server_state.connections if isinstance(one, connection.Connection)]
