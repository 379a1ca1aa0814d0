"""Request bytes to answer bytes with one loaded bundle; knows nothing of connections, deadlines or metrics.

Any thread may call it. One bad job never changes the answer to another: rows that break a rule are left out of the
vectorised pass and answered with their error.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import rt_predictor_pb2 as pb
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from jobcast_server.errors import InvalidRequestError, RequestError, UnknownModelError, Violation, shorten
from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import Feeds
from jobcast_server.rtpredictor import answer, batch, columns, importance
from jobcast_server.rtpredictor.validate import Rules
from jobcast_server.statistics import Statistics


class Engine:
    """Answers for one predictor.

    Attributes:
        bundle: what it answers from.
        max_batch_rows: most jobs of one batch. piece_rows: jobs of one step of it.
    """

    def __init__(
        self, bundle: Bundle, max_batch_rows: int, statistics: Statistics | None = None,
        piece_rows: int = batch.PIECE_ROWS,
    ) -> None:  # fmt: skip
        self.bundle = bundle
        self._statistics = statistics or Statistics()
        self.max_batch_rows = max_batch_rows
        self.piece_rows = piece_rows
        self._rules = Rules.of(bundle.manifest)
        self._encoder = answer.Encoder(bundle.manifest)
        self._absent = columns.Absent(bundle.manifest)

    def predict(self, request: bytes) -> bytes:
        """Answer one serialized `PredictRequest` with a serialized `PredictResponse`.

        Raises:
            InvalidRequestError: the bytes are no such message, or the job breaks a rule.
            UnknownModelError: the metadata names another predictor.
        """
        start = time.perf_counter()
        message = _parse(pb.PredictRequest, request)
        count = self._asked(message)
        job = message.features
        if violations := self._rules.violations(job):
            raise InvalidRequestError(violations)
        feeds = self._absent.add(columns.feeds_of(job, int(time.time())), 1)
        decoded = time.perf_counter()
        quantiles, point = self.bundle.session.run(feeds)
        computed = time.perf_counter()
        told = self._encoder.one(quantiles, point) + self._extra(message, feeds, 0, point, count)
        self._statistics.passed(1, 1, decoded - start, computed - decoded, time.perf_counter() - computed)
        return told

    def predict_many(self, requests: Sequence[bytes]) -> list[bytes | RequestError]:
        """Answer several serialized `PredictRequest` in one pass, in order.

        One that cannot be answered gives its error instead; `failure` turns that into a message.
        """
        start = time.perf_counter()
        results: list[bytes | RequestError] = []
        good: list[tuple[int, pb.PredictRequest, int]] = []
        for index, request in enumerate(requests):
            try:
                message = _parse(pb.PredictRequest, request)
                good.append((index, message, self._asked(message)))
                results.append(b"")
            except RequestError as error:
                results.append(error)
        if not good:
            return results
        read = columns.read([message.features for _, message, _ in good])
        flags = self._rules.flagged(read)
        if flags is not None:
            for (index, message, _), bad in zip(good, flags.tolist(), strict=True):
                if bad:
                    results[index] = InvalidRequestError(self._rules.violations(message.features))
            good = [item for item, bad in zip(good, flags.tolist(), strict=True) if not bad]
            if not good:
                return results
            read = columns.read([message.features for _, message, _ in good])
        messages = [message for _, message, _ in good]
        answers = self._answers(messages, read, [count for _, _, count in good], start)
        for (index, _, _), result in zip(good, answers, strict=True):
            results[index] = result
        return results

    def predict_batch(self, request: bytes) -> bytes:
        """Answer one serialized `PredictBatchRequest` with a serialized `PredictBatchResponse`.

        Raises:
            InvalidRequestError: the bytes are no such message, or it holds too many jobs.
        """
        start = time.perf_counter()
        pieces = list(self.split(request))
        batch.check_rows(sum(rows for _, rows in pieces), self.max_batch_rows)
        parts: list[batch.Part] = []
        first = 0
        for piece, _ in pieces:
            parts.append(self.part(piece, first))
            first += parts[-1].total
            batch.check_rows(first, self.max_batch_rows)
        return batch.join(parts, time.perf_counter() - start)

    def split(self, request: bytes) -> Iterable[tuple[bytes, int]]:
        """Cut a batch into pieces, each with its number of jobs."""
        return batch.split(request, self.piece_rows)

    def part(self, piece: bytes, first: int) -> batch.Part:
        """Answer one piece of a batch, whose first job has the index `first` in the whole.

        Raises:
            InvalidRequestError: the bytes are no `PredictBatchRequest`, or hold more jobs than a batch may.
        """
        start = time.perf_counter()
        message = _parse(pb.PredictBatchRequest, piece)
        jobs: list[pb.JobFeatures] = list(message.jobs)
        part = batch.Part(total=len(jobs), batch_id=message.batch_id)
        if not jobs:
            return part
        batch.check_rows(first + len(jobs), self.max_batch_rows)
        read = columns.read(jobs)
        flags = self._rules.flagged(read)
        if flags is None:
            part.answers = b"".join(self._rows(read, start))
            return part
        flagged = flags.tolist()
        good = [job for job, bad in zip(jobs, flagged, strict=True) if not bad]
        rows = iter(self._rows(columns.read(good), start) if good else ())
        answers = []
        for index, (job, bad) in enumerate(zip(jobs, flagged, strict=True), first):
            if bad:
                violations = self._rules.violations(job)
                part.failed += 1
                part.errors.extend(f"jobs[{index}].{violation}" for violation in violations)
                answers.append(answer.framed(answer.failure(str(InvalidRequestError(violations)))))
            else:
                answers.append(next(rows))
        part.answers = b"".join(answers)
        return part

    def warm_up(self) -> None:
        """Compute once what the first callers would otherwise wait for."""
        job = self._rules.smallest()
        for rows in (1, 1, 1, min(self.piece_rows, self.max_batch_rows)):
            self.part(pb.PredictBatchRequest(jobs=[job] * rows).SerializeToString(), 0)
        self.predict(pb.PredictRequest(features=job, metadata={importance.KEY: "true"}).SerializeToString())

    def _asked(self, message: pb.PredictRequest) -> int:
        metadata: Mapping[str, str] = message.metadata
        if not metadata:
            return 0
        model = metadata.get("model")
        if model is not None and model != self.bundle.manifest.predictor:
            raise UnknownModelError(
                f"metadata[model]: {shorten(model)} is not served; {self.bundle.manifest.predictor} is"
            )
        return importance.asked(metadata)

    def _rows(self, read: columns.Columns, start: float) -> list[bytes]:
        feeds = self._absent.add(columns.feeds(read, int(time.time())), len(read.times))
        decoded = time.perf_counter()
        outputs = self.bundle.session.run(feeds)
        computed = time.perf_counter()
        rows = self._encoder.rows(*outputs)
        self._statistics.passed(len(rows), 1, decoded - start, computed - decoded, time.perf_counter() - computed)
        return rows

    def _answers(
        self, messages: Sequence[pb.PredictRequest], read: columns.Columns, counts: Sequence[int], start: float
    ) -> list[bytes]:
        feeds = self._absent.add(columns.feeds(read, int(time.time())), len(read.times))
        decoded = time.perf_counter()
        quantiles, point = self.bundle.session.run(feeds)
        computed = time.perf_counter()
        rows = self._encoder.rows(quantiles, point)
        answers = [
            encoded[answer.FRAME :] + self._extra(messages[row], feeds, row, point, counts[row])
            for row, encoded in enumerate(rows)
        ]
        self._statistics.passed(
            len(rows), len(rows), decoded - start, computed - decoded, time.perf_counter() - computed
        )
        return answers

    def _extra(
        self, message: pb.PredictRequest, feeds: Feeds, row: int, point: NDArray[np.float32], count: int
    ) -> bytes:
        """Fields that only some answers carry: the request id, and contributions to a row of `feeds` when asked."""
        request_id = message.request_id
        if not count and not request_id:
            return b""
        extra = pb.PredictResponse(request_id=request_id)
        if count:
            session, inputs = self.bundle.session, self.bundle.manifest.inputs[: len(columns.INPUTS)]
            extra.feature_importance.update(
                importance.contributions(session, inputs, feeds, row, float(point[row, 0]), count)
            )
        return bytes(extra.SerializeToString())


def _parse(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise InvalidRequestError(
            [Violation("message", f"must be a {kind.DESCRIPTOR.name} with UTF-8 text, got {len(content)} other bytes")]
        ) from None


def failure(request: bytes, error: RequestError) -> bytes:
    """The answer of a stream to a message that got `error` instead of a prediction; echoes its request id."""
    try:
        request_id = pb.PredictRequest.FromString(request).request_id
    except DecodeError:
        request_id = ""
    return answer.failure(str(error), request_id)
