"""Models change in all workers or in none: what one of them refused is taken back in the others, as far as it can be.

One change at a time. A worker that ends meanwhile is started again with what the others have by then.
"""

import asyncio
from collections.abc import Callable, Iterable

from jobcast_server.errors import ModelControlError, NotReadyError, RequestError
from jobcast_server.settings import Settings
from jobcast_server.workers.channel import GoneError
from jobcast_server.workers.child import Child

PATIENCE_S = 300.0
"""Seconds in which a worker must have loaded a model; one that hangs must not hold up what comes after it."""

Serving = dict[str, list[int]]


class Changes:
    """What is wanted and what serves.

    Attributes:
        one: held while models change, and while a worker is told what to begin with.
        wanted: models that callers have loaded. serving: versions by model, as a worker told last.
    """

    def __init__(self, settings: Settings, children: Callable[[], Iterable[Child]]) -> None:
        self.one = asyncio.Lock()
        self.wanted = set(filter(None, map(str.strip, settings.load_model.split(","))))
        self.serving: Serving = {}
        self._children = children

    async def make(self, act: str, name: str) -> None:
        """Load, unload or follow a model everywhere.

        Raises:
            RequestError: it was refused; the text says which workers hold what, unless all hold what they held.
        """
        async with self.one:
            before = self.serving.get(name, [])
            refused, done = await self._ask(act, name)
            if not done:
                raise next(iter(refused.values()), NotReadyError("workers: none is there; come back later"))
            if refused:
                raise await self._take_back(act, name, before, refused, list(done))
            self.serving = next(iter(done.values()))
            (self.wanted.discard if act == "unload" else self.wanted.add)(name)

    async def _ask(
        self, act: str, name: str, only: Iterable[Child] | None = None
    ) -> tuple[dict[Child, RequestError], dict[Child, Serving]]:
        """Who refused, and what the others serve now; one that ended is neither."""
        children = list(self._children() if only is None else only)
        answers = await asyncio.gather(
            *(asyncio.wait_for(child.channel.ask("change", [act, name]), PATIENCE_S) for child in children),
            return_exceptions=True,
        )
        refused: dict[Child, RequestError] = {}
        done: dict[Child, Serving] = {}
        for child, answer in zip(children, answers, strict=True):
            if isinstance(answer, RequestError):
                refused[child] = answer
            elif isinstance(answer, TimeoutError):
                refused[child] = NotReadyError(f"it did not answer within {PATIENCE_S:g} s")
            elif isinstance(answer, GoneError):
                continue
            elif isinstance(answer, BaseException):
                raise answer
            else:
                done[child] = answer[0]
        return refused, done

    async def _take_back(
        self, act: str, name: str, before: list[int], refused: dict[Child, RequestError], done: list[Child]
    ) -> RequestError:
        """The state is one again, or the error says what it is."""
        whose = "; ".join(f"worker {child.seat.number}: {error}" for child, error in refused.items())
        if act != "unload" and not before:
            failed, _ = await self._ask("drop", name, done)
            if not failed:
                return ModelControlError(f"model {name}: not loaded: {whose}; it was dropped in the other workers")
        have = ", ".join(str(child.seat.number) for child in done)
        hold = "have unloaded it" if act == "unload" else "have what was asked for"
        return ModelControlError(f"model {name}: {whose}; workers {have} {hold}; ask again")
