"""Ten thousand connections that do nothing: what each costs, and that nothing is left of them."""

import resource
import socket
import time
from collections.abc import Callable

import psutil

from jobcast_bench.chaos import wire
from jobcast_bench.chaos.ground import (
    AFTER_S,
    CALM_S,
    FAULT_S,
    CannotError,
    Fault,
    Ground,
    Record,
    endings,
    loaded,
    moment,
)
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.probe import MIB

CONNECTIONS = 10_000
SPARE = 500
"""File descriptors that server and harness need beside the connections."""

BURST = 100
PAUSE_S = 0.02
RELEASE_S = 20.0
"""The server looks every 10 s whether there is memory to give back."""

SLACK_MIB = 64.0
SLACK_FDS = 50


def allow(wanted: int) -> None:
    """Let this process, and the server that it starts, open as many files. Raises CannotError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise CannotError(f"RLIMIT_NOFILE: {hard} open files are allowed here, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def opened(port: int, count: int) -> list[socket.socket]:
    """Connections that have said their first bytes, in bursts that a listening socket has room for."""
    found = []
    for number in range(count):
        found.append(wire.connect(port))
        if number % BURST == 0:
            time.sleep(PAUSE_S)
    return found


def _settled(count: Callable[[], int], most: float) -> int:
    """What is counted, once it is no more than that or time is over."""
    end = time.monotonic() + RELEASE_S
    while (found := count()) > most and time.monotonic() < end:
        time.sleep(0.05)
    return found


def bring(ground: Ground, connections: int = CONNECTIONS) -> Record:
    """Open them, leave them alone, close them, under calls."""
    allow(connections + SPARE)
    server = ground.serve()
    load, callers = ground.load(server), ground.callers(server)
    ground.last(CALM_S)
    process = psutil.Process(server.pid)
    rss, fds = process.memory_info().rss, process.num_fds()
    began = moment()
    held = opened(server.ports[0], connections)
    brought = moment()
    held_fds = process.num_fds()
    ground.last(FAULT_S)
    rss_held = process.memory_info().rss
    cleared = moment()
    for one in held:
        one.close()
    fds_after = _settled(process.num_fds, fds + SLACK_FDS)
    rss_after = _settled(lambda: process.memory_info().rss, rss + SLACK_MIB * MIB)
    released = moment()
    ground.last(AFTER_S)
    timeline = callers.finish()
    measures = figures(timeline, began, cleared, since=cleared) | loaded(load)
    measures |= {
        "connections": held_fds - fds,
        "opened_in_s": (brought - began) / 1e9,
        "p99_idle_us": timeline.p99_us(brought, cleared),
        "bytes_per_connection": (rss_held - rss) / connections,
        "fds_before": fds,
        "fds_left": fds_after - fds,
        "rss_mib": rss / MIB,
        "rss_held_mib": rss_held / MIB,
        "rss_left_mib": (rss_after - rss) / MIB,
        "released_s": (released - cleared) / 1e9,
    }
    return Record(measures, endings(timeline, load))


IDLE = Fault(
    "idle-connections",
    "10,000 idle connections",
    "good callers go on while they come, stay and go; a connection costs little memory; all are released",
    bring,
    (
        *calm(normal_s=5.0),
        *LOADED,
        Rule("connections", ">=", 0.99 * CONNECTIONS, "the server holds them all"),
        Rule("p99_idle_us", "<=", 100_000, "p99 of good callers stays within 100 ms beside them"),
        Rule("bytes_per_connection", "<=", 65_536, "a connection costs at most 64 KiB"),
        Rule("fds_left", "<=", SLACK_FDS, "all of them are released"),
        Rule("rss_left_mib", "<=", SLACK_MIB, "and the memory that they needed"),
    ),
)
