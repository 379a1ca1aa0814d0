"""The modes of `jobcast bench` that put two servers side by side, and write their section of a page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jobcast_bench import h2load
from jobcast_bench.bar import steps
from jobcast_bench.fleet import Cores, split_cores
from jobcast_bench.generator import choose
from jobcast_bench.listeners import OPTIONS, beside_listeners, listener_steps, table
from jobcast_bench.measures import Result
from jobcast_bench.page import Section
from jobcast_bench.peers import bundle
from jobcast_bench.peers.kserve import KSERVE
from jobcast_bench.peers.litserve import LITSERVE
from jobcast_bench.peers.mlserver import MLSERVER
from jobcast_bench.peers.peer import Peer
from jobcast_bench.report import Report
from jobcast_bench.run import Settings
from jobcast_bench.scenarios import Scenario
from jobcast_bench.sides import (
    NEARLY,
    TRIAL_ROUNDS,
    Trial,
    batching_steps,
    beside_h2load,
    beside_peer,
    beside_python,
    beside_unbatched,
    best,
    engine_steps,
    generator_steps,
    peer_steps,
)
from jobcast_bench.slo import Slo, Verdict, judge
from jobcast_bench.tonic_echo import built

PEERS = {peer.name: peer for peer in (KSERVE, LITSERVE, MLSERVER)}
"""Servers that ours can be measured beside, by their names on the command line."""

METHOD = (
    "closed loop, one call in flight over each connection, from one load process; the same request bytes to both; "
    "medians over the repeats with lowest and highest, ratios taken within a repeat"
)


Told = tuple[list[Result], list[Verdict]]


@dataclass(frozen=True)
class Asked:
    """How to measure, what to judge by, and where to tell it."""

    settings: Settings
    slos: list[Slo]
    command: str
    out: Path
    page: Path | None

    def tell(
        self, key: str, title: str, sides: tuple[str, str], cores: Cores, results: list[Result], notes: list[str],
        *, versions: Mapping[str, str] | None = None, table: list[str] | None = None,
    ) -> Told:  # fmt: skip
        """Judge what was measured, and write it down; for the parameters see `Section`."""
        verdicts = judge(self.slos, results)
        section = Section(
            key, title, *sides, self.command, self.settings, cores, results, verdicts, notes, versions, table
        )
        Report(self.command, self.settings, cores, results, verdicts).write_json(self.out)
        (self.out / "report.md").write_text(section.as_markdown(), encoding="utf-8")
        if self.page is not None:
            section.write(self.page)
        return results, verdicts


def run_peer(peer: Peer, asked: Asked) -> Told:
    """Measure beside a peer, on a model that is made for it; raises as `beside_peer`."""
    cores, theirs = split_cores(), peer.versions()
    slos = [slo for slo in asked.slos if any(slo.scenario == scenario.name for scenario in peer.scenarios)]
    settings = replace(asked.settings, models=bundle.repository(), predictor=bundle.PREDICTOR)
    asked = replace(asked, settings=settings, slos=slos)
    with steps(peer_steps(peer, settings)) as step:
        results, trials, runs = beside_peer(peer, settings, cores, step)
    notes = [
        METHOD + "; quantiles in one answer of 101 are held to the graph's own, bit for bit, on both servers",
        "the model: 24 numbers in one tensor, 500 trees of depth 8 each by XGBoost, LightGBM and CatBoost, merged into "
        f"one standard operator; {peer.title} runs it in plain onnxruntime on one thread",
        f"jobcast says that it runs {runs}",
        f"{peer.title} runs, for each load, in the setup that was best in a trial of {TRIAL_ROUNDS} such windows: the "
        f"lowest p99 among those with at least {NEARLY:.0%} of the most calls per second",
        *(f"trial, {scenario.title}: {_listed(trials, scenario)}" for scenario in peer.scenarios),
        *peer.notes,
    ]
    sides = ("jobcast", peer.title)
    return asked.tell(f"peer-{peer.name}", f"Beside {peer.title}", sides, cores, results, notes, versions=theirs)


def run_batching(asked: Asked) -> Told:
    """Measure with dynamic batching beside without; raises as `beside_unbatched`."""
    cores = split_cores()
    with steps(batching_steps(asked.settings)) as step:
        results = beside_unbatched(asked.settings, cores, step)
    notes = [METHOD, "the same server twice: `--dynamic-batching` (on) and `--no-dynamic-batching` (off)"]
    return asked.tell("dynamic-batching", "Dynamic batching, on and off", ("on", "off"), cores, results, notes)


def run_engines(asked: Asked) -> Told:
    """Measure the native engine beside Python's; raises as `beside_python`."""
    cores = split_cores()
    with steps(engine_steps(asked.settings)) as step:
        results = beside_python(asked.settings, cores, step)
    notes = [METHOD, "the same server twice: `--engine native` and `--engine python`", *map(_echoed, results)]
    return asked.tell("engines", "The native engine and Python's", ("native", "python"), cores, results, notes)


def run_listeners(asked: Asked) -> Told:
    """Measure the native listener beside the asyncio one and a bare echo; raises as `beside_listeners`."""
    cores = split_cores()
    with steps(listener_steps(asked.settings)) as step:
        results, runs = beside_listeners(asked.settings, cores, step)
    notes = [
        "the same server three times and a bare echo of the same number of bytes on tonic, from one load process, one "
        "after the other in each repeat; medians over the repeats with lowest and highest, ratios within a repeat",
        *(f"{name}: `{' '.join(options)}`; it says that it runs {runs[name]}" for name, options in OPTIONS.items()),
        "closed loop, except where a rate is told: there, latency counts from the time when a request was due",
        "on two cores, servers and load share them; p50 and p99 have the load's own share in them",
        *([] if built() else ["the bare tonic echo is not built (`make tonic-echo` does it where cargo is): left out"]),
    ]
    title = "The native listener, the asyncio one and a bare echo"
    return asked.tell("listeners", title, ("jobcast", "echo"), cores, results, notes, table=table(results))


def run_generators(asked: Asked) -> Told:
    """Measure `jobcast-load` beside h2load; raises as `beside_h2load`."""
    cores, theirs = split_cores(), h2load.versions()
    asked = replace(asked, settings=replace(asked.settings, generator=choose("jobcast-load")))
    with steps(generator_steps(asked.settings)) as step:
        results = beside_h2load(asked.settings, cores, step)
    notes = [
        "closed loop, from one load process; one server, the same request over and over; windows "
        "of the two in turns; medians over the repeats with lowest and highest, ratios taken within a repeat",
        "latency ends with the end of the answer for both; h2load counts an answer by its HTTP status alone",
    ]
    sides = ("jobcast-load", "h2load")
    return asked.tell(
        "load-generators", "The load generator beside h2load", sides, cores, results, notes, versions=theirs
    )


def _echoed(result: Result) -> str:
    """What the listener does without an engine, and the share of it that the native engine reaches."""
    echo, ratio = result.measures.get("echo_calls_per_s"), result.measures.get("echo_ratio")
    if echo is None or ratio is None:
        return f"{result.title}: the echo did not answer"
    return (
        f"{result.title}: the same listener echoes the same bytes {echo.median:,.0f} times a second; the native engine "
        f"reaches {ratio.median:.0%} of that ({ratio.low:.0%} to {ratio.high:.0%})"
    )


def _listed(trials: list[Trial], scenario: Scenario) -> str:
    tried = [trial for trial in trials if trial.scenario is scenario]
    chosen = best(tried)
    return "; ".join(
        f"{trial.setup}: {trial.calls_per_s:,.0f}/s, p99 {f'{trial.p99_us:,} us' if trial.p99_us else 'not known'}"
        f"{' (chosen)' if trial is chosen else ''}"
        for trial in tried
    )
