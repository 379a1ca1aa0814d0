"""The workers of one server: started together, kept alive, ended together."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import structlog

from jobcast_server.errors import InternalError, NotReadyError
from jobcast_server.settings import Settings
from jobcast_server.workers.changes import Changes
from jobcast_server.workers.channel import NOTHING, GoneError, Told
from jobcast_server.workers.child import Child
from jobcast_server.workers.counts import Counts
from jobcast_server.workers.seat import Seat

DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a worker that ended is started again, the first time and those that follow it."""

HEALTHY_S = 60.0
"""Seconds after which a ready worker's earlier ends are forgotten."""

GRACE_S = 3.0
"""Seconds that a worker may need beyond those of its drain, for refusals to reach callers."""

TRAINING_S = 10.0
"""Seconds that the first worker may need beyond those, for a training to end."""

PATIENCE_S = 5.0
"""Seconds in which a worker must say what another one asks of it."""

START_S = 60.0
"""Seconds that a worker which starts may be silent."""

BEAT_S = 1.0
"""Seconds between the questions whether a worker is alive."""

log = structlog.get_logger()


class Crew:
    """Keeps `settings.workers` workers.

    Attributes:
        counts: their metrics.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics_port = 0
        self._children: dict[int, Child] = {}
        self._keeping: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._restarts = [0] * settings.workers
        self._changes = Changes(settings, self.children)
        self.counts = Counts(self.children, self._restarts)

    def children(self) -> Iterator[Child]:
        """Those that are there."""
        return iter(list(self._children.values()))

    async def start(self, metrics_port: int) -> dict[str, Any]:
        """Start all; gives what the first says of itself once all are ready.

        Raises:
            StartupError: one cannot start; none is left.
        """
        self._metrics_port = metrics_port
        try:
            for number in range(self._settings.workers):
                await self._begin(number, again=False)
            ready = [asyncio.create_task(child.until_ready()) for child in self.children()]
            try:
                lines = await asyncio.gather(*ready)
            finally:
                for waiting in ready:
                    waiting.cancel()
        except BaseException:
            await self._end_all()
            raise
        for number, child in self._children.items():
            self._keeping[number] = asyncio.create_task(self._keep(number, child))
        return lines[0]

    def look(self) -> None:
        """Have all look at the folder now."""
        for child in self.children():
            child.channel.tell("look")

    async def stop(self) -> None:
        """Drain all together, and end those that are late."""
        self._stopping.set()
        for child in self.children():
            child.channel.tell("stop")
        due = self._settings.drain_delay + self._settings.drain_timeout + GRACE_S
        _, late = await asyncio.wait(self._keeping.values(), timeout=due)
        if self._keeping[0] in late:
            await asyncio.wait((self._keeping[0],), timeout=TRAINING_S)
        for child in self.children():
            log.error(
                "worker killed", worker=child.seat.number, pid=child.process.pid,
                reason=f"it did not end within {due:g} s (drain_delay and drain_timeout, and {GRACE_S:g} s)",
            )  # fmt: skip
            child.kill()
        await asyncio.gather(*self._keeping.values())

    async def _begin(self, number: int, *, again: bool) -> Child:
        """Start a worker, which is told what the others have."""
        async with self._changes.one:
            changes = self._changes
            follows = self._settings.model_control == "poll"
            seat = Seat(
                number, self._settings.workers, self._metrics_port, again,
                tuple(sorted(changes.wanted)), changes.serving if again and not follows else None,
            )  # fmt: skip
            beginning = asyncio.create_task(Child.begin(self._settings, seat, self._answer))
            try:
                await asyncio.shield(beginning)
            finally:  # where this is ended meanwhile there is a process all the same
                child = self._children[number] = await beginning
        log.info("worker started", worker=number, pid=child.process.pid)
        return child

    async def _keep(self, number: int, child: Child) -> None:
        """Start one again whenever it ends, until all are to end."""
        ends = 0
        while True:
            watching = asyncio.create_task(self._watch(child))
            await child.ended()
            watching.cancel()
            self._forget(child)
            if self._stopping.is_set():
                return
            lived = asyncio.get_running_loop().time() - child.since if child.ready is not None else 0.0
            ends = 0 if lived >= HEALTHY_S else ends
            log.error("worker lost", worker=number, pid=child.process.pid, reason=child.reason())
            begun = None
            while begun is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), DELAYS_S[min(ends, len(DELAYS_S) - 1)])
                    return
                ends += 1
                begun = await self._begin_again(number)
            child = begun

    async def _watch(self, child: Child) -> None:
        """End one that answers no more: it would keep its connections and get new ones, or never be there."""
        with contextlib.suppress(GoneError):
            while True:
                await asyncio.sleep(BEAT_S)
                starts = child.ready is None
                patience = max(self._settings.worker_timeout, START_S * starts)
                try:
                    await asyncio.wait_for(child.channel.ask("beat"), patience)
                except TimeoutError:
                    log.error(
                        "worker hangs", worker=child.seat.number, pid=child.process.pid,
                        reason=f"it answered nothing for {patience:g} s "
                        + ("at its start" if starts else "(worker_timeout)"),
                    )  # fmt: skip
                    child.kill()
                    return

    async def _begin_again(self, number: int) -> Child | None:
        """Start one in the place of one that ended; None where the system has no room for it."""
        try:
            child = await self._begin(number, again=True)
        except OSError as error:
            log.error("worker not started", worker=number, reason=str(error))
            return None
        self._restarts[number] += 1
        if self._stopping.is_set():
            child.channel.tell("stop")
        return child

    def _forget(self, child: Child) -> None:
        """Keep of one that has ended what it counted."""
        self.counts.ended(child)
        if self._children.get(child.seat.number) is child:
            del self._children[child.seat.number]
        child.channel.end()

    async def _end_all(self) -> None:
        ending = list(self.children())
        for child in ending:
            child.kill()
        for child in ending:
            await child.ended()
            child.channel.end()

    async def _answer(self, child: Child, verb: str, told: Any, body: bytes) -> Told:
        """Carry what one asks of the others."""
        match verb:
            case "failed":
                return NOTHING
            case "ready":
                self._changes.serving = self._changes.serving or told["serving"]
                if child.seat.again:
                    log.info("worker is back", worker=child.seat.number, pid=child.process.pid)
                return NOTHING
            case "change":
                await self._changes.make(*told)
                return NOTHING
            case "first":
                first = self._children.get(0)
                if first is None or first.ready is None:
                    raise NotReadyError(
                        "workers: the one that keeps outcomes and trains is being started again; come back later"
                    )
                return await first.channel.ask("first", told, body)
            case "of":
                number, *asked = told
                return await self._of(number, *asked), b""
            case "others":
                verb, *more = [told] if isinstance(told, str) else told
                asked = [one for one in self.children() if one is not child and one.ready is not None]
                answers = await asyncio.gather(*(self._of(one.seat.number, verb, more) for one in asked))
                return [answer for answer in answers if answer is not None], b""
        raise InternalError(f"workers: {verb} is not asked of the supervisor")

    async def _of(self, number: int, verb: str, told: Any) -> Any:
        """What one worker answers; None where it is not there."""
        child = self._children.get(number)
        if child is None or child.ready is None:
            return None
        try:
            answer, _ = await asyncio.wait_for(child.channel.ask(verb, told), PATIENCE_S)
        except GoneError:
            return None
        except TimeoutError:
            raise NotReadyError(f"workers: worker {number} does not answer; ask again") from None
        return answer
