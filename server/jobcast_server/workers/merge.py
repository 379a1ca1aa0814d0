"""One page of metrics from those of all workers.

Counters and histograms are sums, over workers that have ended too, so that none ever falls. Gauges are what their
meaning asks for: `SUMMED`, `LEAST`, or the largest. What is of a process (`process_*`) has the label `worker`.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

SUMMED = frozenset(("rt_predictor_active_connections", "rt_predictor_queue_size", "jobcast_prediction_cache_entries"))
"""Gauges of which each worker has its own part."""

LEAST = frozenset(("jobcast_ready", "jobcast_model_ready"))
"""Gauges that say what holds wherever a call arrives."""

OF_STORE = frozenset(("jobcast_task_outcomes",))
"""Counters that one worker has, and begins again with what the store holds: their largest value is the count."""

GROWING = frozenset(("counter", "histogram", "summary"))
OF_PROCESS = "process_"
WORKER = "worker"

Labels = tuple[tuple[str, str], ...]
Series = dict[tuple[str, Labels], float]
"""Values by the sample's name and its labels in order."""


@dataclass
class Family:
    """One metric with its series."""

    documentation: str
    kind: str
    series: Series = field(default_factory=dict)


Families = dict[str, Family]


def snapshot(registry: CollectorRegistry) -> bytes:
    """Everything that a registry has, to be sent."""
    told = [
        [metric.name, metric.documentation, metric.type, [[one.name, one.labels, one.value] for one in metric.samples]]
        for metric in registry.collect()
    ]
    return json.dumps(told).encode()


def read(sent: bytes) -> Families:
    """What `snapshot` sent."""
    return {
        name: Family(text, kind, {(sample, tuple(labels.items())): value for sample, labels, value in samples})
        for name, text, kind, samples in json.loads(sent)
    }


def retire(ended: Families, kept: Families) -> None:
    """Add to `kept` what one that has ended had counted."""
    for name, family in ended.items():
        if family.kind not in GROWING or name.startswith(OF_PROCESS):
            continue
        into = kept.setdefault(name, Family(family.documentation, family.kind))
        for key, value in family.series.items():
            before = into.series.get(key, 0.0)
            into.series[key] = max(before, value) if name in OF_STORE else before + value


def merge(counting: Mapping[str, Families], serving: Iterable[str], kept: Families) -> Iterator[Metric]:
    """One metric for each name.

    Args:
        counting: what each process counts, by its name in the label `worker`.
        serving: those of them whose gauges hold.
        kept: what those that have ended had counted.
    """
    holding = set(serving)
    merged: Families = {name: Family(one.documentation, one.kind, dict(one.series)) for name, one in kept.items()}
    for process, families in counting.items():
        for name, family in families.items():
            grows = family.kind in GROWING
            if not grows and process not in holding and not name.startswith(OF_PROCESS):
                continue
            into = merged.setdefault(name, Family(family.documentation, family.kind))
            for (sample, labels), value in family.series.items():
                if name.startswith(OF_PROCESS):
                    into.series[sample, (*labels, (WORKER, process))] = value
                    continue
                before = into.series.get((sample, labels))
                together = (grows and name not in OF_STORE) or name in SUMMED
                into.series[sample, labels] = value if before is None else _both(name, before, value, together=together)
    for name, family in merged.items():
        metric = Metric(name, family.documentation, family.kind)
        for (sample, labels), value in family.series.items():
            metric.add_sample(sample, dict(labels), value)
        yield metric


def _both(name: str, one: float, other: float, *, together: bool) -> float:
    if together:
        return one + other
    if math.isnan(one) or math.isnan(other):
        return other if math.isnan(one) else one
    return min(one, other) if name in LEAST else max(one, other)
