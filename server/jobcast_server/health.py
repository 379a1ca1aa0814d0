"""Readiness over gRPC: `grpc.health.v1` Check and Watch, per service and per model, and the contract's HealthCheck.

None of them waits for a model or takes part in admission: a server under load still says that it lives.
"""

from typing import Any

import grpc
import open_inference_pb2 as oip
import psutil
import rt_predictor_pb2 as pb
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from jobcast_server.model import Model
from jobcast_server.readiness import Readiness
from jobcast_server.repository.repository import Repository
from jobcast_server.rtpredictor.info import Tally

CONTRACT = pb.DESCRIPTOR.services_by_name["JobRuntimePredictor"].full_name
INFERENCE = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
State = health_pb2.HealthCheckResponse


class Health(aio.HealthServicer):  # type: ignore[misc]
    """States by service: the empty name and `inference.GRPCInferenceService` for the server, the contract's, models."""

    def __init__(self, tally: Tally, repository: Repository[Model], readiness: Readiness) -> None:
        super().__init__()
        self._tally = tally
        self._repository = repository
        self._readiness = readiness
        self._process = psutil.Process()
        self._process.cpu_percent()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name on the wire
        """The state at this moment."""
        states = self._states()
        if request.service not in states:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"service {request.service[:100]!r} is not known")
        return State(status=states[request.service])

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - the method's name on the wire
        """Every service with its state at this moment."""
        statuses = {service: State(status=state) for service, state in self._states().items()}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def tell(self) -> None:
        """Tell every watcher what is true now."""
        for service, state in self._states().items():
            await self.set(service, state)

    def _states(self) -> dict[str, int]:
        found = {name: self._readiness.model(name) for name in self._repository.names()}
        server = self._readiness.server()
        found |= {"": server, INFERENCE: server, CONTRACT: self._readiness.contract()}
        known = {name for name in self._server_status if name not in found}  # a model that was removed
        return {
            name: State.SERVING if ready else State.NOT_SERVING
            for name, ready in (found | dict.fromkeys(known, False)).items()
        }

    def answer(self) -> bytes:
        """A serialized `HealthCheckResponse` of the contract."""
        ready = self._readiness.contract()
        models: dict[str, str] = {}
        for name in self._repository.names():
            versions = self._repository.versions(name)
            models[name] = f"version {versions[-1]}: ready" if versions else "not ready"
        for name, version, state, reason in self._repository.index():
            if reason:
                models[f"{name}/{version}"] = f"{state.lower()}: {reason}"
        health = pb.HealthCheckResponse(
            status=pb.HealthCheckResponse.SERVING if ready else pb.HealthCheckResponse.NOT_SERVING,
            message="ready" if ready else f"not ready: the server is {self._readiness.phase}",
            uptime_seconds=self._tally.uptime(),
            memory_usage_mb=self._process.memory_info().rss / 2**20,
            cpu_usage_percent=self._process.cpu_percent(),
            model_status=models,
        )
        return bytes(health.SerializeToString())
