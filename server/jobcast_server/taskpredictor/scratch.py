"""The folder of one training: it goes when the training ends, or with the next server where this one was killed.

A lock on a file in it, which the command inherits, says that it is in use; the kernel takes it back from who is killed.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PREFIX = "jobcast-train-"
LOCK = "lock"
DATA = "traces.json"
"""Written once the lock is held: a folder without it may be one whose lock is about to be taken."""


class Scratch(NamedTuple):
    """A folder in use; `lock` is a descriptor for the command to inherit."""

    folder: Path
    lock: int

    @property
    def data(self) -> Path:
        """File of the traces."""
        return self.folder / DATA


@contextlib.contextmanager
def scratch() -> Iterator[Scratch]:
    """A folder for the time of one training."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, Path(folder, LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Scratch(Path(folder), lock.fileno())


def clear() -> None:
    """Remove the folders of this user's trainings that ended with their server."""
    for data in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{DATA}"):
        with contextlib.suppress(OSError):  # in use, gone meanwhile, or not to be removed by us
            if data.parent.lstat().st_uid != os.getuid():
                continue
            with data.with_name(LOCK).open("r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(data.parent)
