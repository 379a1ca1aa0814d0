"""The search: each value of an option runs beside the best so far, A B A B, and takes over when it is better for sure.

Better is a higher score: the geometric mean of three ratios to the best so far, each taken within a repeat. They are
the 99th percentile of a lone request (inverted), the calls per second at saturation, and the rows per second of large
requests, weighted by the objective.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from jobcast_bench.fleet import Cores, Fleet
from jobcast_bench.generator import Generator
from jobcast_bench.measures import Summary
from jobcast_bench.process import ServerError
from jobcast_bench.scenarios import SATURATING
from jobcast_bench.serving import Served
from jobcast_bench.tuning.candidates import Options, Step, Value
from jobcast_bench.worker import Load

OBJECTIVES: Mapping[str, tuple[float, float, float]] = {
    "balanced": (1.0, 1.0, 1.0),
    "latency": (2.0, 1.0, 0.0),
    "throughput": (0.0, 2.0, 1.0),
}
"""Weights of latency, calls per second and rows per second."""

MARGIN = 1.02
"""A value takes over when the median of its scores exceeds this, and no repeat says the contrary."""

LARGE_ROWS = 2048


@dataclass(frozen=True)
class Figures:
    """What one server did in one repeat: us, calls per second, rows per second."""

    p99_us: float
    calls_per_s: float
    rows_per_s: float


@dataclass(frozen=True)
class Trial:
    """A value beside the best so far: ratios to it within each repeat (above 1 is better), or why it did not run."""

    option: str
    value: Value
    against: Value
    score: Summary | None
    latency: Summary | None
    calls: Summary | None
    rows: Summary | None
    taken: bool
    failure: str = ""


@dataclass(frozen=True)
class Plan:
    """How a search measures; durations in seconds per window."""

    models: Path
    bundle: Path
    objective: str
    duration_s: float
    repeats: int
    generator: Generator


def score(found: Figures, best: Figures, objective: str) -> float:
    """Weighted geometric mean of the ratios to the best so far; above 1 is better."""
    ratios = (best.p99_us / found.p99_us, found.calls_per_s / best.calls_per_s, found.rows_per_s / best.rows_per_s)
    weights = OBJECTIVES[objective]
    return math.exp(sum(w * math.log(r) for w, r in zip(weights, ratios, strict=True)) / sum(weights))


def better(scores: Summary) -> bool:
    """Whether a value is better than the best so far, for sure."""
    return scores.median > MARGIN and scores.low > 1.0


def search(
    plan: Plan, cores: Cores, start: Options, steps: list[Step], progress: Callable[[str], None]
) -> Iterator[Trial]:
    """Decide one option after the other; a trial that is taken is the best from there on."""
    best = dict(start)
    for step in steps:
        for value in step.values:
            if value == best[step.option]:
                continue
            progress(f"{step.option} = {value} beside {best[step.option]}")
            trial = _trial(plan, cores, best, step.option, value)
            if trial.taken:
                best[step.option] = value
            yield trial


def _trial(plan: Plan, cores: Cores, best: Options, option: str, value: Value) -> Trial:
    against = best[option]
    with ExitStack() as stack:
        try:
            sides = [
                stack.enter_context(Served(plan.models, cores, arguments(made)))
                for made in (best, {**best, option: value})
            ]
        except ServerError as error:
            return Trial(option, value, against, None, None, None, None, False, str(error).splitlines()[0])
        fleet = stack.enter_context(Fleet(1, cores, 0))
        pairs = [tuple(_figures(plan, fleet, side.address) for side in sides) for _ in range(plan.repeats)]
    scores = Summary.of([score(found, known, plan.objective) for known, found in pairs])
    return Trial(
        option, value, against, scores,
        Summary.of([known.p99_us / found.p99_us for known, found in pairs]),
        Summary.of([found.calls_per_s / known.calls_per_s for known, found in pairs]),
        Summary.of([found.rows_per_s / known.rows_per_s for known, found in pairs]),
        better(scores),
    )  # fmt: skip


def arguments(options: Options) -> tuple[str, ...]:
    """Flags of `jobcast serve`."""
    made: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        made += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return tuple(made)


def _figures(plan: Plan, fleet: Fleet, address: str) -> Figures:
    one = Load(
        address=address, target="infer", duration_s=plan.duration_s, warmup_s=plan.duration_s / 4, bundle=plan.bundle,
        generator=plan.generator, exact=False,
    )  # fmt: skip
    lone = fleet.measure(one, 1, None)
    saturated = fleet.measure(replace(one, in_flight=SATURATING, connections=4), 1, None)
    large = fleet.measure(replace(one, rows=LARGE_ROWS, in_flight=4, connections=4), 1, None)
    for window in (lone, saturated, large):
        if window.failures:
            first = window.invalid[0] if window.invalid else window.errors.most_common(1)[0][0]
            raise ServerError(f"{window.failures} of {window.sent} calls failed: {first}")
    p99 = lone.latency.percentile(99.0) or lone.latency.longest_us
    if not p99 or not saturated.rate_per_s or not large.rate_per_s:
        raise ServerError("no call was answered in a window; use a longer --duration")
    return Figures(float(p99), saturated.rate_per_s, large.rate_per_s * LARGE_ROWS)
