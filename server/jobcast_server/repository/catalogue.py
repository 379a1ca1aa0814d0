"""What the repository can say at any moment: which model answers, which are ready, and why others are not.

A version named by nobody is the newest that serves. Only the repository changes what stands here.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from jobcast_server.errors import NotReadyError, UnknownModelError, shorten
from jobcast_server.policy import Policy
from jobcast_server.repository.entry import Entry, Loaded, State

Model = TypeVar("Model")


@dataclass
class Versions(Generic[Model]):
    """A model name with its entries.

    Attributes:
        unmet: the policy that no version could satisfy when the folder was read last; "" = it is satisfied.
    """

    entries: dict[int, Entry[Model]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    policy: Policy | None = None
    serving: Entry[Model] | None = None
    unmet: str = ""


class Catalogue(Generic[Model]):
    """Versions by name; used from the event loop only, except `index`, `models` and `refused`, which any thread may."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._names: dict[str, Versions[Model]] = {}
        self._opened = False

    def hold(self, name: str, version: str = "") -> AbstractContextManager[Model]:
        """Keep the model that answers for `name`, or its named version, for the time of a request.

        Raises:
            UnknownModelError: there is no such model or version.
            NotReadyError: it exists and does not serve.
        """
        return self._find(name, version).hold()

    def get(self, name: str, version: str = "") -> Model:
        """The same without holding it: for answers that are made at once. Raises as `hold` does."""
        return self._find(name, version).model

    def ready(self, name: str, version: str = "") -> bool:
        """Whether the model, or its named version, would answer now."""
        try:
            self._find(name, version)
        except (UnknownModelError, NotReadyError):
            return False
        return True

    def any_ready(self) -> bool:
        """Whether at least one model would answer now."""
        return any(versions.serving is not None for versions in self._names.values())

    def names(self) -> list[str]:
        """Every name that was seen."""
        return list(self._names)

    def versions(self, name: str) -> list[int]:
        """Versions of a model that serve now, ascending."""
        known = self._names.get(name)
        return sorted(e.version for e in known.entries.values() if e.state is State.READY) if known else []

    def policy(self, name: str) -> Policy:
        """The version policy that holds for a model."""
        known = self._names.get(name)
        return (known.policy if known else None) or self._policy

    def models(self) -> Iterator[Model]:
        """Every loaded model, by name and version."""
        for _, known in sorted(self._names.copy().items()):
            for _, entry in sorted(known.entries.copy().items()):
                if entry.loaded is not None:
                    yield entry.loaded.model

    def index(self) -> list[tuple[str, str, State, str]]:
        """Name, version, state and reason of everything in the repository."""
        lines = []
        for name, known in sorted(self._names.copy().items()):
            lines += [
                (name, str(entry.version), entry.state, entry.reason)
                for _, entry in sorted(known.entries.copy().items())
            ]
            lines += [(name, folder, State.UNAVAILABLE, reason) for folder, reason in sorted(known.refused.items())]
        return lines

    def refused(self, name: str, version: str) -> bool:
        """Whether the files on disk of a line of the index were refused."""
        known = self._names.get(name)
        if known is None or version in known.refused:
            return known is not None
        entry = known.entries.get(int(version))
        return entry is not None and entry.refused

    def _find(self, name: str, version: str) -> Loaded[Model]:
        known = self._names.get(name)
        if known is None and not self._opened:
            raise NotReadyError("the server is starting; come back later")
        if known is None:
            raise UnknownModelError(f"model {shorten(name)}: not found; served: {', '.join(self._served()) or 'none'}")
        if version:
            entry = known.entries.get(int(version)) if version.isdecimal() and len(version) < 10 else None
            if entry is None or str(entry.version) != version:
                have = ", ".join(map(str, self.versions(name))) or "none"
                raise UnknownModelError(f"model {name}: version {shorten(version)} not found; ready: {have}")
        else:
            entry = known.serving
        if entry is None:
            raise NotReadyError(f"model {name}: not ready{self._why(known)}")
        if entry.state is not State.READY or entry.loaded is None:
            state = entry.state.lower() if entry.state is not State.UNAVAILABLE else entry.reason or "unavailable"
            raise NotReadyError(f"model {name}: version {entry.version} is not ready: {state}")
        return entry.loaded

    def _served(self) -> list[str]:
        return [name for name, known in sorted(self._names.items()) if known.serving is not None]

    def _why(self, known: Versions[Model]) -> str:
        newest = max(known.entries.values(), key=lambda entry: entry.version, default=None)
        reason = newest.reason if newest is not None else known.refused.get("", "")
        return f": {reason}" if reason else ""
