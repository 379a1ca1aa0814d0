"""Becomes a command that ends when the process that started it does: run as a script, with that process's id first.

The kernel ends it by SIGTERM (Linux only; elsewhere it outlives a server that is killed).
"""

import contextlib
import os
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of linux/prctl.h; it outlives exec."""

NOT_FOUND = 127

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # it outlives a killed server then
            import ctypes

            ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before
            sys.exit(128 + signal.SIGTERM)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the operator's own command
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_FOUND)
