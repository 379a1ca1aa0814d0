"""Everything the client raises: a closed set, each saying what failed and how to mend it.

The names say the state, as gRPC's statuses do, without the suffix Error.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One input that breaks a rule.

    Attributes:
        field: name of the input, such as `nodes_req`; empty when the whole request is at fault.
        description: the rule and the value, such as `must be >= 1, got 0`.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class JobcastError(Exception):
    """Anything that kept a call from being answered."""


class InvalidInput(JobcastError, ValueError):  # noqa: N818
    """The request breaks a rule; correct the inputs named in `violations` and call again."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(str(violation) for violation in violations))
        self.violations = violations


class NotFound(JobcastError, LookupError):  # noqa: N818
    """What the request names is not there: a model, a table, a job, a prediction."""


class Conflict(JobcastError):  # noqa: N818
    """The same is under way already."""


class Overloaded(JobcastError):  # noqa: N818
    """The server sheds load, or the message is larger than it takes."""


class Unavailable(JobcastError, ConnectionError):  # noqa: N818
    """No server answers at the address, or it is shutting down."""


class DeadlineExceeded(JobcastError, TimeoutError):  # noqa: N818
    """The answer did not come within the timeout."""


class ServerFault(JobcastError):  # noqa: N818
    """The server failed in a way that no other error names.

    Attributes:
        code: name of the gRPC status, such as `INTERNAL`, or `HTTP_500` from the REST service.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
