"""How many cores this process may use: its affinity, bounded by the quota of its control group; on Apple silicon the
performance cores, since there is no affinity there and an efficiency core would hold up the others."""

import math
import os
import subprocess
import sys
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


def usable() -> int:
    """Cores, at least one; a quota of 1.5 cores is two."""
    if sys.platform == "darwin":
        shown = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"], capture_output=True, text=True, check=False
        ).stdout.strip()
        return max(1, int(shown)) if shown.isdigit() else os.cpu_count() or 1
    quota = _quota(GROUPS, Path("/proc/self/cgroup"))
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), quota)))


def share(workers: int) -> int:
    """A worker's part of them, where there are several; at least one."""
    return max(1, usable() // workers)


def _quota(groups: Path, membership: Path) -> float:
    """Cores that the control group and those above it grant, of version 2 or 1; infinite without a quota."""
    granted = [math.inf]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        unified = not controllers
        if not unified and "cpu" not in controllers.split(","):
            continue
        home = groups if unified else groups / "cpu"
        own = home / path.strip("/")
        for folder in (own, *own.parents):
            granted.append(_granted(folder, unified=unified))
            if folder == home:
                break
    return min(granted)


def _granted(folder: Path, *, unified: bool) -> float:
    try:
        if unified:
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    except (OSError, ValueError):  # no such file, or the word "max"
        return math.inf
