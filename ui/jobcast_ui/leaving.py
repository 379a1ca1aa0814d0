"""Visitors who close a page while it is answered."""

from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnected


def leavable(app: ASGIApp) -> ASGIApp:
    """The same app, for which a page that is gone is no error to log.

    Streamlit listens on to a page that could not be sent to, and takes Starlette's refusal for a wrong message.
    """

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(WebSocketDisconnected):
            await app(scope, receive, send)

    return served
