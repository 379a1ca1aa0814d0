"""What a crowd needed goes back to the system once it has left, and not before.

Each time in a process of its own, since what the tests before it left in this one's heap would be in the figures.
"""

import ctypes
import subprocess
import sys

import psutil
import pytest
from jobcast_server.memory import MOST_KEPT, Kept

BLOCK = 8192
COUNT = 2 * MOST_KEPT // BLOCK

counted = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc's allocator, which tells what it keeps",
)


def resident() -> int:
    return psutil.Process().memory_info().rss


def allocator() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    found.malloc.restype, found.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found.free.argtypes = [ctypes.c_void_p]
    return found


def taken(libc: ctypes.CDLL, count: int) -> list[int]:
    """Blocks of memory that are used, and one behind them that stays: the allocator keeps all below it."""
    blocks = [libc.malloc(BLOCK) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    libc.malloc(BLOCK)
    return blocks


def much() -> None:
    libc, kept, before = allocator(), Kept(), resident()
    blocks = taken(libc, COUNT)
    kept.look()
    assert resident() - before > MOST_KEPT
    for block in blocks:
        libc.free(block)
    assert resident() - before > MOST_KEPT
    kept.look()
    assert resident() - before < MOST_KEPT / 4


def little() -> None:
    libc, kept = allocator(), Kept()
    for block in taken(libc, COUNT // 4):
        libc.free(block)
    before = resident()
    kept.look()
    assert resident() >= before - BLOCK


def twice() -> None:
    """What went back was not all that a crowd needed; what it left later is no licence for the next one."""
    libc, kept, before = allocator(), Kept(), resident()
    blocks = taken(libc, 2 * COUNT)
    for block in blocks[:COUNT]:
        libc.free(block)
    kept.look()
    for block in blocks[COUNT:]:
        libc.free(block)
    libc.malloc_trim(0)
    kept.look()
    for block in taken(libc, COUNT):
        libc.free(block)
    assert resident() - before > MOST_KEPT
    kept.look()
    assert resident() - before < MOST_KEPT / 4


@counted
@pytest.mark.parametrize("case", [much, little, twice])
def test_what_is_kept_and_what_goes_back(case) -> None:
    done = subprocess.run([sys.executable, __file__, case.__name__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    {case.__name__: case for case in (much, little, twice)}[sys.argv[1]]()
