"""A lookup table: forecasts made before, found by key and features; the same question always gets the same row.

Exact first: the row with the very features of the task. Else the nearest row that has the same features by name, where
the distance is the largest relative difference of a feature, |a - b| / max(|a|, |b|), and is at most the stated one;
of rows equally near the first in the file. Else the key's row without features, which stands for the key as a whole.
Else nothing.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.key import Key

ANY = Key("", "", "", "", "")
"""Key of the rows of a table that does not say what it is for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the file states it.

    Attributes:
        levels, quantiles: stated quantiles in ms. expect, error: mean and deviation in ms, where the file states them.
        outside: facts that lay outside what training saw when the row was predicted.
    """

    key: Key
    features: dict[str, float]
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    expect: float | None = None
    error: float | None = None
    outside: float = 0.0


@dataclass
class _Rows:
    """The rows of one key; `near` holds those of the same feature names as a matrix with their places."""

    exact: dict[frozenset[tuple[str, float]], int] = field(default_factory=dict)
    near: dict[tuple[str, ...], tuple[NDArray[np.float64], list[int]]] = field(default_factory=dict)


class Table:
    """Rows with their forecasts, indexed by key."""

    def __init__(self, rows: list[Row], forecasts: list[Forecast]) -> None:
        self._forecasts = forecasts
        self._keys: dict[Key, _Rows] = {}
        grouped: dict[tuple[Key, tuple[str, ...]], list[int]] = {}
        for place, row in enumerate(rows):
            known = self._keys.setdefault(row.key, _Rows())
            known.exact.setdefault(frozenset(row.features.items()), place)
            grouped.setdefault((row.key, tuple(sorted(row.features))), []).append(place)
        for (key, names), places in grouped.items():
            matrix = np.array([[rows[place].features[name] for name in names] for place in places], np.float64)
            self._keys[key].near[names] = matrix, places

    def __len__(self) -> int:
        return len(self._forecasts)

    @property
    def whole_keys(self) -> list[Key]:
        """Keys that the table has rows for, but for rows that do not say."""
        return [key for key in self._keys if key.whole]

    def find(self, key: Key, features: dict[str, float], distance: float) -> Forecast | None:
        """The forecast for a task, or None: a miss."""
        rows = self._rows(key)
        if rows is None:
            return None
        place = rows.exact.get(frozenset(features.items()))
        if place is None:
            place = _nearest(rows, features, distance)
        if place is None:
            place = rows.exact.get(frozenset())
        return None if place is None else self._forecasts[place]

    def _rows(self, key: Key) -> _Rows | None:
        """Rows of the key; one with fields left open finds them where only one key of the table fits."""
        known = self._keys.get(key) or self._keys.get(ANY)
        if known is None and not key.whole:
            fitting = [mine for mine in self._keys if key.fits(mine)]
            known = self._keys[fitting[0]] if len(fitting) == 1 else None
        return known


def _nearest(rows: _Rows, features: dict[str, float], distance: float) -> int | None:
    names = tuple(sorted(features))
    known = rows.near.get(names)
    if known is None or not names:
        return None
    matrix, places = known
    asked = np.array([features[name] for name in names])
    scale = np.maximum(np.abs(matrix), np.abs(asked))
    apart = np.abs(matrix - asked) / np.where(scale == 0, 1.0, scale)
    far = apart.max(axis=1)
    best = int(far.argmin())  # the first of those equally near
    return places[best] if far[best] <= distance else None
