"""What a worker does for the others."""

import asyncio
import contextlib
from base64 import b64encode
from typing import Any

from prometheus_client import CollectorRegistry

from jobcast_server.errors import InternalError, RequestError
from jobcast_server.model import Model
from jobcast_server.openinference import describe
from jobcast_server.taskpredictor.service import TaskPredictor
from jobcast_server.workers import passing
from jobcast_server.workers.channel import NOTHING, Told
from jobcast_server.workers.merge import snapshot
from jobcast_server.workers.repository import Together


class Duties:
    """Answers what comes over the channel.

    Attributes:
        opened: set once what the server starts with is loaded; models change only then.
    """

    def __init__(self, registry: CollectorRegistry, repository: Together[Model], tasks: TaskPredictor) -> None:
        self._registry = registry
        self._repository = repository
        self._tasks = tasks
        self.opened = asyncio.Event()

    async def __call__(self, verb: str, told: Any, body: bytes) -> Told:
        """The answer."""
        match verb:
            case "beat":
                return NOTHING
            case "metrics":
                loop = asyncio.get_running_loop()
                return None, await loop.run_in_executor(None, snapshot, self._registry)
            case "change":
                await self.opened.wait()
                act, name = told
                await self._repository.here(act, name)
                return self._repository.serving(), b""
            case "first":
                return await passing.answer(self._tasks.endpoints, told, body)
            case "recall":
                return self._tasks.recall(told), b""
            case "counts":
                return [[key, methods] for key, methods in self._tasks.counts().items()], b""
            case "statistics":
                return self._statistics(*told), b""
        raise InternalError(f"workers: {verb} is no duty of theirs")

    def _statistics(self, name: str, version: str) -> str:
        """Those of this worker, serialized in base64; none of a version that is not served here."""
        with contextlib.suppress(RequestError):
            return b64encode(describe.statistics(self._repository, name, version).SerializeToString()).decode()
        return ""
