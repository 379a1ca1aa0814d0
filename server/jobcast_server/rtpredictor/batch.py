"""A batch in pieces: a large request is cut between its jobs, so that no step holds the interpreter for long.

Protobuf messages concatenate: any run of whole fields of a `PredictBatchRequest` is a `PredictBatchRequest` itself, and
the pieces' answers, one after the other, are the answer to the whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import rt_predictor_pb2 as pb

from jobcast_server.errors import InvalidRequestError, Violation

PIECE_ROWS = 256
JOB_TAG = 0x0A


@dataclass(slots=True)
class Part:
    """Answers to consecutive jobs of a batch.

    Attributes:
        answers: framed `PredictResponse` messages, one per job, in order.
        errors: one line per broken rule.
    """

    answers: bytes = b""
    total: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    batch_id: str = ""


def split(request: bytes, rows: int = PIECE_ROWS) -> Iterator[tuple[bytes, int]]:
    """Cut a request into pieces of at most `rows` jobs, each with its number of jobs.

    Cutting stops at the first thing that is not a job; the rest, such as the batch id, is the last piece, with 0 jobs
    counted. Joined, the pieces are the request; whether they parse is for the parser to say.
    """
    start = position = count = 0
    end = len(request)
    while position < end and request[position] == JOB_TAG:
        after = _skip(request, position + 1, end)
        if after > end:
            break
        position = after
        count += 1
        if count == rows:
            yield request[start:position], count
            start, count = position, 0
    if count:
        yield request[start:position], count
    if position < end or not end:
        yield request[position:], 0


def _skip(request: bytes, position: int, end: int) -> int:
    """Position after a length-delimited value; beyond `end` when it is cut short or its length is damaged."""
    length = shift = 0
    while position < end and shift < 35:
        byte = request[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + length
        shift += 7
    return end + 1


def check_rows(rows: int, limit: int) -> None:
    """Refuse a batch of more than `limit` jobs.

    Raises:
        InvalidRequestError: names rule and value.
    """
    if rows > limit:
        raise InvalidRequestError(
            [Violation("jobs", f"must hold at most {limit} jobs, got {rows}; send several batches")]
        )


def join(parts: list[Part], elapsed_s: float) -> bytes:
    """The `PredictBatchResponse` of all parts."""
    tail = pb.PredictBatchResponse(
        batch_id=next((part.batch_id for part in reversed(parts) if part.batch_id), ""),
        total_predictions=sum(part.total for part in parts),
        failed_predictions=sum(part.failed for part in parts),
        errors=[error for part in parts for error in part.errors],
        processing_time_ms=round(elapsed_s * 1000),
    )
    return b"".join([*(part.answers for part in parts), tail.SerializeToString()])
