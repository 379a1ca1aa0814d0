"""AgACI: adaptive conformal inference with several steps at once, weighed by what each step has lost.

Aggregated adaptive conformal inference (Zaffran, Feron, Goude, Josse and Dieuleveut, 2022, algorithm 1), each level by
itself. An expert with step g says the score of rank ceil((n + 1) a) among the latest n (floor below the median), and
moves its own a by g (t - [score <= said]) (Gibbs and Candes, 2021). The experts' offsets are averaged with weights from
Bernstein online aggregation under the pinball loss, linearised at the average (Wintenberger, 2017), with the rates that
the package opera gives each expert: 1 / rate^2 = 2.2 * (sum of its squared regrets).
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAMMAS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
"""Steps of the experts: those of Susmann, Chambaz and Josse (2024)."""

WINDOW = 5_000
"""Latest scores that an expert's quantile is taken of."""


class Aggregation:
    """Offsets of all jobs, moved in the order in which outcomes arrive.

    An `a` beyond the ranks of the window says its smallest or largest score, never infinity. Before the first outcome
    every offset is 0.

    Args:
        aims: probability that each level shall hold with, ascending, in (0, 1).
        gammas: steps of the experts.
        window: number of latest scores that count.

    Attributes:
        said: offsets at this moment: the average, then each expert's, shape [1 + experts, levels].
    """

    def __init__(self, aims: Sequence[float], gammas: Sequence[float] = GAMMAS, window: int = WINDOW) -> None:
        self._aim = np.array(aims)
        self._upper = self._aim >= 0.5
        self._gamma = np.array(gammas)[:, None]
        shape = (len(gammas), len(aims))
        self._rate = np.tile(self._aim, (len(gammas), 1))
        self._regret, self._squares = np.zeros(shape), np.zeros(shape)
        self._window = window
        self._latest: deque[list[float]] = deque()
        self._sorted: list[list[float]] = [[] for _ in aims]
        self.said: NDArray[np.float64] = np.zeros((1 + len(gammas), len(aims)))

    @property
    def offsets(self) -> NDArray[np.float64]:
        """The average over the experts, shape [levels]."""
        average: NDArray[np.float64] = self.said[0]
        return average

    def learn(self, said: NDArray[np.float64], score: NDArray[np.float64]) -> None:
        """Move by one outcome.

        Args:
            said: `said` as it was at the prediction.
            score: outcome minus what the offsets were added to, shape [levels].
        """
        average, experts = said[0], said[1:]
        self._rate += self._gamma * (self._aim - (score <= experts))
        regret = ((score <= average) - self._aim) * (average - experts)
        self._squares += regret**2
        active = self._squares > 0
        rate = 1 / np.sqrt(2.2 * self._squares, where=active, out=np.full_like(regret, np.inf))
        self._regret += regret - rate * regret**2
        self._keep(score.tolist())
        experts = self._experts()
        log = np.log(rate, where=active, out=np.full_like(rate, -np.inf)) + rate * self._regret
        raised = np.exp(log - np.where(active.any(axis=0), log.max(axis=0), 0.0))
        share = active.mean(axis=0) / np.maximum(raised.sum(axis=0), np.finfo(float).tiny)
        weight = np.where(active, raised * share, 1 / len(experts))
        self.said = np.vstack([np.sum(weight * experts, axis=0), experts])

    def _keep(self, score: list[float]) -> None:
        self._latest.append(score)
        for own, one in zip(self._sorted, score, strict=True):
            insort(own, one)
        if len(self._latest) > self._window:
            for own, one in zip(self._sorted, self._latest.popleft(), strict=True):
                del own[bisect_left(own, one)]

    def _experts(self) -> NDArray[np.float64]:
        count = len(self._latest)
        place = (count + 1) * self._rate
        rank = np.clip(np.where(self._upper, np.ceil(place), np.floor(place)), 1, count).astype(int) - 1
        return np.array([[own[one] for own, one in zip(self._sorted, row, strict=True)] for row in rank.tolist()])
