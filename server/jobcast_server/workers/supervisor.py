"""The supervisor's life: hold the ports, start the workers, ready; on SIGTERM drain them together; exit 0.

It answers the port of the metrics itself, behind the same keys and certificates as every other port.
"""

import asyncio
import contextlib
import sys
import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from jobcast_server import logs
from jobcast_server.counting import PYTHON
from jobcast_server.ends import heed
from jobcast_server.errors import StartupError
from jobcast_server.found import Found
from jobcast_server.greeting import Ports, greet
from jobcast_server.security.page import open_page
from jobcast_server.security.security import Security
from jobcast_server.settings import Settings
from jobcast_server.sockets import reserve
from jobcast_server.workers.crew import Crew

log = structlog.get_logger()


async def supervise(settings: Settings) -> None:
    """Serve by `settings.workers` workers until SIGTERM, SIGINT or SIGHUP.

    Raises:
        StartupError: this system does not share ports evenly, a port is taken, or a worker cannot start.
        BundleError: no bundle of the repository is good.
    """
    if sys.platform != "linux":
        raise StartupError(
            f"workers: must be 1 on {sys.platform}, got {settings.workers}: only Linux shares a port evenly between "
            "processes (SO_REUSEPORT); start servers on ports of their own instead"
        )
    started = time.perf_counter()
    stop = asyncio.Event()
    heed(stop)
    security = Security(settings, PYTHON)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(security.close)
        watch = asyncio.create_task(security.watch())
        stack.callback(watch.cancel)
        ports = {}
        for option in ("port", "http_port"):
            ports[option] = stack.enter_context(reserve(settings, option))
        settings = settings.model_copy(update=ports)
        crew = Crew(settings)
        crew.counts.own.register(Found(security.collect))
        crew.counts.own.register(Found(logs.collect))
        merged = CollectorRegistry()
        merged.register(crew.counts)
        page = open_page(settings.host, settings.metrics_port, merged, security.gate, security.certificates)
        page.begin()
        stack.callback(page.end)
        line = await _started(crew, page.server_port, stop)
        if line is None:
            log.info("stopped", workers=settings.workers)
            return
        _say_ready(settings, line, time.perf_counter() - started)
        looking = asyncio.create_task(_look(settings, crew))
        stack.callback(looking.cancel)
        await stop.wait()
        log.info("draining", workers=settings.workers, drain_delay=settings.drain_delay)
        await crew.stop()
        log.info("stopped", workers=settings.workers)


async def _started(crew: Crew, metrics_port: int, stop: asyncio.Event) -> dict[str, Any] | None:
    """What the first worker says of itself once all are ready; None when it is to stop before: then none is left."""
    starting, stopping = asyncio.create_task(crew.start(metrics_port)), asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        return await starting
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    return None


async def _look(settings: Settings, crew: Crew) -> None:
    """Have the workers follow the folder at the same time, where they follow it."""
    while settings.model_control == "poll":
        await asyncio.sleep(settings.poll_interval)
        crew.look()


def _say_ready(settings: Settings, line: dict[str, Any], seconds: float) -> None:
    told = line | {"workers": settings.workers, "seconds": round(seconds, 3)}
    log.info("ready", **{name: value for name, value in told.items() if name != "serving"})
    if settings.log_format == "console":
        greet(settings, Ports(told["port"], told["http_port"], told["metrics_port"]), told["models"])
