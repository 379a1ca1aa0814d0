"""kill -9 of a server, or of one of its workers, while outcomes are reported: nothing acknowledged is gone."""

import os
import signal

import psutil

from jobcast_bench.chaos.callers import BROKEN, Lane
from jobcast_bench.chaos.ground import AFTER_S, CALM_S, Fault, Ground, Record, endings, loaded, moment, usual_rate
from jobcast_bench.chaos.load import NOT_CONNECTED
from jobcast_bench.chaos.outcomes import Reporters
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.timeline import figures
from jobcast_bench.fleet import Cores

WORKERS = 2
CONNECTIONS = 16
"""Of good callers: so many that each worker has some."""
GONE = frozenset({"UNAVAILABLE", BROKEN, NOT_CONNECTED})


def bring(ground: Ground) -> Record:
    """Kill the server under reports and calls, and start it again on the same ports."""
    server = ground.serve()
    store = ground.folder / "outcomes.sqlite"
    load, callers = ground.load(server), ground.callers(server)
    reporters = Reporters(server)
    ground.last(CALM_S)
    brought = moment()
    server.kill()
    server.start()
    cleared = moment()
    lost = reporters.lost(store)
    ground.last(AFTER_S)
    timeline, measures = callers.finish(), loaded(load, GONE)
    reporters.finish()
    lost += reporters.lost(store)
    measures |= figures(timeline, brought, cleared, allowed=GONE, since=brought) | {
        "acknowledged_outcomes": len(reporters.acknowledged),
        "lost_outcomes": lost,
        "broken": timeline.count(BROKEN),
        "restart_s": server.ready_s,
    }
    return Record(measures, endings(timeline, load))


def bring_to_worker(ground: Ground) -> Record:
    """Kill one of two workers under reports and calls."""
    server = ground.serve("--workers", str(WORKERS), cores=Cores(None, None, ground.cores.total))
    load = ground.load(server)
    callers = ground.callers(server, Lane("grpc", rate=usual_rate(), connections=CONNECTIONS))
    reporters = Reporters(server)
    ground.last(CALM_S)
    killed = max(child.pid for child in psutil.Process(server.pid).children())
    brought, position = moment(), server.position()
    os.kill(killed, signal.SIGKILL)
    server.wait("worker is back", position)
    cleared = moment()
    ground.last(AFTER_S)
    timeline, measures = callers.finish(), loaded(load, GONE)
    reporters.finish()
    code, _ = server.stop()
    measures |= figures(timeline, brought, cleared, allowed=GONE, since=brought) | {
        "acknowledged_outcomes": len(reporters.acknowledged),
        "lost_outcomes": reporters.lost(ground.folder / "outcomes.sqlite"),
        "broken": timeline.count(BROKEN),
        "answered_meanwhile": int(timeline.right[(timeline.due >= brought) & (timeline.due < cleared)].sum()),
        "worker_back_s": (cleared - brought) / 1e9,
        "exit_code": code,
    }
    return Record(measures, endings(timeline, load))


KILLED = Fault(
    "kill-9",
    "kill -9 of the only process",
    "every outcome that was acknowledged is in the store after the restart; calls in hand and those until then fail "
    "with UNAVAILABLE, and none is answered wrongly",
    bring,
    (
        *calm(normal_s=15.0, worst_s=10.0),
        *LOADED,
        Rule("acknowledged_outcomes", ">=", 1, "outcomes were acknowledged before the kill"),
        Rule("lost_outcomes", "==", 0, "no acknowledged outcome is lost"),
        Rule("restart_s", "<=", 10.0, "ready again within 10 s of the start"),
    ),
)

WORKER_KILLED = Fault(
    "kill-9-worker",
    "kill -9 of one of two workers",
    "calls in the hands of the one that is killed fail with UNAVAILABLE, the other one goes on answering; it is "
    "started again and takes its share; no acknowledged outcome is lost",
    bring_to_worker,
    (
        *calm(normal_s=10.0, worst_s=5.0),
        *LOADED,
        Rule("answered_meanwhile", ">=", 1, "the other worker answers meanwhile"),
        Rule("acknowledged_outcomes", ">=", 1, "outcomes were acknowledged"),
        Rule("lost_outcomes", "==", 0, "no acknowledged outcome is lost"),
        Rule("worker_back_s", "<=", 10.0, "the worker is back within 10 s"),
        Rule("exit_code", "==", 0, "all of it ends well"),
    ),
)
