"""`jobcast bench`: measure, judge, report.

Exit codes: 0 all objectives met, 4 an objective failed or a call failed, 1 the run itself could not be made.
"""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from jobcast_bench.bar import steps
from jobcast_bench.fleet import split_cores
from jobcast_bench.generator import GeneratorError, choose
from jobcast_bench.guard import Finite, prepare
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.machine import cpu_model
from jobcast_bench.measures import Result
from jobcast_bench.micro import MicroError, run_micro
from jobcast_bench.options import RateType, refuse_set_ones, refuse_unread
from jobcast_bench.page import RATIOS
from jobcast_bench.peers.environment import PeerError
from jobcast_bench.picture import draw
from jobcast_bench.process import ServerError
from jobcast_bench.report import Report, figure
from jobcast_bench.run import Measured, Settings, measure, windows_of
from jobcast_bench.scenarios import DEFAULT_RATES, GROUPS, QUICK_GROUPS, QUICK_RATES, TASK_GROUPS, Rate
from jobcast_bench.serving import Runs
from jobcast_bench.side_command import (
    PEERS,
    Asked,
    Told,
    run_batching,
    run_engines,
    run_generators,
    run_listeners,
    run_peer,
)
from jobcast_bench.slo import Slo, SloError, Verdict, judge, read
from jobcast_bench.task import PREDICTOR

SHIPPED_SLO = Path(__file__).resolve().parents[1] / "slo.toml"
SHIPPED_PEER_SLO = SHIPPED_SLO.with_name("peer.toml")
SHIPPED_LOAD_SLO = SHIPPED_SLO.with_name("load.toml")
SHIPPED_NATIVE_SLO = SHIPPED_SLO.with_name("slo-native.toml")
SHIPPED_LISTENER_SLO = SHIPPED_SLO.with_name("listeners.toml")
FAILED = 4
HEADLINES = ("p50_us", "p99_us", "calls_per_s", "rows_per_s", "echo_ratio", "onnxruntime_ratio", *RATIOS)

UNREAD = ("address", "groups", "rates", "processes", "micro")
"""Parameters that no run side by side reads: it starts its own servers, with loads of its own from one process."""

FULL_DURATION_S, FULL_REPEATS = 2.0, 3
QUICK_DURATION_S, QUICK_REPEATS = 0.4, 2


@dataclass(frozen=True)
class Mode:
    """A run of servers side by side, the objectives that it is judged by when no others are named, and what it does
    not read: parameters of the command by name."""

    run: Callable[[Asked], Told]
    slo: Path | None = None
    unread: tuple[str, ...] = UNREAD


@click.command()
@click.option("--address", help="Measure the server at host:port instead of starting one.")
@click.option("--models", type=click.Path(file_okay=False, path_type=Path), default="models", show_default=True)
@click.option("--scenario", "groups", multiple=True, type=click.Choice(GROUPS), help="Only this one; repeatable.")
@click.option("--rate", "rates", multiple=True, type=RateType(), help="Open loop: 80% or 1000/s; repeatable.")
@click.option("--duration", type=Finite(0.05, 3600), help="Seconds per window (default 2, quick 0.4).")
@click.option("--repeats", type=click.IntRange(1, 100), help="Repeats of every window (default 3, quick 2).")
@click.option("--count", type=click.IntRange(1), default=1_000_000, show_default=True, help="Most calls per window.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Load processes.")
@click.option(
    "--generator", type=click.Choice(["jobcast-load", "python"]), help="Default: jobcast-load where it is built."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the requests.")
@click.option("--quick", is_flag=True, help="A run of about 20 s with fewer scenarios, for CI.")
@click.option("--micro", is_flag=True, help="Also the engine's stages, in process.")
@click.option("--peer", type=click.Choice(sorted(PEERS)), help="Instead: side by side with this server.")
@click.option("--compare-batching", is_flag=True, help="Instead: side by side with and without dynamic batching.")
@click.option("--compare-engines", is_flag=True, help="Instead: side by side with the native engine and Python's.")
@click.option(
    "--compare-listeners",
    is_flag=True,
    help="Instead: the native listener, the asyncio one and a bare echo side by side.",
)
@click.option("--check-load", is_flag=True, help="Instead: jobcast-load beside h2load on one server.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Page to put the side-by-side table in.")
@click.option("--serve-arg", "server_arguments", multiple=True, help="Passed on to `jobcast serve`; repeatable.")
@click.option("--slo", "slo_file", type=click.Path(dir_okay=False, path_type=Path), help="Objectives to judge by.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="reports/bench", show_default=True)
def bench(
    address: str | None,
    models: Path,
    groups: tuple[str, ...],
    rates: tuple[Rate, ...],
    duration: float | None,
    repeats: int | None,
    count: int,
    processes: int,
    generator: str | None,
    seed: int,
    quick: bool,
    micro: bool,
    peer: str | None,
    compare_batching: bool,
    compare_engines: bool,
    compare_listeners: bool,
    check_load: bool,
    page: Path | None,
    server_arguments: tuple[str, ...],
    slo_file: Path | None,
    out: Path,
) -> None:
    """Measure latency and throughput of a real server, and judge them by objectives."""
    try:
        chosen = choose(generator)
    except GeneratorError as error:
        raise click.UsageError(str(error)) from error
    if chosen == "python" and generator is None:
        click.echo("jobcast-load is not built (`make load` does it where cargo is): the load comes from Python")
    duration = duration or (QUICK_DURATION_S if quick else FULL_DURATION_S)
    settings = Settings(
        models=models,
        groups=groups or (QUICK_GROUPS if quick else _groups(models, address)),
        rates=rates or (QUICK_RATES if quick else DEFAULT_RATES),
        duration_s=duration,
        warmup_s=min(max(duration / 4, 0.1), 1.0),
        repeats=repeats or (QUICK_REPEATS if quick else FULL_REPEATS),
        processes=processes,
        seed=seed,
        count=count,
        quick=quick,
        address=address,
        server_arguments=server_arguments,
        generator=chosen,
    )
    command = shlex.join(["jobcast", *sys.argv[1:]])
    beside = PEERS[peer] if peer else None
    wanted: dict[str, Mode | None] = {
        "--peer": Mode(partial(run_peer, beside), SHIPPED_PEER_SLO, (*UNREAD, "models")) if beside else None,
        "--compare-batching": Mode(run_batching) if compare_batching else None,
        "--compare-engines": Mode(run_engines) if compare_engines else None,
        "--compare-listeners": Mode(run_listeners, SHIPPED_LISTENER_SLO) if compare_listeners else None,
        "--check-load": Mode(run_generators, SHIPPED_LOAD_SLO, (*UNREAD, "generator", "count")) if check_load else None,
    }
    modes = _chosen(wanted)
    if page is not None and not modes:
        raise click.UsageError(f"--page goes with one of {', '.join(wanted)}")
    if not modes:
        _refuse(settings, bool(rates))
    refuse_set_ones(server_arguments)
    slos = _objectives(slo_file, modes[0].slo if modes else None)
    prepare(out, page)
    try:
        if modes:
            results, verdicts = modes[0].run(Asked(settings, slos, command, out, page))
        else:
            results, verdicts = _run(settings, micro, slos if slo_file else None, command, out)
    except (ServerError, MicroError, PeerError, GeneratorError) as error:
        raise click.ClickException(str(error)) from error
    _tell(results, verdicts, page or out / "report.md")
    wrong = any(result.errors or result.invalid or _rival_failed(result) for result in results)
    unjudged = slo_file is not None and all(verdict.state == "skipped" for verdict in verdicts)
    if unjudged:
        click.echo(f"--slo {slo_file}: nothing was judged, none of its scenarios was part of this run")
    if wrong or unjudged or any(verdict.state == "failed" for verdict in verdicts):
        sys.exit(FAILED)


def _chosen(wanted: Mapping[str, Mode | None]) -> list[Mode]:
    """The mode that was asked for, if any; raises UsageError for two, and for options that it does not read."""
    chosen = {flag: mode for flag, mode in wanted.items() if mode}
    if len(chosen) > 1:
        raise click.UsageError(f"{', '.join(chosen)}: only one of them at a time")
    ctx = click.get_current_context()
    # All that --quick does there is to make windows shorter and fewer.
    sized = ("quick",) if ctx.params["duration"] and ctx.params["repeats"] else ()
    for flag, mode in chosen.items():
        refuse_unread(ctx, (*mode.unread, *sized), flag)
    return list(chosen.values())


def _refuse(settings: Settings, rated: bool) -> None:
    """Raise UsageError for options of a plain run that do not go together."""
    if rated and "predict-open" not in settings.groups:
        raise click.UsageError("--rate is for --scenario predict-open, which is not among the scenarios")
    if settings.address is not None and set(settings.groups) == {"server"}:
        raise click.UsageError("--scenario server measures the start of a server of its own: not with --address")
    if settings.address is not None and settings.server_arguments:
        raise click.UsageError("--serve-arg is for a server that is started here: not with --address")


def _run(
    settings: Settings, micro: bool, slos: list[Slo] | None, command: str, out: Path
) -> tuple[list[Result], list[Verdict]]:
    if settings.address is not None:
        # Start and memory belong to a process that is not ours to look at.
        settings = replace(settings, groups=tuple(group for group in settings.groups if group != "server"))
    found = Measured()
    try:
        _measure(settings, micro, found)
    except (ServerError, GeneratorError):
        if found.results:
            _tell(found.results, _report(settings, found, slos, command, out), out / "report.md")
        raise
    return found.results, _report(settings, found, slos, command, out)


def _report(settings: Settings, found: Measured, slos: list[Slo] | None, command: str, out: Path) -> list[Verdict]:
    """Judge what was found and write it down; by the shipped objectives where no others are named."""
    if slos is None:
        slos = _objectives(None, shipped_slo(found.runs))
        click.echo(f"the server runs {found.runs}")
    report = Report(command, settings, split_cores(), found.results, judge(slos, found.results))
    report.write(out)
    draw(found.results, out, cpu_model())
    return report.verdicts


def shipped_slo(runs: Runs) -> Path:
    """The objectives that hold for what a server says it runs; Python's where it was not asked."""
    return SHIPPED_NATIVE_SLO if runs.native else SHIPPED_SLO


def _rival_failed(result: Result) -> bool:
    """A comparison with a server that failed compares nothing."""
    failures = result.measures.get("rival_errors")
    return failures is not None and failures.median > 0


def _objectives(slo_file: Path | None, shipped: Path | None) -> list[Slo]:
    chosen = slo_file or shipped
    if chosen is None or (slo_file is None and not chosen.exists()):
        return []
    try:
        return read(chosen)
    except SloError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"--slo {slo_file}: {error.strerror}") from error


def _measure(settings: Settings, micro: bool, found: Measured) -> None:
    with steps(windows_of(settings) + micro) as step:
        stages = [run_micro(settings.models)] if micro else []
        try:
            measure(settings, split_cores(), step, found)
        finally:
            found.results += stages


def _tell(results: list[Result], verdicts: list[Verdict], written: Path) -> None:
    for result in results:
        wanted = HEADLINES if result.latency is not None else tuple(result.measures)
        shown = [name for name in wanted if name in result.measures]
        told = ", ".join(f"{name} {figure(result.measures[name])}" for name in shown)
        click.echo(f"{result.name}: {told or 'no call succeeded'}")
        for note in result.notes:
            click.echo(f"  {note}")
        for code, count in result.errors.items():
            click.echo(f"  failed: {code} {count:,} times")
        for reason in result.invalid[:3]:
            click.echo(f"  wrong answer: {reason}")
    for verdict in verdicts:
        click.echo(f"{verdict.state:8}{verdict.slo}: {verdict.detail}")
    click.echo(f"report: {written}")


def _groups(models: Path, address: str | None) -> tuple[str, ...]:
    """All of them that can be measured: those of tasks need a bundle, and a server that is started here."""
    tasks = address is None and newest_bundle(models, PREDICTOR) is not None
    return tuple(group for group in GROUPS if tasks or group not in TASK_GROUPS)
