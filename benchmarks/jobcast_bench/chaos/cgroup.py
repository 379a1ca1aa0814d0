"""Control groups of the kernel, of version 2 or 1, made for one server and taken away with it."""

import time
from contextlib import suppress
from pathlib import Path

from jobcast_bench.chaos.ground import CannotError, Ground

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
GONE_S = 5.0


class Group:
    """A group with one controller, `cpu` or `memory`; raises CannotError where this process may not make one."""

    def __init__(self, ground: Ground, controller: str) -> None:
        self._second = (ROOT / "cgroup.controllers").exists()
        parent = ROOT if self._second else ROOT / controller
        if self._second and controller not in (ROOT / "cgroup.controllers").read_text().split():
            raise CannotError(f"control groups of version 2 without {controller}")
        self._folder = parent / f"jobcast-chaos-{ground.folder.name}"
        try:
            if self._second:
                (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
            self._folder.mkdir()
        except OSError as error:
            raise CannotError(f"no {controller} control group can be made: {error.strerror}") from error
        ground.stack.callback(self._remove)

    @property
    def version(self) -> int:
        """Of the kernel's control groups."""
        return 2 if self._second else 1

    def cpu(self, cores: float | None) -> None:
        """Let it have that many cores; None = all."""
        quota = None if cores is None else round(cores * PERIOD_US)
        if self._second:
            self._write("cpu.max", f"{'max' if quota is None else quota} {PERIOD_US}")
        else:
            self._write("cpu.cfs_period_us", str(PERIOD_US))
            self._write("cpu.cfs_quota_us", str(-1 if quota is None else quota))

    def memory(self, limit: int) -> None:
        """Let it have that many bytes, without swap."""
        self._write("memory.max" if self._second else "memory.limit_in_bytes", str(limit))
        with suppress(CannotError):  # where the kernel counts no swap there is none to forbid
            self._write(*(("memory.swap.max", "0") if self._second else ("memory.memsw.limit_in_bytes", str(limit))))

    def throttled(self) -> int:
        """Periods in which it had used up its share of processors."""
        lines = (self._folder / "cpu.stat").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("nr_throttled")), 0)

    def peak(self) -> int:
        """The most memory that it ever had, in bytes; 0 where the kernel does not say."""
        file = self._folder / ("memory.peak" if self._second else "memory.max_usage_in_bytes")
        return int(file.read_text()) if file.exists() else 0

    def add(self, pid: int) -> None:
        """Put a process into it."""
        self._write("cgroup.procs", str(pid))

    def _write(self, name: str, value: str) -> None:
        try:
            (self._folder / name).write_text(value)
        except OSError as error:
            raise CannotError(f"control group: {name} cannot be set to {value}: {error.strerror}") from error

    def _remove(self) -> None:
        """Take it away; processes that still run go on in the group above."""
        end = time.monotonic() + GONE_S
        while time.monotonic() < end:
            with suppress(OSError):
                for pid in (self._folder / "cgroup.procs").read_text().split():
                    (self._folder.parent / "cgroup.procs").write_text(pid)
                self._folder.rmdir()
                return
            time.sleep(0.05)
