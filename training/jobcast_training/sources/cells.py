"""Single cells: text, numbers and counts out of columns that may be typed or text.

A missing value becomes null; a value that is there but cannot be read is never taken for a missing one.
"""

import polars as pl

from jobcast_training.sources.sheet import Reading

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "Unknown", "UNKNOWN")
"""Words that stand for "no value" in a column of numbers or times."""

_LARGEST_COUNT = 2**31 - 1


def stripped(column: str) -> pl.Expr:
    """Text of a column without blanks around it, null where it says that there is no value."""
    bare = pl.col(column).cast(pl.String).str.strip_chars()
    return pl.when(bare.is_in(MISSING)).then(None).otherwise(bare)


def text(field: str, column: str) -> Reading:
    """Any text; an empty one is missing."""
    bare = pl.col(column).cast(pl.String).str.strip_chars()
    return Reading(field, column, pl.when(bare != "").then(bare), pl.lit(False), "text")


def number(field: str, column: str, schema: pl.Schema, factor: float = 1.0) -> Reading:
    """A finite number, multiplied by `factor`; NaN is missing, infinity unreadable and so without a value."""
    if schema[column].is_numeric():
        given = pl.col(column).cast(pl.Float64).fill_nan(None)
        product = given * factor
    else:
        given = stripped(column)
        product = given.cast(pl.Float64, strict=False) * factor
    value = pl.when(product.is_finite()).then(product)
    return Reading(field, column, value, given.is_not_null() & value.is_null(), "a finite number")


def count(field: str, column: str, schema: pl.Schema) -> Reading:
    """A whole number that fits 32 bits."""
    plain = number(field, column, schema)
    broken = (plain.value != plain.value.round()) | (plain.value.abs() > _LARGEST_COUNT)
    unreadable = plain.unreadable | broken.fill_null(value=False)
    value = pl.when(~broken).then(plain.value).cast(pl.Int32, strict=False)
    return Reading(field, column, value, unreadable, "a whole number")


def parsed(field: str, column: str, value: pl.Expr, expected: str) -> Reading:
    """What `value` makes of the column's text; unreadable where it makes null of a value that is there."""
    return Reading(field, column, value, stripped(column).is_not_null() & value.is_null(), expected)
