"""The sockets and threads of the server's process, as the system tells of them."""

import ctypes
import os
import socket
from pathlib import Path

import pytest

PIDFD_OPEN, PIDFD_GETFD = 434, 438
"""Numbers of the system calls, the same on every architecture of Linux."""

PREDICT = "/rtpredictor.v1.JobRuntimePredictor/Predict"


def sockets(pid):
    """The sockets of a process, as descriptors of this one."""
    system = ctypes.CDLL(None, use_errno=True)
    process = system.syscall(PIDFD_OPEN, pid, 0)
    if process < 0:
        pytest.skip(f"pidfd_open: {os.strerror(ctypes.get_errno())}")
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            found = system.syscall(PIDFD_GETFD, process, int(name), 0)
            if found < 0:
                pytest.skip(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=found) as opened:
                yield opened
    finally:
        os.close(process)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfd_open")
def test_what_is_written_leaves_at_once(native, http2):
    here = {http2.call(native).socket.getsockname() for _ in range(4)}
    found = {}
    for opened in sockets(native.process.pid):
        if opened.family == socket.AF_INET and opened.type == socket.SOCK_STREAM:
            try:
                peer = opened.getpeername()
            except OSError:  # it listens
                continue
            found[peer] = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert here <= found.keys()
    assert {found[peer] for peer in here} == {1}


def switches(pid):
    """How often each thread that has connections was woken, by its name."""
    counted = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if name.startswith("listen-"):
            lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            counted[name] = int(lines["voluntary_ctxt_switches"])
    return counted


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc")
def test_connections_are_spread_over_threads(start, predict):
    served = start("native", "native", "--listener-threads", "2")
    pid = served.process.pid
    with served.channel() as first, served.channel() as second:
        woken = []
        for channel in (first, second):
            call = channel.unary_unary(PREDICT)
            assert call(predict)
            before = switches(pid)
            for _ in range(200):
                assert call(predict)
            after = switches(pid)
            assert after.keys() == {"listen-0", "listen-1"}
            woken.append(max(after, key=lambda name: after[name] - before[name]))
    assert sorted(woken) == ["listen-0", "listen-1"]
