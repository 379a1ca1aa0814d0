"""Memory that loading needed and serving does not goes back to the system."""

import ctypes
import gc
import sys


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
