"""An option whose value is a number: neither NaN nor infinity, which no range keeps out by itself."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A number in a range, neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"expected a finite number, got {value}", param, ctx)
        return found
