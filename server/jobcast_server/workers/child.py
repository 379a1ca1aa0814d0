"""A worker as the supervisor sees it: its process, the channel to it, and what it told last."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from jobcast_server.errors import BundleError, StartupError
from jobcast_server.settings import Settings
from jobcast_server.workers.channel import NOTHING, Channel, Told
from jobcast_server.workers.merge import Families, read
from jobcast_server.workers.seat import Seat

END_S = 1.0
"""Seconds for the last bytes of a process that has ended."""

Answer = Callable[["Child", str, Any, bytes], Awaitable[Told]]


class Child:
    """One process.

    Attributes:
        seat: its place. process: it. channel: to it. counted: its metrics as it told them last.
        ready: what it said of itself once it was; None before. since: when that was, on the loop's clock.
        failed: why it cannot start.
        asking: what reads its metrics at the moment, if anything.
    """

    channel: Channel

    def __init__(self, seat: Seat, process: asyncio.subprocess.Process, answer: Answer) -> None:
        self.seat = seat
        self.process = process
        self.counted: Families = {}
        self.ready: dict[str, Any] | None = None
        self.since = 0.0
        self.failed: StartupError | None = None
        self.asking: asyncio.Task[None] | None = None
        self._answer = answer
        self._settled = asyncio.Event()

    @classmethod
    async def begin(cls, settings: Settings, seat: Seat, answer: Answer) -> "Child":
        """Start a process; `answer` gets what it asks."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "jobcast_server.workers.worker", str(theirs.fileno()),
                stdin=asyncio.subprocess.PIPE, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        child = cls(seat, process, answer)
        child.channel = await Channel.open(ours, child.take)
        told = {"settings": settings.model_dump(mode="json"), "seat": asdict(seat)}
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):  # it has ended already, which is told below
                process.stdin.write(json.dumps(told).encode())
                await process.stdin.drain()
            process.stdin.close()
        return child

    async def take(self, verb: str, told: Any, body: bytes) -> Told:
        """Take what it says of itself; the rest is asked of the others."""
        match verb:
            case "ready":
                self.ready, self.since = told, asyncio.get_running_loop().time()
                self._settled.set()
            case "failed":
                text, bundle = told
                self.failed = (BundleError if bundle else StartupError)(text)
                self._settled.set()
            case "last":
                self.counted = read(body)
                return NOTHING
        return await self._answer(self, verb, told, body)

    async def until_ready(self) -> dict[str, Any]:
        """What it says of itself once it is ready.

        Raises:
            StartupError: it cannot start, or has ended.
        """
        settled = asyncio.create_task(self._settled.wait())
        ended = asyncio.create_task(self.ended())
        try:
            await asyncio.wait((settled, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
            ended.cancel()
        if self.ready is not None:
            return self.ready
        raise self.failed or StartupError(f"workers: worker {self.seat.number} {self.reason()} before it was ready")

    async def ended(self) -> None:
        """Wait until the process has ended and all it said has been taken."""
        await self.process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.channel.ended.wait(), END_S)

    def reason(self) -> str:
        """How it ended."""
        code = self.process.returncode or 0
        if self.failed is not None:
            return f"cannot start: {self.failed}"
        return f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
