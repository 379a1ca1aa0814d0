"""`jobcast ui`: the app, served by this process.

Nothing is sent anywhere but to the server that is named: usage statistics are off, no browser is opened, and what the
pages need is served from here.
"""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from jobcast_ui import place
from jobcast_ui.place import Place

APP = Path(__file__).with_name("app.py")

OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "logger.level": "warning",
    "runner.magicEnabled": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "theme.light.primaryColor": "#2f5fb3",
    "theme.light.textColor": "#0b0f14",
    "theme.light.codeTextColor": "#000000",
    "theme.dark.primaryColor": "#3f6fd1",
    "theme.dark.textColor": "#ffffff",
    "theme.dark.codeTextColor": "#c6f6d5",
}
"""Settings of Streamlit; neither theme is named the only one, so that the page follows the visitor's system;
texts are as dark or light as they can be, because Streamlit pales captions."""

LAST_SECONDS = 2
"""How long open pages may take to close when the app ends."""

SILENT_SECONDS = 120
"""How long the browser of an open page may be too busy to answer at all."""


@click.command(epilog="The token of a key comes from the variable JOBCAST_TOKEN, or is typed into the page.")
@click.option("--address", default=place.ADDRESS, show_default=True, metavar="HOST:PORT", help="Server, gRPC.")
@click.option("--rest", default=place.REST, show_default=True, metavar="URL", help="Server, REST: for calls to copy.")
@click.option("--metrics", default=place.METRICS, show_default=True, metavar="URL", help="Server, metrics.")
@click.option("--timeout", default=10.0, show_default=True, metavar="SECONDS", help="Longest wait for one answer.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the app listens; it asks nobody who he is.")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(0, 65535), help="Its port; 0: a free one.")
@click.option("--tls-ca", metavar="FILE", help="PEM file of who signed the server's certificate, or `system`.")
@click.option("--tls-cert", metavar="FILE", help="PEM file of a certificate of one's own, where the server wants one.")
@click.option("--tls-key", metavar="FILE", help="PEM file of its key.")
def ui(host: str, port: int, **named: Any) -> None:
    """Serve the web app: predict, understand and watch what jobs will need."""
    _check(named)
    place.use(Place(**named))
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise click.ClickException(
            f"--port: cannot listen on {host}:{port}: {error.strerror}; choose another with --port, or 0 for a free one"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    with listener:
        _serve(listener, f"jobcast ui: http://{shown}:{listener.getsockname()[1]} (server {named['address']})")


def _check(named: dict[str, Any]) -> None:
    """Refuse what no client could use; nothing is sent.

    Raises:
        click.UsageError: names the option, the rule and the value.
    """
    from jobcast import Client, InvalidInput, PredictorClient
    from jobcast.metrics import MetricsClient

    tls = {name: named[name] for name in ("tls_ca", "tls_cert", "tls_key")}
    options = {"token": "JOBCAST_TOKEN", "timeout": "--timeout"} | {one: f"--{one.replace('_', '-')}" for one in tls}
    for name, client in (("address", Client), ("rest", PredictorClient), ("metrics", MetricsClient)):
        try:
            client(named[name], timeout=named["timeout"], **tls).close()
        except InvalidInput as error:
            wrong = error.violations[0]
            raise click.UsageError(f"{options.get(wrong.field, f'--{name}')}: {wrong.description}") from None


def _serve(listener: socket.socket, greeting: str) -> None:
    """Answer until SIGINT or SIGTERM."""
    # The libraries are slow to import: `jobcast --help` should not wait for them.
    import uvicorn
    from streamlit import config
    from streamlit.logger import set_log_level
    from streamlit.starlette import App

    from jobcast_ui.leaving import leavable

    @asynccontextmanager
    async def told(app: App) -> AsyncIterator[None]:
        click.echo(greeting)
        yield

    config.get_config_options(force_reparse=True, options_from_flags=OPTIONS)
    set_log_level(OPTIONS["logger.level"])  # also of uvicorn, which Streamlit gives its own handlers
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raised again by uvicorn once all is closed
    settings = uvicorn.Config(
        leavable(App(APP, lifespan=told)),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=LAST_SECONDS,
        ws_ping_timeout=SILENT_SECONDS,
        ws_max_size=2**26,
    )
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt:
        return
