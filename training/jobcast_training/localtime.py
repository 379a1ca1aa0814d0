"""A machine's local time, as the features use it: its standard time all year, so that a day has 24 hours."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


def standard_offset(timezone: str, at: float) -> int:
    """Return local standard time minus UTC in seconds, for an IANA zone at a moment in Unix seconds."""
    moment = datetime.fromtimestamp(at, ZoneInfo(timezone))
    offset = (moment.utcoffset() or timedelta()) - (moment.dst() or timedelta())
    return int(offset.total_seconds())
