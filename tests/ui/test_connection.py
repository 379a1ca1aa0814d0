"""What a visitor sees when the server does not answer, run without a browser."""

import httpx
import pytest
from jobcast import (
    DeadlineExceeded,
    Denied,
    InvalidInput,
    JobcastError,
    NotFound,
    Overloaded,
    ServerFault,
    Unavailable,
    Violation,
)
from jobcast_server.security import keys
from jobcast_server.security.keys import Key
from jobcast_server.security.scopes import Scope
from jobcast_ui import connection, place
from streamlit.testing.v1 import AppTest


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Unavailable("no server"), "unreachable"),
        (httpx.ConnectError("refused"), "unreachable"),
        (DeadlineExceeded("late"), "slow"),
        (httpx.ReadTimeout("late"), "slow"),
        (Overloaded("full"), "busy"),
        (Denied("no token"), "refused"),
        (NotFound("gone"), "missing"),
        (InvalidInput(Violation("address", "must be HOST:PORT")), "invalid"),
        (ServerFault("tells no schema", "SCHEMA"), "other release"),
        (ServerFault("no such method", "UNIMPLEMENTED"), "other release"),
        (ServerFault("broke", "INTERNAL"), "failed"),
        (JobcastError("odd"), "failed"),
    ],
)
def test_every_error_of_a_client_is_a_state_with_what_to_do(error, name):
    state = connection.state_of(error)
    assert state.name == name
    assert state.title
    assert state.advice.endswith(".")


def _failing(kind):
    import streamlit as st
    from jobcast import Overloaded
    from jobcast_ui import connection

    with connection.guarded():
        st.write("before")
        raise Overloaded("no room for 7 rows") if kind == "known" else ZeroDivisionError("of our own")
    st.write("behind")


@pytest.mark.parametrize(("kind", "title"), [("known", "The server is busy"), ("unknown", "This page failed")])
def test_a_page_ends_with_a_panel_and_a_button_instead_of_a_trace(kind, title):
    app = AppTest.from_function(_failing, kwargs={"kind": kind}).run()
    assert not app.exception
    assert f"**{title}.**" in app.error[0].value
    assert [one.label for one in app.button] == ["Retry"]
    assert [one.value for one in app.markdown] == ["before"]
    assert "Traceback" not in app.code[0].value


def test_a_wrong_address_is_told_with_its_rule(opened):
    app = opened("predict", at=place.Place(address="http://127.0.0.1:1"))
    assert "must be HOST:PORT without any scheme" in app.code[0].value


@pytest.fixture
def locked(start, tmp_path):
    """A server behind keys: where it is, and the token of a new key with these scopes."""

    def make(*scopes):
        token = keys.secret()
        key = Key(id="ui", sha256=keys.digest(token.encode()).hex(), scopes=frozenset(scopes))
        keys.write(tmp_path / "keys.json", (key,))
        served = start("--keys", str(tmp_path / "keys.json"))
        return place.Place(served.address, served.rest, served.metrics), token

    return make


def test_a_visitors_token_opens_the_server_for_this_session_only(opened, locked):
    at, token = locked(Scope.PREDICT, Scope.REPORT)
    app = opened("predict", at=at)
    assert "**The server refused.**" in app.error[0].value
    app.session_state[connection.TOKEN] = token
    app.run()
    assert not app.error
    app.selectbox(key="predict-model").set_value("build-memory").run()
    app.text_input(key="predict-build-memory-build_profile").set_value("linuxx86_64-gcc-release")
    app.button[0].click().run()
    *_, rest, rpc = (one.value for one in app.code)
    assert all("Bearer $JOBCAST_TOKEN" in line for line in (rest, rpc))
    assert all(token not in one.value for one in (*app.code, *app.markdown, *app.caption))
    other = opened("predict", at=at)
    assert "**The server refused.**" in other.error[0].value


def test_a_key_that_may_only_predict_names_its_model(opened, locked):
    at, token = locked(Scope.PREDICT)
    app = opened("predict", at=at)
    app.session_state[connection.TOKEN] = token
    app.run()
    app.text_input(key="predict-model-named").set_value("llm-latency").run()
    app.button[0].click().run()
    assert not app.error
    assert app.table[0].value["amount"][0].endswith(" ms")
