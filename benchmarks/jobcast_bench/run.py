"""One run: every scenario's windows, subject and yardsticks in turn, A B A B, over one server."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobcast_bench.fleet import Cores, Fleet
from jobcast_bench.generator import Generator
from jobcast_bench.inprocess import newest_bundle, rows_per_s
from jobcast_bench.measures import Repeat, Result, Summary, result_of
from jobcast_bench.probe import Probe
from jobcast_bench.process import ServerError
from jobcast_bench.scenarios import LOWEST_PER_S, SATURATED, Rate, Scenario, select
from jobcast_bench.serving import Runs, Served, require_ready
from jobcast_bench.task import PREDICTOR
from jobcast_bench.worker import OVER_HTTP, Load, echo_bytes

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How a run measures; durations in seconds per window."""

    models: Path
    groups: tuple[str, ...]
    rates: tuple[Rate, ...]
    duration_s: float
    warmup_s: float
    repeats: int
    processes: int
    seed: int = 0
    count: int = 1_000_000
    quick: bool = False
    address: str | None = None
    server_arguments: tuple[str, ...] = ()
    generator: Generator = "python"
    predictor: str = "hpc-runtime"

    @property
    def scenarios(self) -> list[Scenario]:
        """The load scenarios of this run."""
        return select(self.groups, self.rates, self.quick)


@dataclass
class Measured:
    """What a run has found so far: the results of what is finished, and what the server says it runs."""

    results: list[Result] = field(default_factory=list)
    runs: Runs = field(default_factory=Runs)


def windows_of(settings: Settings) -> int:
    """How many steps `measure` reports to its progress."""
    starts = settings.repeats if "server" in settings.groups and settings.address is None else 1
    return starts + settings.repeats * len(settings.scenarios)


def load_of(scenario: Scenario, settings: Settings, address: str, bundle: Path | None) -> Load:
    """The load of a scenario on one address, without its rate; raises ServerError where it lacks a bundle."""
    if bundle is None and scenario.target in ("infer", *OVER_HTTP):
        predictor = PREDICTOR if scenario.target == "task" else settings.predictor
        raise ServerError(f"{scenario.name}: no bundle of {predictor} in {settings.models.name}/ to make requests from")
    return Load(
        address=address,
        target=scenario.target,
        duration_s=settings.duration_s,
        warmup_s=settings.warmup_s,
        in_flight=scenario.in_flight,
        connections=scenario.connections,
        rows=scenario.rows,
        process=scenario.process,
        count=settings.count,
        seed=settings.seed,
        bundle=bundle,
        # A server that was started elsewhere may serve another version, or round otherwise on another processor.
        exact=settings.address is None,
        generator=settings.generator,
        echo_bytes=scenario.echo_bytes,
        same=scenario.same,
    )


class Bench:
    """A fleet of load generators against one address."""

    def __init__(
        self, settings: Settings, cores: Cores, fleet: Fleet, address: str, probe: Probe | None,
        http_address: str | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._cores = cores
        self._fleet = fleet
        self._address = address
        self._probe = probe
        self._http_address = http_address
        self._bundle = newest_bundle(settings.models)
        self._task_bundle = newest_bundle(settings.models, PREDICTOR)
        self._saturation: float | None = None

    def scenario(self, scenario: Scenario, progress: Progress) -> Result:
        """All repeats of one scenario."""
        offered = self._offered(scenario)
        load = self._load(scenario, offered)
        processes = scenario.processes or self._settings.processes
        repeats: list[Repeat] = []
        for index in range(self._settings.repeats):
            seeded = replace(load, arrival_seed=index * processes)
            repeat = Repeat(self._fleet.measure(seeded, processes, self._probe), offered_per_s=offered)
            payload = echo_bytes(seeded, repeat.subject.answer_bytes)
            echo = replace(seeded, address=self._address, target=scenario.echo, echo_bytes=payload)
            repeat.echo = self._fleet.measure(echo, processes, self._probe)
            if scenario.target == "batch" and self._bundle is not None:
                repeat.onnxruntime_rows_per_s = self._in_process(scenario.rows)
            repeats.append(repeat)
            progress(scenario.title)
        result = result_of(scenario.name, scenario.title, scenario.rows, repeats)
        if scenario is SATURATED:
            self._saturation = result.measures["calls_per_s"].median
        if scenario.target == "batch" and self._bundle is None:
            result.notes.append(f"no onnxruntime yardstick: no bundle of hpc-runtime in {self._settings.models.name}/")
        return result

    def _load(self, scenario: Scenario, offered: float | None) -> Load:
        address, bundle = self._address, self._bundle
        if scenario.target == "task":
            if self._http_address is None:
                raise ServerError(f"{scenario.name}: its REST address is not known; measure without --address")
            address, bundle = self._http_address, self._task_bundle
        return replace(load_of(scenario, self._settings, address, bundle), rate=offered)

    def _offered(self, scenario: Scenario) -> float | None:
        if scenario.rate is None:
            return None
        if scenario.rate.unit == "%" and self._saturation is None:
            window = self._fleet.measure(self._load(SATURATED, None), self._settings.processes, self._probe)
            self._saturation = window.rate_per_s
        offered = scenario.rate.per_second(self._saturation or 0.0)
        if offered < LOWEST_PER_S:
            raise ServerError(
                f"{scenario.name}: {scenario.rate} of a saturation of {self._saturation or 0.0:g} calls/s is no load"
            )
        return offered

    def _in_process(self, rows: int) -> float:
        settings = self._settings
        return self._fleet.run(rows_per_s, self._bundle, rows, settings.seed, settings.duration_s, settings.warmup_s)


def _start(settings: Settings, cores: Cores, progress: Progress, stack: ExitStack) -> tuple[Served, Result | None]:
    """Start the server, several times where the start itself is measured; the last one stays until the stack ends."""
    measured = "server" in settings.groups
    ready, loaded = [], []
    for remaining in reversed(range(settings.repeats if measured else 1)):
        with ExitStack() as once:
            served = once.enter_context(Served(settings.models, cores, settings.server_arguments))
            ready.append(served.ready_s)
            with closing(Probe(served.pid)) as probe:
                loaded.append(probe.rss_mib())
            progress("starting the server")
            if not remaining:
                stack.push(once.pop_all())
    if not measured:
        return served, None
    measures = {"ready_s": Summary.of(ready), "loaded_rss_mib": Summary.of(loaded)}
    return served, Result("server", "The server process", measures)


def measure(settings: Settings, cores: Cores, progress: Progress, found: Measured) -> None:
    """Measure everything that the settings ask for; what is finished stays in `found` when the rest fails.

    Raises:
        ServerError: the server does not come up, or has ended.
        GeneratorError: the load generator could not measure.
    """
    with ExitStack() as stack:
        own: Result | None = None
        probe: Probe | None = None
        served: Served | None = None
        if settings.address is None:
            served, own = _start(settings, cores, progress, stack)
            found.runs = served.runs
            probe = Probe(served.pid)
            stack.callback(probe.close)
            address = served.address
            http_address: str | None = served.http_address
        else:
            address, http_address = settings.address, None
            require_ready(address)
        fleet = stack.enter_context(Fleet(settings.processes, cores, settings.seed))
        bench = Bench(settings, cores, fleet, address, probe, http_address)
        if own is not None:
            found.results.append(own)
        for scenario in settings.scenarios:
            result = bench.scenario(scenario, progress)
            if served is not None:
                served.require_running()
            found.results.append(result)
        if own is not None and probe is not None:
            own.measures["rss_mib"] = Summary.of([probe.rss_mib()])
