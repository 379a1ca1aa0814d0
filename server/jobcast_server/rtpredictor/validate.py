"""The contract's rules for a job, stated once: a table of bounds read by the quick check and by the explanation.

The quick check looks at whole columns; only rows that it flags are looked at again, one by one, to say what is wrong.
"""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import rt_predictor_pb2 as pb
from jobcast_proto.manifest import Manifest
from numpy.typing import NDArray

from jobcast_server.errors import Violation, shorten
from jobcast_server.rtpredictor.columns import Columns

LARGEST = sys.float_info.max
SMALLEST = math.ulp(0.0)
DEFAULT_MAX_LENGTH = 256

NUMBERS = {  # lowest and highest allowed value; the highest is finite, so that infinities and NaN fail too
    "processors_req": (1.0, LARGEST),
    "nodes_req": (1.0, LARGEST),
    "mem_req": (0.0, LARGEST),
    "wallclock_req": (SMALLEST, LARGEST),
    "gpus_req": (0.0, LARGEST),
}
WHOLE = {"processors_req", "nodes_req", "gpus_req"}
NON_EMPTY = {"partition", "qos"}
TIME = "submit_time"
LATEST = 2**63 - 1
TEXTS = ("partition", "qos", "user", "account", "job_name")


@dataclass(frozen=True)
class Rules:
    """Bounds of the contract, narrowed by what the bundle's manifest says of its inputs.

    Attributes:
        bounds: lowest and highest value by numeric field, in the order of `Columns.numbers`.
        lengths: longest text in UTF-8 bytes by text field.
        times: earliest and latest time of submission; 0, which stands for now, is always allowed.
    """

    bounds: dict[str, tuple[float, float]]
    lengths: dict[str, int]
    times: tuple[int, int]

    @classmethod
    def of(cls, manifest: Manifest) -> "Rules":
        """Rules for a bundle."""
        inputs = {spec.name: spec for spec in manifest.inputs}
        bounds = {}
        for name, (low, high) in NUMBERS.items():
            spec = inputs[name]
            if spec.minimum is not None:
                low = max(low, spec.minimum)
            if spec.maximum is not None:
                high = min(high, spec.maximum)
            bounds[name] = (low, high)
        lengths = {name: inputs[name].max_length or DEFAULT_MAX_LENGTH for name in TEXTS}
        first, last = inputs[TIME].minimum, inputs[TIME].maximum
        times = 0 if first is None else max(0, int(first)), LATEST if last is None else min(LATEST, int(last))
        return cls(bounds, lengths, times)

    def smallest(self) -> pb.JobFeatures:
        """A job that keeps every rule, with required fields alone."""
        (processors, _), (nodes, _) = self.bounds["processors_req"], self.bounds["nodes_req"]
        shortest, longest = self.bounds["wallclock_req"]
        return pb.JobFeatures(
            processors_req=math.ceil(processors), nodes_req=math.ceil(nodes),
            wallclock_req=min(max(60.0, shortest), longest), partition="p", qos="q",
        )  # fmt: skip

    def flagged(self, columns: Columns) -> NDArray[np.bool_] | None:
        """Rows [N] that break a rule, or None when none does."""
        lows = np.array([[low] for low, _ in self.bounds.values()])
        highs = np.array([[high] for _, high in self.bounds.values()])
        good = (columns.numbers >= lows) & (columns.numbers <= highs)
        bad = np.asarray(~good.all(axis=0))
        earliest, latest = self.times
        if min(columns.times) < earliest or max(columns.times) > latest:
            times = np.array(columns.times)
            bad |= (times != 0) & ((times < earliest) | (times > latest))
        for name, texts in zip(TEXTS, columns.texts, strict=True):
            limit = self.lengths[name]
            if name in NON_EMPTY and "" in texts:
                bad |= np.array([not text for text in texts])
            if max(map(len, texts)) * 4 > limit:  # a character takes at most four bytes
                bad |= np.array([_size(text) > limit for text in texts])
        for row, values in columns.recent:
            if not all(0 <= value <= LARGEST for value in values):
                bad[row] = True
        return bad if bad.any() else None

    def violations(self, job: pb.JobFeatures) -> list[Violation]:
        """Every rule that one job breaks, in field order; empty when it breaks none."""
        found = []
        for name, (low, high) in self.bounds.items():
            value = getattr(job, name)
            if not low <= value <= high:
                found.append(Violation(name, f"{_rule(name, low, high, value)}, got {value}"))
        for name in TEXTS:
            text = getattr(job, name)
            if not text:
                if name in NON_EMPTY:
                    found.append(Violation(name, "must not be empty, got ''"))
            elif _size(text) > self.lengths[name]:
                found.append(
                    Violation(name, f"must be at most {self.lengths[name]} bytes, got {_size(text)}: {shorten(text)}")
                )
        if job.submit_time and not self.times[0] <= job.submit_time <= self.times[1]:
            earliest, latest = self.times
            rule = f">= {earliest:g}" if job.submit_time < earliest else f"<= {latest:g}"
            found.append(Violation(TIME, f"must be {rule}, got {job.submit_time}"))
        if job.recent_runtimes:
            found.extend(_recent(job.recent_runtimes))
        return found


def _recent(values: Iterable[float]) -> Iterable[Violation]:
    for index, value in enumerate(values):
        if not 0 <= value <= LARGEST:
            yield Violation(f"recent_runtimes[{index}]", f"must be finite and >= 0, got {value}")


def _rule(name: str, low: float, high: float, value: float) -> str:
    if math.isfinite(value) and value > high:
        return f"must be <= {high:g}"
    least = "> 0" if low == SMALLEST else f">= {low:g}"
    return f"must be {least}" if name in WHOLE else f"must be finite and {least}"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
