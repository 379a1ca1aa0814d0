"""The answers as one table: what the file said of each record, then what the model says, nothing rounded."""

import io

import numpy as np
import pandas as pd
from jobcast_proto.manifest import Schema

from jobcast_ui.answer import unit
from jobcast_ui.batch.mapping import Columns
from jobcast_ui.batch.run import Results

NODE_HOURS = "saving_node_hours"


def answers(schema: Schema, results: Results) -> pd.DataFrame:
    """The answers, a row for every record.

    Columns: `recommended`, `point`, `interval_lower`, `interval_upper`, `limit`, `request`, `saving`, where nodes are
    known `saving_node_hours`, and `error`. Amounts are in the unit of the model.
    """
    place = {level: index for index, level in enumerate(schema.quantile_levels)}
    lower, upper, limit = (
        results.quantiles[:, place[level]] for level in (*schema.interval_levels, schema.limit_level)
    )
    recommended = limit if results.allocation is None else results.allocation
    told = {
        "recommended": recommended, "point": results.point, "interval_lower": lower, "interval_upper": upper,
        "limit": limit, "request": results.request, "saving": results.request - recommended,
    }  # fmt: skip
    if unit(schema) == "s" and not np.isnan(results.nodes).all():
        told[NODE_HOURS] = told["saving"] * results.nodes / 3600
    errors = {row: "; ".join(f"{one.column}: {one.text}" for one in found) for row, found in results.errors.items()}
    return pd.DataFrame(told).assign(error=[errors.get(row, "") for row in range(len(results.point))])


def whole(columns: Columns, schema: Schema, results: Results) -> pd.DataFrame:
    """The file's own columns, the answers, and every quantile: for who takes it elsewhere.

    A column of the file that is called as one of the answers gets `_in_file` behind its name.
    """
    told = answers(schema, results)
    levels = [f"quantile_{level:g}" for level in schema.quantile_levels]
    named = {"model": schema.predictor, "model_version": str(schema.version), "unit": unit(schema)}
    said = pd.concat([told.assign(**named), pd.DataFrame(results.quantiles, columns=levels)], axis=1)
    own = {}
    for name, values in columns.items():
        kept = name
        while kept in said.columns or (kept != name and kept in columns):
            kept += "_in_file"
        own[kept] = values
    return pd.concat([pd.DataFrame(own), said], axis=1)


def as_csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV."""
    text: str = frame.to_csv(index=False)
    return text.encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet."""
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()
