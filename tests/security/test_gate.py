"""The gate by itself, with whatever headers: no key, no way in; and its errors tell no secret."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jobcast_server.counting import PYTHON
from jobcast_server.errors import ForbiddenError, RateLimitedError, RequestError, UnauthenticatedError
from jobcast_server.security import keys as keyfile
from jobcast_server.security import scopes
from jobcast_server.security.audit import Audit
from jobcast_server.security.gate import ANYBODY, Gate
from jobcast_server.security.keyring import Keyring
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope

TOKEN = "jc_" + "t" * 43
INFER = "/inference.GRPCInferenceService/ModelInfer"
LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"


def key(name: str, token: str, *held: Scope, **more: float) -> Key:
    return Key(id=name, sha256=keyfile.digest(token.encode()).hex(), scopes=frozenset(held), **more)


def gate(*held: Key, admin: bool = True, open_health: bool = False) -> Gate:
    return Gate(Keyring(held, PYTHON), Audit(None), admin=admin, open_health=open_health)


GUARDED = gate(key("all", TOKEN, *Scope))

names = st.one_of(
    st.sampled_from(
        ["authorization", "x-api-key", "Authorization", "X-API-Key", "authorization ", "proxy-authorization"]
    ),
    st.text(max_size=12),
)
values = st.one_of(
    st.sampled_from(
        [
            TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER\t{TOKEN}", f"Bearer {TOKEN},{TOKEN}",
            f"Bearer {TOKEN}\x00", f"Bearer {TOKEN}\n", f"Bearer {TOKEN} {TOKEN}", f"Basic {TOKEN}", "Bearer",
            "Bearer " + "a" * 9999, TOKEN.upper(), TOKEN[:-1], keyfile.digest(TOKEN.encode()).hex(), "null",
            f"Bearer{TOKEN}", "", "*",
        ]
    ),
    st.text(max_size=80),
    st.text(max_size=60).map(lambda text: f"Bearer {text}"),
)  # fmt: skip
headers = st.lists(st.tuples(names, values), max_size=4)
as_bytes = st.lists(
    st.tuples(names.map(lambda n: n.encode("utf-8", "surrogatepass")), st.binary(max_size=80)), max_size=4
)
calls = st.one_of(st.sampled_from([call for call, _ in scopes.table()]), st.text(max_size=60))


def holds_the_token(pairs) -> bool:
    """Whether these headers give the token as they should: the law, written another way than the gate's."""
    found = []
    for name, value in pairs:
        name = name if isinstance(name, str) else name.decode("utf-8", "surrogatepass")
        value = value if isinstance(value, str) else value.decode("latin-1")
        if name in ("authorization", "x-api-key"):
            found.append((name, value))
    if len(found) != 1:
        return False
    name, value = found[0]
    words = [word for word in value.replace("\t", " ").split(" ") if word]
    return (
        words == [TOKEN]
        if name == "x-api-key"
        else len(words) == 2 and words[0].lower() == "bearer" and words[1] == TOKEN
    )


@settings(max_examples=400, deadline=None)
@given(call=calls, given_headers=st.one_of(headers, as_bytes))
@example(call=INFER, given_headers=[("authorization", f"Bearer {TOKEN}")])
@example(call=INFER, given_headers=[(b"x-api-key", TOKEN.encode())])
@example(call=INFER, given_headers=[("authorization", f"Bearer {TOKEN}"), ("x-api-key", "")])
def test_whatever_the_headers_are_only_the_token_opens(call, given_headers):
    told = ""
    try:
        caller = GUARDED.check(call, given_headers)
    except UnauthenticatedError as error:
        assert not holds_the_token(given_headers)
        told = str(error)
    except ForbiddenError:
        assert holds_the_token(given_headers)
        assert scopes.of(call) is None
    else:
        assert holds_the_token(given_headers)
        assert caller.id == "all"
    assert TOKEN not in told


@settings(max_examples=300, deadline=None)
@given(call=st.text(max_size=80))
def test_no_call_outside_the_table_is_opened(call):
    assert scopes.of(call) is None or any(call.startswith(known.partition("{")[0]) for known, _ in scopes.table())


@pytest.mark.parametrize(
    "call",
    [
        "POST /v2/models//infer", "POST /v2/models/a/b/infer", "POST /v2/models/a/infer/", "post /v2/models/a/infer",
        "GET /v2/models/a/infer", "POST /v2/models/a/infer\n", " POST /v2/models/a/infer",
        "POST /predict/single/a/b/c/d",
        "/inference.GRPCInferenceService/modelinfer", "/inference.GRPCInferenceService/ModelInfer/", "GET /metrics",
        "METRICS /", "METRICS /v2/health/live", "WEBSOCKET /ws", "GET /v2/health/live/", "",
    ],
)  # fmt: skip
def test_near_misses_are_misses(call):
    assert scopes.of(call) is None
    with pytest.raises(ForbiddenError):
        gate(key("all", TOKEN, *Scope), open_health=True).check(call, [("x-api-key", TOKEN)])


def test_open_health_opens_health_and_nothing_else():
    opened = gate(open_health=True)
    found = set()
    for call, _ in scopes.table():
        try:
            assert opened.check(call, []) is ANYBODY
            found.add(call)
        except UnauthenticatedError:
            pass
    health = {f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch")}
    assert found == health | {"GET /v2/health/live", "GET /v2/health/ready"}


def test_no_scope_holds_another():
    for held in Scope:
        guard = gate(key("one", TOKEN, held))
        for call, opens in scopes.table():
            try:
                guard.check(call, [("x-api-key", TOKEN)])
                assert held in opens
            except ForbiddenError:
                assert held not in opens


def test_a_rate_is_taken_once_for_each_call_that_goes_on():
    guard = gate(key("slow", TOKEN, Scope.PREDICT, rate=0.001, burst=2))
    right = [("x-api-key", TOKEN)]
    for _ in range(5):
        with pytest.raises(ForbiddenError):
            guard.check(LOAD, right)
        guard.check(INFER, right, paid=True)
    guard.check(INFER, right)
    guard.check(INFER, right)
    with pytest.raises(RateLimitedError, match=r"0\.001 times a second, 2 at once") as caught:
        guard.check(INFER, right)
    assert caught.value.seconds == math.ceil(1 / 0.001)


@pytest.mark.parametrize("guarded", [True, False])
def test_the_switch_of_administration_is_above_every_key(guarded):
    held = Keyring([key("all", TOKEN, *Scope)], PYTHON) if guarded else None
    guard = Gate(held, Audit(None), admin=False, open_health=False)
    for call, opens in scopes.table():
        if opens == scopes.ADMIN:
            with pytest.raises(ForbiddenError, match="--admin on"):
                guard.check(call, [("x-api-key", TOKEN)])
        else:
            guard.check(call, [("x-api-key", TOKEN)])


def test_an_expired_key_is_as_none():
    over = Key(
        id="a", sha256=keyfile.digest(TOKEN.encode()).hex(), scopes=scopes.ANY, expires=datetime(2020, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(UnauthenticatedError, match="expired"):
        gate(over).check(INFER, [("x-api-key", TOKEN)])


def test_without_keys_everybody_may():
    guard = Gate(None, Audit(None), admin=True, open_health=False)
    for call in ("", "anything", LOAD, *(call for call, _ in scopes.table())):
        assert guard.check(call, []) is ANYBODY


def test_every_refusal_has_a_status():
    from jobcast_server.status import status_of

    told: list[RequestError] = [UnauthenticatedError("x"), ForbiddenError("x"), RateLimitedError("x", 1)]
    assert [status_of(error).http for error in told] == [401, 403, 429]
    assert [status_of(error).code for error in told] == [
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
    ]
