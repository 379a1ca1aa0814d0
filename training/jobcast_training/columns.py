"""Raw input columns of the graph, from the record table.

A null becomes NaN in a number and the empty text in a text: the graph's own signs for a missing value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jobcast_export.graph import dtype_of
from jobcast_proto.manifest import InputSpec
from numpy.typing import NDArray

from jobcast_training.history import History


def input_columns(
    frame: pl.DataFrame, history: History, inputs: Sequence[InputSpec], start: int, stop: int
) -> Mapping[str, NDArray[Any]]:
    """Return the graph's inputs for records [start, stop), by name, each of shape [stop - start, ...]."""
    rows = frame.slice(start, stop - start)
    columns: dict[str, NDArray[Any]] = {}
    for spec in inputs:
        if spec.name in history.lookups:
            columns[spec.name] = history.rows(spec.name, start, stop, spec.shape[1])
        elif spec.type == "string":
            text = np.array(rows[spec.name].fill_null("").to_list(), dtype=np.object_)
            columns[spec.name] = text.reshape(-1, 1)
        elif spec.type == "int64":
            columns[spec.name] = rows[spec.name].to_numpy().astype(dtype_of(spec)).reshape(-1, 1)
        else:
            values = rows[spec.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
            columns[spec.name] = _gaps(spec, values).reshape(-1, 1)
    return columns


def _gaps(spec: InputSpec, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value that the schema reads as not known is a gap, in the records as on the wire."""
    return values if spec.missing is None else np.where(values == spec.missing, np.nan, values)
