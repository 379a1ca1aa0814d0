"""A page of figures whose sections are written by the commands that measure them; what stands between stays."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobcast_bench.fleet import Cores
from jobcast_bench.generator import described
from jobcast_bench.inprocess import newest_bundle
from jobcast_bench.latency import PERCENTILES
from jobcast_bench.machine import machine, versions
from jobcast_bench.measures import Result
from jobcast_bench.report import figure, slo_table
from jobcast_bench.run import Settings
from jobcast_bench.slo import Verdict

RATIOS = ("throughput_ratio", "p50_ratio", "p99_ratio")


@dataclass(frozen=True)
class Section:
    """Two servers side by side, as one section of a page.

    `key` names the section in the page; `subject` and `rival` are the servers' names in the table; `notes` are lines
    of their own above it. `table` stands in place of the two servers' own.
    """

    key: str
    title: str
    subject: str
    rival: str
    command: str
    settings: Settings
    cores: Cores
    results: list[Result]
    verdicts: list[Verdict]
    notes: list[str]
    rival_versions: Mapping[str, str] | None = None
    table: list[str] | None = None

    def as_markdown(self) -> str:
        """The section with its heading."""
        told, settings = machine(), self.settings
        pinned = (
            f"servers on core {self.cores.server[0]}, the load on {', '.join(map(str, self.cores.client))}"
            if self.cores.server and self.cores.client
            else "nothing pinned"
        )
        bundle = newest_bundle(settings.models, settings.predictor)
        lines = [
            f"## {self.title}",
            "",
            f"- machine: {told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB, {told['system']}; {pinned}",
            f"- {self.subject}: {_listed(versions())}",
            *([f"- {self.rival}: {_listed(self.rival_versions)}"] if self.rival_versions else []),
            f"- bundle: {f'{bundle.parent.name}/{bundle.name}' if bundle else 'not known'}",
            f"- windows: {settings.duration_s:g} s after {settings.warmup_s:g} s of warm-up, "
            f"one after the other, {settings.repeats} repeats",
            f"- load: {described(settings.generator)}",
            *(f"- {note}" for note in self.notes),
            f"- command: `{self.command}`",
            "",
            *(self._table() if self.table is None else self.table),
            *[line.replace("## ", "### ", 1) if line.startswith("## ") else line for line in slo_table(self.verdicts)],
        ]
        return "\n".join(lines).rstrip() + "\n"

    def _table(self) -> list[str]:
        lines = ["| load | | calls/s | p50 us | p99 us | server CPU us/call |", "|---|---|---|---|---|---|"]
        plain = ("calls_per_s", "p50_us", "p99_us", "server_cpu_us")
        for result in self.results:
            for label, names in (
                (self.subject, plain),
                (self.rival, tuple(f"rival_{name}" for name in plain)),
                ("ratio", RATIOS),
            ):
                cells = [figure(result.measures[name]) if name in result.measures else "-" for name in names]
                cells += ["-"] * (len(plain) - len(cells))
                lines.append(f"| {result.title if label == self.subject else ''} | {label} | {' | '.join(cells)} |")
        lines.append("")
        told = [
            f"- {result.title}: {note}"
            for result in self.results
            for note in result.notes
            # A percentile that the table has no column for is missed by nobody.
            if note.partition(":")[0] in plain or note.partition(":")[0] not in PERCENTILES
        ]
        told += [
            f"- {result.title}: failed {code} {count:,} times"
            for result in self.results
            for code, count in result.errors.items()
        ]
        told += [
            f"- {result.title}: wrong answer: {reason}" for result in self.results for reason in result.invalid[:3]
        ]
        return [*lines, *told, ""] if told else lines

    def write(self, page: Path) -> None:
        """Put the section in its place on the page: between its marks, or at the end when the page has none."""
        put(page, self.key, self.as_markdown(), "# Performance\n")


def put(page: Path, key: str, section: str, otherwise: str) -> None:
    """Put a section in its place on a page: between the marks of its key, or at the end when the page has none.

    `otherwise` is what a page that is not there yet begins with.
    """
    begin, end = f"<!-- begin {key} -->", f"<!-- end {key} -->"
    text = page.read_text(encoding="utf-8") if page.is_file() else otherwise
    block = f"{begin}\n{section}{end}"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = marked.sub(lambda _: block, text) if marked.search(text) else f"{text.rstrip()}\n\n{block}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")


def _listed(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())
