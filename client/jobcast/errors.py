"""Everything the client raises: a closed set, each saying what failed and how to mend it.

All go through pickle, so that a pool of processes hands them on. The names say the state, as gRPC's statuses do,
without the suffix Error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

SHOWN_PROBLEMS = 20
"""Problems of records that one message tells."""


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


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a record, or with all of them.

    Attributes:
        row: from 0; None = all rows.
        column: as the records name it; empty when no single column is at fault.
        reason: its kind, such as `unknown category`; one of a closed set.
        text: rule and value.
    """

    row: int | None
    column: str
    reason: str
    text: str

    @property
    def field(self) -> str:
        """Row and column, such as `row 3, column jobs`."""
        parts = ("" if self.row is None else f"row {self.row}", f"column {self.column}" if self.column else "")
        return ", ".join(filter(None, parts))

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text


class InputError(InvalidInput):
    """Records that cannot be read; nothing was predicted.

    Attributes:
        problems: all of them, in the order of the rows; those of whole columns first.
        counts: rows by reason, most frequent first; a column's problem counts for every row.
        rows: how many records there were.
    """

    def __init__(self, problems: Sequence[Problem], rows: int) -> None:
        shown = problems[:SHOWN_PROBLEMS]
        super().__init__(*(Violation(one.field, one.text) for one in shown))
        self.problems = tuple(problems)
        self.rows = rows
        by_reason: dict[str, set[int]] = {}
        for one in problems:
            by_reason.setdefault(one.reason, set()).update(range(rows) if one.row is None else (one.row,))
        self.counts = dict(sorted(((k, len(v)) for k, v in by_reason.items()), key=lambda item: -item[1]))

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Problem, ...], int]]:
        return type(self), (self.problems, self.rows)

    def __str__(self) -> str:
        every = any(one.row is None for one in self.problems)
        bad = self.rows if every else len({one.row for one in self.problems})
        counts = ", ".join(f"{reason} {count}" for reason, count in self.counts.items())
        head = [f"{bad} of {self.rows} records cannot be read: {counts}"] if self.rows else []
        lines = [str(one) for one in self.problems[:SHOWN_PROBLEMS]]
        hidden = len(self.problems) - len(lines)
        return "\n".join([*head, *lines, *([f"and {hidden} more problems"] if hidden else [])])


class NotFound(JobcastError, LookupError):  # noqa: N818
    """What the request names is not there: a model, a table, a job, a prediction."""


class Conflict(JobcastError):  # noqa: N818
    """The same is under way already."""


class Denied(JobcastError, PermissionError):  # noqa: N818
    """No token came with the call, it is not known, or its key does not open this."""


class Overloaded(JobcastError):  # noqa: N818
    """The server sheds load, or the message is larger than it takes."""


class Unavailable(JobcastError, ConnectionError):  # noqa: N818
    """No server answers at the address, or it is shutting down."""


class DeadlineExceeded(JobcastError, TimeoutError):  # noqa: N818
    """The answer did not come within the timeout."""


class BadBundle(JobcastError, ValueError):  # noqa: N818
    """A bundle is refused: damaged, altered, or it does not answer here as when it was exported."""


class ServerFault(JobcastError):  # noqa: N818
    """The server failed in a way that no other error names.

    Attributes:
        code: name of the gRPC status, such as `INTERNAL`, or `HTTP_500` from the REST service.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (str(self), self.code)
