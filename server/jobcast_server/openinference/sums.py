"""Statistics of a server that is several processes: counts and times are sums, by model, version and size of a pass."""

from collections.abc import Iterable

import open_inference_pb2 as pb

TIMES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
BATCH_TIMES = ("compute_input", "compute_infer", "compute_output")


def add(told: pb.ModelStatisticsResponse, others: Iterable[bytes]) -> None:
    """Add serialized statistics to those of this process; versions that it does not have are left out."""
    lines = {(line.name, line.version): line for line in told.model_stats}
    for other in others:
        for line in pb.ModelStatisticsResponse.FromString(other).model_stats:
            if (into := lines.get((line.name, line.version))) is not None:
                _add(into, line)


def _add(into: pb.ModelStatistics, line: pb.ModelStatistics) -> None:
    into.last_inference = max(into.last_inference, line.last_inference)
    into.inference_count += line.inference_count
    into.execution_count += line.execution_count
    for name in TIMES:
        _sum(getattr(into.inference_stats, name), getattr(line.inference_stats, name))
    batches = {batch.batch_size: batch for batch in into.batch_stats}
    for batch in line.batch_stats:
        known = batches.get(batch.batch_size)
        if known is None:
            into.batch_stats.add().CopyFrom(batch)
            continue
        for name in BATCH_TIMES:
            _sum(getattr(known, name), getattr(batch, name))


def _sum(into: pb.StatisticDuration, other: pb.StatisticDuration) -> None:
    into.count += other.count
    into.ns += other.ns
