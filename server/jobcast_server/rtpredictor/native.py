"""The contract's engine with the core in front: plainly valid jobs never become Python objects."""

from collections.abc import Iterable, Sequence

from jobcast_server import forest
from jobcast_server.errors import InternalError, RequestError
from jobcast_server.native import Core, Seconds
from jobcast_server.repository.bundle import Bundle
from jobcast_server.rtpredictor import batch
from jobcast_server.rtpredictor.engine import Engine
from jobcast_server.statistics import Statistics


class NativeEngine(Engine):
    """The same bytes for every request as the engine it extends."""

    def __init__(
        self, bundle: Bundle, core: Core, max_batch_rows: int, statistics: Statistics | None = None,
        piece_rows: int = batch.PIECE_ROWS,
    ) -> None:  # fmt: skip
        super().__init__(bundle, max_batch_rows, statistics, piece_rows)
        self._core = core
        self._fault: type[Exception] = forest.core().Panicked
        self._split = forest.core().split

    def predict(self, request: bytes) -> bytes:
        """Answer one serialized `PredictRequest`.

        Raises:
            InternalError: the core failed on it. Besides, what the engine that is extended raises.
        """
        try:
            found = self._core.predict(request)
        except self._fault as error:
            raise InternalError(str(error)) from None
        if found is None:
            return super().predict(request)
        answer, seconds = found
        self._passed(1, 1, seconds)
        return answer

    def predict_many(self, requests: Sequence[bytes]) -> list[bytes | RequestError]:
        """Answer several in order, those that are plainly valid in one pass; an error stands for its request alone."""
        try:
            found = self._core.predict_many(list(requests))
        except self._fault:  # whose fault it is shows when each is answered alone
            return [self._alone(request) for request in requests]
        if found is None:
            return super().predict_many(requests)
        answers, seconds = found
        rest = [place for place, answer in enumerate(answers) if answer is None]
        good = len(answers) - len(rest)
        self._passed(good, good, seconds)
        results: list[bytes | RequestError] = [answer or b"" for answer in answers]
        if rest:
            for place, result in zip(rest, super().predict_many([requests[place] for place in rest]), strict=True):
                results[place] = result
        return results

    def split(self, request: bytes) -> Iterable[tuple[bytes, int]]:
        """Cut a batch into pieces, each with its number of jobs."""
        pieces: list[tuple[bytes, int]] = self._split(request, self.piece_rows)
        return pieces

    def part(self, piece: bytes, first: int) -> batch.Part:
        """Answer one piece of a batch, whose first job has the index `first` in the whole.

        Raises:
            InternalError: the core failed on it. Besides, what the engine that is extended raises.
        """
        try:
            found = self._core.part(piece, max(0, self.max_batch_rows - first))
        except self._fault as error:
            raise InternalError(str(error)) from None
        if found is None:
            return super().part(piece, first)
        answers, batch_id, rows, seconds = found
        self._passed(rows, 1, seconds)
        return batch.Part(answers, total=rows, batch_id=batch_id)

    def _alone(self, request: bytes) -> bytes | RequestError:
        try:
            return self.predict(request)
        except RequestError as error:
            return error

    def _passed(self, rows: int, requests: int, seconds: Seconds) -> None:
        self.bundle.session.observe(seconds[1])
        self._statistics.passed(rows, requests, *seconds)
