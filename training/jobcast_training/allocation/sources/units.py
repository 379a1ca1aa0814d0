"""Amounts with their units: `1.2 GB`, `512 MB`, `1h 2m 3s`, `459ms`.

Units of memory are powers of 1,024 whatever their name, as Nextflow, Slurm and the kernel write them. Units of time
are those that Nextflow reads (`Duration`), in falling order, and `[D-]HH:MM:SS`.
"""

import polars as pl

from jobcast_training.sources.clock import duration_seconds

MEMORY = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
"""Bytes in a unit that a declaration may have."""

DURATIONS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in a unit that a declaration may have."""

_LETTERS = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30, "T": 2.0**40, "P": 2.0**50, "E": 2.0**60}
_AMOUNT = r"(?i)^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?:([KMGTPE])(?:i?B)?|B)$"
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = (
    rf"^(?:{_NUMBER}\s*(?:d|days?))?\s*(?:{_NUMBER}\s*(?:h|hours?))?\s*(?:{_NUMBER}\s*(?:m|mins?|minutes?))?"
    rf"\s*(?:{_NUMBER}\s*(?:s|secs?|seconds?))?\s*(?:{_NUMBER}\s*(?:ms|millis?))?$"
)
_SECONDS = (86_400.0, 3600.0, 60.0, 1.0, 1e-3)


def has_units(unit: str) -> bool:
    """Whether cells of a value in this unit may carry their own."""
    return unit in MEMORY or unit in DURATIONS


def example(unit: str) -> str:
    """What a cell of a value in this unit should hold."""
    if unit in MEMORY:
        return "a number or an amount such as 1.5 GB"
    return "a number or a duration such as 1h 2m 3s" if unit in DURATIONS else "a number"


def measured(text: pl.Expr, unit: str) -> pl.Expr:
    """Return texts with units in `unit`; null for anything else, a bare number too."""
    return bytes_of(text) / MEMORY[unit] if unit in MEMORY else seconds_of(text) / DURATIONS[unit]


def bytes_of(text: pl.Expr) -> pl.Expr:
    """Return bytes of amounts of memory with a unit B, KB, MB, GB, TB, PB or EB, also written `MiB` or `M`."""
    groups = text.str.extract_groups(_AMOUNT)
    factor = groups.struct[1].fill_null("").str.to_uppercase().replace_strict(_LETTERS, return_dtype=pl.Float64)
    return groups.struct[0].cast(pl.Float64, strict=False) * factor


def seconds_of(text: pl.Expr) -> pl.Expr:
    """Return seconds of durations with units."""
    groups = text.str.extract_groups(_DURATION)
    parts = [groups.struct[place].cast(pl.Float64) for place in range(len(_SECONDS))]
    total = pl.sum_horizontal(part.fill_null(0.0) * worth for part, worth in zip(parts, _SECONDS, strict=True))
    named = pl.when(pl.any_horizontal(part.is_not_null() for part in parts)).then(total)
    return pl.coalesce(named, duration_seconds(text))
