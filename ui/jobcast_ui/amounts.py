"""Amounts as people read them, always beside the number in the model's own unit; texts that Markdown leaves alone."""

import math
import re

_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>])")


def figure(value: float) -> str:
    """A number to be read, with about three digits: 0.123, 12.3, 1,235."""
    if not math.isfinite(value):
        return "unknown"
    size = abs(value)
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = round(abs(seconds))
    return f"{'-' if seconds < 0 and whole else ''}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def amount(value: float, unit: str) -> str:
    """A number with its unit; seconds from a minute on with h:mm:ss, too."""
    plain = f"{figure(value)} {unit}".strip()
    return f"{clock(value)} ({plain})" if unit == "s" and math.isfinite(value) and abs(value) >= 60 else plain


def percent(share: float) -> str:
    """A share in percent, with three digits at most: 97.5 %, 5 %."""
    return f"{100 * share:.3g} %"


def plain(text: str) -> str:
    """A text as it is, for where Streamlit reads Markdown."""
    return _MARKS.sub(r"\\\1", text)
