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

from jobcast_training.aggregation import Aggregation

ONLINE = ("tracking", "agaci", "none")
"""Ways to move the offsets of all jobs: quantile tracking, AgACI (`aggregation`), or none, of groups neither."""


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


@dataclass(frozen=True)
class _Prediction:
    """What an outcome is compared with: quantiles with the groups' offsets alone, what AgACI said, what was served."""

    y: float
    own: NDArray[np.float64]
    said: NDArray[np.float64] | None
    served: NDArray[np.float64]
    member: NDArray[np.int64]


class OnlineCalibration:
    """Offsets of all jobs and of each group, moved in the order in which outcomes arrive.

    Steps grow towards the tails as 1 / sqrt(min(t, 1 - t)), where an outcome of the rarer kind says more and comes
    less often. Levels that would cross are served with their mean (isotonic regression), and every tracked offset moves
    by what was served: that draws crossed offsets apart again and keeps each level's share (Ding, Gibbs and Tibshirani,
    2025). Sorting would do neither.

    Args:
        levels: ascending, in (0, 1).
        sizes: number of groups in each grouping, group 0 (none) included.
        steps: move of all jobs' offsets at level 0.5, then of each grouping's, in the unit of the predictions; a
            group starts at 0, so that one with few outcomes has nearly the offsets of all jobs.
        aims: probability that a level's offset is moved towards, where that is not the level itself.
        online: one of `ONLINE`; AgACI has steps of its own for the offsets of all jobs.
    """

    def __init__(
        self,
        levels: Sequence[float],
        sizes: Sequence[int],
        steps: Sequence[float],
        aims: Mapping[float, float] | None = None,
        online: str = "tracking",
    ) -> None:
        if online not in ONLINE:
            raise ValueError(f"online calibration must be one of {', '.join(ONLINE)}, got {online!r}")
        at = np.array(levels)
        self.group_offsets = [np.zeros((size, len(levels))) for size in sizes]
        self._aim = np.array([(aims or {}).get(level, level) for level in levels])
        first, *others = np.multiply.outer(steps, np.sqrt(0.5 / np.minimum(at, 1 - at))) * (online != "none")
        self._aggregation = Aggregation(self._aim.tolist()) if online == "agaci" else None
        self._tracked, self._step, self._group_steps = np.zeros(len(levels)), first, others
        self._running: list[tuple[float, int, _Prediction]] = []
        self._predicted = 0

    @property
    def offsets(self) -> NDArray[np.float64]:
        """The offsets of all jobs, shape [levels]."""
        return self._tracked if self._aggregation is None else self._aggregation.offsets

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
                self._learn(heapq.heappop(self._running)[2])
            member = jobs.members[row]
            own = raw[row].copy()
            for offsets, group in zip(self.group_offsets, member, strict=True):
                own += offsets[group]
            served[row] = np.minimum(ascending(own + self.offsets), cap)
            said = None if self._aggregation is None else self._aggregation.said
            made = _Prediction(y, own, said, served[row], member)
            heapq.heappush(self._running, (end, self._predicted, made))
            self._predicted += 1
        return served

    def _learn(self, made: "_Prediction") -> None:
        move = self._aim - (made.served >= made.y)
        if self._aggregation is None or made.said is None:
            self._tracked = self._tracked + self._step * move
        else:
            self._aggregation.learn(made.said, made.y - made.own)
        for offsets, step, group in zip(self.group_offsets, self._group_steps, made.member, strict=True):
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
