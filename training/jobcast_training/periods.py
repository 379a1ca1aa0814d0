"""The periods of a log: jobs in order of submission, each period later than the one before it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobcast_training.hyperparameters import Split


class TrainingError(ValueError):
    """The records do not suffice to train on; the message says what is missing."""


@dataclass(frozen=True)
class Periods:
    """First row of each period; a period ends where the next starts."""

    fit: int
    tune: int
    calibrate: int
    test: int
    end: int

    @property
    def learned(self) -> Sequence[tuple[int, int]]:
        """[start, stop) of what is fitted to, tuned on and calibrated by."""
        return (self.fit, self.tune), (self.tune, self.calibrate), (self.calibrate, self.test)


def split_rows(rows: int, split: Split) -> Periods:
    """Return the periods of a log of so many jobs, by their shares."""
    shares = np.cumsum([split.statistics, split.fit, split.tune, split.calibrate])
    fit, tune, calibrate, test = (int(np.floor(rows * share + 1e-9)) for share in shares)
    return Periods(fit, tune, calibrate, test, rows)
