"""`jobcast soak`: a server at a steady share of its capacity for long, and whether it stays what it was.

Exit codes: 0 it does, 1 it does not or could not be measured, 2 a wrong option.
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import click

from jobcast_bench.bar import steps
from jobcast_bench.generator import GeneratorError
from jobcast_bench.guard import Finite, prepare
from jobcast_bench.machine import machine, versions
from jobcast_bench.page import put
from jobcast_bench.process import ServerError
from jobcast_bench.soak_judge import FEWEST, WARMUP_WINDOWS, Judgement, Sample, judge
from jobcast_bench.soak_page import KEY, as_markdown, draw
from jobcast_bench.soak_run import Soak, measure

BROKEN = 1
TITLE = "# Reliability\n"


@click.command()
@click.option("--models", type=click.Path(file_okay=False, path_type=Path), default="models", show_default=True)
@click.option("--minutes", type=Finite(0.1, 10_000), default=30.0, show_default=True)
@click.option("--load", type=Finite(0.05, 0.95), default=0.7, show_default=True, help="Share of capacity.")
@click.option("--windows-s", "window_s", type=Finite(0.5, 3600), default=10.0, show_default=True)
@click.option(
    "--held-p99-ms", type=Finite(0.1, 60_000), default=10.0, show_default=True,
    help="A mix of calls is held, and counts as capacity, while its p99 is at most this.",
)  # fmt: skip
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Page to put the section in.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="reports/soak", show_default=True)
def soak(
    models: Path, minutes: float, load: float, window_s: float, held_p99_ms: float, page: Path | None, out: Path
) -> None:
    """Hold a real server at a share of its capacity, and judge growth of memory and drift of p99."""
    windows = round(minutes * 60 / window_s)
    if windows < FEWEST + WARMUP_WINDOWS:
        raise click.UsageError(
            f"--minutes and --windows-s: must make >= {FEWEST + WARMUP_WINDOWS} windows, {minutes:g} minutes of "
            f"{window_s:g} s make {windows}"
        )
    prepare(out, page)
    measured = _measured(models, load, windows, window_s, held_p99_ms)
    verdict = judge(measured.samples)
    _write_json(measured, verdict, out)
    picture = draw(measured.samples, window_s, (page.parent / KEY if page else out) / "soak.png")
    if page is not None:
        put(page, KEY, as_markdown(measured, verdict, picture.relative_to(page.parent)), TITLE)
    click.echo(f"memory {verdict.growth:+.2%}, p99 x {verdict.drift:.3f}, {verdict.errors} errors")
    for told in verdict.broken:
        click.echo(f"broken: {told}")
    if verdict.broken:
        sys.exit(BROKEN)


def _measured(models: Path, load: float, windows: int, window_s: float, held_p99_ms: float) -> Soak:
    number = 0
    with steps(windows) as step:

        def told(sample: Sample) -> None:
            nonlocal number
            number += 1
            step(f"p99 {sample.p99_us:,.0f} us, {sample.rss_mib:.1f} MiB")
            click.echo(f"window {number}/{windows}: {_told(sample)}")

        try:
            command = shlex.join(["jobcast", *sys.argv[1:]])
            return measure(models, load, windows, window_s, held_p99_ms * 1000, command, told)
        except (ServerError, GeneratorError) as error:
            raise click.ClickException(str(error)) from error


def _told(sample: Sample) -> str:
    return (
        f"{sample.calls_per_s:,.0f} calls/s, p50 {sample.p50_us:,.0f} us, p99 {sample.p99_us:,.0f} us, "
        f"{sample.busy:.2f} cores, {sample.stolen:.1%} stolen, {sample.rss_mib:.1f} MiB, "
        f"{sample.fds} files, {sample.threads} threads, {sample.errors} errors{_ends(sample)}"
    )


def _ends(sample: Sample) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in sample.ends.items())})" if sample.ends else ""


def _write_json(measured: Soak, verdict: Judgement, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    judgement = asdict(verdict) | {"broken": verdict.broken}
    plain = {"machine": machine(), "versions": versions(), **asdict(measured), "judgement": judgement}
    (out / "soak.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
