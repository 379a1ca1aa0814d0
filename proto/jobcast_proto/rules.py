"""The rules that a manifest states for the values of an input, checked alike wherever a value enters.

A number that is not known is NaN, a text that is not known is empty.
"""

import math
import sys
from difflib import get_close_matches

from jobcast_proto.manifest import InputSpec

MISSING = "missing value"
CATEGORY = "unknown category"
NEGATIVE = "negative value"
LOW = "below the minimum"
HIGH = "above the maximum"
INFINITE = "not finite"
LONG = "text too long"

SHOWN_TEXT = 40
SHOWN_CATEGORIES = 12

Broken = tuple[str, str]
"""The kind of rule that a value breaks, and rule and value in words."""


class Rules:
    """The rules of one input.

    Attributes:
        low, high: bounds of its numbers, inclusive.
        closed: the only texts allowed; None = any.
    """

    __slots__ = ("closed", "high", "low", "spec")

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        whole = spec.type == "int64"
        low: float = -(2**63) if whole else -math.inf
        high: float = 2**63 - 1 if whole else math.inf
        if spec.minimum is not None:
            low = spec.minimum
        if spec.exclusive_minimum is not None:
            low = spec.exclusive_minimum + 1 if whole else math.nextafter(spec.exclusive_minimum, math.inf)
        if spec.maximum is not None:
            high = spec.maximum
        if not whole:  # infinities are never values
            low, high = max(low, -sys.float_info.max), min(high, sys.float_info.max)
        self.low, self.high = low, high
        self.closed: frozenset[str] | None = None
        if spec.categories is not None:
            self.closed = frozenset(spec.categories if spec.required else (*spec.categories, ""))

    def broken(self, value: float | str) -> Broken | None:
        """The rule that one value breaks; None when it keeps them all."""
        return self._broken_text(value) if isinstance(value, str) else self._broken_number(value)

    def _broken_text(self, text: str) -> Broken | None:
        if self.spec.required and not text:
            return MISSING, "must not be empty, got ''"
        limit = self.spec.max_length
        if limit is not None and size(text) > limit:
            return LONG, f"must be at most {limit} bytes, got {size(text)}: {shorten(text)}"
        if self.closed is not None and text not in self.closed:
            return CATEGORY, f"must be {self._listed()}, got {shorten(text)}{self._meant(text)}"
        return None

    def _broken_number(self, value: float) -> Broken | None:
        spec = self.spec
        if self.low <= value <= self.high or (value != value and not spec.required):
            return None
        if value > self.high and math.isfinite(value):
            return HIGH, f"must be <= {self.high:g}, got {value}"
        least = f"> {spec.exclusive_minimum:g}" if spec.exclusive_minimum is not None else f">= {self.low:g}"
        finite = "" if spec.type == "int64" else "finite and "
        missing = "" if spec.required else ", or NaN where it is not known"
        kind = MISSING if value != value else INFINITE if math.isinf(value) else NEGATIVE if value < 0 else LOW
        if kind == NEGATIVE and self.low < 0:
            kind = LOW
        return kind, f"must be {finite}{least}{missing}, got {value}"

    def _listed(self) -> str:
        allowed = self.spec.categories or []
        shown = ", ".join(map(shorten, allowed[:SHOWN_CATEGORIES]))
        more = f" or {len(allowed) - SHOWN_CATEGORIES} more" if len(allowed) > SHOWN_CATEGORIES else ""
        unknown = "" if self.spec.required else ", or empty where it is not known"
        return f"one of {shown}{more}{unknown}"

    def _meant(self, text: str) -> str:
        # comparing takes time that grows with both texts: a long one is no slip of a key
        by_lower = {allowed.lower(): allowed for allowed in self.spec.categories or []}
        close = get_close_matches(text.lower(), by_lower, n=1) if len(text) <= 2 * SHOWN_TEXT else []
        return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def size(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def shorten(text: str) -> str:
    """Quote a caller's text for a message, cut to `SHOWN_TEXT` characters."""
    return repr(text) if len(text) <= SHOWN_TEXT else repr(text[:SHOWN_TEXT]) + "..."
