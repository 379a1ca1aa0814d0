"""The keys in force, by their hashes. A token is compared in constant time with those whose hash begins as its own.

A caller that is there before and after a change stays the same: its rate goes on, its streams go on. One that is not
there any more, holds a scope less or has expired is `ended`, which ends its streams.
"""

import asyncio
import hmac
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from jobcast_server.counting import Kinds, Rate
from jobcast_server.security.keys import Key, digest
from jobcast_server.security.scopes import Scope, Scopes

PREFIX = 4
"""Bytes of a hash that are looked up; the rest is compared."""

NO_LIMIT = (1e6, 1e6)

LONGEST_PAUSE_S = 1.0
"""Seconds until a stream that waits for its rate looks again, which may be another by then."""


class Caller:
    """Who calls.

    Attributes:
        id: of the key; empty where nobody asked for one. digest: of its token. scopes: what it opens.
        rate: of its calls in this process. bounds: of that rate, per second and at once; None = no limit.
        ended: set when the key is in force no more.
    """

    def __init__(self, key: Key | None, kinds: Kinds, workers: int = 1) -> None:
        self._workers = workers
        self.key = key
        self.id = key.id if key else ""
        self.digest = key.digest if key else b""
        self.scopes: Scopes = key.scopes if key else frozenset()
        self.bounds = share(key, workers)
        self.rate: Rate = kinds.rate(*(self.bounds or NO_LIMIT))
        self.ended = asyncio.Event()

    @property
    def limited(self) -> bool:
        """Whether its calls have a rate."""
        return self.bounds is not None

    async def pace(self) -> None:
        """Wait until one more may come: a stream that is too quick is slowed down, not ended."""
        while not self.rate.take():
            await asyncio.sleep(min(1 / self.bounds[0], LONGEST_PAUSE_S) if self.bounds else 0)

    def stays(self, key: Key) -> bool:
        """Whether calls under way may go on under this key."""
        return (
            self.key is not None and self.key.sha256 == key.sha256 and self.id == key.id and self.scopes <= key.scopes
        )

    def become(self, key: Key, kinds: Kinds) -> None:
        """Hold another key of the same secret."""
        bounds = share(key, self._workers)
        if self.bounds != bounds:
            self.bounds, self.rate = bounds, kinds.rate(*(bounds or NO_LIMIT))
        self.key, self.scopes = key, key.scopes


def share(key: Key | None, workers: int) -> tuple[float, float] | None:
    """A process's part of a key's calls, per second and at once: what all parts let through is what the key may do.

    With several workers the port of the metrics is one process more, for keys that open it.
    """
    if key is None or key.bounds is None:
        return None
    parts = 1 if workers == 1 else workers + (Scope.REPORT in key.scopes)
    rate, burst = key.bounds
    return (rate, burst) if parts == 1 else (rate / parts, max(1.0, burst / parts))


class Keyring:
    """Callers by their keys. Changed from the event loop only; any thread may `find`.

    Attributes:
        changed: called after every change.
    """

    def __init__(self, keys: Iterable[Key], kinds: Kinds, workers: int = 1) -> None:
        self._kinds = kinds
        self._workers = workers
        self._callers: dict[str, Caller] = {}
        self._found: dict[bytes, tuple[Caller, ...]] = {}
        self.changed: list[Callable[[], None]] = []
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Let these keys be in force and no others."""
        now = datetime.now(UTC)
        before, self._callers = self._callers, {}
        for key in keys:
            if key.over(now):
                continue
            caller = before.get(key.id)
            if caller is not None and caller.stays(key):
                caller.become(key, self._kinds)
            else:
                caller = Caller(key, self._kinds, self._workers)
            self._callers[key.id] = caller
        self._settle(before)

    def expire(self) -> None:
        """Let go of the keys whose time is over."""
        now = datetime.now(UTC)
        over = [caller.id for caller in self._callers.values() if caller.key is not None and caller.key.over(now)]
        if over:
            before, self._callers = self._callers, {k: c for k, c in self._callers.items() if k not in over}
            self._settle(before)

    def find(self, token: bytes) -> Caller | None:
        """Who has this token; None when nobody has."""
        given = digest(token)
        for caller in self._found.get(given[:PREFIX], ()):
            if hmac.compare_digest(caller.digest, given):
                key = caller.key
                return None if key is None or (key.expires and key.over(datetime.now(UTC))) else caller
        return None

    def admitted(self, scope: Scope) -> list[tuple[bytes, Rate]]:
        """Hash and rate of every key that opens a scope."""
        return [(caller.digest, caller.rate) for caller in self._callers.values() if scope in caller.scopes]

    def __len__(self) -> int:
        return len(self._callers)

    def _settle(self, before: dict[str, Caller]) -> None:
        found: dict[bytes, tuple[Caller, ...]] = {}
        for caller in self._callers.values():
            prefix = caller.digest[:PREFIX]
            found[prefix] = (*found.get(prefix, ()), caller)
        self._found = found
        for name, caller in before.items():
            if self._callers.get(name) is not caller:
                caller.ended.set()
        for tell in self.changed:
            tell()
