"""Memory that loading, or a crowd of callers, needed and serving does not goes back to the system."""

import asyncio
import ctypes
import gc
import os
import sys
from concurrent.futures import Executor
from pathlib import Path

LOOK_S = 10.0
"""Seconds between two looks at what the allocator keeps."""

MOST_KEPT = 8 * 2**20
"""Bytes that it may keep: giving them back and asking for them again costs callers time."""

_STATM = Path("/proc/self/statm")


def settle() -> None:
    """Collect what loading left behind, and keep what stays out of every later collection.

    The allocator of glibc holds on to what onnxruntime freed while it read models: a fifth of the server's memory.
    """
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Give back what the allocator holds on to; any thread may, a version that came or went is the time for it."""
    if sys.platform == "linux":
        release = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if release is not None:
            release(0)


class Kept:
    """What the allocator keeps of the memory that a crowd needed, long after it has gone: ten thousand connections, or
    calls that queued up while the machine was busy with something else."""

    def __init__(self) -> None:
        self._settled = _resident()

    def look(self) -> None:
        """Give it back where it is much; any thread may.

        What is free is counted only once the process has grown, which is seldom: it takes the allocator's locks. The
        crowd may still be there then, so that the least since then counts.
        """
        resident = _resident()
        self._settled = min(self._settled, resident)
        if resident - self._settled >= MOST_KEPT and _free() >= MOST_KEPT:
            trim()
            self._settled = _resident()


async def watch(executor: Executor) -> None:
    """Look again and again."""
    kept, loop = Kept(), asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_S)
        await loop.run_in_executor(executor, kept.look)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say so."""
    if not _STATM.exists():
        return 0
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _Counts(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def _free() -> int:
    """Bytes that the allocator holds and nobody uses; 0 where it does not count them."""
    count = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if count is None:
        return 0
    count.restype = _Counts
    return int(count().fordblks)
