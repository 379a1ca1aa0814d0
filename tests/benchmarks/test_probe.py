"""What a server spends, seen from outside."""

import subprocess
import sys
import time

from jobcast_bench.probe import Probe

WORKER = "for line in __import__('sys').stdin: [None for _ in range(10**7)]; print('done', flush=True)"
SERVER = f"""
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}], stdin=subprocess.PIPE, text=True)
print("up", flush=True)
for line in sys.stdin:
    worker.stdin.write(line)
    worker.stdin.flush()
worker.stdin.close()
worker.wait()
"""


def test_the_work_of_a_servers_workers_counts_as_its_own() -> None:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        probe = Probe(server.pid)
        begin = time.monotonic_ns()
        server.stdin.write("work\n")
        server.stdin.flush()
        assert server.stdout.readline() == "done\n"  # the worker wrote it, after ten million turns of a loop
        probe.close()
        assert probe.cpu_s(begin, time.monotonic_ns()) >= 0.05
        assert probe.rss_mib(begin) > 10  # two interpreters
        server.stdin.close()
