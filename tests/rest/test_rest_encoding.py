"""Compressed bodies, both ways, and bounds on their length that hold before anything is unpacked."""

import gzip
import http.client
import json
import zlib

import pytest
from jobcast_server.rest.encoding import choose

MODEL = "/v2/models/hpc-runtime"
PACK = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
    " GZip ": gzip.compress,
}
UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress}
LIMIT = 20_000


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("count", [1, 64])
def test_packed_requests(server, rows, encoding, count):
    body = rows.json(list(range(count)))
    packed = PACK[encoding](json.dumps(body).encode())
    answer = server.infer(packed, headers={"Content-Encoding": encoding})
    assert answer.body == server.infer(body).body


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_packed_binary_requests(server, rows, encoding):
    body, headers = rows.binary(list(range(40)), parameters={"binary_data_output": True})
    plain = server.infer(body, headers=headers)
    packed = server.infer(PACK[encoding](body), headers=headers | {"Content-Encoding": encoding})
    assert packed.body == plain.body
    wanted = server.infer(body, headers=headers | {"Accept-Encoding": encoding})
    assert wanted.headers["content-encoding"] == encoding
    assert UNPACK[encoding](wanted.body) == plain.body
    assert wanted.headers["inference-header-content-length"] == plain.headers["inference-header-content-length"]


def test_large_answers_are_packed_off_the_loop_to_the_same(server, rows):
    body = rows.json(list(range(64)) * 40)
    plain, packed = server.infer(body), server.infer(body, headers={"Accept-Encoding": "gzip"})
    assert len(packed.body) < len(plain.body)
    assert gzip.decompress(packed.body) == plain.body


def test_short_answers_and_errors_go_as_they_are(server, rows):
    for answer in (
        server.infer(rows.json([0]), headers={"Accept-Encoding": "gzip"}),
        server.infer(b"[" * 9, headers={"Accept-Encoding": "gzip"}),
    ):
        assert "content-encoding" not in answer.headers
        assert answer.json()


def test_metadata_goes_as_it_is_because_a_client_of_tritons_cannot_read_it_packed(server):
    answer = server.ask("GET", MODEL, headers={"Accept-Encoding": "gzip"})
    assert len(answer.body) > 1024
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate", "gzip"), ("deflate;q=1, gzip;q=0.5", "deflate"),
        ("GZIP", "gzip"), ("br", ""), ("gzip;q=0", ""), ("*", "gzip"), ("*;q=0", ""), ("gzip;q=0, *", "deflate"),
        ("identity", ""), ("", ""), ("gzip;q=x", ""), ("gzip; q=0.1", "gzip"), (",,;", ""),
    ],
)  # fmt: skip
def test_choice_of_an_encoding(accepted, chosen):
    assert choose(accepted.encode()) == chosen.encode()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda packed: packed[:-4], "it ends too early"),
        (lambda packed: packed + b"more", "got 4 bytes behind its end"),
        (lambda packed: b"{}" + packed, "got other bytes"),
        (lambda packed: packed[:40] + bytes([packed[40] ^ 255]) + packed[41:], "got other bytes"),
    ],
)
def test_spoilt_packed_bodies(server, good, encoding, spoil, told):
    packed = PACK[encoding](json.dumps(good).encode())
    answer = server.infer(spoil(packed), headers={"Content-Encoding": encoding})
    assert answer.status == 400
    assert f"body: must be {encoding} as Content-Encoding says: {told}" in answer.error


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "nonsense" * 20])
def test_encodings_that_are_not_known(server, good, encoding):
    answer = server.infer(good, headers={"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate, identity"
    assert "Content-Encoding: must be gzip, deflate or identity" in answer.error
    assert len(answer.error) < 200


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/octet-stream", None]
)
def test_media_types_that_are_taken(server, good, kind):
    assert server.infer(good, headers={"Content-Type": kind} if kind else {}).status == 200


@pytest.mark.parametrize("kind", ["text/xml", "multipart/form-data; boundary=x", "image/png"])
def test_media_types_that_are_not(server, good, kind):
    answer = server.infer(good, headers={"Content-Type": kind})
    assert (answer.status, "Content-Type: must be application/json" in answer.error) == (415, True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [LIMIT + 1, 200 * 2**20])
def test_a_body_that_unpacks_to_too_much(small, encoding, size):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    packed = b"".join(packer.compress(bytes(min(2**20, size - at))) for at in range(0, size, 2**20)) + packer.flush()
    answer = small.infer(packed[: LIMIT - 1], headers={"Content-Encoding": encoding})
    assert (answer.status, f"at most {LIMIT} bytes once decompressed" in answer.error) == (413, True)


def test_the_longest_body_is_taken_and_one_byte_more_is_not(small, good):
    body = json.dumps(good).encode()
    assert small.infer(body.ljust(LIMIT)).status == 200
    answer = small.infer(body.ljust(LIMIT + 1))
    assert (answer.status, f"body: must be at most {LIMIT} bytes" in answer.error) == (413, True)


def test_a_long_body_in_chunks_is_refused_before_it_ends(small):
    connection = http.client.HTTPConnection(*small.address, timeout=30)
    connection.putrequest("POST", f"{MODEL}/infer")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"5000\r\n" + b" " * 0x5000 + b"\r\n")
    answer = connection.getresponse()
    assert (answer.status, b"max_body_bytes" in answer.read()) == (413, True)
    connection.close()


def test_a_body_in_chunks(server, good):
    plain = server.infer(good)
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    body = json.dumps(good).encode()
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    connection.request("POST", f"{MODEL}/infer", iter(pieces), encode_chunked=True)
    assert connection.getresponse().read() == plain.body
    connection.close()


def test_a_refused_long_body_leaves_the_connection_usable(small, good):
    connection = http.client.HTTPConnection(*small.address, timeout=30)
    connection.request("POST", f"{MODEL}/infer", b" " * (LIMIT + 500))
    refused = connection.getresponse()
    assert (refused.status, refused.read()[:8]) == (413, b'{"error"')
    connection.request("POST", f"{MODEL}/infer", json.dumps(good))
    assert connection.getresponse().status == 200
    connection.close()
