"""Durations, sizes and times as people and Slurm write them.

Every parser takes text and raises ValueError with the rule and the text.
"""

import re
from datetime import datetime

_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+", re.ASCII)
_DURATION = re.compile(
    r"(?:(?P<days>\d+)-(?P<day_hours>\d+)(?::(?P<day_minutes>\d+)(?::(?P<day_seconds>\d+))?)?"
    r"|(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+))",
    re.ASCII,
)
_SIZE = re.compile(r"(?P<number>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>[KMGTkmgt]?)(?:i?[Bb])?", re.ASCII)
_MEGABYTES = {"": 1.0, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


def parse_number(text: str) -> float:
    """A decimal number, not negative."""
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"must be a number >= 0, got {text!a}")
    return float(text)


def parse_integer(text: str) -> int:
    """A whole number; `32.0`, as spreadsheets write it, is one."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
        if number.is_integer():
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"must be a whole number, got {text!a}")


def parse_duration(text: str) -> float:
    """Seconds, from a number of seconds or from Slurm's `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM`, `D-HH:MM:SS`."""
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    found = _DURATION.fullmatch(stripped)
    if not found:
        raise ValueError(f"must be seconds, HH:MM:SS or D-HH:MM:SS, got {text!a}")
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    hours, minutes, seconds = (part["hours"], part["minutes"], part["seconds"])
    if found["days"] is not None:
        hours, minutes, seconds = (part["day_hours"], part["day_minutes"], part["day_seconds"])
        if hours > 23:
            raise ValueError(f"must have at most 23 hours beside days, got {text!a}")
    if seconds > 59 or (minutes > 59 and (found["days"] is not None or found["hours"] is not None)):
        raise ValueError(f"must have minutes and seconds of at most 59, got {text!a}")
    return float(((part["days"] * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_megabytes(text: str) -> float:
    """Megabytes, from a number of them or one with the suffix K, M, G or T, which step by 1024 as in Slurm."""
    found = _SIZE.fullmatch(text.strip())
    try:
        if found:
            return float(found["number"]) * _MEGABYTES[found["unit"].upper()]
    except ValueError:
        pass
    raise ValueError(f"must be a size in MB or with suffix K, M, G or T, got {text!a}")


def parse_runtimes(text: str) -> tuple[float, ...]:
    """Durations separated by commas, semicolons or blanks, newest first."""
    return tuple(parse_duration(part) for part in re.split(r"[,;\s]+", text.strip()) if part)


def parse_moment(text: str) -> int | datetime:
    """A time, from Unix seconds or ISO 8601 with a time zone."""
    stripped = text.strip()
    if re.fullmatch(r"[0-9]+", stripped, re.ASCII):
        return int(stripped)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise ValueError(f"must be Unix seconds or ISO 8601 such as 2026-03-01T14:00:00Z, got {text!a}") from None
    if moment.tzinfo is None:
        raise ValueError(f"must have a time zone, such as Z or +01:00 at its end, got {text!a}")
    return moment


def human_duration(seconds: float) -> str:
    """A duration to be read: `42 s`, `39 min 05 s`, `3 h 05 min`, `2 d 03 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"
