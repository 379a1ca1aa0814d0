"""Amounts of memory in MB, as schedulers count: 1 KB is 1,024 bytes, 1 MB is 1,024 KB."""

import polars as pl

FACTORS = {"B": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
"""MB in one unit, by the suffix's first letter."""

AMOUNT = "an amount such as 512M or 1.5G"
_PATTERN = r"^(\d+(?:\.\d+)?)([BKMGTP]?)(?:i?B)?$"


def megabytes(text: pl.Expr, *, bare: str) -> pl.Expr:
    """MB of an amount with a suffix B, K, M, G, T or P; without one its unit is `bare`. Null for anything else."""
    upper = text.str.to_uppercase().str.replace("IB$", "B")
    factor = upper.str.extract(_PATTERN, 2).replace_strict(
        {"": FACTORS[bare], **FACTORS}, default=None, return_dtype=pl.Float64
    )
    return upper.str.extract(_PATTERN, 1).cast(pl.Float64) * factor
