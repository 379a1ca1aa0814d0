"""Which bundles answer. A new version is loaded beside the old one and takes over in one step of the event loop.

A request holds the version it began with to its end. A version that is bad is refused with its reason, and what served
before goes on; a version that is to go is unloaded when its last request has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import structlog

from jobcast_server.errors import BundleError, ModelControlError, UnknownModelError, shorten
from jobcast_server.policy import Policy
from jobcast_server.repository.catalogue import Catalogue, Versions
from jobcast_server.repository.entry import Entry, Loaded, State
from jobcast_server.repository.folder import Home, scan

Model = TypeVar("Model")
Mode = Literal["none", "poll", "explicit"]

log = structlog.get_logger()


class Repository(Catalogue[Model]):
    """The catalogue that follows a folder; used from the event loop only.

    Attributes:
        changed: called after every change of a state.
    """

    def __init__(self, root: Path, policy: Policy, mode: Mode, load: Callable[[Path], Model], loader: Executor) -> None:
        """Take `load`, which reads and verifies a version's folder on `loader` and raises BundleError."""
        super().__init__(policy)
        self._root = root
        self._mode = mode
        self._load = load
        self._loader = loader
        self._wanted: set[str] = set()
        self._lock = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self.changed: Callable[[], None] = lambda: None

    async def start(self, names: frozenset[str] = frozenset()) -> None:
        """Load what the mode asks for: every model, or in explicit mode those of `names`.

        Raises:
            BundleError: the repository is no folder, or a model of `names` is not in it.
        """
        self._wanted |= names
        found = await self._scan()
        if missing := sorted(names - found.keys()):
            raise BundleError(f"load_model: {missing[0]!r} is not in {self._root}; there are {sorted(found)}")
        await self._refresh(found)
        self._opened = True

    async def refresh(self) -> None:
        """Look at the folder again and follow it.

        Raises:
            BundleError: the repository is no folder any more; nothing changes.
        """
        await self._refresh(await self._scan())

    async def poll(self, pause: Callable[[], Awaitable[object]]) -> None:
        """Refresh after every `pause`, for ever; a folder that cannot be read is logged once and changes nothing."""
        complaint = ""
        while True:
            await pause()
            try:
                await self.refresh()
                complaint = ""
            except Exception as error:  # whatever it is, the next look may go well
                told = str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
                if told != complaint:
                    complaint = told
                    log.error("repository not read", reason=complaint)

    async def load(self, name: str) -> None:
        """Load a model, or look at its folder again.

        Raises:
            ModelControlError: the mode does not allow it, or its newest version is refused; says what serves.
            UnknownModelError: it is not in the repository.
        """
        self._allow("load")
        await self.follow(name)

    async def follow(self, name: str) -> None:
        """Look at one model's folder now, whatever the mode.

        Raises:
            ModelControlError: its newest version is refused; says what serves.
            UnknownModelError: it is not in the repository.
        """
        try:
            found = await self._scan()
        except BundleError as error:
            raise ModelControlError(str(error)) from None
        if name not in found:
            raise UnknownModelError(f"model {shorten(name)}: not in the repository")
        self._wanted.add(name)
        await self._refresh({name: found[name]}, only=name)
        known = self._names[name]
        candidates = (known.policy or self._policy).candidates(found[name].versions)
        newest = known.entries.get(candidates[0]) if candidates else None
        if newest is None or newest.state is not State.READY or newest.reason:
            have = f"; version {known.serving.version} goes on serving" if known.serving else ""
            raise ModelControlError(f"model {name}: not loaded{self._why(known)}{have}")

    async def unload(self, name: str) -> None:
        """Stop serving a model; requests that hold it end first.

        Raises:
            ModelControlError: the mode does not allow it.
            UnknownModelError: it is not known.
        """
        self._allow("unload")
        await self.drop(name)

    async def drop(self, name: str) -> None:
        """The same whatever the mode.

        Raises:
            UnknownModelError: it is not known.
        """
        if name not in self._names:
            raise UnknownModelError(f"model {shorten(name)}: not found")
        self._wanted.discard(name)
        async with self._lock:
            self._keep(name, self._names[name], set(), "unloaded by request")

    async def close(self) -> None:
        """Wait for versions that are leaving."""
        await asyncio.gather(*self._leaving)

    def _allow(self, act: str) -> None:
        if self._mode != "explicit":
            raise ModelControlError(
                f"{act}: not allowed with --model-control {self._mode}; the operator may start with --model-control "
                "explicit", denied=True,
            )  # fmt: skip

    async def _scan(self) -> dict[str, Home]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._loader, scan, self._root)
        except OSError as error:
            raise BundleError(f"models: {self._root} cannot be read: {error}") from None

    async def _refresh(self, found: dict[str, Home], only: str | None = None) -> None:
        async with self._lock:
            names = {only} if only else found.keys() | self._names.keys()
            for name in sorted(names):
                home = found.get(name)
                if home is None:
                    self._remove(name)
                elif self._mode != "explicit" or name in self._wanted:
                    await self._follow(name, home)
                elif name not in self._names:
                    known = self._names.setdefault(name, Versions())
                    known.refused = home.refused
                    for version in home.versions:
                        known.entries[version] = Entry(version, reason="not loaded; load it to serve it")
                    self.changed()

    async def _follow(self, name: str, home: Home) -> None:
        """Bring one model to what its folder and policy ask for: load first, then change over, then unload."""
        known = self._names.setdefault(name, Versions())
        if "" in home.refused:  # the folder as a whole is not to be trusted: what serves goes on
            if known.refused != home.refused:
                log.error("model refused", model=name, reason=home.refused[""])
            known.refused = home.refused
            return
        known.refused, known.policy = home.refused, home.policy
        policy = home.policy or self._policy
        for version in home.versions:
            known.entries.setdefault(version, Entry(version))
        good: set[int] = set()
        for version in policy.candidates(home.versions):
            if policy.enough(len(good)):
                break
            entry = known.entries[version]
            if entry.seen != home.versions[version] or (entry.loaded is None and not entry.refused):
                await self._try(name, entry, home)
            if entry.state is State.READY:
                good.add(version)
        unmet = ""
        if not good and known.serving is not None and known.serving.version in home.versions:
            good.add(known.serving.version)  # nothing better: the policy is not worth an outage
            unmet = str(policy)
            if unmet != known.unmet:
                log.warning("policy not met", model=name, policy=unmet, serving=known.serving.version)
        known.unmet = unmet
        self._keep(name, known, good, f"not among the versions served ({policy})")
        for version in known.entries.keys() - home.versions.keys():
            if known.entries[version].loaded is None and known.entries[version].state is State.UNAVAILABLE:
                del known.entries[version]
        self.changed()

    async def _try(self, name: str, entry: Entry[Model], home: Home) -> None:
        """Load one version; on success it is ready, else refused, and what was loaded of it before goes on."""
        entry.seen = home.versions[entry.version]
        before = entry.loaded if entry.state is State.READY else None
        if before is None:
            entry.state, entry.reason = State.LOADING, ""
            self.changed()
        task = partial(self._load, home.path / str(entry.version))
        try:
            model = await asyncio.get_running_loop().run_in_executor(self._loader, task)
        except (BundleError, OSError, MemoryError) as error:
            log.error("bundle refused", model=name, version=entry.version, reason=str(error))
            entry.refused, entry.reason = True, f"refused: {error}"
            if before is None:
                entry.state = State.UNAVAILABLE
            else:
                entry.reason += "; what was loaded before goes on serving"
            self.changed()
            return
        if before is not None:
            self._leave(before)
        entry.loaded, entry.state, entry.reason = Loaded(model), State.READY, ""
        entry.refused = False
        log.info("model ready", model=name, version=entry.version)

    def _keep(self, name: str, known: Versions[Model], good: set[int], reason: str) -> None:
        """Let the newest of `good` answer, and unload every other version that serves: one step, nothing in between."""
        serving = known.entries[max(good)] if good else None
        if serving is not known.serving and serving is not None:
            log.info("model serving", model=name, version=serving.version)
        known.serving = serving
        for entry in known.entries.values():
            if entry.version in good:
                continue
            if entry.state is State.READY and entry.loaded is not None:
                entry.state, entry.reason, entry.seen = State.UNLOADING, "", None
                self._leave(entry.loaded, entry, reason)
            elif entry.state is State.UNAVAILABLE and not entry.refused:
                entry.reason = reason
        self.changed()

    def _remove(self, name: str) -> None:
        """The folder is gone."""
        known = self._names[name]
        self._wanted.discard(name)
        self._keep(name, known, set(), "removed from the repository")
        known.refused = {}
        if all(entry.loaded is None for entry in known.entries.values()):
            del self._names[name]
            self.changed()

    def _leave(self, loaded: Loaded[Model], entry: Entry[Model] | None = None, reason: str = "") -> None:
        task = asyncio.get_running_loop().create_task(self._unload(loaded, entry, reason))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _unload(self, loaded: Loaded[Model], entry: Entry[Model] | None, reason: str) -> None:
        await loaded.free()
        if entry is not None and entry.loaded is loaded:
            entry.loaded, entry.state, entry.reason = None, State.UNAVAILABLE, reason
            self.changed()
