"""The server's life: load and verify, warm up, ready; on SIGTERM not ready, wait, refuse, finish what is in hand, exit.

No request that was accepted is lost while the drain's time lasts; after it callers see UNAVAILABLE and nothing else.
"""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import grpc
import structlog

from jobcast_server import listener, session
from jobcast_server.admission import Admission
from jobcast_server.bundle import Bundle
from jobcast_server.calls import Calls
from jobcast_server.engine import Engine
from jobcast_server.errors import BundleError
from jobcast_server.health import Health
from jobcast_server.info import Tally
from jobcast_server.metrics import Metrics
from jobcast_server.repository import Repository, open_repository
from jobcast_server.settings import Settings
from jobcast_server.stream import Streams

PREDICTOR = "hpc-runtime"
"""The predictor behind the contract that this server speaks."""

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread may keep the interpreter while the event loop wants it."""

SETTLE_S = 0.2
"""Time for refusals to reach callers whose requests were on the wire when the port closed."""

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartupError: a port is taken, or the provider does not exist.
        BundleError: the predictor's bundle is missing or refused.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server, port = listener.listen(settings)
    metrics = Metrics()
    page, thread = metrics.serve(settings.host, settings.metrics_port)
    try:
        await _serve(settings, server, port, page.server_port, metrics, stop)
    finally:
        page.shutdown()
        page.server_close()
        thread.join()


async def _serve(
    settings: Settings, server: grpc.aio.Server, port: int, metrics_port: int, metrics: Metrics, stop: asyncio.Event
) -> None:
    provider, threads = session.choose(settings.provider), settings.threads or _spare_cores()
    started = time.perf_counter()
    repository = open_repository(settings.models, provider, settings.golden_ulps)
    bundle = _chosen(repository)
    bundle.session.observe = metrics.prediction.observe
    metrics.show_model(bundle.manifest, provider)
    engine = Engine(bundle, settings.max_batch_rows)
    engine.warm_up()
    metrics.load.observe(time.perf_counter() - started)
    admission, tally = Admission(settings), Tally()
    metrics.watch(port, lambda: admission.rows)
    health = Health(tally, _states(repository))
    with ThreadPoolExecutor(threads, "batch") as workers:
        calls = Calls(
            engine, admission, metrics, tally, health, workers,
            provider=provider, threads=threads, verbose=settings.log_level == "debug",
        )  # fmt: skip
        streams = Streams(engine, admission, metrics, tally, settings.stream_window)
        listener.register(server, calls, streams, health, admission, metrics, echo=settings.enable_echo)
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        await health.say(ready=False)
        await server.start()
        await health.say(ready=True)
        log.info(
            "ready", host=settings.host, port=port, metrics_port=metrics_port, model=bundle.manifest.predictor,
            version=bundle.manifest.version, golden_ulps=bundle.golden_ulps, provider=provider, threads=threads,
            seconds=round(time.perf_counter() - started, 3),
        )  # fmt: skip
        if settings.log_format == "console":
            _greet(settings, port, metrics_port)
        await stop.wait()
        await _drain(settings, server, health, admission)


async def _drain(settings: Settings, server: grpc.aio.Server, health: Health, admission: Admission) -> None:
    log.info("draining", drain_delay=settings.drain_delay, calls=admission.calls, streams=admission.streams)
    await health.say(ready=False)
    await asyncio.sleep(settings.drain_delay)
    admission.draining.set()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(admission.idle(), settings.drain_timeout)
    await asyncio.sleep(SETTLE_S)
    lost = admission.calls + admission.streams
    await server.stop(SETTLE_S)
    log.info("stopped", unfinished=lost)


def _chosen(repository: Repository) -> Bundle:
    for reason in repository.refused.values():
        log.error("bundle refused", reason=reason)
    if PREDICTOR not in repository.bundles:
        raise BundleError(
            repository.refused.get(PREDICTOR, f"models: no bundle of {PREDICTOR} found; train one, or mend --models")
        )
    return repository.bundles[PREDICTOR]


def _states(repository: Repository) -> dict[str, str]:
    good = {name: f"version {bundle.manifest.version}: loaded" for name, bundle in repository.bundles.items()}
    return good | {name: f"refused: {reason}" for name, reason in repository.refused.items()}


def _spare_cores() -> int:
    """Performance cores less the event loop's own; Apple silicon counts its efficiency cores apart."""
    if sys.platform == "darwin":
        shown = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"], capture_output=True, text=True, check=False
        ).stdout.strip()
        cores = int(shown) if shown.isdigit() else os.cpu_count() or 1
    else:
        cores = len(os.sched_getaffinity(0))
    return max(1, cores - 1)


def _greet(settings: Settings, port: int, metrics_port: int) -> None:
    command = Path(sys.argv[0])
    with contextlib.suppress(ValueError):
        command = command.resolve().relative_to(Path.cwd())
    elsewhere = "" if port == Settings.model_fields["port"].default else f" --address {settings.host}:{port}"
    click.echo(
        f"jobcast serves gRPC on {settings.host}:{port}, metrics on http://{settings.host}:{metrics_port}/metrics"
    )
    click.echo("Try it from another terminal:")
    click.echo(
        f"  {command} predict{elsewhere} --processors 32 --nodes 4 --mem 128000 --wallclock 3600 "
        "--partition normal --qos normal"
    )
