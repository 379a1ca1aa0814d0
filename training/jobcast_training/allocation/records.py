"""The record table of a predictor of an amount: one row is one job.

A value that the source does not give is null, never a stand-in.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.allocation.declaration import AMOUNT, CENSORED, END, HOURS, TIME, Predictor, Text


@dataclass(frozen=True)
class AllocationRecords:
    """Jobs in order of time, and what was left out.

    Attributes:
        frame: the columns of `schema`, sorted by `time`.
        source: names of the files, without any folder.
        rejected: number of rows left out, by reason.
        notes: what had to be assumed, in sentences.
    """

    frame: pl.DataFrame
    source: str
    rejected: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


class RecordError(ValueError):
    """A file of records is not what it should be; the message names file, column, rule and value."""


def schema(predictor: Predictor) -> dict[str, pl.DataType]:
    """Return the columns of the predictor's record table.

    The declared fields by name (String, or Float64 in the declared unit), then `time` (Unix s), `end_time` (Unix s, of
    a job that has ended; null = not known), `amount` (in the amount's unit), `hours` (how long it ran, null = not
    known) and `censored` (it failed for want of the amount, which is then a lower bound of what it needed).
    """
    fields: dict[str, pl.DataType] = {
        one.name: pl.String() if isinstance(one, Text) else pl.Float64() for one in predictor.fields
    }
    return fields | {
        TIME: pl.Float64(),
        END: pl.Float64(),
        AMOUNT: pl.Float64(),
        HOURS: pl.Float64(),
        CENSORED: pl.Boolean(),
    }


def requests(predictor: Predictor, frame: pl.DataFrame) -> NDArray[np.float64]:
    """Return what was asked for, shape [n]; NaN where that is not known, which a request of 0 is not either."""
    if not predictor.request:
        return np.full(frame.height, np.nan)
    asked = frame[predictor.request].fill_null(np.nan).to_numpy()
    return np.where(asked > 0, asked, np.nan)
