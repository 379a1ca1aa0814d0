"""The gate before REST: requests and sockets go on to the application, or are refused before their bodies are read."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from jobcast_server.errors import ForbiddenError, RequestError
from jobcast_server.rest import paths
from jobcast_server.rest.body import JSON, Receive, Scope, Send
from jobcast_server.rest.faults import HttpError, Refusal, refusal
from jobcast_server.security import scopes
from jobcast_server.security.audit import SUCCESS
from jobcast_server.security.gate import ANYBODY, Gate
from jobcast_server.security.keyring import Caller

REFUSED = "Refused"
"""Operation of a request that did not get in."""

POLICY = 1008
"""Code that ends a socket whose key is in force no more."""

CHANGING = frozenset(("POST /outcomes",))
"""Besides administration, what changes something, and a page of another site must not ask for."""

App = Callable[[Scope, Receive, Send], Awaitable[str]]


class Door:
    """Stands before the application."""

    def __init__(self, app: App, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> str:
        """Let in a request or a socket; gives its operation."""
        socket = scope["type"] == "websocket"
        call = f"WEBSOCKET {scope['path']}" if socket else _call(scope)
        opens = scopes.of(call)
        changes = opens == scopes.ADMIN or call in CHANGING
        if self._gate.open and not changes and not socket:
            return await self._app(scope, receive, send)
        peer = _peer(scope)
        try:
            if changes or socket:
                _check_origin(scope)
            caller = self._gate.check(call, scope["headers"])
        except RequestError as error:
            self._gate.tell(call, peer, error)
            await _refuse(refusal(error), receive, send, socket=socket)
            return REFUSED
        if socket and caller is not ANYBODY:
            return await self._socket(caller, scope, receive, send)
        if opens == scopes.ADMIN:
            return await self._act(call, peer, caller, scope, receive, send)
        return await self._app(scope, receive, send)

    async def _act(self, call: str, peer: str, caller: Caller, scope: Scope, receive: Receive, send: Send) -> str:
        written = False

        def write(status: int) -> None:
            nonlocal written
            written = True
            self._gate.acted(call, peer, caller, SUCCESS if 200 <= status < 300 else f"failed ({status})")

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                write(message["status"])  # who has the answer finds its line
            await send(message)

        try:
            return await self._app(scope, receive, told)
        finally:
            if not written:
                write(0)

    async def _socket(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> str:
        """A socket, which ends when its key does."""
        ending: asyncio.Task[None] | None = None
        first = True  # the call itself counted for the first message

        async def end() -> None:
            await caller.ended.wait()
            await send({"type": "websocket.close", "code": POLICY, "reason": "the key was revoked, or has expired"})

        async def told(message: Any) -> None:
            nonlocal ending
            await send(message)
            if message["type"] == "websocket.accept":
                ending = asyncio.create_task(end())

        async def heard() -> Any:
            nonlocal first
            message = await receive()
            if message["type"] == "websocket.receive":
                if not first:
                    await caller.pace()
                first = False
                if caller.ended.is_set():
                    return {"type": "websocket.disconnect", "code": POLICY}
            return message

        try:
            return await self._app(scope, heard, told)
        finally:
            if ending is not None:
                ending.cancel()


def _call(scope: Scope) -> str:
    verb: str = scope["method"]
    try:
        return f"{verb} {paths.canonical(scope['raw_path'].decode('ascii'))}"
    except (HttpError, UnicodeDecodeError):  # no name of anything
        return f"{verb} "


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def _check_origin(scope: Scope) -> None:
    """Refuse what a browser asks for on behalf of a page of another site.

    Raises:
        ForbiddenError: the page is of another origin than this server.
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None:
        return
    try:
        site = urlsplit(origin.decode("latin-1")).netloc
    except ValueError:
        site = ""
    if not site or site.lower() != headers.get(b"host", b"").decode("latin-1").lower():
        raise ForbiddenError("origin: must be this server or absent; pages of other sites may not ask for this")


async def _refuse(told: Refusal, receive: Receive, send: Send, *, socket: bool) -> None:
    prefix = "websocket.http.response" if socket else "http.response"
    if socket:
        await receive()
    headers = [(b"content-type", JSON), (b"content-length", str(len(told.body)).encode()), *told.headers]
    await send({"type": f"{prefix}.start", "status": told.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": told.body})
    if socket:
        for _ in ("refused", "gone"):  # uvicorn takes it for a fault when this ends before the connection
            await receive()
