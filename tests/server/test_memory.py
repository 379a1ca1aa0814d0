"""What a crowd needed goes back to the system once it has left, and not before."""

import ctypes
import sys

import psutil
import pytest
from jobcast_server.memory import MOST_KEPT, Kept

BLOCK = 8192
COUNT = 2 * MOST_KEPT // BLOCK


def resident() -> int:
    return psutil.Process().memory_info().rss


@pytest.fixture
def libc() -> ctypes.CDLL:
    found = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(found, "mallinfo2"):
        pytest.skip("needs glibc's allocator, which tells what it keeps")
    found.malloc.restype, found.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    found.free.argtypes = [ctypes.c_void_p]
    return found


def taken(libc: ctypes.CDLL, count: int) -> tuple[list[int], int]:
    """Blocks of memory that are used, and one behind them that stays: the allocator keeps all below it."""
    blocks = [libc.malloc(BLOCK) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    return blocks, libc.malloc(BLOCK)


def test_it_goes_back_once_the_crowd_has_left(libc: ctypes.CDLL) -> None:
    kept, before = Kept(), resident()
    blocks, last = taken(libc, COUNT)
    kept.look()
    assert resident() - before > MOST_KEPT
    for block in blocks:
        libc.free(block)
    assert resident() - before > MOST_KEPT
    kept.look()
    assert resident() - before < MOST_KEPT / 4
    libc.free(last)


def test_a_little_is_kept(libc: ctypes.CDLL) -> None:
    kept = Kept()
    blocks, last = taken(libc, COUNT // 4)
    for block in blocks:
        libc.free(block)
    before = resident()
    kept.look()
    assert resident() >= before - BLOCK
    libc.free(last)
