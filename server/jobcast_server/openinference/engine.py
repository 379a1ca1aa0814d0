"""Tensors in, tensors out, with one loaded bundle; knows nothing of connections or of the form that requests have.

Any thread may call it. Requests that share a pass do not notice each other: one that breaks a rule is left out of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jobcast_server.errors import InvalidRequestError, RequestError
from jobcast_server.gathering import DEFAULT_PRIORITY
from jobcast_server.openinference.columns import Column, Columns
from jobcast_server.openinference.schema import Input, Schema
from jobcast_server.openinference.tensors import Texts
from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import Feeds
from jobcast_server.statistics import Statistics

Outputs = list[NDArray[np.float32]]


@dataclass(slots=True)
class Request:
    """One inference request.

    Attributes:
        columns: data of every input of the schema, in its order.
        write: turns the outputs, in the manifest's order, into the answer.
        priority: 1 goes first. timeout: seconds that it may wait; 0 = as long as the call's deadline lets it.
        parsing: seconds that reading it took.
    """

    rows: int
    columns: list[Column]
    write: Callable[[Outputs], bytes]
    priority: int = DEFAULT_PRIORITY
    timeout: float = 0.0
    parsing: float = 0.0


@dataclass
class Engine:
    """Answers inference requests for one bundle.

    Attributes:
        max_rows: most rows of a request. piece_rows: rows of one step of a large one.
    """

    bundle: Bundle
    statistics: Statistics
    max_rows: int
    piece_rows: int
    schema: Schema = field(init=False)
    _columns: Columns = field(init=False)

    def __post_init__(self) -> None:
        self.schema = Schema(self.bundle.manifest, self.max_rows)
        self._columns = Columns(self.schema.inputs)

    def one(self, request: Request) -> bytes:
        """Answer a small request.

        Raises:
            InvalidRequestError: a value breaks a rule of the manifest.
        """
        start = time.perf_counter()
        feeds = self._feeds([request], request.rows, 0)
        decoded = time.perf_counter()
        outputs = list(self.bundle.session.run(feeds))
        computed = time.perf_counter()
        answer = request.write(outputs)
        self.statistics.passed(
            request.rows, 1, decoded - start + request.parsing, computed - decoded, time.perf_counter() - computed
        )
        return answer

    def many(self, requests: Sequence[Request]) -> list[bytes | RequestError]:
        """Answer several small requests in one pass, in order; one that cannot be answered gives its error instead."""
        if len(requests) == 1:
            return [self._alone(requests[0])]
        start = time.perf_counter()
        good, results = list(requests), dict[int, bytes | RequestError]()
        rows = sum(request.rows for request in good)
        try:
            feeds = self._feeds(good, rows, 0)
        except InvalidRequestError:  # whose fault it is shows when each is read alone, which is rare
            return [self._alone(request) for request in requests]
        decoded = time.perf_counter()
        outputs = self.bundle.session.run(feeds)
        computed = time.perf_counter()
        first = 0
        for place, request in enumerate(good):
            last = first + request.rows
            results[place] = request.write([output[first:last] for output in outputs])
            first = last
        parsing = sum(request.parsing for request in good) / len(good)
        self.statistics.passed(
            rows, len(good), decoded - start + parsing, computed - decoded, time.perf_counter() - computed
        )
        return [results[place] for place in range(len(requests))]

    def piece(self, request: Request, first: int) -> Outputs:
        """The outputs of the next `piece_rows` rows, from row `first`, of a large request.

        Raises:
            InvalidRequestError: a value breaks a rule of the manifest.
        """
        start = time.perf_counter()
        rows = min(self.piece_rows, request.rows - first)
        feeds = self._feeds([_cut(request, self.schema.inputs, first, rows)], rows, first)
        decoded = time.perf_counter()
        outputs = list(self.bundle.session.run(feeds))
        self.statistics.passed(rows, 1, decoded - start, time.perf_counter() - decoded, None)
        return outputs

    def _alone(self, request: Request) -> bytes | RequestError:
        try:
            return self.one(request)
        except RequestError as error:
            return error

    def _feeds(self, requests: Sequence[Request], rows: int, first: int) -> Feeds:
        """Columns of all requests, one below the other; `first` is the row's number where the first one begins."""
        feeds, good = self._columns.read([(request.rows, request.columns) for request in requests], rows)
        if not good:
            raise InvalidRequestError(self._columns.violations(feeds, first))
        return feeds


def _cut(request: Request, inputs: list[Input], first: int, rows: int) -> Request:
    """A piece of a large request; unread texts go on from where the piece before ended."""
    columns: list[Column] = []
    for column, data in zip(inputs, request.columns, strict=True):
        if isinstance(data, Texts):
            columns.append(data.take(rows * column.width))
        elif isinstance(data, list):
            columns.append(data[first * column.width : (first + rows) * column.width])
        elif data is None:
            columns.append(None)
        else:
            columns.append(memoryview(data)[first * column.size : (first + rows) * column.size])
    return Request(rows, columns, request.write)
