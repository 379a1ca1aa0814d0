"""Files that are read again when they change. What is broken leaves in force what was read before, is told once, and
tried again."""

import os
from collections.abc import Callable
from pathlib import Path

import structlog

from jobcast_server.errors import StartupError

log = structlog.get_logger()

AGAIN = 20
"""Looks after which files that could not be read are read again unchanged: the reason may have passed."""

Look = tuple[tuple[int, ...], ...]


class Watched:
    """Some files that belong together.

    Attributes:
        stale: whether what lies there now is not what is in force.
    """

    def __init__(self, name: str, paths: list[Path], load: Callable[[], None]) -> None:
        """Read them.

        Args:
            load: reads them, and puts them in force only if all is right.

        Raises:
            StartupError: they are not right.
        """
        self._name = name
        self._paths = paths
        self._load = load
        self.stale = False
        self._complaint = ""
        self._looks = 0
        self._seen = self._fingerprint()
        load()

    def look(self) -> None:
        """Read them again if they look otherwise than before, or, now and then, if they could not be read."""
        seen, before = self._fingerprint(), self._seen
        self._looks += 1
        if seen == before and not (self.stale and self._looks >= AGAIN):
            return
        self._seen, self._looks = seen, 0
        try:
            self._load()
        except Exception as error:  # whatever it is, the next look may go well
            told = str(error) if isinstance(error, StartupError) else f"{type(error).__name__}: {error}"
            self.stale = True
            if told != self._complaint or seen != before:
                log.error(f"{self._name} not reloaded, those from before stay in force", reason=told)
            self._complaint = told
        else:
            self.stale, self._complaint = False, ""
            log.info(f"{self._name} reloaded")

    def _fingerprint(self) -> Look:
        return tuple(map(_look_at, self._paths))


def _look_at(path: Path) -> tuple[int, ...]:
    """How a file looks from outside, whatever links lead to it."""
    try:
        stat = os.stat(path)
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
