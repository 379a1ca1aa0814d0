"""A folder for what the processes of a search share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, signal
from tempfile import TemporaryDirectory
from types import FrameType


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a folder that is gone with the block, also where SIGTERM ends this process, with code 143, within it."""
    before = signal(SIGTERM, _leave)
    try:
        with TemporaryDirectory(prefix="jobcast-search-") as folder:
            yield Path(folder)
    finally:
        signal(SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
