"""A cap on memory under the largest batches that are allowed, as many at once as come."""

import resource

import psutil

from jobcast_bench.chaos.cgroup import Group
from jobcast_bench.chaos.closed import drive
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, FAULT_S, CannotError, Fault, Ground, Record, endings, moment
from jobcast_bench.chaos.outcomes import Reporters
from jobcast_bench.chaos.rule import Rule, calm
from jobcast_bench.chaos.server import Server
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.probe import Probe
from jobcast_bench.rows import batch_requests
from jobcast_bench.worker import METHODS

MIB = 2**20
CAP_MIB = 640
"""The limit of `deploy/kubernetes`."""

ROWS = 10_000
"""`max_batch_rows`."""

CONNECTIONS, STREAMS = 8, 4
DEADLINE_S = 20.0
REFUSALS = ("RESOURCE_EXHAUSTED",)
FULL = frozenset(REFUSALS)


def cap(ground: Ground, server: Server) -> tuple[Group | None, str]:
    """Cap the server's memory: by a control group, else by the data that it may have."""
    try:
        group = Group(ground, "memory")
        group.memory(CAP_MIB * MIB)
        group.add(server.pid)
    except CannotError as error:
        resource.prlimit(server.pid, resource.RLIMIT_DATA, (CAP_MIB * MIB, CAP_MIB * MIB))
        return None, f"RLIMIT_DATA of {CAP_MIB} MiB, since {error}"
    return group, f"a control group of version {group.version}, {CAP_MIB} MiB"


def bring(ground: Ground) -> Record:
    """Send the largest batches to a capped server, under reports and calls."""
    server = ground.serve("--max-inflight", "64")
    _, how = cap(ground, server)
    callers, reporters = ground.callers(server), Reporters(server, callers=1)
    probe = Probe(server.pid)
    ground.stack.callback(probe.close)
    ground.last(CALM_S)
    brought = moment()
    hostile = drive(
        server.address, METHODS["batch"], batch_requests(ROWS, 0), ground.folder, connections=CONNECTIONS,
        streams=STREAMS, seconds=FAULT_S * ground.pace, deadline_s=DEADLINE_S, refusals=REFUSALS,
    )  # fmt: skip
    cleared = moment()
    ground.last(AFTER_S)
    survived = server.alive()
    reporters.finish()
    peak = probe.rss_mib()
    resting = psutil.Process(server.pid).memory_info().rss / MIB if survived else float("nan")
    if not survived:
        server.start()
    lost = reporters.lost(ground.folder / "outcomes.sqlite")
    timeline = callers.finish()
    measures = figures(timeline, brought, cleared, allowed=FULL) | {
        "survived": survived,
        "acknowledged_outcomes": len(reporters.acknowledged),
        "lost_outcomes": lost,
        "batches": hostile.sent,
        "batches_answered": hostile.answered,
        "batches_refused": hostile.refused,
        "batches_unexpected": hostile.unexpected,
        "rss_peak_mib": peak,
        "rss_after_mib": resting,
        "cap_mib": CAP_MIB,
    }
    notes = [
        f"the cap: {how}",
        f"{CONNECTIONS * STREAMS} callers, each with one batch of {ROWS:,} jobs at a time",
        *(f"batches heard {name}: {said}" for name, said in hostile.told.items()),
    ]
    return Record(measures, notes + endings(timeline))


MEMORY = Fault(
    "memory-cap",
    f"{CAP_MIB} MiB under the largest batches",
    "the server lives: rows beyond `max_queued_rows` are refused with RESOURCE_EXHAUSTED, memory stays under the cap, "
    "single calls go on, no acknowledged outcome is lost",
    bring,
    (
        *calm(normal_s=10.0, worst_s=5.0),
        Rule("survived", "==", 1, "the server lives"),
        Rule("lost_outcomes", "==", 0, "no acknowledged outcome is lost"),
        Rule("batches_answered", ">=", 1, "batches that fit are answered"),
        Rule("batches_refused", ">=", 1, "batches that do not fit are refused"),
        Rule("batches_unexpected", "==", 0, "refusals are RESOURCE_EXHAUSTED only"),
        Rule("rss_peak_mib", "<=", CAP_MIB, "memory stays under the cap"),
    ),
)
