"""Headers of any kind to real servers: never a fault of the server, never a way in."""

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLAIN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
REST_REFUSALS = {400, 401, 408, 413, 431}
GRPC_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN,
}  # fmt: skip
"""The last three are gRPC's own words for metadata that is none, said by either end."""

values = st.one_of(
    st.binary(max_size=120).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    st.sampled_from(
        [b"Bearer ", b"Bearer", b"bearer \xff\xfe", b"", b"Bearer " + b"a" * 5000, b"\t", b"Bearer a,b", b"jc_x"]
    ),
)
names = st.sampled_from(
    [
        b"authorization",
        b"Authorization",
        b"AUTHORIZATION",
        b"x-api-key",
        b"X-Api-Key",
        b"X_API_KEY",
        b"Proxy-Authorization",
    ]
)


def status(guarded, port: str, raw: bytes) -> int:
    import socket

    with socket.create_connection(("127.0.0.1", guarded.served.ready[port]), timeout=30) as opened:
        opened.sendall(raw)
        with opened.makefile("rb") as file:
            line = file.readline()
    return int(line.split()[1]) if line else 0  # closed without a word is a refusal too


@PLAIN
@given(pairs=st.lists(st.tuples(names, values), max_size=3), port=st.sampled_from(["http_port", "metrics_port"]))
def test_http(guarded, pairs, port):
    fields = b"".join(b"%s: %s\r\n" % pair for pair in pairs)
    path = b"/metrics" if port == "metrics_port" else b"/v2"
    found = status(guarded, port, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (path, fields))
    assert found in REST_REFUSALS | {0}


@PLAIN
@given(path=st.binary(max_size=60).map(lambda raw: bytes(b for b in raw if b not in b" \r\n")))
def test_paths(guarded, path):
    found = status(guarded, "http_port", b"GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
    assert found in REST_REFUSALS | {0}


@PLAIN
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(["authorization", "x-api-key", "authorization-bin"]), st.text(max_size=60)),
        max_size=3,
    )
)
def test_grpc(guarded, pairs):
    sent = tuple((name, value.encode() if name.endswith("-bin") else value) for name, value in pairs)
    with guarded.served.channel() as channel:
        code = ended(channel, sent)
    assert code in GRPC_REFUSALS | {None}


def ended(channel, metadata) -> grpc.StatusCode | None:
    """How a call ended; None when the client did not send it."""
    try:
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", metadata=metadata, timeout=30)
    except grpc.RpcError as error:
        return error.code()
    except (ValueError, UnicodeEncodeError):
        return None
    return grpc.StatusCode.OK


def test_a_very_long_token_and_very_many_headers(guarded):
    served = guarded.served
    assert served.ask("GET", "/v2", headers={"authorization": "Bearer " + "a" * 60_000}).status in (401, 431)
    assert served.ask("GET", "/v2", headers={"x-api-key": "a" * 300}).status == 401
    assert served.metrics(headers={"authorization": "Bearer " + "a" * 60_000}).status in (401, 431)


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
def test_the_scheme_is_of_any_case(guarded, form):
    headers = {"authorization": form.format(guarded.keys.tokens["all"])}
    assert guarded.served.ask("GET", "/v2", headers=headers).status == 200
    assert guarded.served.metrics(headers=headers).status == 200


def test_an_api_key_is_as_good(guarded):
    headers = {"X-API-Key": guarded.keys.tokens["all"]}
    assert guarded.served.ask("GET", "/v2", headers=headers).status == 200
    assert guarded.served.metrics(headers=headers).status == 200
