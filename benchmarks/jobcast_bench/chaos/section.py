"""The section of `docs/reliability.md` that a run of faults writes: a table, and below it what each fault measured."""

import math
from collections.abc import Iterable

from jobcast_bench.chaos.run import Outcome
from jobcast_bench.generator import choose, described
from jobcast_bench.machine import machine, versions

KEY = "chaos"
MARKS = {"kept": "kept", "broken": "**BROKEN**", "not run": "not run"}
HEAD = (
    "| fault | calls | refused | lost | outcomes lost | p99 before, ms | p99 during, ms | ratio | worst, ms | "
    "normal after, s | promises |"
)
IN_TABLE = (
    "calls", "refused", "lost_outcomes", "p99_before_us", "p99_during_us", "p99_ratio", "worst_us", "normal_after_s",
)  # fmt: skip


def as_markdown(outcomes: Iterable[Outcome], command: str) -> str:
    """The section, without a heading of its own."""
    outcomes, told = list(outcomes), machine()
    lines = [
        f"- machine: {told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB, {told['system']}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions().items())}",
        f"- load: {described(choose(None))}",
        f"- command: `{command}`",
        "",
        HEAD,
        f"|---|{'---:|' * 9}---|",
        *map(_row, outcomes),
        "",
    ]
    for outcome in outcomes:
        lines += _details(outcome)
    return "\n".join(lines)


def _row(outcome: Outcome) -> str:
    measures = outcome.record.measures
    calls, refused = (measures.get(name, 0) + measures.get(f"load_{name}", 0) for name in ("calls", "refused"))
    lost = outcome.outcomes_lost
    cells = [
        f"{calls:,.0f}" if calls else "-",
        f"{refused:,.0f}",
        f"{outcome.calls_lost:,.0f}",
        "-" if lost is None else f"{lost:,.0f}",
        *(_number(measures.get(name), 1e3) for name in ("p99_before_us", "p99_during_us")),
        _number(measures.get("p99_ratio"), 1),
        _number(measures.get("worst_us"), 1e3),
        _number(measures.get("normal_after_s"), 1),
    ]
    return f"| {outcome.fault.title} | {' | '.join(cells)} | {MARKS[outcome.state]} |"


def _number(value: float | None, divisor: float) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return figure(value / divisor)


def figure(value: float) -> str:
    """As many digits as a reader can use."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _details(outcome: Outcome) -> list[str]:
    lines = [f"### {outcome.fault.title} (`{outcome.fault.name}`)", "", f"Promised: {outcome.fault.promise}.", ""]
    if outcome.state == "not run":
        return [*lines, f"- not run: {outcome.broken[0]}", ""]
    lines += [f"- **broken**: {told}" for told in outcome.broken]
    measures = outcome.record.measures.items()
    told = [f"{name} {_number(value, 1)}" for name, value in measures if name not in IN_TABLE]
    lines += [f"- {', '.join(told)}"] if told else []
    return [*lines, *(f"- {note}" for note in outcome.record.notes), ""]
