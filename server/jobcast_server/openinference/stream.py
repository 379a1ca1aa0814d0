"""ModelStreamInfer: every request answered in order, many in flight; one that fails is told so, the stream goes on."""

import asyncio
import time
from functools import partial
from typing import Any

import open_inference_pb2 as pb

from jobcast_server.deadline import check_deadline
from jobcast_server.errors import DrainingError, RequestError
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.inbox import Inbox
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.openinference import messages
from jobcast_server.openinference.engine import Request
from jobcast_server.openinference.plane import Plane
from jobcast_server.status import refuse, status_of

PROTOCOL, METHOD = "grpc", "ModelStreamInfer"
ANSWER = b"\x12"
"""Field `infer_response` of `ModelStreamInferResponse`."""


class Streams:
    """Handler of ModelStreamInfer."""

    def __init__(self, plane: Plane, metrics: Metrics, window: int) -> None:
        self._plane = plane
        self._metrics = metrics
        self._window = window

    async def converse(self, requests: Any, context: Any) -> None:
        """Answer until the caller half-closes, vanishes, or the server drains."""
        admission = self._plane.admission
        try:
            with admission.stream():
                async with Inbox(self._window, context, admission.draining) as inbox:
                    while taken := await inbox.take(MOST_ROWS):
                        for answer in await asyncio.gather(*(self._one(request, context) for request in taken)):
                            await context.write(answer)
                if admission.draining.is_set():
                    raise DrainingError("draining: this server is stopping; send what is unanswered to another one")
        except RequestError as error:
            self._metrics.request(PROTOCOL, METHOD, status_of(error).outcome, 0.0)
            await refuse(context, error)

    async def _one(self, request: bytes, context: Any) -> bytes:
        start = time.perf_counter()
        outcome = "error"
        name = identity = ""
        try:
            message = messages.parse(request)
            name, identity = message.model_name, message.id
            answer = await self._plane.answer(
                message.model_name, message.model_version, partial(_read, message), partial(check_deadline, context)
            )
            outcome = "success"
            return ANSWER + messages.varint(len(answer)) + answer
        except RequestError as error:
            outcome = status_of(error).outcome
            blank = pb.ModelInferResponse(model_name=name, id=identity)
            return bytes(
                pb.ModelStreamInferResponse(error_message=str(error), infer_response=blank).SerializeToString()
            )
        finally:
            self._metrics.request(PROTOCOL, METHOD, outcome, time.perf_counter() - start)


def _read(message: pb.ModelInferRequest, model: Model) -> Request:
    return model.heads.read(message, streamed=True)
