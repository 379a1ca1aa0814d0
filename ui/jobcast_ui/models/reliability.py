"""Reliability: the share of outcomes at or below each quantile, against the quantile's level.

A calibrated model's points lie on the diagonal, within what chance alone moves them: the band.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jobcast_proto.manifest import Manifest
from numpy.typing import NDArray

LIKELY = 0.95
BELOW, INSIDE = "at or below the quantile", "inside the interval"

_BELOW = re.compile(r"below_(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Point:
    """One level that was checked.

    Attributes:
        series: which outcomes, such as `test`.
        kind: `BELOW`: share of outcomes at or below a quantile; `INSIDE`: inside a central interval.
        level: what was promised. share: what came. low, high: where chance alone leaves it, for `rows` independent
            outcomes and a promise that is kept exactly.
    """

    series: str
    kind: str
    level: float
    share: float
    rows: int
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether chance alone may explain the difference."""
        return self.low <= self.share <= self.high


def told(manifest: Manifest) -> list[Point]:
    """The levels that a bundle's own figures tell, of validation and of test; newer bundles tell every level."""
    rows = {"validation": manifest.training_data.calibration_rows, "test": manifest.training_data.test_rows}
    metrics = {"validation": manifest.validation, "test": manifest.test}
    return [one for name in rows if rows[name] for one in _points(manifest, name, metrics[name], rows[name])]


def every_level(manifest: Manifest) -> bool:
    """Whether the bundle's figures tell all of its levels."""
    known = {one.level for one in told(manifest) if one.kind == BELOW and one.series == "test"}
    return known >= set(manifest.quantile_levels)


def measured(
    series: str, outcomes: NDArray[np.float64], quantiles: NDArray[np.float64], levels: Sequence[float]
) -> list[Point]:
    """The levels on outcomes at hand.

    Args:
        series: name of them.
        outcomes: shape [n].
        quantiles: shape [n, levels].
        levels: of the quantiles.
    """
    shares = np.mean(outcomes[:, None] <= quantiles, axis=0)
    return [
        _point(series, BELOW, level, float(share), len(outcomes)) for level, share in zip(levels, shares, strict=True)
    ]


@lru_cache(maxsize=1024)
def band(rows: int, level: float, likely: float = LIKELY) -> tuple[float, float]:
    """The central `likely` range of the share of `rows` independent trials that succeed with probability `level`.

    Quantiles of the binomial distribution, each over `rows`: the smallest count that is reached with a probability of
    (1 - likely) / 2, and with 1 less that.
    """
    counts = np.arange(rows + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + 1)))])
    weight = logs[rows] - logs - logs[::-1] + counts * np.log(level) + (rows - counts) * np.log1p(-level)
    reached = np.cumsum(np.exp(weight))
    ends = np.searchsorted(reached, [(1 - likely) / 2, (1 + likely) / 2])
    low, high = np.minimum(ends, rows) / rows
    return float(low), float(high)


def _points(manifest: Manifest, series: str, metrics: Mapping[str, float], rows: int) -> list[Point]:
    below = {float(own[1]) / 100: value for key, value in metrics.items() if (own := _BELOW.fullmatch(key))}
    if manifest.limit_level not in below and "limit_held" in metrics:
        below[manifest.limit_level] = metrics["limit_held"]
    low, high = manifest.interval_levels
    inside = {high - low: metrics.get("coverage_interval"), 0.8: metrics.get("coverage_80")}
    found = [_point(series, BELOW, level, share, rows) for level, share in sorted(below.items())]
    return found + [
        _point(series, INSIDE, level, share, rows) for level, share in sorted(inside.items()) if share is not None
    ]


def _point(series: str, kind: str, level: float, share: float, rows: int) -> Point:
    level = round(level, 10)
    return Point(series, kind, level, share, rows, *band(rows, level))
