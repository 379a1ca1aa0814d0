"""The protocol's engine with the core in front: raw tensors that keep every rule never become numpy arrays."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobcast_server import forest
from jobcast_server.errors import InternalError, RequestError
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.native import Admitted, Core
from jobcast_server.openinference.engine import Engine, Request


@dataclass(slots=True)
class NativeRequest(Request):
    """A request in the core's hands.

    Attributes:
        admitted: its tensors. again: reads it for Python.
    """

    admitted: Admitted = field(kw_only=True)
    again: Callable[[], Request] = field(kw_only=True)


@dataclass
class NativeEngine(Engine):
    """The same bytes for every request as the engine it extends; what the core admitted goes there."""

    core: Core = field(kw_only=True)

    def admit(self, read: Any, again: Callable[[], Request]) -> Request:
        """The request for the core when it is small and plainly valid, else for Python, as `again` reads it.

        Raises:
            RequestError: what `again` raises.
        """
        start = time.perf_counter()
        admitted = self.core.admit(read)
        if admitted is None or admitted.rows > MOST_ROWS:
            return again()
        parsing = time.perf_counter() - start
        return NativeRequest(admitted.rows, [], _unwritten, parsing=parsing, admitted=admitted, again=again)

    def one(self, request: Request) -> bytes:
        """Answer a small request.

        Raises:
            InternalError: the core failed on it. Besides, what the engine that is extended raises.
        """
        if not isinstance(request, NativeRequest):
            return super().one(request)
        found = self._infer([request])
        return super().one(request.again()) if found is None else found[0]

    def many(self, requests: Sequence[Request]) -> list[bytes | RequestError]:
        """Answer several small requests in order, those of the core in one pass."""
        places = [place for place, request in enumerate(requests) if isinstance(request, NativeRequest)]
        if len(places) < 2:
            return self._mixed(requests)
        try:
            found = self._infer([request for request in requests if isinstance(request, NativeRequest)])
        except InternalError:
            found = None
        if found is None:  # whose fault it is shows when each is answered alone
            return self._mixed(requests)
        answers = dict(zip(places, found, strict=True))
        rest = iter(super().many(others) if (others := _others(requests)) else ())
        return [answers[place] if place in answers else next(rest) for place in range(len(requests))]

    def _mixed(self, requests: Sequence[Request]) -> list[bytes | RequestError]:
        rest = iter(super().many(others) if (others := _others(requests)) else ())
        return [self._alone(request) if isinstance(request, NativeRequest) else next(rest) for request in requests]

    def _infer(self, requests: list[NativeRequest]) -> list[bytes] | None:
        try:
            found = self.core.infer([request.admitted for request in requests])
        except forest.core().Panicked as error:
            raise InternalError(str(error)) from None
        if found is None:
            return None
        answers, (decode, compute, encode) = found
        parsing = sum(request.parsing for request in requests) / len(requests)
        rows = sum(request.rows for request in requests)
        self.bundle.session.observe(compute)
        self.statistics.passed(rows, len(requests), decode + parsing, compute, encode)
        return answers


def _others(requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if not isinstance(request, NativeRequest)]


def _unwritten(outputs: object) -> bytes:
    raise AssertionError("the core writes its own answers")
