"""What was refused and what was changed: a line of JSON for each, never with a secret.

Every act of administration that succeeded has its line. Refusals, and acts that failed, have at most `LINES` at once
and one a second after that; those beyond are counted and summed up, so that a flood cannot fill the disk. The file is
opened for each line: it may be moved away at any time.
"""

import json
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import structlog

from jobcast_server import identity
from jobcast_server.counting import Rate

LINES = 100
SUMMARY_S = 10.0
"""Seconds between two lines that sum up."""

SUCCESS = "success"
"""Outcome of an act that did what was asked for."""

LONGEST = 200
"""Characters of what a caller wrote in a line."""

log = structlog.get_logger()


class Audit:
    """Writes to a file, or to the log without one; any thread may."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rate = Rate(1.0, LINES)
        self._hidden: Counter[str] = Counter()
        self._summed = time.monotonic()
        self._lock = threading.Lock()

    def check(self) -> None:
        """See that the file can be written.

        Raises:
            OSError: why it cannot.
        """
        if self._path is not None:
            os.close(self._opened(self._path))

    def refused(self, call: str, peer: str, outcome: str, problem: str, key: str) -> None:
        """Tell of a call that was refused."""
        if self._has_room(outcome):
            self._write("refused", call=call[:LONGEST], peer=peer, outcome=outcome, key=key, problem=problem[:LONGEST])

    def acted(self, call: str, peer: str, outcome: str, key: str) -> None:
        """Tell of an act of administration."""
        if outcome == SUCCESS or self._has_room(outcome):
            self._write("admin", call=call[:LONGEST], peer=peer, outcome=outcome, key=key)

    def sum_up(self, *, last: bool = False) -> None:
        """Tell of refusals that have no line, if it is time, or for the last time."""
        if not self._hidden or (not last and time.monotonic() - self._summed < SUMMARY_S):
            return
        with self._lock:
            hidden, self._hidden = self._hidden, Counter()
        self._summed = time.monotonic()
        self._write("more refused", total=hidden.total(), outcomes=dict(hidden))

    def _has_room(self, outcome: str) -> bool:
        """Whether one more line may be written; what may not is counted."""
        if self._rate.take():
            return True
        with self._lock:
            self._hidden[outcome] += 1
        return False

    def _write(self, event: str, **fields: object) -> None:
        if self._path is None:
            (log.info if fields.get("outcome") == SUCCESS else log.warning)(f"audit: {event}", **fields)
            return
        about = {"time": datetime.now(UTC).isoformat(), "event": event, **fields}
        if request_id := identity.current.get():
            about["request_id"] = request_id
        line = json.dumps(about) + "\n"
        try:
            handle = self._opened(self._path)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:  # a full disk ends no call, and nothing goes untold
            log.error("the audit log cannot be written", file=str(self._path), reason=error.strerror, line=line)

    @staticmethod
    def _opened(path: Path) -> int:
        """The file; a named pipe that nobody reads holds nobody up."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
