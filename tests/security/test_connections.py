"""Connections are bounded: what is too many or too slow is ended, and those that ask are answered meanwhile."""

import socket

PATIENCE_S = 30


def opened(served, port: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.ready[port]), PATIENCE_S)


def test_rest_refuses_one_too_many(start):
    served = start("--max-connections", "3")
    held = [opened(served, "http_port") for _ in range(3)]
    for one in held:  # each is known to the server
        one.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(12) == b"HTTP/1.1 200"
    late = opened(served, "http_port")
    with late.makefile("rb") as said:
        whole = said.read()
    assert whole.startswith(b"HTTP/1.1 503")
    assert b"max_connections (3)" in whole
    held.pop().close()
    while served.ask("GET", "/v2/health/live").status != 200:  # the server learns of it when it comes to it
        pass
    for one in (*held, late):
        one.close()


def test_the_oldest_connections_to_the_metrics_end_when_there_are_too_many(start):
    served = start()
    idle = [opened(served, "metrics_port") for _ in range(100)]
    assert served.metrics().status == 200
    assert idle[0].recv(1) == b""  # ended by the server
    assert served.metrics().status == 200
    idle[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert idle[-1].recv(12) == b"HTTP/1.0 200"
    for one in idle:
        one.close()
