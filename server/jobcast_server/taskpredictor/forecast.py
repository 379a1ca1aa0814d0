"""What is known of one task's time: the stated quantiles, and all that an answer tells of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jobcast_server.taskpredictor.law import Law, Values, deviates, settled

SCORED = (0.1, 0.5, 0.9)
"""Levels that an outcome is compared with: the median, and the interval that 80 % of all outcomes should lie in."""


class Forecast(NamedTuple):
    """One task's time in ms.

    Attributes:
        law, stated: levels and quantiles [1, levels] that it is made from.
        predictions: quantiles at the configured levels. expect, error: mean and standard deviation.
        scored: quantiles at `SCORED`. outside: facts of the request that lie outside what training saw.
    """

    law: Law
    stated: Values
    predictions: list[float]
    expect: float
    error: float
    scored: tuple[float, float, float]
    outside: float

    def interval(self, confidence: float) -> list[float]:
        """Lower and upper end of the central interval that holds the time with this probability."""
        (low,) = deviates(((1 - confidence) / 2,))  # the upper level may be too near to 1 for a double, its deviate not
        lower, upper = self.law.quantiles(self.stated, self.law.places((low, -low)))[0].tolist()
        return [lower, max(lower, upper)]


def forecasts(law: Law, stated: Values, outside: Sequence[float], levels: tuple[float, ...]) -> list[Forecast]:
    """One forecast for each row of `stated` [N, levels of the law], whose quantiles are `settled` here."""
    values = settled(stated)
    count = len(levels)
    told = law.quantiles(values, law.places(deviates((*levels, *SCORED))))
    np.maximum.accumulate(told[:, :count], axis=1, out=told[:, :count])  # what rounding may have crossed
    means, deviations = law.spread(values)
    return [
        Forecast(law, values[row : row + 1], told_[:count], mean, deviation, (told_[-3], told_[-2], told_[-1]), out)
        for row, (told_, mean, deviation, out) in enumerate(
            zip(told.tolist(), means.tolist(), deviations.tolist(), outside, strict=True)
        )
    ]
