"""A gRPC client that balances by itself over several servers loses no call when one of them is killed under load.

`python tests/deploy/test_balancing.py SECONDS` prints the figures of docs/scaling.md.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
from jobcast import Client, Job
from prometheus_client.parser import text_string_to_metric_families

sys.path.append(str(Path(__file__).parents[1] / "helpers"))  # pytest's own path has it, a script's has not
import serving

CALLERS = 8
REQUEST = pb.PredictRequest(
    features=pb.JobFeatures(
        processors_req=16, nodes_req=2, mem_req=32.0, wallclock_req=7200.0, partition="batch", qos="normal"
    )
)  # fmt: skip
ROUND_ROBIN = {"loadBalancingConfig": [{"round_robin": {}}]}
RETRYING = {
    "methodConfig": [
        {
            "name": [{"service": "rtpredictor.v1.JobRuntimePredictor"}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}  # fmt: skip
"""Predictions change nothing, so that they may be asked again."""


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    metrics_port: int

    def served(self) -> int:
        """Predictions that it says it has answered."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        samples = (sample for family in families for sample in family.samples)
        return int(
            sum(s.value for s in samples if s.name == "rt_predictor_requests_total" and s.labels["method"] == "Predict")
        )


@contextmanager
def fleet(size: int) -> Iterator[list[Server]]:
    """So many servers with the shipped models, each a process on free ports."""
    processes = [serving.spawn() for _ in range(size)]
    try:
        yield [_ready(process) for process in processes]
    finally:
        for process in processes:
            serving.end(process)


def _ready(process: subprocess.Popen[str]) -> Server:
    told = serving.wait(process)
    serving.drain(process)
    return Server(process, told["port"], told["metrics_port"])


@dataclass
class Load:
    """What callers in a closed loop saw."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    answers: set[float] = field(default_factory=set)
    longest: float = 0.0

    def add(self, other: "Load") -> None:
        self.statuses += other.statuses
        self.answers |= other.answers
        self.longest = max(self.longest, other.longest)


def call(servers: list[Server], policy: dict[str, object], calls: int, killed: Server | None = None) -> Load:
    """`CALLERS` threads over one channel make `calls` calls in all; the server `killed` dies after a third of them."""
    addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    options = [
        ("grpc.service_config", json.dumps(policy)),
        ("grpc.default_authority", "jobcast"),  # else the whole list of addresses
        ("grpc.use_local_subchannel_pool", 1),
    ]
    left = iter(range(calls))
    guard = threading.Lock()
    total = Load()
    with grpc.insecure_channel(f"ipv4:{addresses}", options) as channel:
        stub = rpc.JobRuntimePredictorStub(channel)
        _every_server_answers(stub, servers)

        def caller() -> Load:
            seen = Load()
            while True:
                with guard:
                    number = next(left, None)
                if number is None:
                    return seen
                if killed is not None and number == calls // 3:
                    killed.process.send_signal(signal.SIGKILL)
                begun = time.perf_counter()
                try:
                    seen.answers.add(stub.Predict(REQUEST, timeout=10).predicted_runtime_seconds)
                    seen.statuses["OK"] += 1
                except grpc.RpcError as error:
                    seen.statuses[error.code().name] += 1
                seen.longest = max(seen.longest, time.perf_counter() - begun)

        begun = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            for share in pool.map(lambda _: caller(), range(CALLERS)):
                total.add(share)
        total.seconds = time.perf_counter() - begun
    return total


def _every_server_answers(stub: rpc.JobRuntimePredictorStub, servers: list[Server]) -> None:
    """Call until each has been reached: connections are made one after the other."""
    for _ in range(1000):
        for _ in servers:
            stub.Predict(REQUEST, timeout=10, wait_for_ready=True)
        if all(server.served() for server in servers):
            return
    raise AssertionError("a server was never called")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    with fleet(3) as found:
        yield found


def test_calls_are_spread_evenly_over_the_servers(servers: list[Server]) -> None:
    lasting = servers[:2]
    before = [server.served() for server in lasting]
    load = call(lasting, ROUND_ROBIN, 600)
    shares = [server.served() - earlier for server, earlier in zip(lasting, before, strict=True)]
    assert load.statuses == {"OK": 600}
    assert min(shares) >= 250, shares


def test_a_killed_server_costs_a_retrying_client_no_call(servers: list[Server]) -> None:
    load = call(servers, ROUND_ROBIN | RETRYING, 1500, killed=servers[2])
    assert servers[2].process.wait(timeout=10) == -signal.SIGKILL
    assert load.statuses == {"OK": 1500}
    assert len(load.answers) == 1, "the servers do not answer alike"


def test_the_python_client_takes_turns_and_loses_no_call() -> None:
    with fleet(2) as found, Client("ipv4:" + ",".join(f"127.0.0.1:{server.port}" for server in found)) as client:
        job = Job(
            processors_req=16, nodes_req=2, mem_req=32.0, wallclock_req=7200.0, partition="batch", qos="normal",
            submit_time=1_700_000_000,
        )  # fmt: skip
        answers = {client.predict(job).runtime_seconds for _ in range(200)}
        assert min(server.served() for server in found) >= 50
        found[1].process.send_signal(signal.SIGKILL)
        answers |= {client.predict(job).runtime_seconds for _ in range(200)}
        assert len(answers) == 1


def main(calls: int) -> None:
    """Print what a kill costs with and without retries, for one to three servers."""
    print("| servers | client | killed | calls | failed | calls/s | longest call |\n|---|---|---|---:|---:|---:|---:|")
    for size, retrying, kill in (
        (1, False, False),
        (2, False, False),
        (3, False, False),
        (3, False, True),
        (3, True, True),
    ):
        with fleet(size) as found:
            policy = ROUND_ROBIN | RETRYING if retrying else ROUND_ROBIN
            load = call(found, policy, calls, killed=found[1] if kill else None)
        failed = calls - load.statuses["OK"]
        client = "round_robin, retries" if retrying else "round_robin"
        print(
            f"| {size} | {client} | {'one' if kill else 'none'} | {calls:,} | {failed} | {calls / load.seconds:,.0f} "
            f"| {load.longest * 1000:.0f} ms |"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30_000)
