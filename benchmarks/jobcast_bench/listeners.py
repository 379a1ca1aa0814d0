"""The native listener beside the asyncio one and beside a bare echo on tonic, window by window on the same core.

Four processes run all the time; the ones that are not asked are idle. Every repeat asks each of them the same, one
after the other, and ratios are taken within it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from jobcast_bench.fleet import Cores, Fleet
from jobcast_bench.measures import Repeat, Result, result_of
from jobcast_bench.report import figure
from jobcast_bench.run import Progress, Settings
from jobcast_bench.scenarios import LISTENER_SCENARIOS, TWO_CORES, WITH_PYTHON, Scenario
from jobcast_bench.serving import Runs, Served
from jobcast_bench.sides import Sides, watched
from jobcast_bench.tonic_echo import TonicEcho, built

NATIVE, ASYNCIO, PYTHON = "native listener, native engine", "asyncio, native engine", "asyncio, Python's engine"
ECHO = "bare tonic echo"
OPTIONS = {
    NATIVE: ("--listener", "native", "--engine", "native"),
    ASYNCIO: ("--listener", "asyncio", "--engine", "native"),
    PYTHON: ("--listener", "asyncio", "--engine", "python"),
}
"""Our servers and what they are started with, beside the options of the run."""


def listener_steps(settings: Settings) -> int:
    """How many steps `beside_listeners` reports."""
    scenarios = (*LISTENER_SCENARIOS, TWO_CORES)
    echoes = sum(scenario.target != "stream" for scenario in scenarios) if built() else 0
    return settings.repeats * (len(OPTIONS) * len(scenarios) + echoes)


def beside_listeners(settings: Settings, cores: Cores, step: Progress) -> tuple[list[Result], dict[str, Runs]]:
    """Two results for each scenario: beside the asyncio listener, and beside it with Python's engine.

    The echo of both is tonic's, and missing where it is not built, and for streams, which it does not know. On two
    cores servers and load share them; with only one core this is not measured.

    Raises:
        ServerError: one of the servers does not come up.
    """
    results, runs = _measured(LISTENER_SCENARIOS, settings, cores, cores, step)
    if cores.total > 1:
        everywhere = replace(cores, server=None, client=None)
        results += _measured((TWO_CORES,), settings, everywhere, everywhere, step)[0]
    return results, runs


def _measured(
    scenarios: Sequence[Scenario], settings: Settings, servers: Cores, load: Cores, step: Progress
) -> tuple[list[Result], dict[str, Runs]]:
    results = []
    with ExitStack() as stack:
        ours = {
            name: stack.enter_context(Served(settings.models, servers, (*settings.server_arguments, *options)))
            for name, options in OPTIONS.items()
        }
        echo = stack.enter_context(TonicEcho(servers)) if built() else None
        probes = {name: stack.enter_context(watched(server)) for name, server in ours.items()}
        echo_probe = stack.enter_context(watched(echo)) if echo else None
        sides = Sides(settings, stack.enter_context(Fleet(1, load, settings.seed)), step)
        for scenario in scenarios:
            repeats: dict[str, list[Repeat]] = {ASYNCIO: [], PYTHON: []}
            for _ in range(settings.repeats):
                seen = {name: sides.window(scenario, server, probes[name]) for name, server in ours.items()}
                floor = None
                if echo and echo_probe and scenario.target != "stream":
                    floor = sides.echo(scenario, echo, echo_probe, seen[NATIVE].answer_bytes)
                for name, kept in repeats.items():
                    offered = scenario.rate.value if scenario.rate else None
                    kept.append(Repeat(seen[NATIVE], floor, seen[name], offered_per_s=offered))
            results += [
                result_of(scenario.name, scenario.title, scenario.rows, repeats[ASYNCIO]),
                result_of(
                    scenario.name + WITH_PYTHON, f"{scenario.title}, beside {PYTHON}", scenario.rows, repeats[PYTHON]
                ),
            ]
        runs = {name: server.runs for name, server in ours.items()}
    for result in results:
        if "offered_per_s" in result.measures:
            # A rate that the others cannot keep up with is a finding, which the notes tell, and no fault of the run;
            # and where both have the rate that is asked for, its ratio says nothing.
            for name in ("rival_errors", "throughput_ratio"):
                result.measures.pop(name, None)
    return results, runs


def table(results: Sequence[Result]) -> list[str]:
    """Lines of one table: four servers and two ratios for each scenario."""
    beside = {result.name: result for result in results}
    lines = [
        "| load | | calls/s | rows/s | p50 us | p99 us | server CPU us/call |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for result in results:
        if result.name.endswith(WITH_PYTHON):
            continue
        python = beside[result.name + WITH_PYTHON]
        rows = (
            (NATIVE, result, ""),
            (ASYNCIO, result, "rival_"),
            (PYTHON, python, "rival_"),
            (ECHO, result, "echo_"),
            ("ratio to asyncio, native engine", result, "ratio"),
            ("ratio to asyncio, Python's engine", python, "ratio"),
            ("ratio to the echo", result, "echo_ratio"),
        )
        for label, source, which in rows:
            cells = _cells(source, which)
            lines.append(f"| {result.title if label == NATIVE else ''} | {label} | {' | '.join(cells)} |")
    lines.append("")
    told = [f"- {result.title}: {note}" for result in results for note in _notes(result)]
    single = [result for result in results if not result.name.endswith(WITH_PYTHON)]
    told += [f"- {r.title}: failed {code} {count:,} times" for r in single for code, count in r.errors.items()]
    told += [f"- {result.title}: wrong answer: {reason}" for result in single for reason in result.invalid[:3]]
    return [*lines, *told, *([""] if told else [])]


def _notes(result: Result) -> list[str]:
    """Those on what the table shows; of a result beside Python's engine the ones on that alone: the others are told."""
    if result.name.endswith(WITH_PYTHON):
        return [note for note in result.notes if "beside it" in note]
    return [note for note in result.notes if not note.startswith("p999")]


def _cells(result: Result, which: str) -> list[str]:
    """calls/s, rows/s, p50, p99 and CPU of one server, or ratios in their columns; `-` where nothing was measured."""
    found = result.measures
    names: tuple[str, ...]
    if which == "ratio":
        names = ("throughput_ratio", "", "p50_ratio", "p99_ratio", "")
    elif which == "echo_ratio":
        names = ("echo_ratio", "", "echo_p50_ratio", "", "")
    else:
        names = tuple(which + name for name in ("calls_per_s", "rows_per_s", "p50_us", "p99_us", "server_cpu_us"))
    single = found["rows_per_s"] == found["calls_per_s"]
    return [figure(found[name]) if name in found and not (single and "rows" in name) else "-" for name in names]
