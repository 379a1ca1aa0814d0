"""The clients of this session, and what a visitor sees when the server does not answer: never a stack trace.

    with guarded():
        client = connection.inference()
        ...

Whatever the client raises inside ends the page there with a panel that says what happened, what to do, and a button to
try again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import streamlit as st
from jobcast import (
    AccessFields,
    Client,
    DeadlineExceeded,
    Denied,
    InferenceClient,
    InvalidInput,
    JobcastError,
    NotFound,
    Overloaded,
    ServerFault,
    Unavailable,
)

from jobcast_ui.place import Place, current

TOKEN = "jobcast-token"  # noqa: S105 - the name of a field
"""Where the session keeps the token that its visitor typed."""

OTHER_RELEASE = frozenset(("SCHEMA", "UNIMPLEMENTED"))
"""Codes of `ServerFault` that a server of another release gives."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How the server is, to a visitor.

    Attributes:
        name: `unreachable`, `slow`, `busy`, `refused`, `missing`, `invalid`, `other release` or `failed`.
        title, advice: what happened, and what to do, as Markdown.
    """

    name: str
    title: str
    advice: str


def inference() -> InferenceClient:
    """The session's client of any model.

    Raises:
        InvalidInput: address, token or files of TLS are none.
    """
    return _inference(current(), _token())


def jobs() -> Client:
    """The session's client of the run-time contract; raises as `inference` does."""
    return _jobs(current(), _token())


def access() -> AccessFields:
    """What opens the server, for a client of another kind."""
    place = current()
    return {"token": _token(), "tls_ca": place.tls_ca, "tls_cert": place.tls_cert, "tls_key": place.tls_key}


@contextmanager
def guarded() -> Iterator[None]:
    """A part of a page that needs the server; also a decorator of such a function."""
    try:
        yield
    except (JobcastError, httpx.HTTPError) as error:
        _panel(state_of(error), str(error))
    except Exception as error:
        log.exception("the page failed")
        _panel(State("failed", "This page failed", FAULT), f"{type(error).__name__}: {error}")


def state_of(error: Exception) -> State:
    """What a visitor is told of an error of a client."""
    place = current()
    match error:
        case Denied():
            return State("refused", "The server refused", REFUSED)
        case Unavailable() | httpx.ConnectError():
            return State("unreachable", f"No server at {place.address}", UNREACHABLE)
        case DeadlineExceeded() | httpx.TimeoutException():
            return State("slow", f"No answer within {place.timeout:g} s", SLOW)
        case Overloaded():
            return State("busy", "The server is busy", BUSY)
        case NotFound():
            return State("missing", "The server does not have this", MISSING)
        case InvalidInput():
            return State("invalid", "This cannot be asked", INVALID)
        case ServerFault(code=code) if code in OTHER_RELEASE:
            return State("other release", "The server is of another release", OTHER)
        case _:
            return State("failed", "The server failed", FAILED)


UNREACHABLE = "Start one with `make serve` or `jobcast serve`, or name a running one: `jobcast ui --address HOST:PORT`."
SLOW = "It may be starting or overloaded. Try again in a moment, or give it longer: `jobcast ui --timeout SECONDS`."
BUSY = "It sheds load. Try again in a moment."
REFUSED = "Type the token of a key that opens this into the field **Token** at the side, or start with `JOBCAST_TOKEN`."
MISSING = "It may have been unloaded. Try again to see what is there now."
INVALID = "Mend what the message names."
OTHER = "Install the app and the server from one release."
FAILED = "Try again; if it stays so, look at the server's log."
FAULT = "Try again; if it stays so, look at the log of `jobcast ui`."


def sidebar() -> None:
    """Which server the numbers come from, and the field for a token."""
    with st.sidebar:
        st.text_input(
            "Token", key=TOKEN, type="password", autocomplete="off",
            help="Of a key of the server, where it wants one. Kept for this session only.",
        )  # fmt: skip
        st.caption(f"Server: `{current().address}`")


def _panel(state: State, text: str) -> None:
    with st.container(border=True, key=f"state-{state.name.replace(' ', '-')}"):
        st.error(f"**{state.title}.** {state.advice}", icon=":material/cloud_off:")
        st.code(text, language=None, wrap_lines=True)
        st.button("Retry", icon=":material/refresh:", on_click=forget, key=f"retry-{state.name}")
    st.stop()


def forget() -> None:
    """Drop this session's clients, so that the next call connects anew instead of waiting for the old one's turn."""
    _inference.clear()
    _jobs.clear()


def _token() -> str | None:
    return st.session_state.get(TOKEN) or None


def _closed(client: InferenceClient | Client) -> None:
    client.close()


@st.cache_resource(scope="session", show_spinner=False, on_release=_closed)
def _inference(place: Place, token: str | None) -> InferenceClient:
    return InferenceClient(place.address, timeout=place.timeout, **_fields(place, token))


@st.cache_resource(scope="session", show_spinner=False, on_release=_closed)
def _jobs(place: Place, token: str | None) -> Client:
    return Client(place.address, timeout=place.timeout, **_fields(place, token))


def _fields(place: Place, token: str | None) -> AccessFields:
    return {"token": token, "tls_ca": place.tls_ca, "tls_cert": place.tls_cert, "tls_key": place.tls_key}
