"""From the data of requests to the graph's input columns, many columns at a time: a numpy call costs more than a row.

All numbers of one type lie in one flat array, a column behind the other, so that one comparison checks them all. Only
when it fails are the columns looked at one by one, to say what is wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobcast_server.errors import Violation
from jobcast_server.openinference.schema import NUMBERS, Input
from jobcast_server.openinference.tensors import Texts
from jobcast_server.repository.session import Feeds

Column = bytes | memoryview | list[str] | Texts | None
"""Data of one input: raw numbers, texts (still to be read where there are many), or nothing."""

Part = tuple[int, list[Any]]
"""Rows of one request, and the data of every input in the schema's order; texts read."""

MOST_BOUNDS = 64
SHOWN = 10


class _Numbers:
    """All number columns of one type."""

    def __init__(self, columns: list[tuple[int, Input]], datatype: str) -> None:
        self._columns = columns
        self._kind = NUMBERS[datatype]
        self._floats = datatype != "INT64"
        self._bounds: dict[int, tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]] = {}
        self._fills = {place: column.fill(1).tobytes() for place, column in columns}

    def read(self, parts: Sequence[Part], rows: int, feeds: Feeds) -> bool:
        """Add the columns to `feeds`; whether every value keeps its rules."""
        raws = []
        for place, _ in self._columns:
            for count, columns in parts:
                data = columns[place]
                raws.append(self._fills[place] * count if data is None else data)
        flat = np.frombuffer(bytearray().join(raws), self._kind)
        start = 0
        for _, column in self._columns:
            end = start + rows * column.width
            values = flat[start:end]
            if column.spec.missing is not None:
                values[values == column.spec.missing] = np.nan
            feeds[column.spec.name] = values.reshape(rows, *column.tail)
            start = end
        low, high, optional = self._limits(rows)
        good = (flat >= low) & (flat <= high)
        if good.all():
            return True
        return self._floats and bool((good | (optional & np.isnan(flat))).all())

    def _limits(self, rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Lowest and highest value, and whether it may be NaN, of every value of `rows` rows."""
        known = self._bounds.get(rows)
        if known is None:
            widths = [column.width * rows for _, column in self._columns]
            columns = [column for _, column in self._columns]
            kind: Any = self._kind if self._floats else np.dtype(object)  # int64 bounds need all their digits
            low = np.repeat(np.array([column.low for column in columns], kind), widths).astype(self._kind)
            high = np.repeat(np.array([column.high for column in columns], kind), widths).astype(self._kind)
            optional = np.repeat(np.array([not column.spec.required for column in columns]), widths)
            known = (low, high, optional)
            if len(self._bounds) >= MOST_BOUNDS:
                self._bounds.clear()
            self._bounds[rows] = known
        return known


class Columns:
    """Reads the input columns of one bundle. Any thread may."""

    def __init__(self, inputs: list[Input]) -> None:
        self._inputs = inputs
        places = list(enumerate(inputs))
        self._numbers = []
        for datatype in NUMBERS:
            chosen = [(place, column) for place, column in places if column.datatype == datatype]
            if chosen:
                self._numbers.append(_Numbers(chosen, datatype))
        self._texts = [(place, column) for place, column in places if column.datatype == "BYTES"]
        self._closed = [(column.spec.name, closed) for column in inputs if (closed := column.rules.closed) is not None]

    def read(self, parts: Sequence[Part], rows: int) -> tuple[Feeds, bool]:
        """The columns of all parts, one below the other, `rows` rows in all; and whether they keep every rule."""
        feeds: Feeds = {}
        good = True
        for numbers in self._numbers:
            good &= numbers.read(parts, rows, feeds)
        for place, column in self._texts:
            texts: list[str] = []
            for count, columns in parts:
                data = columns[place]
                texts += [str(column.spec.default or "")] * (count * column.width) if data is None else data
            if column.spec.required and "" in texts:
                good = False
            limit = column.spec.max_length
            if limit is not None and len(max(texts, key=len)) * 4 > limit:  # a character takes at most four bytes
                good &= column.wrong(np.array(texts, object)[:, None]) is None
            feeds[column.spec.name] = np.array(texts, object).reshape(rows, *column.tail)
        for name, closed in self._closed:
            good &= closed.issuperset(feeds[name].reshape(-1).tolist())
        return feeds, good

    def violations(self, feeds: Feeds, first: int) -> list[Violation]:
        """What is wrong; `first` is the number of the first row in the whole request."""
        found = []
        for column in self._inputs:
            values = feeds[column.spec.name]
            wrong = column.wrong(values)
            if wrong is not None:
                found += [column.violation(values, row, first) for row in np.flatnonzero(wrong)[:SHOWN].tolist()]
        return found
