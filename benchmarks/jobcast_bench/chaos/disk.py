"""A full disk under the store of outcomes, the audit log and the repository that a training writes to."""

import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobcast_bench.chaos.ground import (
    AFTER_S,
    CALM_S,
    FAULT_S,
    CannotError,
    Fault,
    Ground,
    Record,
    ask,
    endings,
    is_root,
    loaded,
    moment,
)
from jobcast_bench.chaos.outcomes import IDENTITY, Reporters, report
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.server import Server
from jobcast_bench.chaos.timeline import figures

ROOM_BYTES = 16 << 20
"""What the small disk has beside the bundles: more than SQLite's log of changes ever takes."""

TRAINING_S = 60.0
TRACES = 40
SAYS_WHY = ("full", "space", "too large", "too big", "i/o error")


def mount(folder: Path, room: int) -> bool:
    """A disk of its own with this much room; False when this process may not mount."""
    folder.mkdir()
    if not is_root():
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={room}", "jobcast-chaos", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - no shell


def unmount(folder: Path) -> None:
    """Take the disk away."""
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)  # noqa: S603, S607


class Disk:
    """A small disk that can be filled: a tmpfs of its own, or a limit on how long the server's files may grow."""

    def __init__(self, ground: Ground) -> None:
        self.folder = ground.folder / "small"
        size = sum(path.stat().st_size for path in ground.models.rglob("*") if path.is_file())
        # A tmpfs counts in pages of 4 KiB, at most one more than needed for each file.
        self.own = mount(self.folder, size + 64 * 4096 + ROOM_BYTES)
        if self.own:
            ground.stack.callback(unmount, self.folder)
        self.how = "a tmpfs, filled to its last byte" if self.own else "RLIMIT_FSIZE of the server at one byte"
        self._filler = self.folder / "filler"

    def fill(self, server: Server) -> None:
        """Leave no room."""
        if not self.own:
            hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, hard))
            return
        with suppress(OSError), self._filler.open("ab", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))

    def empty(self, server: Server) -> None:
        """Make room again."""
        if self.own:
            self._filler.unlink()
        else:
            hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))


def _train(server: Server) -> tuple[int, Any]:
    """An act of administration that writes to the disk: to its end."""
    traces = [
        {"input_feature": {"input_tokens": size, "output_tokens": 30}, "duration_ms": 20.0 + size}
        for size in range(1, TRACES + 1)
    ]
    status, told = ask(server, "POST", "/train", {**IDENTITY, "traces": traces, "wait": False})
    end = time.monotonic() + TRAINING_S
    while status in (200, 202) and told.get("state") in (None, "waiting", "running") and time.monotonic() < end:
        time.sleep(0.1)
        status, told = ask(server, "GET", f"/train/{told['job']}")
    return status, told


def bring(ground: Ground) -> Record:
    """Fill the disk under calls, reports and a training, then make room."""
    disk = Disk(ground)
    models = ground.copied(disk.folder)
    store, audit = disk.folder / "outcomes.sqlite", disk.folder / "audit.jsonl"
    shipped = _files(models)
    server = ground.serve("--store", str(store), "--audit-log", str(audit), models=models)
    load, callers = ground.load(server), ground.callers(server)
    first = Reporters(server)
    ground.last(CALM_S)
    brought, position = moment(), server.position()
    disk.fill(server)
    status, told = _until_refused(server)
    first.finish()
    _, trained = _train(server)
    ground.last(FAULT_S)
    unwritten = server.events("the audit log cannot be written", position)
    disk.empty(server)
    cleared = moment()
    second = Reporters(server, begin=100)
    ground.last(AFTER_S)
    second.finish()
    lost = first.lost(store) + second.lost(store)
    timeline = callers.finish()
    told_acts = audit.read_text().count('"admin"') + sum("admin" in event["line"] for event in unwritten)
    measures = figures(timeline, brought, cleared) | loaded(load)
    measures |= {
        "acknowledged_outcomes": len(first.acknowledged | second.acknowledged),
        "lost_outcomes": lost,
        "refused_status": status,
        "refused_with_reason": any(word in str(told).lower() for word in SAYS_WHY),
        "accepted_after": len(second.acknowledged),
        "audited_acts": told_acts,
        "training_failed": trained.get("state") == "failed",
        "left_by_training": len(_files(models) - shipped),
    }
    notes = [f"the disk: {disk.how}", f"POST /outcomes said: {told}", f"POST /train said: {trained.get('error')}"]
    return Record(measures, notes + endings(timeline, load))


def _files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def _until_refused(server: Server) -> tuple[int, str]:
    """Report until the last free page of the store is used up; what is said then."""
    for number in range(10_000):
        status, told = ask(server, "POST", "/outcomes", [report(10**9 + number * 100 + each) for each in range(100)])
        if status != 200:
            return status, str(told.get("error"))
    raise CannotError("the disk did not become full")


DISK = Fault(
    "full-disk",
    "disk full under store, audit log and repository",
    "predictions go on; a report that cannot be written is refused with the reason, and none that was acknowledged is "
    "lost; an act that the audit log has no room for is in the log; a training that finds no room fails and changes "
    "nothing; reports are accepted as soon as there is room",
    bring,
    (
        *calm(normal_s=5.0),
        *LOADED,
        Rule("lost_outcomes", "==", 0, "no acknowledged outcome is lost"),
        Rule("refused_status", "==", 503, "a report without room is refused"),
        Rule("refused_with_reason", "==", 1, "the refusal says that there is no room"),
        Rule("accepted_after", ">=", 1, "reports are accepted once there is room"),
        Rule("audited_acts", ">=", 1, "no act goes untold"),
        Rule("training_failed", "==", 1, "a training that finds no room fails"),
        Rule("left_by_training", "==", 0, "and leaves nothing behind"),
    ),
)
