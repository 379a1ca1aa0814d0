"""How many cores the control groups of a process grant it, from files as Linux writes them."""

import math
import os
from pathlib import Path

import pytest
from jobcast_server import cores


class Machine:
    """Control groups in a folder."""

    def __init__(self, root: Path) -> None:
        self.groups = root / "cgroup"
        self.membership = root / "self"
        self.groups.mkdir()

    def unified(self, path: str, text: str) -> None:
        """A group of version 2."""
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(text + "\n")

    def divided(self, path: str, quota: int, period: int) -> None:
        """A group of version 1."""
        folder = self.groups / "cpu" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu.cfs_period_us").write_text(f"{period}\n")

    def granted(self, *lines: str) -> float:
        self.membership.write_text("".join(line + "\n" for line in lines))
        return cores._quota(self.groups, self.membership)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_version_2(machine):
    machine.unified("app", "150000 100000")
    assert machine.granted("0::/app") == 1.5


def test_version_2_without_a_limit(machine):
    machine.unified("app", "max 100000")
    assert machine.granted("0::/app") == math.inf


def test_the_smallest_of_nested_groups(machine):
    machine.unified("", "800000 100000")
    machine.unified("kube", "400000 100000")
    machine.unified("kube/pod", "200000 100000")
    machine.unified("kube/pod/app", "max 100000")
    assert machine.granted("0::/kube/pod/app") == 2
    machine.unified("kube", "50000 100000")
    assert machine.granted("0::/kube/pod/app") == 0.5


def test_the_root_of_a_container(machine):
    machine.unified("", "300000 100000")
    assert machine.granted("0::/") == 3
    assert machine.granted("0::/../../elsewhere") == 3


def test_version_1(machine):
    machine.divided("docker/app", 250000, 100000)
    lines = ("5:memory:/docker/app", "4:cpu,cpuacct:/docker/app", "1:name=systemd:/docker/app")
    assert machine.granted(*lines) == 2.5
    machine.divided("", 100000, 50000)
    assert machine.granted(*lines) == 2, "the groups above grant no more than this"
    machine.divided("", -1, 50000)
    machine.divided("docker/app", -1, 100000)
    assert machine.granted(*lines) == math.inf


def test_version_1_seen_from_inside_a_container(machine):
    """The path is the host's, and what is mounted is the container's own group."""
    machine.divided("", 150000, 100000)
    assert machine.granted("4:cpu,cpuacct:/docker/app") == 1.5


def test_no_groups_at_all(machine):
    assert machine.granted("0::/app") == math.inf
    assert cores._quota(machine.groups, machine.membership / "none") == math.inf


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="this system has no control groups")
@pytest.mark.parametrize(("quota", "wanted"), [(0.1, 1), (math.inf, None)])
def test_at_least_one_core_and_at_most_those_of_the_affinity(monkeypatch, quota, wanted):
    monkeypatch.setattr(cores, "_quota", lambda groups, membership: quota)
    assert cores.usable() == (wanted or len(os.sched_getaffinity(0)))
