"""tritonclient's four clients behind one way of asking, so that one list of checks holds all of them to the same.

Every method is a coroutine function. `ask` returns plain dicts: the gRPC clients are asked for JSON, in which 64-bit
integers are strings, so `number` reads those.
"""

import asyncio
import threading

import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from rows import datatype
from tritonclient.utils import InferenceServerException

MODEL = "hpc-runtime"
DEADLINE_S = 20.0


def number(value):
    return int(value)


class Dialect:
    """One client: how it is made, and what its inputs and outputs are called."""

    package = triton_grpc
    json_answers = {}
    codes = {
        "missing": "StatusCode.NOT_FOUND",
        "invalid": "StatusCode.INVALID_ARGUMENT",
        "unimplemented": "StatusCode.UNIMPLEMENTED",
        "expired": "StatusCode.DEADLINE_EXCEEDED",
    }

    def __init__(self, address):
        self.client = self.make(address)

    async def ask(self, method, *arguments, **options):
        return getattr(self.client, method)(*arguments, **self.json_answers, **options)

    async def tell(self, method, *arguments, **options):
        return getattr(self.client, method)(*arguments, **options)

    def inputs(self, columns, **options):
        made = []
        for name, values in columns.items():
            tensor = self.package.InferInput(name, list(values.shape), datatype(values))
            made.append(tensor.set_data_from_numpy(values, **options))
        return made

    def outputs(self, *names, **options):
        return [self.package.InferRequestedOutput(name, **options) for name in names]

    async def infer(self, columns, model=MODEL, **options):
        return await self.tell("infer", model, self.inputs(columns), **options)

    async def refusal(self, awaitable):
        """(status, message) of the error that the call must end with."""
        try:
            answer = await awaitable
        except InferenceServerException as error:
            return error.status(), error.message()
        raise AssertionError(f"answered {answer} where an error was due")

    async def close(self):
        self.client.close()


class Grpc(Dialect):
    json_answers = {"as_json": True}

    def make(self, address):
        return triton_grpc.InferenceServerClient(address)

    async def many(self, requests):
        """Answers of requests that are all in flight at once, by callback."""
        done, answers = threading.Semaphore(0), {}

        def callback(place, result, error):
            answers[place] = error or result
            done.release()

        for place, columns in enumerate(requests):
            self.client.async_infer(
                MODEL, self.inputs(columns), lambda result, error, at=place: callback(at, result, error)
            )
        for _ in requests:
            assert done.acquire(timeout=DEADLINE_S), "async_infer: no callback"
        return [answers[place] for place in range(len(requests))]

    async def stream(self, requests):
        """(id, result, error) of requests on one stream; each is a dict of async_stream_infer's arguments."""
        done, answers = threading.Semaphore(0), []

        def callback(result, error):
            answers.append((result, error))
            done.release()

        self.client.start_stream(callback, stream_timeout=DEADLINE_S)
        for request in requests:
            self.client.async_stream_infer(**request)
        for _ in requests:
            assert done.acquire(timeout=DEADLINE_S), f"stream: {len(answers)} answers to {len(requests)} requests"
        self.client.stop_stream()
        return answers


class Awaited(Dialect):
    """What the asyncio clients have in common: their calls give awaitables."""

    async def ask(self, method, *arguments, **options):
        return await (await super().ask(method, *arguments, **options))

    async def tell(self, method, *arguments, **options):
        return await (await super().tell(method, *arguments, **options))

    async def many(self, requests):
        return await asyncio.gather(*(self.infer(columns) for columns in requests))

    async def close(self):
        await self.client.close()


class GrpcAio(Awaited):
    package = triton_grpc_aio
    json_answers = {"as_json": True}

    def make(self, address):
        return triton_grpc_aio.InferenceServerClient(address)

    async def stream(self, requests):
        async def source():
            for request in requests:
                yield request

        answers = self.client.stream_infer(source(), stream_timeout=DEADLINE_S)
        return [answer async for answer in answers]


class Http(Dialect):
    package = triton_http
    codes = {"missing": "404", "invalid": "400", "unimplemented": "501", "expired": "408"}

    def make(self, address):
        # a connection is held until its answer is read, so there are as many as requests in flight
        return triton_http.InferenceServerClient(address, concurrency=16, network_timeout=DEADLINE_S)

    async def many(self, requests):
        asked = [self.client.async_infer(MODEL, self.inputs(columns)) for columns in requests]
        return [one.get_result(timeout=DEADLINE_S) for one in asked]


class HttpAio(Awaited, Http):
    package = triton_http_aio

    def make(self, address):
        return triton_http_aio.InferenceServerClient(address, conn_timeout=DEADLINE_S)


DIALECTS = {"grpc": Grpc, "grpc-aio": GrpcAio, "http": Http, "http-aio": HttpAio}
