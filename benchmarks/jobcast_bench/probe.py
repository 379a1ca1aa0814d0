"""What the server spends: its CPU seconds and resident memory, sampled from outside while windows run."""

import threading
import time
from bisect import bisect_left

import psutil

INTERVAL_S = 0.05
MIB = 1024 * 1024


class Probe:
    """Samples a process and the workers that it has now, until closed or until one of them ends."""

    def __init__(self, pid: int) -> None:
        process = psutil.Process(pid)
        self._processes = [process, *process.children(recursive=True)]
        self._samples: list[tuple[int, float, int]] = []
        self._stop = threading.Event()
        self._sample()
        self._thread = threading.Thread(target=self._watch, name="server-probe", daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        seconds, memory = 0.0, 0
        for process in self._processes:
            with process.oneshot():
                cpu = process.cpu_times()
                seconds += cpu.user + cpu.system
                memory += process.memory_info().rss
        self._samples.append((time.monotonic_ns(), seconds, memory))

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self._sample()
            except psutil.NoSuchProcess:
                return

    def _cpu_at(self, moment: int) -> float:
        index = bisect_left(self._samples, (moment,))
        if index == 0:
            return self._samples[0][1]
        if index == len(self._samples):
            return self._samples[-1][1]
        (t0, c0, _), (t1, c1, _) = self._samples[index - 1], self._samples[index]
        return c0 + (c1 - c0) * (moment - t0) / (t1 - t0)

    def cpu_s(self, begin_ns: int, end_ns: int) -> float:
        """CPU seconds (user and system) spent between two moments of the monotonic clock, interpolated."""
        return self._cpu_at(end_ns) - self._cpu_at(begin_ns)

    def rss_mib(self, begin_ns: int = 0) -> float:
        """Largest resident memory in MiB that a sample since `begin_ns` (or the latest one) saw."""
        seen = [memory for moment, _, memory in self._samples if moment >= begin_ns]
        return max(seen or [self._samples[-1][2]]) / MIB

    def close(self) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()
