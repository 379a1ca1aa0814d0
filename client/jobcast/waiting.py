"""How long a caller waits."""

from numbers import Real

from jobcast.errors import InvalidInput, Violation

LONGEST_S = 1e9
"""32 years; a few times that is more than gRPC can count, and would end a call at once."""


def limit(timeout: float | None) -> float | None:
    """Seconds to wait, None = for ever.

    Raises:
        InvalidInput: no time at all, or nothing that is one.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, Real) or isinstance(timeout, bool) or not 0 < timeout <= LONGEST_S:
        rule = f"must be seconds > 0 and <= {LONGEST_S:g}, or None for no limit, got {timeout!r}"
        raise InvalidInput(Violation("timeout", rule))
    return timeout


def left(timeout: float | None) -> float | None:
    """Seconds that one call may take: of a deadline nothing may be left, and the call then ends at once.

    Raises:
        InvalidInput: nothing that is a time.
    """
    none = isinstance(timeout, Real) and not isinstance(timeout, bool) and timeout <= 0
    return timeout if none else limit(timeout)
