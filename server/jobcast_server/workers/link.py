"""What a worker says to the others and asks of them, by way of the supervisor.

When the supervisor says so, or is gone, `stop` is set: a worker never outlives it.
"""

import asyncio
import re
import socket
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from jobcast_server.errors import NotReadyError
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.ledger import Prediction
from jobcast_server.taskpredictor.others import Counts
from jobcast_server.workers.channel import NOTHING, Channel, GoneError, Told
from jobcast_server.workers.seat import Seat

OWNER = re.compile(r"[0-9a-f]{8}w(\d{1,2})-[0-9a-f]+")
"""Id of a prediction; the number is that of the worker that made it."""

LAST_WORDS_S = 5.0
"""Seconds in which what the others have asked must be answered when the server has stopped."""


class Link:
    """A worker's end of the channel.

    Attributes:
        seat: which worker this is. stop: set when it is to drain and end.
    """

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.stop = asyncio.Event()
        self._channel: Channel | None = None
        self._duties: asyncio.Future[Callable[[str, Any, bytes], Awaitable[Told]]]
        self._duties = asyncio.get_running_loop().create_future()
        self._look = asyncio.Event()
        self._mourning: asyncio.Task[None] | None = None

    async def open(self, end: socket.socket) -> None:
        """Begin to listen."""
        self._channel = await Channel.open(end, self._answer)
        self._mourning = asyncio.create_task(self._mourn())

    async def close(self) -> None:
        """Tell what was counted, answer what was asked, and end."""
        if self._duties.done():
            _, counted = await self._duties.result()("metrics", None, b"")
            self.tell("last", None, counted)
        if self._mourning is not None:
            self._mourning.cancel()
        if self._channel is not None:
            await self._channel.close(LAST_WORDS_S)

    def serve(self, duties: Callable[[str, Any, bytes], Awaitable[Told]]) -> None:
        """Answer by `duties` from now on."""
        self._duties.set_result(duties)

    def tell(self, verb: str, told: Any = None, body: bytes = b"") -> None:
        """Tell the supervisor: `ready`, `failed`, or `last` counts."""
        if self._channel is not None:
            self._channel.tell(verb, told, body)

    async def looked(self) -> None:
        """Wait until all workers are to look at the folder."""
        await self._look.wait()
        self._look.clear()

    async def change(self, act: str, name: str) -> None:
        """Load, unload or follow a model in every worker.

        Raises:
            RequestError: as the repository's own methods, of the worker where it went wrong.
        """
        await self._ask("change", [act, name])

    async def first(self, told: Any, body: bytes) -> Told:
        """Have the first worker answer a request.

        Raises:
            NotReadyError: it is being started.
        """
        return await self._ask("first", told, body)

    async def recall(self, identities: Collection[str]) -> dict[str, Prediction]:
        """Predictions of other workers, by their ids."""
        wanted: dict[int, list[str]] = {}
        for identity in identities:
            found = OWNER.fullmatch(identity)
            if found and (owner := int(found[1])) != self.seat.number and owner < self.seat.count:
                wanted.setdefault(owner, []).append(identity)
        recalled: dict[str, Prediction] = {}
        for owner, asked in wanted.items():
            told, _ = await self._ask("of", [owner, "recall", asked])
            recalled |= {identity: tuple(prediction) for identity, prediction in (told or {}).items()}
        return recalled

    async def counts(self) -> list[Counts]:
        """What each of the others predicted."""
        told, _ = await self._ask("others", "counts")
        return [{Key(*key): Counter(methods) for key, methods in lines} for lines in told]

    async def statistics(self, name: str, version: str) -> list[bytes]:
        """Serialized statistics of each of the others."""
        told, _ = await self._ask("others", ["statistics", name, version])
        return [b64decode(one) for one in told]

    async def _ask(self, verb: str, told: Any = None, body: bytes = b"") -> Told:
        if self._channel is None:
            raise NotReadyError("workers: this one is not linked to the others yet; come back later")
        try:
            return await self._channel.ask(verb, told, body)
        except GoneError:
            raise NotReadyError("workers: the supervisor is gone and this server stops; call another one") from None

    async def _answer(self, verb: str, told: Any, body: bytes) -> Told:
        if verb == "stop":
            self.stop.set()
            return NOTHING
        if verb == "look":
            self._look.set()
            return NOTHING
        if verb == "beat" and not self._duties.done():
            return NOTHING
        duties = await self._duties
        return await duties(verb, told, body)

    async def _mourn(self) -> None:
        if self._channel is not None:
            await self._channel.ended.wait()
            self.stop.set()
