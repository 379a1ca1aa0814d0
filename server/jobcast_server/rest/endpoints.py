"""Everything but inference: what is asked seldom, told from the same sources as over gRPC."""

import contextlib

import orjson
from starlette.requests import Request
from starlette.responses import Response

from jobcast_server.errors import NotReadyError, UnsupportedError
from jobcast_server.openinference import describe
from jobcast_server.openinference.plane import Plane
from jobcast_server.openinference.service import NEVER_WRITTEN
from jobcast_server.readiness import Readiness
from jobcast_server.rest.body import JSON, Bodies
from jobcast_server.rest.json import kind_of, parse, scalars, wrong
from jobcast_server.rest.plain import plain
from jobcast_server.settings import Settings

UNLOAD_PARAMETER = "unload_dependents"


class Endpoints:
    """Handlers by the names of the methods of the gRPC service."""

    def __init__(self, plane: Plane, readiness: Readiness, settings: Settings, bodies: Bodies) -> None:
        self._plane = plane
        self._repository = plane.repository
        self._readiness = readiness
        self._settings = settings
        self._bodies = bodies

    async def server_live(self) -> Response:
        """Whether the process answers at all."""
        return answer({"live": True})

    async def server_ready(self) -> Response:
        """200 when requests are answered, 503 while the server starts or stops or has no model."""
        ready = self._readiness.server()
        return answer({"ready": ready}, 200 if ready else 503)

    async def server_metadata(self) -> Response:
        """Name, version and extensions."""
        return answer(plain(describe.server()))

    async def model_ready(self, name: str, version: str = "") -> Response:
        """200 when the model, or the version, answers; 503 when it is known and does not, 404 when it is not known."""
        ready = self._readiness.model(name, version)
        if not ready:
            with contextlib.suppress(NotReadyError):
                self._repository.get(name, version)  # raises where there is none
        return answer({"name": name, "ready": ready}, 200 if ready else 503)

    async def model_metadata(self, name: str, version: str = "") -> Response:
        """Names, datatypes and shapes of the tensors, units and quantile levels."""
        model = self._repository.get(name, version)
        return answer(plain(describe.metadata(model, self._repository.versions(name))))

    async def model_config(self, name: str, version: str = "") -> Response:
        """The model's configuration in Triton's words."""
        model, policy = self._repository.get(name, version), self._repository.policy(name)
        return answer(plain(describe.configuration(model, policy, batching=self._settings.dynamic_batching)))

    async def statistics(self) -> Response:
        """What every loaded version did."""
        return answer(plain(await self._plane.statistics("", "")))

    async def model_statistics(self, name: str, version: str = "") -> Response:
        """What one model, or one version, did."""
        return answer(plain(await self._plane.statistics(name, version)))

    async def repository_index(self, request: Request) -> Response:
        """Every version in the repository with its state, and why it is not ready."""
        told = await self._body(request)
        ready = told.get("ready", False)
        if type(ready) is not bool:
            raise wrong("ready", f"must be a boolean, got {kind_of(ready)}")
        index = describe.index(self._repository, "", ready=ready)
        return answer([plain(model) for model in index.models])

    async def repository_model_load(self, request: Request, name: str) -> Response:
        """Load a model, or look at its folder again; only with `--model-control explicit`."""
        parameters = scalars((await self._body(request)).get("parameters", {}), "parameters")
        if parameters:
            raise wrong(f"parameters[{min(parameters)[:80]}]", NEVER_WRITTEN)
        await self._repository.load(name)
        return answer({})

    async def repository_model_unload(self, request: Request, name: str) -> Response:
        """Stop serving a model once its requests have ended; only with `--model-control explicit`."""
        parameters = scalars((await self._body(request)).get("parameters", {}), "parameters")
        if unknown := parameters.keys() - {UNLOAD_PARAMETER}:
            raise wrong(f"parameters[{min(unknown)[:80]}]", f"is not known; there is {UNLOAD_PARAMETER}")
        if type(parameters.get(UNLOAD_PARAMETER, False)) is not bool:
            raise wrong(f"parameters[{UNLOAD_PARAMETER}]", "must be a boolean")
        await self._repository.unload(name)
        return answer({})

    async def shared_memory(self) -> Response:
        """Not offered."""
        raise UnsupportedError("shared memory is not offered: send tensors in the body")

    async def trace(self) -> Response:
        """Not offered."""
        raise UnsupportedError("trace settings are not offered")

    async def logging(self) -> Response:
        """Not offered."""
        raise UnsupportedError("log settings are not offered: start the server with --log-level")

    async def _body(self, request: Request) -> dict[str, object]:
        body = await self._bodies.read(dict(request.scope["headers"]), request.receive)
        return parse(body) if body.strip() else {}


def answer(told: object, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(orjson.dumps(told), status, media_type=JSON.decode())
