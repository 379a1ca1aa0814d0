"""Records as callers hold them, to columns of Python values: data frames, mappings of columns, lists of records.

No library of data frames is imported: a frame is asked by the methods that it has.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Columns = dict[str, list[Any]]


def columns_of(raw: Any) -> tuple[Columns, int]:
    """Columns by name, and how many rows each has.

    Raises:
        ValueError: says what it is instead, and what it should be.
    """
    if hasattr(raw, "collect") and hasattr(raw, "collect_schema") and not hasattr(raw, "to_dict"):
        raise ValueError("records: must be read already, got a lazy frame; call collect()")
    if hasattr(raw, "to_dict") and hasattr(raw, "columns"):
        return _measured(_of_frame(raw))
    if isinstance(raw, Mapping):
        return _measured({str(name): _listed(str(name), values) for name, values in raw.items()})
    if isinstance(raw, Iterable) and not isinstance(raw, str | bytes):
        return _of_records(raw)
    raise ValueError(
        f"records: must be a data frame, a mapping of columns or a list of mappings, got {type(raw).__name__}"
    )


def _of_frame(raw: Any) -> Columns:
    if not hasattr(raw, "iloc"):  # polars
        return dict(raw.to_dict(as_series=False))
    if hasattr(raw.columns, "is_unique") and not raw.columns.is_unique:
        twice = sorted({str(name) for name in raw.columns[raw.columns.duplicated()]})
        raise ValueError(f"records: must have each column once, got {', '.join(twice)} again")
    return {str(name): values for name, values in raw.to_dict("list").items()}


def _listed(name: str, values: Any) -> list[Any]:
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind == "M":  # numpy would tell nanoseconds as bare integers
        values = values.astype("datetime64[us]")
    for method in ("to_list", "tolist"):
        if hasattr(values, method):
            values = getattr(values, method)()
            break
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValueError(
            f"records: column {name}: must be a list of values, got {values!r}; for a single record give [record]"
        )
    return list(values)


def _of_records(raw: Iterable[Any]) -> tuple[Columns, int]:
    columns: Columns = {}
    rows = 0
    for rows, record in enumerate(raw, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"records: row {rows - 1} must be a mapping of names to values, got {record!r:.60}")
        for name, value in record.items():
            column = columns.setdefault(str(name), [])
            column += [None] * (rows - 1 - len(column))
            column.append(value)
    for column in columns.values():
        column += [None] * (rows - len(column))
    return columns, rows


def _measured(columns: Columns) -> tuple[Columns, int]:
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"records: every column must have as many rows, got {sizes}")
    return columns, next(iter(sizes.values()), 0)
