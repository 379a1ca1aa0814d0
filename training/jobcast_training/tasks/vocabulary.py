"""Texts that a model knows, as codes: 0 = not given, 1 = never seen, then the known ones in order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.tasks import hardware, software
from jobcast_training.tasks.records import TEXTS

MISSING, UNKNOWN, FIRST = 0, 1, 2
MOST_VALUES = 2_000


@dataclass(frozen=True)
class Vocabulary:
    """Known texts of every field of `TEXTS`, the most frequent first.

    Attributes:
        values: by field; the hardware's are those that rows name and, behind them, the accelerators of the table.
        seen: number of leading values that rows name, by field.
        missing: whether rows leave the field out, by field.
    """

    values: Mapping[str, tuple[str, ...]]
    seen: Mapping[str, int]
    missing: Mapping[str, bool]

    def size(self, field: str) -> int:
        """Number of codes of a field."""
        return FIRST + len(self.values[field])

    def keys(self, field: str) -> tuple[list[str], list[int]]:
        """Every spelling of a field's known texts and its code; the empty text is `MISSING`."""
        codes = {"": MISSING} | {text: code for code, text in enumerate(self.values[field], FIRST)}
        variants = {"hardware": hardware.spellings, "software_name": software.spellings}.get(field)
        for spelling, own in (variants() if variants else {}).items():
            if own in codes:
                codes.setdefault(spelling, codes[own])
        return list(codes), list(codes.values())

    def unseen(self, field: str) -> NDArray[np.float64]:
        """1 for each code that training did not see, shape [size]; a field that no row gives says nothing."""
        flags = np.ones(self.size(field))
        flags[FIRST : FIRST + self.seen[field]] = 0
        flags[MISSING] = not self.missing[field]
        return flags if self.seen[field] else np.zeros(self.size(field))


def vocabulary(frame: pl.DataFrame) -> Vocabulary:
    """Return the texts of the rows."""
    values, seen, missing = {}, {}, {}
    for field in TEXTS:
        counts = frame.get_column(field).drop_nulls().value_counts().sort(["count", field], descending=[True, False])
        named = tuple(counts.get_column(field).head(MOST_VALUES).to_list())
        others = tuple(own for own in hardware.ACCELERATORS if own not in named) if field == "hardware" else ()
        values[field], seen[field] = named + others, len(named)
        missing[field] = frame.get_column(field).null_count() > 0
    return Vocabulary(values, seen, missing)


def facts_table(known: Vocabulary) -> NDArray[np.float64]:
    """Return bandwidth, peak and memory by hardware code, shape [size, 3]; NaN where they are not known."""
    table = np.full((known.size("hardware"), 3), np.nan)
    for code, name in enumerate(known.values["hardware"], FIRST):
        if name in hardware.ACCELERATORS:
            table[code] = hardware.ACCELERATORS[name].facts
    return table
