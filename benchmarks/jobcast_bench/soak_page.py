"""The section and the picture of a soak: what was held for how long, and the course of memory and p99."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.figure import Figure

from jobcast_bench.machine import machine, versions
from jobcast_bench.soak_judge import MOST_DRIFT, MOST_GROWTH, WARMUP_WINDOWS, Judgement, Sample
from jobcast_bench.soak_run import Soak

KEY = "soak"
ROWS = 12
"""Windows that the table shows at most, at equal distances."""


def as_markdown(measured: Soak, verdict: Judgement, picture: Path) -> str:
    """The section, without a heading of its own."""
    told, samples = machine(), measured.samples
    minutes = len(samples) * measured.window_s / 60
    lines = [
        f"- machine: {told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB, {told['system']}; the server on "
        "the first core, the load on the others",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions().items())}; {measured.runs}",
        f"- {minutes:g} minutes at {measured.load:.0%} of capacity, in {len(samples)} windows of {measured.window_s:g} "
        f"s, the first {WARMUP_WINDOWS} of them warm-up; an outcome twice a second, {measured.outcomes:,} in all",
        f"- command: `{measured.command}`",
        "",
        "| kind | the densest mix that is held, calls/s | the soak, calls/s |",
        "|---|---:|---:|",
        *(f"| {name} | {most:,.0f} | {measured.rates[name]:,.0f} |" for name, most in measured.capacity.items()),
        "",
        "| | measured | bar | |",
        "|---|---:|---:|---|",
        f"| growth of memory | {verdict.growth:+.2%} | {MOST_GROWTH:+.0%} | {_mark(verdict.memory_kept)} |",
        f"| drift of p99, from {verdict.calm[0]} calm windows of the first part to {verdict.calm[1]} of the last; the "
        f"host took at most {verdict.stolen:.1%} | {verdict.drift:.3f} | {MOST_DRIFT:.2f} | "
        f"{_mark(verdict.latency_kept)} |",
        f"| failed or wrong, of {sum(one.calls for one in samples):,} calls | {verdict.errors:,} | 0 | "
        f"{_mark(not verdict.errors)} |",
        "",
        f"![memory and latency by window]({picture.as_posix()})",
        "",
        "| window | calls/s | p50, us | p99, us | server, cores | memory, MiB | files | threads | stolen | errors |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(number, samples[number]) for number in _shown(len(samples))),
        "",
    ]
    return "\n".join(lines)


def _mark(good: bool) -> str:
    return "kept" if good else "**BROKEN**"


def _shown(count: int) -> list[int]:
    """At most `ROWS` of the windows, the first and the last among them."""
    shown = min(count, ROWS)
    return sorted({round(index * (count - 1) / max(shown - 1, 1)) for index in range(shown)})


def _row(number: int, one: Sample) -> str:
    return (
        f"| {number + 1} | {one.calls_per_s:,.0f} | {one.p50_us:,.0f} | {one.p99_us:,.0f} | {one.busy:.2f} | "
        f"{one.rss_mib:.1f} | {one.fds} | {one.threads} | {one.stolen:.1%} | {one.errors} |"
    )


def draw(samples: Sequence[Sample], window_s: float, file: Path) -> Path:
    """Memory above, p50 and p99 below, over the minutes; gives the picture's path."""
    minutes = [(number + 1) * window_s / 60 for number in range(len(samples))]
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(minutes, [one.rss_mib for one in samples], color="C0")
    above.set_ylabel("resident memory, MiB")
    above.set_ylim(bottom=0)
    for name, values in (("p99", [one.p99_us for one in samples]), ("p50", [one.p50_us for one in samples])):
        below.plot(minutes, [value / 1000 for value in values], label=name)
    below.set_ylabel("latency, ms")
    below.set_ylim(bottom=0)
    below.set_xlabel("minutes")
    below.legend(frameon=False)
    for axes in (above, below):
        axes.axvspan(0, WARMUP_WINDOWS * window_s / 60, color="0.9")
        axes.grid(visible=True, alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    return file
