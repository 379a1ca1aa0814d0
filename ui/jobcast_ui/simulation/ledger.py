"""What a replay comes to at a moment of the log: only outcomes of jobs that had ended by then count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jobcast_proto.manifest import Schema
from numpy.typing import NDArray

from jobcast_ui.answer import NODES, requested, unit
from jobcast_ui.simulation.log import Log
from jobcast_ui.simulation.presets import PRESETS, Outcome, allocated, outcome
from jobcast_ui.simulation.replay import Replay

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """What waste and shortfall are counted in.

    Attributes:
        unit: such as `node-hours`.
        weights: what one unit of the model's amount counts for each job, shape [n].
    """

    unit: str
    weights: Floats


@dataclass(frozen=True)
class Standing:
    """A replay at a moment.

    Attributes:
        submitted, ended: jobs.
        target, coverage: of the interval, promised and held by the jobs that ended; None = none ended.
        limit_level, limit_held: the same of the suggested limit.
        beyond: jobs that ended and took more than they requested. within: coverage, each outcome counted up to its
            request, which is all that a model can promise that never predicts more; None where none is beyond.
        given: what the jobs that ended would have got: `waste` and `shortfall` in the measure's unit.
        requested: the same of what they requested, and of those that requested at all.
        presets: outcomes by the names of `presets.PRESETS`; {} where the model recommends no allocation.
        order: places of the jobs that ended, by their end. running: coverage so far at each of them.
    """

    now: float
    submitted: int
    ended: int
    target: float
    coverage: float | None
    limit_level: float
    limit_held: float | None
    beyond: int
    within: float | None
    given: Outcome | None
    requested: Outcome | None
    presets: dict[str, Outcome | None]
    order: NDArray[np.int64]
    running: Floats


def measure(log: Log, schema: Schema) -> Measure:
    """Node-hours of times where nodes are told, GiB-hours of memory where hours are; else the plain amount."""
    own, nodes = unit(schema), log.column(NODES)
    plain = np.ones(log.jobs)
    if own == "s":
        known = nodes is not None and bool(np.isfinite(nodes).all())
        return Measure("node-hours", nodes / 3600) if nodes is not None and known else Measure("hours", plain / 3600)
    if own == "GiB" and np.isfinite(log.hours).all():
        return Measure("GiB-hours", log.hours)
    return Measure(own, plain)


def standing(replay: Replay, now: float) -> Standing:
    """How a replay stands at `now`, of whose log all jobs submitted by then were predicted.

    What a job gets is the server's allocation, or where there is none the suggested limit.
    """
    log, schema = replay.log, replay.schema
    submitted = int(np.searchsorted(log.submit, now, side="right"))
    ended = np.flatnonzero(log.end[:submitted] <= now)
    order = ended[np.argsort(log.end[ended], kind="stable")]
    levels = list(schema.quantile_levels)
    low, high = (replay.quantiles[:, levels.index(level)] for level in schema.interval_levels)
    limit = replay.quantiles[:, levels.index(schema.limit_level)]
    actual, counts = log.actual[order], measure(log, schema)
    covered = (low[order] <= actual) & (actual <= high[order])
    running = np.cumsum(covered) / np.arange(1, len(order) + 1)
    allocates = schema.allocation is not None
    own = replay.allocations if allocates else limit
    request = log.column(requested(schema) or "")
    asked = order[request[order] > 0] if request is not None else order[:0]
    beyond, within = _beyond(log, request, order, low, high)
    presets = {}
    for one in PRESETS if allocates else ():
        amounts = allocated(one, replay.quantiles, levels, replay.allocations)
        presets[one.name] = None if amounts is None else outcome(amounts[order], actual, counts.weights[order])
    return Standing(
        now=now, submitted=submitted, ended=len(order), target=schema.interval_levels[1] - schema.interval_levels[0],
        coverage=float(running[-1]) if len(order) else None, limit_level=schema.limit_level,
        limit_held=float(np.mean(actual <= limit[order])) if len(order) else None,
        beyond=beyond, within=within,
        given=outcome(own[order], actual, counts.weights[order]),
        requested=None if request is None else outcome(request[asked], log.actual[asked], counts.weights[asked]),
        presets=presets, order=order, running=running,
    )  # fmt: skip


def _beyond(
    log: Log, request: Floats | None, order: NDArray[np.int64], low: Floats, high: Floats
) -> tuple[int, float | None]:
    """How many jobs took more than they requested, and coverage with outcomes up to the requests."""
    if request is None:
        return 0, None
    asked = np.where(request[order] > 0, request[order], np.inf)
    beyond, capped = int(np.sum(log.actual[order] > asked)), np.minimum(log.actual[order], asked)
    return beyond, float(np.mean((low[order] <= capped) & (capped <= high[order]))) if beyond else None


def thinned(places: Sequence[int] | NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the places, evenly, the last one always among them."""
    array = np.asarray(places, dtype=np.int64)
    if len(array) <= most:
        return array
    return array[np.unique(np.linspace(0, len(array) - 1, most).round().astype(np.int64))]
