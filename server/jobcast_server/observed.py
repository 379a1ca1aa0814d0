"""Methods of the gRPC port, watched: what fails of itself is logged with the request's id, what is traced has a span.

Each method is wrapped once, at the start, in no more than is asked for: without tracing and above the debug level a
call costs what it costs unwatched until it fails.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
import structlog

from jobcast_server import identity, spans
from jobcast_server.tracing import Tracing

Method = Callable[[Any, Any], Awaitable[Any]]

log = structlog.get_logger()


def observed(
    handlers: Mapping[str, grpc.RpcMethodHandler], tracing: Tracing | None, *, verbose: bool
) -> dict[str, grpc.RpcMethodHandler]:
    """The same methods by path, watched; `verbose` = each call is a line of the log."""
    return {path: _watched(path, handler, tracing, verbose=verbose) for path, handler in handlers.items()}


def _watched(
    path: str, handler: grpc.RpcMethodHandler, tracing: Tracing | None, *, verbose: bool
) -> grpc.RpcMethodHandler:
    """The handler with its method watched; generators, which only reflection has, are left as they are."""
    method = handler.unary_unary or handler.stream_stream or handler.unary_stream
    if not inspect.iscoroutinefunction(method):
        return handler
    method = _guarded(path, method)
    if tracing is not None or verbose:
        method = _told(path, method, tracing, verbose=verbose)
    if handler.unary_unary:
        wrap = grpc.unary_unary_rpc_method_handler
    elif handler.stream_stream:
        wrap = grpc.stream_stream_rpc_method_handler
    else:
        wrap = grpc.unary_stream_rpc_method_handler
    return wrap(method, handler.request_deserializer, handler.response_serializer)


def _guarded(path: str, method: Method) -> Method:
    async def guarded(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _fault(path, context, error)

    return guarded


async def _fault(path: str, context: Any, error: Exception) -> NoReturn:
    """A fault of ours, told as gRPC's own server tells it, and with the request's id."""
    request_id = identity.of_call(context)
    log.error("request failed", method=path, exc_info=error)
    text = f"Unexpected {type(error)}: {error}"
    await context.abort(grpc.StatusCode.UNKNOWN, text, ((identity.HEADER, request_id),))
    raise AssertionError("abort always raises")


def _told(path: str, method: Method, tracing: Tracing | None, *, verbose: bool) -> Method:
    async def told(request: Any, context: Any) -> Any:
        request_id = identity.of_call(context)
        start = time.perf_counter()
        call = tracing.begin_grpc(path, context.invocation_metadata(), request_id) if tracing else None
        spans.CALL.set(call)
        watched = _Watched(context)
        try:
            return await method(request, watched)
        except asyncio.CancelledError:
            watched.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            if verbose:
                seconds = round(time.perf_counter() - start, 6)
                log.debug("request", method=path, status=watched.code.name, seconds=seconds)
            if tracing and call:
                tracing.end_grpc(call, watched.code, watched.text)

    return told


class _Watched:
    """A context that knows how its call was aborted.

    Attributes:
        code: of the call; OK while it was not. text: what was said.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self.code = grpc.StatusCode.OK
        self.text = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with a status.

        Raises:
            grpc.aio.AbortError: always.
        """
        self.code, self.text = code, details
        await self._context.abort(code, details, trailing_metadata)
        raise AssertionError("abort always raises")
