"""The modes of `jobcast bench` that put two servers side by side, and write their section of a page."""

from dataclasses import replace
from pathlib import Path

from jobcast_bench import h2load
from jobcast_bench.bar import steps
from jobcast_bench.fleet import split_cores
from jobcast_bench.generator import choose
from jobcast_bench.measures import Result
from jobcast_bench.page import Section
from jobcast_bench.peers import mlserver
from jobcast_bench.report import Report
from jobcast_bench.run import Settings
from jobcast_bench.scenarios import PEER_SCENARIOS, Scenario
from jobcast_bench.sides import (
    NEARLY,
    TRIAL_ROUNDS,
    Trial,
    batching_steps,
    beside_h2load,
    beside_mlserver,
    beside_python,
    beside_unbatched,
    best,
    engine_steps,
    generator_steps,
    peer_steps,
)
from jobcast_bench.slo import Slo, Verdict, judge

METHOD = (
    "closed loop, one call in flight over each connection, from one load process; the same request bytes to both; "
    "medians over the repeats with lowest and highest, ratios taken within a repeat"
)


def run_peer(
    settings: Settings, slos: list[Slo], command: str, out: Path, page: Path | None
) -> tuple[list[Result], list[Verdict]]:
    """Measure beside MLServer; raises as `beside_mlserver`."""
    cores = split_cores()
    theirs = mlserver.versions()
    with steps(peer_steps(settings)) as step:
        results, trials = beside_mlserver(settings, cores, step)
    notes = [
        METHOD + "; quantiles in one answer of 101 are held to the graph's own, bit for bit, on both servers",
        "MLServer runs as its documentation advises, with `debug` off and, for each load, the setup that was best in a "
        f"trial of {TRIAL_ROUNDS} such windows: the lowest p99 among those with at least {NEARLY:.0%} of the most "
        "calls per second",
        *(f"trial, {scenario.title}: {_listed(trials, scenario)}" for scenario in PEER_SCENARIOS),
        "MLServer does not take the binary-tensor extension over REST: both get JSON",
    ]
    verdicts = judge(slos, results)
    section = Section(
        "peer-mlserver",
        "Beside MLServer",
        "jobcast",
        "MLServer",
        command,
        settings,
        cores,
        results,
        verdicts,
        notes,
        theirs,
    )
    _write(section, out, page)
    return results, verdicts


def run_batching(
    settings: Settings, slos: list[Slo], command: str, out: Path, page: Path | None
) -> tuple[list[Result], list[Verdict]]:
    """Measure with dynamic batching beside without; raises as `beside_unbatched`."""
    cores = split_cores()
    with steps(batching_steps(settings)) as step:
        results = beside_unbatched(settings, cores, step)
    notes = [METHOD, "the same server twice: `--dynamic-batching` (on) and `--no-dynamic-batching` (off)"]
    verdicts = judge(slos, results)
    section = Section(
        "dynamic-batching",
        "Dynamic batching, on and off",
        "on",
        "off",
        command,
        settings,
        cores,
        results,
        verdicts,
        notes,
    )
    _write(section, out, page)
    return results, verdicts


def run_engines(
    settings: Settings, slos: list[Slo], command: str, out: Path, page: Path | None
) -> tuple[list[Result], list[Verdict]]:
    """Measure the native engine beside Python's; raises as `beside_python`."""
    cores = split_cores()
    with steps(engine_steps(settings)) as step:
        results = beside_python(settings, cores, step)
    notes = [METHOD, "the same server twice: `--engine native` and `--engine python`", *map(_echoed, results)]
    verdicts = judge(slos, results)
    section = Section(
        "engines",
        "The native engine and Python's",
        "native",
        "python",
        command,
        settings,
        cores,
        results,
        verdicts,
        notes,
    )
    _write(section, out, page)
    return results, verdicts


def run_generators(
    settings: Settings, slos: list[Slo], command: str, out: Path, page: Path | None
) -> tuple[list[Result], list[Verdict]]:
    """Measure `jobcast-load` beside h2load; raises as `beside_h2load`."""
    cores, theirs = split_cores(), h2load.versions()
    settings = replace(settings, generator=choose("jobcast-load"))
    with steps(generator_steps(settings)) as step:
        results = beside_h2load(settings, cores, step)
    notes = [
        "closed loop, from one load process; one server, the same request over and over; windows "
        "of the two in turns; medians over the repeats with lowest and highest, ratios taken within a repeat",
        "latency ends with the end of the answer for both; h2load counts an answer by its HTTP status alone",
    ]
    verdicts = judge(slos, results)
    section = Section(
        "load-generators",
        "The load generator beside h2load",
        "jobcast-load",
        "h2load",
        command,
        settings,
        cores,
        results,
        verdicts,
        notes,
        theirs,
    )
    _write(section, out, page)
    return results, verdicts


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


def _write(section: Section, out: Path, page: Path | None) -> None:
    report = Report(section.command, section.settings, section.cores, section.results, section.verdicts)
    report.write_json(out)
    (out / "report.md").write_text(section.as_markdown(), encoding="utf-8")
    if page is not None:
        section.write(page)
