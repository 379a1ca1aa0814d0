"""Many records through the server: read in pieces, two requests under way, every answer back at its row."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jobcast import Batch, InferenceClient, InputError, Problem, Records
from jobcast_proto.manifest import Schema
from numpy.typing import NDArray

from jobcast_ui.answer import NODES, requested

PIECE = 5_000
"""Rows of one request, unless the server takes fewer."""

UNDER_WAY = 2
"""Requests under way: while the server computes one, the next is read and written."""

Numbers = NDArray[np.float64]
Waiting = deque[tuple[list[int], Batch, "Future[dict[str, list[list[float]]]]"]]


@dataclass(frozen=True)
class Results:
    """Answers by row; NaN in rows that got none.

    Attributes:
        quantiles: [rows, levels]. point, allocation, request, nodes: [rows]; `allocation` is None where the model
            recommends none.
        errors: what is wrong with a row, by its number from 0.
    """

    quantiles: Numbers
    point: Numbers
    allocation: Numbers | None
    request: Numbers
    nodes: Numbers
    errors: dict[int, list[Problem]]


def run(
    client: InferenceClient, schema: Schema, most: int, columns: dict[str, list[Any]], rows: int, *, written: bool,
    tell: Callable[[int], None] = lambda done: None,
) -> Results:  # fmt: skip
    """Predict every row.

    Args:
        client: of the server. schema: of the model. most: rows that it takes in one request.
        columns: values by name of an input, or of an alias of it.
        rows: how many there are.
        written: whether every value is text.
        tell: called with the number of rows done.

    Raises:
        InputError: the columns themselves are wrong.
        JobcastError: no answer from the server.
    """
    records = Records(schema.inputs, written=written)
    allocates = any(spec.name == "allocation" for spec in schema.outputs)
    results = Results(
        np.full((rows, len(schema.quantile_levels)), np.nan), _unknown(rows), _unknown(rows) if allocates else None,
        _unknown(rows), _unknown(rows), {},
    )  # fmt: skip
    waiting: Waiting = deque()
    size = min(PIECE, most)
    with ThreadPoolExecutor(UNDER_WAY) as pool:
        for first in range(0, rows, size):
            end = min(first + size, rows)
            batch, problems = _read(records, {name: values[first:end] for name, values in columns.items()}, end - first)
            for one in problems:
                results.errors.setdefault(first + (one.row or 0), []).append(one)
            places = [row for row in range(first, end) if row not in results.errors]
            if places:
                waiting.append((places, batch, pool.submit(client.infer, schema, batch)))
            if len(waiting) >= UNDER_WAY:
                tell(_taken(schema, waiting, results))
        while waiting:
            tell(_taken(schema, waiting, results))
    return results


def _read(records: Records, columns: dict[str, list[Any]], rows: int) -> tuple[Batch, list[Problem]]:
    try:
        return records.sift(columns, rows)
    except InputError as error:
        general = [one for one in error.problems if one.row is None]
        raise InputError(general, 0) from None


def _taken(schema: Schema, waiting: Waiting, results: Results) -> int:
    """Put the answer of the oldest request in its rows; tells up to which row all is done."""
    places, batch, answer = waiting.popleft()
    outputs = answer.result()
    results.quantiles[places] = outputs["quantiles"]
    results.point[places] = np.array(outputs["point"])[:, 0]
    if results.allocation is not None:
        results.allocation[places] = np.array(outputs["allocation"])[:, 0]
    for name, target in ((requested(schema), results.request), (NODES, results.nodes)):
        if name is not None and name in batch.columns:
            target[places] = batch.columns[name]
    return places[-1] + 1


def _unknown(rows: int) -> Numbers:
    return np.full(rows, np.nan)
