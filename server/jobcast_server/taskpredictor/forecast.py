"""What is known of one task's time: the stated quantiles, and all that an answer tells of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobcast_server.taskpredictor.law import Column, Law, Values, deviates, settled

SCORED = (0.1, 0.5, 0.9)
"""Levels that an outcome is compared with: the median, and the interval that 80 % of all outcomes should lie in."""


class Forecast(NamedTuple):
    """One task's time in ms.

    Attributes:
        law, stated: levels and quantiles that it is made from.
        predictions: quantiles at the configured levels. expect, error: mean and standard deviation.
        scored: quantiles at `SCORED`. outside: facts of the request that lie outside what training saw.
    """

    law: Law
    stated: tuple[float, ...]
    predictions: list[float]
    expect: float
    error: float
    scored: tuple[float, float, float]
    outside: float

    def interval(self, confidence: float) -> list[float]:
        """Lower and upper end of the central interval that holds the time with this probability."""
        (low,) = deviates(((1 - confidence) / 2,))  # the upper level may be too near to 1 for a double, its deviate not
        lower, upper = self.law.quantiles(self.stated, self.law.places((low, -low)))
        return [lower, max(lower, upper)]


def forecasts(
    law: Law, stated: NDArray[np.floating], outside: Sequence[float], levels: tuple[float, ...]
) -> list[Forecast]:
    """One forecast for each row of `stated` [N, levels of the law], whose quantiles are settled here."""
    if len(stated) == 1:
        return [_forecast(law, settled(stated[0].tolist()), outside[0], levels)]
    columns = settled(stated.astype(np.float64).T)
    told = _quantiles(law, columns, levels)
    means, deviations = law.spread(columns)
    rows = zip(
        _rows(columns), _rows(told), means.tolist(), deviations.tolist(), outside, strict=True
    )  # fmt: skip
    return [_told(law, *row, len(levels)) for row in rows]


def _rows(columns: Sequence[Values]) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _forecast(law: Law, stated: tuple[float, ...], outside: float, levels: tuple[float, ...]) -> Forecast:
    quantiles = tuple(_quantiles(law, stated, levels))
    mean, deviation = law.spread(stated)
    return _told(law, stated, quantiles, mean, deviation, outside, len(levels))


def _quantiles(law: Law, stated: Sequence[Column], levels: tuple[float, ...]) -> list[Column]:
    """Quantiles at `levels`, which never cross, and behind them those at `SCORED`."""
    found = law.quantiles(stated, law.places(deviates((*levels, *SCORED))))
    found[: len(levels)] = settled(found[: len(levels)])  # rounding may have made them cross
    return found


def _told(
    law: Law, stated: tuple[float, ...], told: tuple[float, ...], mean: float, deviation: float, outside: float,
    count: int,
) -> Forecast:  # fmt: skip
    return Forecast(law, stated, list(told[:count]), mean, deviation, (told[-3], told[-2], told[-1]), outside)
