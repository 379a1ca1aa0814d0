"""The server's life: listen, load and verify, ready; on SIGTERM not ready, wait, refuse, finish what is in hand, exit.

Callers reach the server from the start: while it loads it says that it lives and is not ready. No request that was
accepted is lost while the drain's time lasts; after it callers see UNAVAILABLE and nothing else.
"""

import asyncio
import contextlib
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import structlog

from jobcast_server import counting, forest, logs, memory, native, spans
from jobcast_server.admission import Admission
from jobcast_server.cores import share
from jobcast_server.ends import heed
from jobcast_server.errors import BundleError
from jobcast_server.greeting import Ports, greet
from jobcast_server.health import Health
from jobcast_server.listener import methods, port
from jobcast_server.listener.aio import AsyncioPort
from jobcast_server.listener.native import NativePort
from jobcast_server.listener.port import Port
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model, made
from jobcast_server.modelmetrics import ModelMetrics
from jobcast_server.observed import observed
from jobcast_server.openinference.plane import Plane
from jobcast_server.openinference.service import Service
from jobcast_server.policy import Policy
from jobcast_server.readiness import Phase, Readiness
from jobcast_server.repository import session
from jobcast_server.repository.repository import Repository
from jobcast_server.rest import listener as rest_listener
from jobcast_server.rest.app import App
from jobcast_server.rest.body import Bodies
from jobcast_server.rest.endpoints import Endpoints
from jobcast_server.rest.exchange import Exchange
from jobcast_server.rest.infer import Infer
from jobcast_server.rtpredictor.calls import Calls
from jobcast_server.rtpredictor.info import Tally
from jobcast_server.rtpredictor.stream import Streams
from jobcast_server.security.door import Door
from jobcast_server.security.page import open_page
from jobcast_server.security.security import Security
from jobcast_server.settings import Settings
from jobcast_server.sockets import listen
from jobcast_server.taskpredictor.service import TaskPredictor
from jobcast_server.tracing import Tracing, open_tracing
from jobcast_server.workers.duties import Duties
from jobcast_server.workers.link import Link
from jobcast_server.workers.repository import Together

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread may keep the interpreter while the event loop wants it."""

SETTLE_S = 0.2
"""Time for refusals to reach callers whose requests were on the wire when the port closed."""

log = structlog.get_logger()


async def serve(settings: Settings, link: Link | None = None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; as one of several workers until its `link` says so or ends, too.

    Raises:
        StartupError: a port is taken; the provider, the demanded forest or the demanded engine does not exist;
            traces cannot be sent; or the files of keys or of TLS are not right.
        BundleError: no bundle of the repository is good.
    """
    stop = asyncio.Event() if link is None else link.stop
    heed(stop)
    provider = session.choose(settings.provider)
    forest.demand(settings.forest)
    native.demand(settings.engine, provider)
    chosen = port.choose(settings, provider)
    tracing = open_tracing(settings)
    metrics = Metrics(counting.PYTHON if chosen == "asyncio" else counting.native(forest.core()))
    security = Security(settings, metrics.kinds, warns=link is None)
    metrics.add(security.collect)
    metrics.add(logs.collect)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(security.close)
        watch = asyncio.create_task(security.watch())
        stack.callback(watch.cancel)
        if tracing is not None:
            stack.callback(tracing.close)
        threads = settings.threads or max(1, share(settings.workers) - 1)
        pool = ThreadPoolExecutor if tracing is None else spans.Workers
        workers = stack.enter_context(pool(threads, "batch"))
        loader = stack.enter_context(ThreadPoolExecutor(1, "load"))
        life = Life(settings, metrics, tracing, security, provider, threads, workers, loader, link)
        if link is not None and link.seat.again:
            await life.open()  # the others answer meanwhile: connections come here once they are answered here too
        server = _bind(chosen, settings, security)
        bound = stack.enter_context(listen(settings, "http_port"))
        page = link.seat.metrics_port if link else _begin_page(settings, metrics, security, stack)
        await life.run(server, bound, Ports(server.number, bound.getsockname()[1], page), stop)


def _begin_page(settings: Settings, metrics: Metrics, security: Security, stack: contextlib.AsyncExitStack) -> int:
    """Answer the port of the metrics until the stack ends; gives its number.

    Raises:
        StartupError: it is taken.
    """
    page = open_page(settings.host, settings.metrics_port, metrics.registry, security.gate, security.certificates)
    page.begin()
    stack.callback(page.end)
    return int(page.server_port)


def _bind(chosen: str, settings: Settings, security: Security) -> Port:
    """The gRPC port.

    Raises:
        StartupError: it is taken.
    """
    if chosen == "asyncio":
        return AsyncioPort(settings, security)
    return NativePort(settings, settings.listener_threads or share(settings.workers), security)


class Life:
    """One run of the server."""

    def __init__(
        self, settings: Settings, metrics: Metrics, tracing: Tracing | None, security: Security, provider: str,
        threads: int, workers: ThreadPoolExecutor, loader: ThreadPoolExecutor, link: Link | None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._security = security
        self._verbose = settings.log_level == "debug"
        self._provider = provider
        self._threads = threads
        self._workers = workers
        self._admission = Admission(settings, metrics.kinds)
        self._tally = Tally(metrics)
        policy = Policy.parse(settings.version_policy)
        kind = Repository[Model] if link is None else partial(Together[Model], link)
        self._repository = kind(settings.models, policy, settings.model_control, self._load, loader)
        self._readiness = Readiness(self._repository)
        self._health = Health(self._tally, self._repository, self._readiness)
        self._telling: set[asyncio.Task[None]] = set()
        self._repository.changed = self._tell
        self._server: Port | None = None
        self._plane = Plane(self._repository, self._admission, workers, link.statistics if link else None)
        self._bodies = Bodies(settings.max_body_bytes, workers)
        self._loader = loader
        self._tasks = TaskPredictor(
            settings, self._repository, self._admission, workers, self._readiness, metrics, self._bodies, link
        )
        self._link = link
        self._opened = False
        if link is not None and isinstance(self._repository, Together):
            self._duties = Duties(metrics.registry, self._repository, self._tasks)
            link.serve(self._duties)

    async def run(self, server: Port, bound: socket.socket, ports: Ports, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            BundleError: no bundle of the repository is good.
        """
        started = time.perf_counter()
        self._register(server)
        self._server = server
        await self._health.tell()
        await server.start()
        rest = self._rest(bound)
        await rest.start()
        try:
            await self.open()
        except BaseException:
            await asyncio.gather(server.stop(None), rest.stop(0))
            raise
        memory.settle()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._readiness.phase = Phase.RUNNING
        await self._health.tell()
        self._say_ready(ports, time.perf_counter() - started)
        async with contextlib.AsyncExitStack() as stack:
            kept = asyncio.create_task(memory.watch(self._loader))
            stack.callback(kept.cancel)
            if self._settings.model_control == "poll":
                pause = partial(asyncio.sleep, self._settings.poll_interval)
                poll = asyncio.create_task(self._repository.poll(self._link.looked if self._link else pause))
                stack.callback(poll.cancel)
            await stop.wait()
        await self._drain(server, rest)

    def _rest(self, bound: socket.socket) -> rest_listener.Listener:
        endpoints = Endpoints(self._plane, self._readiness, self._settings, self._bodies)
        infer = Infer(self._plane, self._metrics, self._bodies)
        app = App(infer, endpoints, self._tasks, self._bodies, self._readiness, self._metrics)
        exchange = Exchange(Door(app, self._security.gate), self._tracing, verbose=self._verbose)
        return rest_listener.Listener(exchange, bound, self._settings, self._security.certificates)

    def _register(self, server: Port) -> None:
        settings, metrics, admission = self._settings, self._metrics, self._admission
        calls = Calls(
            self._repository, admission, metrics, self._tally, self._health, self._workers,
            provider=self._provider, threads=self._threads,
        )  # fmt: skip
        streams = Streams(self._repository, admission, metrics, settings.stream_window)
        inference = Service(self._plane, self._readiness, metrics, settings)
        handlers = methods.collect(calls, streams, inference, self._health, echo=settings.enable_echo)
        handlers = observed(handlers, self._tracing, verbose=self._verbose)
        server.serve(handlers, streams, admission, metrics, self._threads)
        server.refresh(self._repository)
        metrics.watch(server.number, lambda: admission.places.rows)
        metrics.add(ModelMetrics(self._repository, self._readiness, self._provider).collect)

    async def open(self) -> None:
        """Load what the server starts with, once.

        Raises:
            BundleError: no bundle of the repository is good.
            StartupError: the default table or the outcomes of earlier runs cannot be read.
        """
        if self._opened:
            return
        await asyncio.get_running_loop().run_in_executor(self._loader, self._tasks.open)
        named = frozenset(filter(None, map(str.strip, self._settings.load_model.split(","))))
        await self._repository.start(named)
        if self._settings.model_control != "explicit" and not self._repository.any_ready():
            reasons = [f"{name}: {reason}" for name, _, _, reason in self._repository.index() if reason]
            nothing = f"models: no bundle found in {self._settings.models}; train one, or mend --models"
            raise BundleError("\n".join(reasons) or nothing)
        self._opened = True
        if self._link is not None:
            self._duties.opened.set()

    def _load(self, folder: Path) -> Model:
        started = time.perf_counter()
        model = made(
            folder, self._settings, self._provider, self._admission, self._metrics.prediction.observe,
            self._metrics.kinds,
        )  # fmt: skip
        self._metrics.load.observe(time.perf_counter() - started)
        for text in model.bundle.forests:
            log.info("forest", model=model.name, version=model.version, kernel=text)
        return model

    def _tell(self) -> None:
        """Let the listener and the task predictor find their bundles anew, and push readiness to watchers of health."""
        if self._server is not None:
            self._server.refresh(self._repository)
        self._tasks.bundles.refresh()
        if self._readiness.phase is Phase.RUNNING:
            self._loader.submit(memory.trim)
        task = asyncio.get_running_loop().create_task(self._health.tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _drain(self, server: Port, rest: rest_listener.Listener) -> None:
        settings, admission = self._settings, self._admission
        held = admission.places
        log.info("draining", drain_delay=settings.drain_delay, calls=held.calls, streams=held.streams)
        self._readiness.phase = Phase.STOPPING
        await self._health.tell()
        await asyncio.sleep(settings.drain_delay)
        admission.draining.set()
        server.drain()
        await self._tasks.stop()
        due = time.perf_counter() + settings.drain_timeout
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(admission.idle(), settings.drain_timeout)
        await asyncio.sleep(SETTLE_S)
        lost = admission.unfinished()
        await asyncio.gather(server.stop(SETTLE_S), rest.stop(max(SETTLE_S, due - time.perf_counter())))
        await asyncio.get_running_loop().run_in_executor(self._loader, self._tasks.close)
        log.info("stopped", unfinished=lost)

    def _say_ready(self, ports: Ports, seconds: float) -> None:
        settings = self._settings
        bundles = {f"{model.name}/{model.version}": model.bundle for model in self._repository.models()}
        line = {
            "host": settings.host, "port": ports.grpc, "http_port": ports.http, "metrics_port": ports.metrics,
            "models": sorted(bundles),
            "golden_ulps": max((bundle.golden_ulps for bundle in bundles.values()), default=0),
            "provider": self._provider, "listener": self._server.name if self._server else "",
            "forest": {name: bundles[name].forest for name in sorted(bundles)},
            "engine": {name: bundles[name].engine for name in sorted(bundles)},
            "threads": self._threads, "seconds": round(seconds, 3),
        }  # fmt: skip
        if isinstance(self._repository, Together) and self._link is not None:
            self._link.tell("ready", line | {"serving": self._repository.serving()})
            return
        log.info("ready", **line)
        if settings.log_format == "console":
            greet(settings, ports, bundles)
