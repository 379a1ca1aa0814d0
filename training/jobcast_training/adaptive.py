"""Online calibration: every served level has offsets that move when an outcome arrives.

Quantile tracking (Angelopoulos, Candes and Tibshirani, 2023, section 2.1): an outcome above the level t's prediction
lifts the offset by `step * t`, one below it lowers it by `step * (1 - t)`. The moves telescope: after n outcomes the
share below differs from t by at most (range of the offset) / (step * n), whatever the jobs do, since nothing is
assumed of them. The same holds within every group, for its own offset moves with its own outcomes (gradient
equilibrium: Angelopoulos, Jordan and Tibshirani, 2025).
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcomes:
    """Jobs in order of submission, with what will have become of them.

    Attributes:
        submit: when each is predicted, s, shape [n], ascending.
        end: when its outcome is known, s, shape [n].
        y: outcome in the unit of the predictions, not above `cap`, shape [n].
        cap: no served quantile exceeds it, shape [n]; infinity caps nothing.
        members: number of each job's group by each grouping, 0 for none, shape [n, groupings].
    """

    submit: NDArray[np.float64]
    end: NDArray[np.float64]
    y: NDArray[np.float64]
    cap: NDArray[np.float64]
    members: NDArray[np.int64]


class OnlineCalibration:
    """Offsets of all jobs and of each group, moved in the order in which outcomes arrive.

    Steps grow towards the tails as 1 / sqrt(min(t, 1 - t)), where an outcome of the rarer kind says more and comes
    less often. Levels that would cross are served with their mean (isotonic regression), and every offset moves by
    what was served: that draws crossed offsets apart again and keeps each level's share (Ding, Gibbs and Tibshirani,
    2025). Sorting would do neither.

    Args:
        levels: ascending, in (0, 1).
        sizes: number of groups in each grouping, group 0 (none) included.
        steps: move of all jobs' offsets at level 0.5, then of each grouping's, in the unit of the predictions; a
            group starts at 0, so that one with few outcomes has nearly the offsets of all jobs.
        aims: probability that a level's offset is moved towards, where that is not the level itself.
    """

    def __init__(
        self,
        levels: Sequence[float],
        sizes: Sequence[int],
        steps: Sequence[float],
        aims: Mapping[float, float] | None = None,
    ) -> None:
        self.offsets = np.zeros(len(levels))
        self.group_offsets = [np.zeros((size, len(levels))) for size in sizes]
        at = np.array(levels)
        self._aim = np.array([(aims or {}).get(level, level) for level in levels])
        first, *others = np.multiply.outer(steps, np.sqrt(0.5 / np.minimum(at, 1 - at)))
        self._step, self._group_steps = first, others
        self._running: list[tuple[float, int, float, NDArray[np.float64], NDArray[np.int64]]] = []
        self._predicted = 0

    def follow(self, raw: NDArray[np.float64], jobs: Outcomes) -> NDArray[np.float64]:
        """Return the served quantiles of jobs, shape [n, levels], each made with the outcomes before its submission.

        An outcome counts when its end lies strictly before a submission. Jobs of several calls must follow each
        other in time; outcomes of an earlier call that are still open arrive during the later ones.

        Args:
            raw: uncalibrated quantiles, shape [n, levels].
            jobs: their times, outcomes and groups.
        """
        served = np.empty_like(raw)
        for row, (submit, end, y, cap) in enumerate(
            zip(jobs.submit.tolist(), jobs.end.tolist(), jobs.y.tolist(), jobs.cap.tolist(), strict=True)
        ):
            while self._running and self._running[0][0] < submit:
                self._learn(*heapq.heappop(self._running)[2:])
            member = jobs.members[row]
            own = raw[row] + self.offsets
            for offsets, group in zip(self.group_offsets, member, strict=True):
                own += offsets[group]
            served[row] = np.minimum(ascending(own), cap)
            heapq.heappush(self._running, (end, self._predicted, y, served[row], member))
            self._predicted += 1
        return served

    def _learn(self, y: float, said: NDArray[np.float64], member: NDArray[np.int64]) -> None:
        move = self._aim - (said >= y)
        self.offsets += self._step * move
        for offsets, step, group in zip(self.group_offsets, self._group_steps, member, strict=True):
            if group:
                offsets[group] += step * move


def ascending(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ascending values nearest in squares: neighbours that descend get their mean (isotonic regression)."""
    if not (values[1:] < values[:-1]).any():
        return values
    sums: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        total, count = value, 1
        while sums and sums[-1] * count >= total * counts[-1]:
            total += sums.pop()
            count += counts.pop()
        sums.append(total)
        counts.append(count)
    return np.repeat(np.array(sums) / counts, counts)
