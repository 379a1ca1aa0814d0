"""The figures of a scenario: one value per repeat, summarised as median, lowest and highest.

Ratios are taken inside a repeat, between windows that ran one after the other, and only then summarised: a machine
that is slow for a minute slows both sides of a ratio.
"""

import statistics
from collections import Counter
from dataclasses import dataclass, field

from jobcast_bench.fleet import Window
from jobcast_bench.latency import PERCENTILES, Latency, fewest_calls

MEASURES = {
    "p50_us": "latency that 50 % of the calls did not exceed, us",
    "p90_us": "latency that 90 % did not exceed, us",
    "p99_us": "latency that 99 % did not exceed, us",
    "p999_us": "latency that 99.9 % did not exceed, us",
    "max_us": "longest latency, us",
    "calls_per_s": "successful calls (messages of a stream) per second",
    "rows_per_s": "predictions per second",
    "errors": "failed calls and wrong answers, over all repeats",
    "echo_calls_per_s": "calls per second of the raw-bytes echo beside it",
    "echo_p50_us": "p50 of the echo, us",
    "echo_p99_us": "p99 of the echo, us",
    "echo_server_cpu_us": "CPU of the echo's server per successful call, us",
    "echo_ratio": "calls per second divided by the echo's",
    "echo_p50_ratio": "p50 divided by the echo's",
    "onnxruntime_rows_per_s": "rows per second of the same graph and rows in process",
    "onnxruntime_ratio": "rows per second divided by onnxruntime's in process",
    "rival_calls_per_s": "calls per second of the server beside it",
    "rival_rows_per_s": "predictions per second of the server beside it",
    "rival_p50_us": "p50 of the server beside it, us",
    "rival_p99_us": "p99 of the server beside it, us",
    "rival_server_cpu_us": "CPU of the server beside it per successful call, us",
    "rival_errors": "failed calls and wrong answers of the server beside it, over all repeats",
    "throughput_ratio": "calls per second divided by those of the server beside it",
    "p50_ratio": "p50 divided by that of the server beside it",
    "p99_ratio": "p99 divided by that of the server beside it",
    "offered_per_s": "requests per second that the open loop intended",
    "late_share": "share of requests that went out more than 1 ms after they were due",
    "send_lag_p99_us": "p99 of the time between due and sent, us (part of the latency)",
    "server_cores": "CPU seconds of the server per second",
    "server_cpu_us": "CPU of the server per successful call, us",
    "client_cores": "CPU seconds of the load generators per second",
    "rss_mib": "resident memory of the server, MiB, largest sample",
    "loaded_rss_mib": "resident memory of the server when it became ready, MiB",
    "ready_s": "seconds from starting the process until its health service said SERVING",
}
"""Every measure by name, with meaning and unit."""


NO_CALL = "NO_CALL"
"""What a window without a single call counts as, beside the statuses of calls that failed."""


@dataclass(frozen=True)
class Summary:
    """Values of the repeats and their median, lowest and highest."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: list[float]) -> "Summary":
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values), tuple(values))


@dataclass
class Repeat:
    """The windows of one repeat, measured one after the other."""

    subject: Window
    echo: Window | None = None
    rival: Window | None = None
    onnxruntime_rows_per_s: float | None = None
    offered_per_s: float | None = None


@dataclass
class Result:
    """The figures of one scenario, the merged distributions for the picture, and what went wrong."""

    name: str
    title: str
    measures: dict[str, Summary]
    latency: Latency | None = None
    echo_latency: Latency | None = None
    calls: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    invalid: list[str] = field(default_factory=list)
    client_bound: bool = False
    echo_client_bound: bool = False
    notes: list[str] = field(default_factory=list)


def _merged(windows: list[Window]) -> Latency:
    merged = Latency()
    for window in windows:
        merged.add(window.latency)
    return merged


def _percentiles(windows: list[Window], merged: Latency) -> dict[str, Summary]:
    """Per-repeat percentiles where every repeat has the calls for it, else the one of all repeats together."""
    found: dict[str, Summary] = {}
    for name, percentile in PERCENTILES.items():
        each = [window.latency.percentile(percentile) for window in windows]
        values = [float(value) for value in each if value is not None]
        together = merged.percentile(percentile)
        if values and len(values) == len(windows):
            found[name] = Summary.of(values)
        elif together is not None:
            found[name] = Summary.of([float(together)])
    if merged.longest_us is not None:
        found["max_us"] = Summary.of([float(merged.longest_us)])
    return found


def _columns(repeats: list[Repeat], rows: int) -> dict[str, list[float | None]]:
    """Each simple measure's value per repeat; None where it was not taken."""
    taken: dict[str, list[float | None]] = {name: [] for name in MEASURES}
    for repeat in repeats:
        subject, echo, native = repeat.subject, repeat.echo, repeat.onnxruntime_rows_per_s
        lag = subject.lag.percentile(99.0)
        values: dict[str, float | None] = {
            "calls_per_s": subject.rate_per_s,
            "rows_per_s": subject.rate_per_s * rows,
            "server_cores": subject.server_cores,
            "server_cpu_us": subject.server_cpu_us,
            "client_cores": subject.client_cores,
            "rss_mib": subject.rss_mib,
            "onnxruntime_rows_per_s": native,
            "onnxruntime_ratio": subject.rate_per_s * rows / native if native else None,
            "offered_per_s": repeat.offered_per_s,
            "late_share": subject.late / subject.sent if repeat.offered_per_s and subject.sent else None,
            "send_lag_p99_us": None if lag is None else float(lag),
        }
        if echo is not None and echo.succeeded:
            p50, p99 = echo.latency.percentile(50.0), echo.latency.percentile(99.0)
            values["echo_calls_per_s"] = echo.rate_per_s
            values["echo_server_cpu_us"] = echo.server_cpu_us
            values["echo_p50_us"] = None if p50 is None else float(p50)
            values["echo_p99_us"] = None if p99 is None else float(p99)
            p50_subject = subject.latency.percentile(50.0)
            values["echo_p50_ratio"] = p50_subject / p50 if p50_subject and p50 else None
            # In an open loop both rates are given: their ratio says nothing.
            values["echo_ratio"] = None if repeat.offered_per_s else subject.rate_per_s / echo.rate_per_s
        if repeat.rival is not None and repeat.rival.succeeded:
            values |= _beside(subject, repeat.rival, rows)
        for name, value in values.items():
            taken[name].append(value)
    return taken


def _beside(subject: Window, rival: Window, rows: int) -> dict[str, float | None]:
    """The figures of the server that ran the same load right after, and the ratios to them."""
    values: dict[str, float | None] = {
        "rival_calls_per_s": rival.rate_per_s,
        "rival_rows_per_s": rival.rate_per_s * rows,
        "rival_server_cpu_us": rival.server_cpu_us,
        "throughput_ratio": subject.rate_per_s / rival.rate_per_s,
    }
    for name, percentile in (("p50", 50.0), ("p99", 99.0)):
        own, other = subject.latency.percentile(percentile), rival.latency.percentile(percentile)
        values[f"rival_{name}_us"] = None if other is None else float(other)
        values[f"{name}_ratio"] = own / other if own and other else None
    return values


def result_of(name: str, title: str, rows: int, repeats: list[Repeat]) -> Result:
    """Summarise the repeats of one scenario; a measure that some repeat lacks is left out."""
    subjects = [repeat.subject for repeat in repeats]
    echoes = [repeat.echo for repeat in repeats if repeat.echo is not None]
    merged = _merged(subjects)
    measures = _percentiles(subjects, merged)
    for measure, values in _columns(repeats, rows).items():
        known = [value for value in values if value is not None]
        if known and len(known) == len(repeats):
            measures[measure] = Summary.of(known)
    idle = sum(not window.sent for window in subjects)
    measures["errors"] = Summary.of([float(sum(window.failures for window in subjects) + idle)])
    rivals = [repeat.rival for repeat in repeats if repeat.rival is not None]
    if rivals:
        measures["rival_errors"] = Summary.of([float(sum(window.failures for window in rivals))])
    result = Result(name, title, measures, merged, _merged(echoes) if echoes else None, merged.count)
    for window in subjects:
        result.errors.update(window.errors)
        result.invalid.extend(window.invalid)
    if idle:
        result.errors[NO_CALL] = idle
    result.client_bound = any(window.client_bound for window in subjects)
    result.echo_client_bound = any(echo.client_bound for echo in echoes)
    result.notes = _notes(result, echoes) + _rival_notes(rivals)
    return result


def _rival_notes(rivals: list[Window]) -> list[str]:
    notes = []
    if any(window.client_bound for window in rivals):
        notes.append("client_bound rival: the server beside it can do more; the true throughput_ratio is lower")
    broken = sum((window.errors for window in rivals), Counter[str]())
    if broken:
        notes.append(f"the server beside it failed calls: {dict(broken)}")
    notes += [f"wrong answer of the server beside it: {reason}" for window in rivals for reason in window.invalid[:1]]
    return notes


def _notes(result: Result, echoes: list[Window]) -> list[str]:
    notes = []
    if result.client_bound:
        notes.append(
            "client_bound: the load generators used up their CPU, the server not that anyone saw; it can do more"
        )
    if result.echo_client_bound:
        notes.append("client_bound echo: the echo can do more than was measured; the true echo_ratio is lower")
    if NO_CALL in result.errors:
        notes.append("NO_CALL: nothing was due in a window; measure at a higher rate or for longer")
    broken = sum((echo.errors for echo in echoes), Counter[str]())
    if broken:
        notes.append(f"the echo failed: {dict(broken)}; is the server started with --enable-echo?")
    for name, percentile in PERCENTILES.items():
        if name not in result.measures and result.calls:
            needed = fewest_calls(percentile)
            notes.append(f"{name}: not stated, {result.calls} calls are fewer than the {needed} it needs")
    return notes
