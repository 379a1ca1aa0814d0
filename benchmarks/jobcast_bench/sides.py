"""Two servers side by side in one run: the same bytes to the one and then to the other, window by window.

Both run all the time on the same core; the one that is not asked is idle.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from statistics import median
from typing import Protocol

from jobcast_bench.fleet import Cores, Fleet, Window
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.latency import Latency
from jobcast_bench.measures import Repeat, Result, result_of
from jobcast_bench.peers.peer import Peer
from jobcast_bench.probe import Probe
from jobcast_bench.run import Progress, Settings, load_of
from jobcast_bench.scenarios import BATCHING_SCENARIOS, ENGINE_SCENARIOS, GENERATOR_SCENARIOS, Scenario
from jobcast_bench.serving import Runs, Served
from jobcast_bench.worker import OVER_HTTP, echo_bytes

TRIAL_ROUNDS = 2
NEARLY = 0.9


class Server(Protocol):
    """A server that is up, whoever made it; one with HTTP alone has the same address twice."""

    address: str
    http_address: str
    pid: int


@dataclass(frozen=True)
class Trial:
    """What a setup of the peer reached under one scenario: the median of its windows, and the p99 of them all."""

    scenario: Scenario
    setup: Hashable
    calls_per_s: float
    p99_us: int | None

    @classmethod
    def of(cls, scenario: Scenario, setup: Hashable, windows: list[Window]) -> "Trial":
        """Summarise at least one window."""
        latency = Latency()
        for window in windows:
            latency.add(window.latency)
        return cls(scenario, setup, median(window.rate_per_s for window in windows), latency.percentile(99.0))


def best(trials: Iterable[Trial]) -> Trial:
    """The lowest p99 among those with nearly the most calls per second, so that neither is won at the other's cost."""
    tried = list(trials)
    enough = NEARLY * max(trial.calls_per_s for trial in tried)
    quick = [trial for trial in tried if trial.calls_per_s >= enough]
    return min(quick, key=lambda trial: (trial.p99_us is None, trial.p99_us, -trial.calls_per_s))


@contextmanager
def watched(server: Server) -> Iterator[Probe]:
    """A probe of its process."""
    probe = Probe(server.pid)
    try:
        yield probe
    finally:
        probe.close()


def address_of(server: Server, scenario: Scenario) -> str:
    """The listener that a scenario is for."""
    return server.http_address if scenario.target in OVER_HTTP else server.address


class Sides:
    """Measures on one load process, since one core carries the load."""

    def __init__(self, settings: Settings, fleet: Fleet, step: Progress) -> None:
        self._settings = settings
        self._bundle = newest_bundle(settings.models, settings.predictor)
        self._fleet = fleet
        self._step = step

    def window(self, scenario: Scenario, server: Server, probe: Probe | None = None) -> Window:
        """One window of a scenario on one server."""
        load = load_of(scenario, self._settings, address_of(server, scenario), self._bundle)
        if scenario.rate is not None:
            load = replace(load, rate=scenario.rate.value)
        measured = self._fleet.measure(load, 1, probe)
        self._step(scenario.title)
        return measured

    def beside(self, scenario: Scenario, subject: Server, rival: Server, *, echo: bool = False) -> Result:
        """A scenario against both, A B A B; with `echo` the same bytes to the subject's echo after each."""
        repeats = []
        with watched(subject) as own, watched(rival) as other:
            for _ in range(self._settings.repeats):
                repeat = Repeat(self.window(scenario, subject, own))
                if echo:
                    repeat.echo = self.echo(scenario, subject, own, repeat.subject.answer_bytes)
                repeat.rival = self.window(scenario.of_rival, rival, other)
                repeats.append(repeat)
        return result_of(scenario.name, scenario.title, scenario.rows, repeats)

    def echo(self, scenario: Scenario, server: Server, probe: Probe, answer_bytes: int) -> Window:
        """As many bytes as the scenario moves, to the echo of a server."""
        load = load_of(scenario, self._settings, address_of(server, scenario), self._bundle)
        payload = echo_bytes(load, answer_bytes)
        return self.window(replace(scenario, target=scenario.echo, echo_bytes=payload), server, probe)


def peer_steps(peer: Peer, settings: Settings) -> int:
    """How many steps `beside_peer` reports."""
    return (TRIAL_ROUNDS * len(peer.setups) + 2 * settings.repeats) * len(peer.scenarios)


def _tried(
    peer: Peer, servers: Mapping[Hashable, Server], settings: Settings, fleet: Fleet, step: Progress
) -> list[Trial]:
    """Every setup under every scenario, in turns, in windows as long as the run's: some pauses come late in them."""
    sides = Sides(settings, fleet, step)
    windows: dict[tuple[Scenario, Hashable], list[Window]] = {}
    for scenario, _, (setup, server) in product(peer.scenarios, range(TRIAL_ROUNDS), servers.items()):
        windows.setdefault((scenario, setup), []).append(sides.window(scenario.of_rival, server))
    return [Trial.of(scenario, setup, seen) for (scenario, setup), seen in windows.items()]


def beside_peer(peer: Peer, settings: Settings, cores: Cores, step: Progress) -> tuple[list[Result], list[Trial], Runs]:
    """Our server beside a peer on the same bundle, in the setup that is best here for each scenario.

    Raises:
        PeerError: the peer's environment cannot be made.
        ServerError: one of the servers does not come up.
    """
    results = []
    with ExitStack() as stack:
        ours = stack.enter_context(Served(settings.models, cores, settings.server_arguments))
        servers = {setup: stack.enter_context(peer.start(settings.models, cores, setup)) for setup in peer.setups}
        fleet = stack.enter_context(Fleet(1, cores, settings.seed))
        trials = _tried(peer, servers, settings, fleet, step)
        chosen = {
            scenario: best(trial for trial in trials if trial.scenario is scenario).setup for scenario in peer.scenarios
        }
        for setup in set(peer.setups) - set(chosen.values()):
            servers[setup].close()
        sides = Sides(settings, fleet, step)
        for scenario, setup in chosen.items():
            results.append(sides.beside(scenario, ours, servers[setup]))
        return results, trials, ours.runs


def batching_steps(settings: Settings) -> int:
    """How many steps `beside_unbatched` reports."""
    return 2 * settings.repeats * len(BATCHING_SCENARIOS)


def beside_unbatched(settings: Settings, cores: Cores, step: Progress) -> list[Result]:
    """Our server with dynamic batching, beside itself without; raises ServerError when one does not come up."""
    arguments = settings.server_arguments
    with (
        Served(settings.models, cores, (*arguments, "--dynamic-batching")) as batching,
        Served(settings.models, cores, (*arguments, "--no-dynamic-batching")) as single,
        Fleet(1, cores, settings.seed) as fleet,
    ):
        sides = Sides(settings, fleet, step)
        return [sides.beside(scenario, batching, single) for scenario in BATCHING_SCENARIOS]


def engine_steps(settings: Settings) -> int:
    """How many steps `beside_python` reports."""
    return 3 * settings.repeats * len(ENGINE_SCENARIOS)


def beside_python(settings: Settings, cores: Cores, step: Progress) -> list[Result]:
    """Our server with the native engine, beside itself with Python's; raises ServerError when one does not come up."""
    arguments = settings.server_arguments
    with (
        Served(settings.models, cores, (*arguments, "--engine", "native")) as native,
        Served(settings.models, cores, (*arguments, "--engine", "python")) as python,
        Fleet(1, cores, settings.seed) as fleet,
    ):
        sides = Sides(settings, fleet, step)
        return [sides.beside(scenario, native, python, echo=True) for scenario in ENGINE_SCENARIOS]


def generator_steps(settings: Settings) -> int:
    """How many steps `beside_h2load` reports."""
    return 2 * settings.repeats * len(GENERATOR_SCENARIOS)


def beside_h2load(settings: Settings, cores: Cores, step: Progress) -> list[Result]:
    """`jobcast-load` beside h2load on one server.

    Raises:
        GeneratorError: one of them is not there.
        ServerError: the server does not come up.
    """
    results = []
    with (
        Served(settings.models, cores, settings.server_arguments) as server,
        Fleet(1, cores, settings.seed) as fleet,
        watched(server) as probe,
    ):
        ours = Sides(replace(settings, generator="jobcast-load"), fleet, step)
        theirs = Sides(replace(settings, generator="h2load"), fleet, step)
        for scenario in GENERATOR_SCENARIOS:
            repeats = []
            for index in range(settings.repeats):
                # Whoever goes first has the better half of a machine that grows busy: they take turns in that.
                order = (ours, theirs) if index % 2 == 0 else (theirs, ours)
                seen = {generator: generator.window(scenario, server, probe) for generator in order}
                repeats.append(Repeat(seen[ours], rival=seen[theirs]))
            results.append(result_of(scenario.name, scenario.title, scenario.rows, repeats))
    return results
