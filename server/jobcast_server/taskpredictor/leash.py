"""Runs a command and ends as it does: run as a script, with the id of the process that started it first.

When that process ends the kernel says so by SIGTERM (Linux only; elsewhere the command outlives a server that is
killed), which is passed on to the whole process group: to what the command has started, too.
"""

import contextlib
import os
import resource
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of linux/prctl.h."""

NOT_FOUND = 127

AWAITED = (signal.SIGTERM, signal.SIGCHLD)


def _tie(parent: int) -> None:
    """Have SIGTERM sent here once the parent has ended."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # it outlives a killed server then
            import ctypes

            ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before
            sys.exit(128 + signal.SIGTERM)


def _begin(command: list[str]) -> int:
    """Start the command; gives its process."""
    if process := os.fork():
        return process
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and so would the command
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the operator's own command
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NOT_FOUND)


def _follow(process: int) -> int:
    """Wait until it has ended; gives its exit code, or less than 0 for a signal."""
    awaited = set(AWAITED)
    while True:
        if signal.sigwait(awaited) == signal.SIGTERM:
            awaited.discard(signal.SIGTERM)  # it comes back with those that are passed on
            os.killpg(0, signal.SIGTERM)
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _end(code: int) -> None:
    """End as the command did."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL is as it is
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # what is ignored may never come
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    _tie(int(sys.argv[1]))
    _end(_follow(_begin(sys.argv[2:])))
