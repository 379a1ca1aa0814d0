"""Two servers side by side in one run: the same bytes to the one and then to the other, window by window.

Both run all the time on the same core; the one that is not asked is idle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from jobcast_bench.fleet import Cores, Fleet, Window
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.measures import Repeat, Result, result_of
from jobcast_bench.peers.mlserver import MlServer, Setup
from jobcast_bench.probe import Probe
from jobcast_bench.run import Progress, Settings, load_of
from jobcast_bench.scenarios import BATCHING_SCENARIOS, PEER_SCENARIOS, Scenario
from jobcast_bench.serving import Served

TRIALS = (Setup(0), Setup(1), Setup(0, 8, 0.001), Setup(1, 8, 0.001))
TRIED = next(scenario for scenario in PEER_SCENARIOS if scenario.name == "peer-grpc-8")


class Server(Protocol):
    """A server that is up, whoever made it."""

    address: str
    http_address: str
    pid: int


@dataclass(frozen=True)
class Trial:
    """Calls per second that a setup of the peer reached in a short window."""

    setup: Setup
    calls_per_s: float


@contextmanager
def _watched(server: Server) -> Iterator[Probe]:
    probe = Probe(server.pid)
    try:
        yield probe
    finally:
        probe.close()


def beside(
    scenarios: tuple[Scenario, ...], subject: Server, rival: Server, settings: Settings, cores: Cores, step: Progress
) -> list[Result]:
    """Every scenario against both, A B A B; one load process, since one core carries the load."""
    bundle = newest_bundle(settings.models)
    results = []
    with Fleet(1, cores, settings.seed) as fleet, _watched(subject) as own, _watched(rival) as other:

        def window(scenario: Scenario, server: Server, probe: Probe) -> Window:
            address = server.http_address if scenario.target == "rest" else server.address
            measured = fleet.measure(load_of(scenario, settings, address, bundle), 1, probe)
            step(scenario.title)
            return measured

        for scenario in scenarios:
            repeats = [
                Repeat(window(scenario, subject, own), rival=window(scenario, rival, other))
                for _ in range(settings.repeats)
            ]
            results.append(result_of(scenario.name, scenario.title, 1, repeats))
    return results


def peer_steps(settings: Settings) -> int:
    """How many steps `beside_mlserver` reports."""
    return len(TRIALS) + 2 * settings.repeats * len(PEER_SCENARIOS)


def try_setups(settings: Settings, cores: Cores, step: Progress) -> list[Trial]:
    """One window of eight gRPC connections on each setup that the peer's documentation leaves to trial, best first."""
    bundle = newest_bundle(settings.models)
    short = replace(settings, duration_s=min(settings.duration_s, 1.0))
    tried = []
    with Fleet(1, cores, settings.seed) as fleet:
        for setup in TRIALS:
            with MlServer(settings.models, cores, setup) as server:
                window = fleet.measure(load_of(TRIED, short, server.address, bundle), 1, None)
            tried.append(Trial(setup, window.rate_per_s if window.succeeded else 0.0))
            step(f"trying MLServer: {setup}")
    return sorted(tried, key=lambda trial: -trial.calls_per_s)


def beside_mlserver(settings: Settings, cores: Cores, step: Progress) -> tuple[list[Result], list[Trial]]:
    """Our server beside MLServer in the setup that is fastest here, on the same bundle.

    Raises:
        PeerError: MLServer's environment cannot be made.
        ServerError: one of the servers does not come up.
    """
    trials = try_setups(settings, cores, step)
    with (
        Served(settings.models, cores, settings.server_arguments) as ours,
        MlServer(settings.models, cores, trials[0].setup) as theirs,
    ):
        return beside(PEER_SCENARIOS, ours, theirs, settings, cores, step), trials


def batching_steps(settings: Settings) -> int:
    """How many steps `beside_unbatched` reports."""
    return 2 * settings.repeats * len(BATCHING_SCENARIOS)


def beside_unbatched(settings: Settings, cores: Cores, step: Progress) -> list[Result]:
    """Our server with dynamic batching, beside itself without; raises ServerError when one does not come up."""
    arguments = settings.server_arguments
    with (
        Served(settings.models, cores, (*arguments, "--dynamic-batching")) as batching,
        Served(settings.models, cores, (*arguments, "--no-dynamic-batching")) as single,
    ):
        return beside(BATCHING_SCENARIOS, batching, single, settings, cores, step)
