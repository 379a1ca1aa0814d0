"""The REST port: bound before anything is loaded, served by uvicorn on the server's own event loop."""

import asyncio
import logging
import socket
from typing import Any

import uvicorn

from jobcast_server.rest.connection import LONGEST_HEAD, Connection
from jobcast_server.rest.exchange import Exchange
from jobcast_server.security.tls import Certificates
from jobcast_server.settings import Settings
from jobcast_server.sockets import BACKLOG

KEEP_ALIVE_S = 75
"""Seconds that a connection may be idle: more than the 60 of common load balancers, which are to close first."""

HANDSHAKE_S = 10.0
"""Seconds that TLS may take to begin a connection, and to end it."""

TICKS = 10
"""Turns of uvicorn's clock between two looks at the connections."""


class Listener(uvicorn.Server):
    """Serves an application on a bound socket until it is stopped."""

    def __init__(
        self, app: Exchange, bound: socket.socket, settings: Settings, certificates: Certificates | None = None
    ) -> None:
        limits = {"most": 2 * settings.max_body_bytes + LONGEST_HEAD, "room": settings.max_connections}
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a caller's mistake is no line of the log
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Bounded", (Connection,), limits),
                ws="websockets-sansio",
                ws_max_size=settings.max_body_bytes,
                lifespan="off",
                interface="asgi3",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                backlog=BACKLOG,
            )
        )
        self._bound = bound
        self._certificates = certificates
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)
        await self.startup([self._bound])
        self._serving = asyncio.create_task(self.main_loop())

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, over TLS where that is on."""
        await self.lifespan.startup()
        tls: dict[str, Any] = {}
        if self._certificates is not None:
            tls = {"ssl": self._certificates.context}
            tls |= dict.fromkeys(("ssl_handshake_timeout", "ssl_shutdown_timeout"), HANDSHAKE_S)
        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_server(self._accept, sock=self._bound, backlog=BACKLOG, **tls)]
        self.started = True

    def _accept(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        connection: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    async def stop(self, seconds: float) -> None:
        """Take no more connections, and let those that are busy finish for at most `seconds`."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving
        # No time at all would be told as exceeded, by an error, also where nobody is waited for.
        self.config.timeout_graceful_shutdown = max(seconds, 0.05)  # type: ignore[assignment]
        await self.shutdown([self._bound])

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second."""
        if counter % TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now)
        return await super().on_tick(counter)
