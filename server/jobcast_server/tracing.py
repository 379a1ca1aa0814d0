"""Traces over OTLP: which calls are traced, and where their spans go. Off unless `otlp_endpoint` is set.

A caller that says whether it is traced (`traceparent`, W3C Trace Context) decides; of the others a share is traced. The
packages of OpenTelemetry are loaded only here and only when tracing is on; its own variables (OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS and further) are read by them.
"""

import os
import random
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import grpc

from jobcast_server.errors import StartupError
from jobcast_server.settings import Settings
from jobcast_server.spans import Call

SAMPLED = "jobcast-sampled"
"""Metadata that a listener adds to a call without `traceparent` that it handed over to be traced."""

EXPORT_S = 5.0
"""Longest time for one export, and for all that wait at the server's end, which no receiver must hold up."""

SERVER_FAULTS = frozenset(
    (
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
    )
)  # fmt: skip
"""Codes that make a server's span an error, as OpenTelemetry's conventions for gRPC have it."""


def open_tracing(settings: Settings) -> "Tracing | None":
    """What traces calls; None when tracing is off.

    Raises:
        StartupError: the endpoint is no address, or OpenTelemetry's packages are not installed.
    """
    return Tracing(settings.otlp_endpoint, settings.trace_ratio) if settings.otlp_endpoint else None


def _has_port(parts: SplitResult) -> bool:
    """Whether the port, where there is one, is a port."""
    try:
        return parts.port != 0
    except ValueError:
        return False


class Tracing:
    """Begins and ends the spans of calls, and sends them in batches from a thread of its own."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
            raise StartupError(
                f"otlp_endpoint: must be an address such as http://127.0.0.1:4317 (https for TLS), got {endpoint!r}"
            )
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider, sampling
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise StartupError(
                f"otlp_endpoint: traces need OpenTelemetry ({error}); install jobcast-server[otlp], or leave it empty"
            ) from None
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "jobcast"}
        self._provider = TracerProvider(sampling.ALWAYS_ON, Resource.create(name), shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(endpoint, insecure=parts.scheme == "http", timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("jobcast_server")
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._ratio = ratio

    def begin_grpc(self, path: str, metadata: Iterable[tuple[str, Any]], request_id: str) -> Call | None:
        """Begin the span of a gRPC call; None when it is not traced."""
        method = path.removeprefix("/")
        attributes = {"rpc.system.name": "grpc", "rpc.method": method, "jobcast.request_id": request_id}
        return self._begin(method, dict(metadata or ()), attributes)

    def begin_http(self, method: str, path: str, headers: Mapping[str, str], request_id: str) -> Call | None:
        """Begin the span of an HTTP request; None when it is not traced."""
        attributes = {"http.request.method": method, "url.path": path, "jobcast.request_id": request_id}
        return self._begin(method, headers, attributes)

    def end_grpc(self, call: Call, code: grpc.StatusCode, text: str) -> None:
        """End the span of a gRPC call."""
        call.span.set_attribute("rpc.response.status_code", code.name)
        if code in SERVER_FAULTS:
            call.span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, text))
        call.span.end()

    def end_http(self, call: Call, operation: str, status: int) -> None:
        """End the span of an HTTP request; `status` 0 = there was no answer."""
        call.span.update_name(operation)
        if status:
            call.span.set_attribute("http.response.status_code", status)
        if not status or status >= 500:
            call.span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        call.span.end()

    def close(self) -> None:
        """Send what waits, as far as it leaves in time, and end."""
        late = threading.Timer(EXPORT_S, self._exporter.shutdown)
        late.start()
        self._provider.shutdown()
        late.cancel()

    def _begin(self, name: str, carrier: Mapping[str, Any], attributes: dict[str, str]) -> Call | None:
        parent = self._propagator.extract(carrier)
        asked = self._trace.get_current_span(parent).get_span_context()
        chosen = SAMPLED in carrier or random.random() < self._ratio  # noqa: S311 - a share, no secret
        if not (asked.trace_flags.sampled if asked.is_valid else chosen):
            return None
        span = self._tracer.start_span(name, parent, self._trace.SpanKind.SERVER, attributes)
        within = self._trace.set_span_in_context(span)
        return Call(self._tracer, span, within, f"{span.get_span_context().trace_id:032x}")
