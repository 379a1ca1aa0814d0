"""Parquet as a table of values: a column of lists, structures or bytes is refused by name, never read as text."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from jobcast_training.records import SourceError


def scan_values(path: Path, schema: pl.Schema, columns: Iterable[str]) -> pl.LazyFrame:
    """Rows of a Parquet file.

    Args:
        path: the file.
        schema: its columns.
        columns: that will be read; the others may hold anything.

    Raises:
        SourceError: a column that will be read holds no single values.
    """
    for name in columns:
        if schema[name].is_nested() or schema[name] == pl.Binary:
            raise SourceError(
                f"{path.name} column {name}: expected texts, numbers or times, got a column of {schema[name]}"
            )
    return pl.scan_parquet(path)
