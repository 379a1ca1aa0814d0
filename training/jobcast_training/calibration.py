"""Split-conformal calibration of quantiles: every level is shifted until it held on later jobs.

Asymmetric conformalised quantile regression (Romano, Patterson and Candes, 2019, theorem 2): the upper tail and the
lower tail are calibrated each by itself. For exchangeable jobs a level above the median holds with at least its
probability, a level below it is undercut with at most its probability, and the interval covers with at least the
difference of its levels. Groups that are calibrated each by itself (Mondrian conformal prediction: Vovk, 2012;
equalized coverage: Romano, Barber, Sabatti and Candes, 2020) have the same promise each for its own jobs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def conformal_offsets(
    y: NDArray[np.float64], quantiles: NDArray[np.float64], levels: Sequence[float]
) -> NDArray[np.float64]:
    """Return the shift of each level, in the unit of `y`.

    The scores are `y - q`. A level t at or above 1/2 takes the ceil((n + 1) t)-th smallest, one below takes the
    floor((n + 1) t)-th smallest.

    Args:
        y: outcomes, shape [n].
        quantiles: uncalibrated predictions, shape [n, levels], not capped.
        levels: ascending, in (0, 1).

    Raises:
        ValueError: n is too small for a level to be calibrated at all; the message says how many jobs it takes.
    """
    needed = jobs_needed(levels)
    scores = np.sort(y[:, None] - quantiles, axis=0)
    count = len(y)
    offsets = []
    for column, level in enumerate(levels):
        rank = int(np.ceil((count + 1) * level)) if level >= 0.5 else int(np.floor((count + 1) * level))
        if not 1 <= rank <= count:
            raise ValueError(f"level {level}: calibration needs at least {needed} jobs, got {count}")
        offsets.append(scores[rank - 1, column])
    return np.array(offsets)


def jobs_needed(levels: Sequence[float]) -> int:
    """Return how many jobs it takes to calibrate every one of the levels."""
    return max(int(np.ceil(1 / min(level, 1 - level))) for level in levels)


def group_offsets(
    y: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    levels: Sequence[float],
    names: Mapping[str, NDArray[np.str_]],
    *,
    least: int,
    most: int,
) -> Mapping[str, Mapping[str, NDArray[np.float64]]]:
    """Return the shift of each level for every group that is large enough, by column and text.

    Every job is of one group: of its text in the first column where that has one. A column's groups are therefore of
    the jobs that no column before it has taken.

    Args:
        y: outcomes, shape [n].
        quantiles: uncalibrated predictions, shape [n, levels], not capped.
        levels: ascending, in (0, 1).
        names: each job's text by column, most specific column first, shape [n]; the empty text is no group.
        least: fewest jobs of a group; at least `jobs_needed`.
        most: groups that are kept at most, of each column the largest, of the first column before the others.
    """
    left = np.ones(len(y), dtype=np.bool_)
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for column, texts in names.items():
        own, counts = np.unique(texts[left & (texts != "")], return_counts=True)
        room = most - sum(map(len, found.values()))
        largest = [own[at] for at in np.argsort(-counts, kind="stable") if counts[at] >= least][:room]
        found[column] = {}
        for text in largest:
            jobs = left & (texts == text)
            found[column][str(text)] = conformal_offsets(y[jobs], quantiles[jobs], levels)
            left &= ~jobs
    return found


def coverage_band(calibration_rows: int, test_rows: int, level: float, confidence: float) -> tuple[float, float]:
    """Return the band in which a one-sided level's coverage of `test_rows` exchangeable jobs lies.

    The number of covered jobs is Beta-binomial(test_rows, k, n + 1 - k) with k = ceil((n + 1) level), n the
    calibration rows (Vovk, 2012; Angelopoulos and Bates, 2023, section 3.2); `confidence` is the band's probability.
    """
    k = int(np.ceil((calibration_rows + 1) * level))
    law = stats.betabinom(test_rows, k, calibration_rows + 1 - k)
    tail = (1 - confidence) / 2
    return float(law.ppf(tail) / test_rows), float(law.ppf(1 - tail) / test_rows)
