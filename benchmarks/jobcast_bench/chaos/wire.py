"""Frames of HTTP/2 made by hand (RFC 9113), for callers that do what no library does."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
PATIENCE_S = 30.0


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


HELLO = PREFACE + frame(SETTINGS, 0, 0, b"")
"""What a connection begins with."""


def _literal(name: bytes, value: bytes) -> bytes:
    """A header of HPACK, neither indexed nor compressed (RFC 7541, 6.2.2), of up to 126 bytes each."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def headers(stream: int, path: str) -> bytes:
    """The beginning of a gRPC call."""
    fields = (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()), (b":authority", b"here"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"),
    )  # fmt: skip
    return frame(HEADERS, END_HEADERS, stream, b"".join(_literal(*each) for each in fields))


def data(stream: int, message: bytes) -> bytes:
    """The whole message of a call, behind gRPC's prefix."""
    return frame(DATA, END_STREAM, stream, b"\x00" + struct.pack(">I", len(message)) + message)


def reset(stream: int) -> bytes:
    """The end of a call that its caller does not want any more."""
    return frame(RESET, 0, stream, struct.pack(">I", CANCEL))


def connect(port: int, hello: bytes = HELLO) -> socket.socket:
    """A connection that has said its first bytes."""
    opened = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    if hello:
        opened.sendall(hello)
    return opened
