"""The report of a run: Markdown for people, JSON for machines, both from the same results."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobcast_bench.fleet import Cores
from jobcast_bench.generator import described
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.machine import machine, versions
from jobcast_bench.measures import MEASURES, Result, Summary
from jobcast_bench.micro import MICRO_MEASURES
from jobcast_bench.run import Settings
from jobcast_bench.slo import Verdict

MARKS = {"met": "met", "failed": "**FAILED**", "skipped": "skipped"}
MOST_INVALID = 10


@dataclass(frozen=True)
class Report:
    """Everything a run has to tell."""

    command: str
    settings: Settings
    cores: Cores
    results: list[Result]
    verdicts: list[Verdict]

    def write(self, folder: Path) -> None:
        """Write report.md and report.json; the folder is made when it is not there."""
        self.write_json(folder)
        (folder / "report.md").write_text(self.as_markdown(), encoding="utf-8")

    def write_json(self, folder: Path) -> None:
        """Write report.json alone."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")

    def as_dict(self) -> dict[str, Any]:
        """Plain data: settings, machine, every measure with its repeats, histograms in HdrHistogram's V2 form."""
        return {
            "format": 1,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "machine": machine(),
            "versions": versions(),
            "settings": self._settings(),
            "results": [_result(result) for result in self.results],
            "slo": [{**asdict(verdict.slo), **_verdict(verdict)} for verdict in self.verdicts],
        }

    def _settings(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "bundle": _bundle(settings) if settings.address is None else None,
            "requests_from": _bundle(settings),
            "scenarios": list(settings.groups),
            "rates": [str(rate) for rate in settings.rates],
            "duration_s": settings.duration_s,
            "warmup_s": settings.warmup_s,
            "repeats": settings.repeats,
            "processes": settings.processes,
            "generator": described(settings.generator),
            "count": settings.count,
            "seed": settings.seed,
            "address": settings.address,
            "server_arguments": list(settings.server_arguments),
            "server_cores": self.cores.server,
            "client_cores": self.cores.client,
        }

    def as_markdown(self) -> str:
        """The report as one page."""
        told, plan = machine(), self._settings()
        pinned = (
            f"server on core {plan['server_cores']}, clients on {plan['client_cores']}"
            if self.cores.server and self.settings.address is None
            else "server not pinned"
        )
        lines = [
            "# Benchmark report",
            "",
            f"- machine: {told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB, {told['system']}; {pinned}",
            f"- versions: {', '.join(f'{name} {version}' for name, version in versions().items())}",
            f"- bundle: {plan['bundle'] or _unknown(plan)}",
            f"- windows: {plan['duration_s']} s after {plan['warmup_s']} s of warm-up, {plan['repeats']} repeats, "
            f"{plan['processes']} load processes",
            f"- load: {plan['generator']}",
            f"- command: `{self.command}`",
            "",
            "Figures are medians over the repeats, lowest and highest in brackets.",
            "",
            *slo_table(self.verdicts),
            *_latency_table(self.results),
            *(line for result in self.results for line in _section(result)),
        ]
        return "\n".join(lines) + "\n"


def _bundle(settings: Settings) -> str | None:
    found = newest_bundle(settings.models, settings.predictor)
    return None if found is None else f"{found.parent.name}/{found.name}"


def _unknown(plan: dict[str, Any]) -> str:
    """In place of the bundle: a server that was started elsewhere may run another one than requests were made from."""
    if plan["address"] is None or plan["requests_from"] is None:
        return "not known"
    return f"that of the server at {plan['address']}; requests that need one were made from {plan['requests_from']}"


def _result(result: Result) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": result.name,
        "title": result.title,
        "calls": result.calls,
        "measures": {name: asdict(summary) for name, summary in result.measures.items()},
        "errors": dict(result.errors),
        "invalid": result.invalid[:MOST_INVALID],
        "client_bound": result.client_bound,
        "echo_client_bound": result.echo_client_bound,
        "notes": result.notes,
    }
    for key, latency in (("histogram", result.latency), ("echo_histogram", result.echo_latency)):
        if latency is not None:
            plain[key] = latency.encode()
    return plain


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {"state": verdict.state, "measured": verdict.measured, "detail": verdict.detail}


def figure(summary: Summary) -> str:
    """Median with lowest and highest, as many digits as a reader can use."""
    if len(summary.values) == 1 and summary.low == summary.high:
        return _digits(summary.median)
    return f"{_digits(summary.median)} ({_digits(summary.low)} to {_digits(summary.high)})"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def slo_table(verdicts: list[Verdict]) -> list[str]:
    """Lines of a section with the objectives; none without any."""
    if not verdicts:
        return []
    rows = [f"| {verdict.slo} | {verdict.detail} | {MARKS[verdict.state]} |" for verdict in verdicts]
    return ["## Objectives", "", "| objective | measured | |", "|---|---|---|", *rows, ""]


def _latency_table(results: list[Result]) -> list[str]:
    columns = ("p50_us", "p90_us", "p99_us", "p999_us", "max_us", "calls_per_s", "echo_ratio", "errors")
    rows = []
    for result in results:
        if result.latency is None:
            continue
        cells = (figure(result.measures[name]) if name in result.measures else "-" for name in columns)
        rows.append(f"| {result.title} | {' | '.join(cells)} |")
    if not rows:
        return []
    head = ["## Latency and throughput", "", "![latency by percentile](latency.png)", ""]
    return [*head, f"| scenario | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}", *rows, ""]


def _section(result: Result) -> list[str]:
    known = MICRO_MEASURES if result.name == "micro" else MEASURES
    rows = [f"| {name} | {figure(summary)} | {known[name]} |" for name, summary in result.measures.items()]
    lines = [f"## {result.title} (`{result.name}`)", "", "| measure | figure | meaning |", "|---|---|---|", *rows, ""]
    told = [f"- {note}" for note in result.notes]
    told += [f"- failed calls: {code} {count:,} times" for code, count in result.errors.items()]
    told += [f"- wrong answer: {reason}" for reason in result.invalid[:MOST_INVALID]]
    return [*lines, *told, ""] if told else lines
