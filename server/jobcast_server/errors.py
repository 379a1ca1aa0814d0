"""The closed set of reasons why a request is not answered. Every one names what was wrong and how to mend it."""

from dataclasses import dataclass

SHOWN_TEXT = 40
"""Characters of a caller's text that a message repeats."""

SHOWN_VIOLATIONS = 10
"""Violations that one status repeats: gRPC carries it in a header of at most 8 KiB."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of one field.

    Attributes:
        field: such as `nodes_req` or `recent_runtimes[2]`.
        problem: rule and value, such as `must be >= 1, got 0`.
    """

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class RequestError(Exception):
    """A request that gets no prediction; the text is meant for the caller."""


class InvalidRequestError(RequestError):
    """The request breaks rules; `violations` says which."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations[:SHOWN_VIOLATIONS]
        text = "; ".join(str(violation) for violation in self.violations)
        hidden = len(violations) - len(self.violations)
        super().__init__(f"{text}; and {hidden} more" if hidden else text)


class UnknownModelError(RequestError):
    """The request names a predictor that is not served here."""


class NotReadyError(RequestError):
    """The model exists and cannot answer now."""


class ModelControlError(RequestError):
    """A model was not loaded or unloaded; `denied` when the server does not allow it at all."""

    def __init__(self, problem: str, *, denied: bool = False) -> None:
        super().__init__(problem)
        self.denied = denied


class UnsupportedError(RequestError):
    """This server does not offer what was asked for."""


class OverloadedError(RequestError):
    """Too much work waits already; the caller may come back later."""


class DrainingError(RequestError):
    """The server is stopping and takes no new work."""


class ExpiredError(RequestError):
    """The caller's deadline passed before the work began; nothing was computed."""


class UnauthenticatedError(RequestError):
    """No key that is in force came with the call."""


class ForbiddenError(RequestError):
    """The key does not open this call, or nobody may make it here."""


class RateLimitedError(RequestError):
    """The key's calls come too fast; `seconds` until one may come again."""

    def __init__(self, problem: str, seconds: int) -> None:
        super().__init__(problem)
        self.seconds = seconds


class InternalError(RequestError):
    """The engine failed on this request, which is a fault of ours; no other request notices."""


class StartupError(Exception):
    """The server cannot start; the text says why and how to mend it. Exit code 1."""


class BundleError(StartupError):
    """A bundle is refused. Exit code 2."""


def shorten(text: str) -> str:
    """Quote a caller's text for a message, cut to `SHOWN_TEXT` characters."""
    return repr(text) if len(text) <= SHOWN_TEXT else repr(text[:SHOWN_TEXT]) + "..."
