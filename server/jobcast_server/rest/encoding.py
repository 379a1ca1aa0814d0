"""gzip and deflate (zlib's form) both ways; what is unpacked is bounded before it exists, not after."""

import zlib
from collections.abc import Mapping

from jobcast_server.errors import InvalidRequestError, Violation, shorten
from jobcast_server.rest.faults import HttpError

FORMS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's window bits by Content-Encoding."""

LEAST_PACKED = 1024
"""Bytes up to which an answer goes as it is."""

LEVEL = 1


def check(encoding: bytes) -> None:
    """Accept an encoding that `unpack` knows.

    Raises:
        HttpError: 415, it is another one.
    """
    if encoding not in FORMS:
        told = shorten(encoding.decode("latin-1"))
        accept = (b"accept-encoding", b"gzip, deflate, identity")
        raise HttpError(415, f"Content-Encoding: must be gzip, deflate or identity, got {told}", (accept,))


def unpack(packed: bytes, encoding: bytes, limit: int) -> bytes:
    """The body.

    Raises:
        HttpError: 413, it is longer than `limit` bytes.
        InvalidRequestError: the bytes are not what the encoding says.
    """
    stream = zlib.decompressobj(FORMS[encoding])
    try:
        body = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise _broken(encoding, f"got other bytes ({error})") from None
    if len(body) > limit:
        raise HttpError(413, f"body: must be at most {limit} bytes once decompressed (max_body_bytes), got more")
    if not stream.eof:
        raise _broken(encoding, "it ends too early")
    if stream.unused_data:
        raise _broken(encoding, f"got {len(stream.unused_data)} bytes behind its end")
    return body


def choose(accepted: bytes) -> bytes:
    """The encoding of an answer for an Accept-Encoding header; empty = as it is."""
    weights = dict(map(_weight, accepted.lower().split(b",")))
    best = max((b"gzip", b"deflate"), key=lambda name: _of(weights, name))
    return best if _of(weights, best) > 0 else b""


def pack(body: bytes, encoding: bytes) -> bytes:
    """The body in an encoding."""
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, FORMS[encoding])
    return stream.compress(body) + stream.flush()


def _of(weights: Mapping[bytes, float], name: bytes) -> float:
    return weights.get(name, weights.get(b"*", 0.0))


def _weight(item: bytes) -> tuple[bytes, float]:
    name, _, parameter = item.partition(b";")
    key, _, value = parameter.partition(b"=")
    try:
        return name.strip(), float(value) if key.strip() == b"q" else 1.0
    except ValueError:
        return name.strip(), 0.0


def _broken(encoding: bytes, problem: str) -> InvalidRequestError:
    return InvalidRequestError([Violation("body", f"must be {encoding.decode()} as Content-Encoding says: {problem}")])
