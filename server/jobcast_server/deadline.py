"""Work that nobody waits for any more is dropped before it is computed."""

from typing import Any

from jobcast_server.errors import ExpiredError


def check_deadline(context: Any) -> None:
    """Drop work that nobody waits for any more.

    Raises:
        ExpiredError: the caller's deadline has passed.
    """
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise ExpiredError("deadline exceeded before the work began; nothing was computed")
