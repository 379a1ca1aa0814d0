"""Calls over gRPC, whichever listener holds them: let in or ended by the gate, ended with their key, written down."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import grpc

from jobcast_server.errors import RequestError, UnauthenticatedError
from jobcast_server.security import scopes
from jobcast_server.security.audit import SUCCESS
from jobcast_server.security.gate import ANYBODY, Gate
from jobcast_server.security.keyring import Caller
from jobcast_server.status import refuse

FAILED = "failed"
"""Outcome of an act that did not do what was asked for."""

REVOKED = "credential: was revoked, or has expired"


class Calls:
    """The methods by path, behind the gate."""

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler], gate: Gate) -> None:
        self._handlers = handlers
        self._gate = gate

    def enter(self, path: str, metadata: Any, *, paid: bool = False) -> tuple[grpc.RpcMethodHandler | None, bool]:
        """The handler of a call, and whether the call goes on; a handler that refuses reads nothing and streams.

        The handler is None for a method that is not known.
        """
        handler = self._handlers.get(path)
        if handler is None or (self._gate.open and scopes.of(path) != scopes.ADMIN):
            return handler, True
        try:
            caller = self._gate.check(path, metadata or (), paid=paid)
        except RequestError as error:
            return self._refusal(path, error), False
        if scopes.of(path) == scopes.ADMIN:
            return self._audited(path, handler, caller), True
        if handler.response_streaming and caller is not ANYBODY:
            return self._ending(path, handler, caller), True
        return handler, True

    def _refusal(self, path: str, error: RequestError) -> grpc.RpcMethodHandler:
        async def end(requests: Any, context: Any) -> None:
            self._gate.tell(path, context.peer(), error)
            await refuse(context, error)

        return grpc.stream_stream_rpc_method_handler(end)

    def _audited(self, path: str, handler: grpc.RpcMethodHandler, caller: Caller) -> grpc.RpcMethodHandler:
        async def act(request: Any, context: Any) -> Any:
            written = _Written(context, partial(self._gate.acted, path, context.peer(), caller))
            try:
                answer = await handler.unary_unary(request, written)
            except BaseException:
                written.write(FAILED)
                raise
            written.write(SUCCESS)
            return answer

        return grpc.unary_unary_rpc_method_handler(act, handler.request_deserializer, handler.response_serializer)

    def _ending(self, path: str, handler: grpc.RpcMethodHandler, caller: Caller) -> grpc.RpcMethodHandler:
        """The stream, which ends when its key does."""
        method = handler.stream_stream or handler.unary_stream

        async def stream(asked: Any, context: Any) -> None:
            own = _Paced(context, caller) if caller.limited else context
            work = asyncio.ensure_future(_run(method(asked, own), own))
            end = asyncio.ensure_future(caller.ended.wait())
            try:
                await asyncio.wait((work, end), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    await self._end(path, context, caller, work)
                work.result()
            finally:
                end.cancel()
                work.cancel()

        wrap = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return wrap(stream, handler.request_deserializer, handler.response_serializer)

    async def _end(self, path: str, context: Any, caller: Caller, work: "asyncio.Future[None]") -> NoReturn:
        """End a stream whose key is in force no more."""
        work.cancel()
        await asyncio.wait((work,))
        error = UnauthenticatedError(REVOKED)
        self._gate.tell(path, context.peer(), error, caller)
        await refuse(context, error)


class _Written:
    """The context of an act, whose line is written before the caller hears how it ended."""

    def __init__(self, context: Any, write: Callable[[str], None]) -> None:
        self._context = context
        self._write = write
        self._done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def write(self, outcome: str) -> None:
        """Write the line, unless it is there."""
        if not self._done:
            self._done = True
            self._write(outcome)

    async def abort(self, *told: Any, **more: Any) -> NoReturn:
        """End the act with a status."""
        self.write(FAILED)
        await self._context.abort(*told, **more)
        raise AssertionError("abort raises")


class _Paced:
    """A context whose messages come at their key's rate; the call itself counted for the first."""

    def __init__(self, context: Any, caller: Caller) -> None:
        self._context = context
        self._caller = caller
        self._first = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """The next message."""
        message = await self._context.read()
        if message is not grpc.aio.EOF and not self._first:
            await self._caller.pace()
        self._first = False
        return message


async def _run(answers: Any, context: Any) -> None:
    """Run a method to its end, whether it writes its answers or yields them."""
    if hasattr(answers, "__aiter__"):
        async for answer in answers:
            await context.write(answer)
    else:
        await answers
