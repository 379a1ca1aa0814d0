"""Nothing answers without the right key: every gRPC method that reflection tells of, every path of the OpenAPI
document, the socket and the metrics, tried without a key, with wrong ones and with a key of every other scope."""

import asyncio
import re
from collections.abc import Iterator

import grpc
import pytest
import websockets
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from jobcast_server.security import scopes
from jobcast_server.security.scopes import Scope

UNTOLD = {
    "/jobcast.Echo/Echo", "/jobcast.Echo/EchoStream",
    *(f"/inference.GRPCInferenceService/{kind}SharedMemory{act}" for kind in ("System", "Cuda")
      for act in ("Status", "Register", "Unregister")),
    "/inference.GRPCInferenceService/TraceSetting", "/inference.GRPCInferenceService/LogSettings",
}  # fmt: skip
"""Methods for measuring, and those that answer that they are not offered: reflection does not tell of them."""

REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SOCKETS = ("/ws/predict",)


def methods(guarded) -> list[str]:
    """Every method of every service, from reflection alone."""
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with guarded.served.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        def ask(request):
            return next(stub.ServerReflectionInfo(iter([request]), metadata=guarded.keys.metadata("predict")))

        names = [service.name for service in ask(asked[0]).list_services_response.service]
        found = []
        for name in names:
            answer = ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
            for raw in answer.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(raw)
                for service in file.service:
                    if f"{file.package}.{service.name}" == name:
                        found += [f"/{name}/{method.name}" for method in service.method]
    assert len(names) >= 4
    return found


def call(channel: grpc.Channel, path: str, metadata=()) -> grpc.StatusCode:
    """How a call with one empty message ends, of any kind; a first answer is enough."""
    under_way = channel.stream_stream(path)(iter([b""]), metadata=metadata, timeout=30)
    try:
        for _ in under_way:
            under_way.cancel()
            break
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def wrong(guarded) -> Iterator[tuple[tuple[str, str], ...]]:
    """Credentials that are none."""
    token = guarded.keys.tokens["all"]
    last = "A" if token[-1] != "A" else "B"
    yield ()
    for text in (f"Bearer {token[:-1]}{last}", f"Bearer {token}x", "Bearer", "Bearer ", token, f"Basic {token}"):
        yield (("authorization", text),)
    yield (("x-api-key", token.swapcase()),)
    yield (("authorization", f"Bearer {token}"), ("x-api-key", token))
    yield (("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}"))
    yield (("api-key", token), ("token", token), ("cookie", f"token={token}"))


def test_every_method_of_grpc_asks_for_a_key(guarded):
    with guarded.served.channel() as channel:
        for path in sorted({*methods(guarded), *UNTOLD}):
            opens = scopes.of(path)
            assert opens, f"{path} is served, and not in the table of scopes"
            for metadata in wrong(guarded):
                assert call(channel, path, metadata) is grpc.StatusCode.UNAUTHENTICATED, (path, metadata)
            for scope in Scope:
                status = call(channel, path, guarded.keys.metadata(scope))
                assert (status not in REFUSED) == (scope in opens), (path, scope, status)
                if opens == {scope}:
                    others = call(channel, path, guarded.keys.metadata(f"not-{scope}"))
                    assert others is grpc.StatusCode.PERMISSION_DENIED, (path, scope)


def filled(path: str) -> str:
    """A path of the document with a value in place of each name."""
    return re.sub(r"\{(\w+)\}", lambda match: {"name": "hpc-runtime", "version": "1"}.get(match[1], "some"), path)


def test_every_path_of_rest_asks_for_a_key(guarded):
    served, keys = guarded.served, guarded.keys
    paths = served.ask("GET", "/openapi.json", headers=keys.headers("report")).json()["paths"]
    assert len(paths) > 20
    for path, operations in paths.items():
        for verb in VERBS:
            for headers in (None, {"authorization": "Bearer jc_none"}):
                answer = served.ask(verb, filled(path), headers=headers)
                assert answer.status == 401, (verb, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            if verb.lower() not in operations:
                assert served.ask(verb, filled(path), headers=keys.headers("all")).status in (403, 405), (verb, path)
        for verb in operations:
            opens = scopes.HTTP.get(f"{verb.upper()} {path}")
            assert opens, f"{verb} {path} is served, and not in the table of scopes"
            for scope in Scope:
                name = "nothing" if path.endswith("load") else "hpc-runtime"  # what is tested goes on serving
                filling = filled(path.replace("{name}", name))
                status = served.ask(verb.upper(), filling, headers=keys.headers(scope)).status
                assert (status not in (401, 403)) == (scope in opens), (verb, path, scope, status)
                assert status < 500 or status == 503, (verb, path, scope, status)


def test_every_wrong_credential_is_refused_over_rest(guarded):
    for metadata in wrong(guarded):
        if len({name for name, _ in metadata}) == len(metadata):
            assert guarded.served.ask("GET", "/v2", headers=dict(metadata)).status == 401, metadata


@pytest.mark.parametrize("path", ["/", "/v2/", "/v2/nothing", "/metrics", "/v2/models/a/b/c", "//v2", "/docs/", "/%ff"])
def test_what_is_not_in_the_table_nobody_gets(guarded, path):
    assert guarded.served.ask("GET", path).status == 401
    assert guarded.served.ask("GET", path, headers=guarded.keys.headers("all")).status == 403


def test_a_method_that_is_not_served_is_told_so_to_all(guarded):
    with guarded.served.channel() as channel:  # clients try newer versions of reflection first, and go by this
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        assert call(channel, path, guarded.keys.metadata("predict")) is grpc.StatusCode.UNIMPLEMENTED


def test_the_socket_asks_for_a_key(guarded):
    async def knock(path: str, headers: dict[str, str]) -> int:
        url = f"ws://127.0.0.1:{guarded.served.ready['http_port']}{path}"
        try:
            async with websockets.connect(url, additional_headers=headers):
                return 101
        except websockets.InvalidStatus as error:
            return int(error.response.status_code)

    async def all_of_them() -> None:
        for path in SOCKETS:
            opens = scopes.HTTP[f"WEBSOCKET {path}"]
            assert await knock(path, {}) == 401
            assert await knock(path, {"authorization": "Bearer jc_none"}) == 401
            for scope in Scope:
                assert await knock(path, guarded.keys.headers(scope)) == (101 if scope in opens else 403)
        for path in ("/ws", "/", "/ws/predict/", "/predict"):
            assert await knock(path, {}) == 401
            assert await knock(path, guarded.keys.headers("all")) == 403

    asyncio.run(all_of_them())


def test_the_metrics_ask_for_a_key(guarded):
    served, keys = guarded.served, guarded.keys
    for path in ("/metrics", "/", "/anything", "/v2/health/live", "/docs"):
        for verb in ("GET", "POST", "OPTIONS"):
            answer = served.metrics(path, method=verb)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            found = served.metrics(path, keys.headers("all"), method=verb).status
            assert found == (200 if (verb, path) == ("GET", "/metrics") else 403), (verb, path)
    for scope in Scope:
        assert served.metrics(headers=keys.headers(scope)).status == (200 if scope is Scope.REPORT else 403)
    assert b"jobcast_refused_total" in served.metrics(headers=keys.headers("report")).body


def test_the_table_has_no_line_for_nothing(guarded):
    paths = guarded.served.ask("GET", "/openapi.json", headers=guarded.keys.headers("all")).json()["paths"]
    told = {f"{verb.upper()} {path}" for path, operations in paths.items() for verb in operations}
    told |= {*methods(guarded), *UNTOLD, *(f"WEBSOCKET {path}" for path in SOCKETS), "METRICS /metrics"}
    silent = {call for call, _ in scopes.table()} - told
    assert all(re.search("sharedmemory|trace/setting|logging", call) for call in silent), silent


def test_what_changes_the_server_is_for_administrators_alone():
    admin = {call for call, opens in scopes.table() if opens == scopes.ADMIN}
    assert {call for call in admin if re.search("(?i)load|train|table", call)} == admin
    changing = {call for call, _ in scopes.table() if re.search("(?i)/load|unload|Load|POST /train|/table/", call)}
    assert changing == admin


def test_long_paths_of_strangers_are_not_remembered():
    before = scopes._matched.cache_info().currsize
    for number in range(10):
        assert scopes.of(f"GET /{'x' * 10_000}{number}") is None
    assert scopes._matched.cache_info().currsize == before
