"""How long a caller waits."""

from jobcast.errors import InvalidInput, Violation


def limit(timeout: float | None) -> float | None:
    """Seconds to wait, None = for ever.

    Raises:
        InvalidInput: no time at all.
    """
    if timeout is not None and not timeout > 0:
        raise InvalidInput(Violation("timeout", f"must be seconds > 0, or None for no limit, got {timeout!r}"))
    return timeout
