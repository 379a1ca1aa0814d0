"""The repository of a worker: what callers have loaded or unloaded is so in every worker before they are answered."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from jobcast_server.policy import Policy
from jobcast_server.repository.folder import Home
from jobcast_server.repository.repository import Mode, Repository
from jobcast_server.workers.link import Link

Model = TypeVar("Model")

log = structlog.get_logger()


class Together(Repository[Model]):
    """A repository that changes with those of the other workers.

    A worker in the place of one that ended begins with the versions that the others serve, whatever the folder has by
    then, unless all follow the folder anyway.
    """

    def __init__(
        self, link: Link, root: Path, policy: Policy, mode: Mode, load: Callable[[Path], Model], loader: Executor
    ) -> None:
        super().__init__(root, policy, mode, load, loader)
        self._link = link

    async def start(self, names: frozenset[str] = frozenset()) -> None:
        """As `Repository.start`."""
        if self._link.seat.again:
            names = frozenset(self._link.seat.wanted)
            names &= (await self._scan()).keys()
        await super().start(names)

    async def load(self, name: str) -> None:
        """Load a model everywhere; raises as `Repository.load`."""
        await self._link.change("load", name)

    async def unload(self, name: str) -> None:
        """Stop serving a model everywhere; raises as `Repository.unload`."""
        await self._link.change("unload", name)

    async def follow(self, name: str) -> None:
        """Look at one model's folder everywhere; raises as `Repository.follow`."""
        await self._link.change("follow", name)

    async def here(self, act: str, name: str) -> None:
        """Load, unload or follow in this worker alone, or drop what was loaded for the first time.

        Raises:
            RequestError: as the methods of `Repository`.
        """
        if act == "unload":
            await super().unload(name)
        elif act == "drop":
            await self.drop(name)
        else:
            if act == "load":
                self._allow(act)
            await super().follow(name)

    def serving(self) -> dict[str, list[int]]:
        """Versions that serve, by model."""
        return {name: self.versions(name) for name in self.names()}

    async def _scan(self) -> dict[str, Home]:
        found = await super()._scan()
        pinned = self._link.seat.serving
        if self._opened or pinned is None:
            return found
        kept = {}
        for name, home in found.items():
            versions = {version: seen for version, seen in home.versions.items() if version in pinned.get(name, ())}
            if gone := sorted(set(pinned.get(name, ())) - versions.keys()):
                log.warning("a version that the others serve is gone from the folder", model=name, versions=gone)
            if versions or self._mode == "explicit":
                kept[name] = replace(home, versions=versions or home.versions)
        return kept
