"""One worker, as the supervisor starts it: settings and seat come over standard input, the channel by its number."""

import asyncio
import json
import signal
import socket
import sys

import uvloop

from jobcast_server import life, logs
from jobcast_server.errors import BundleError, StartupError
from jobcast_server.settings import Settings
from jobcast_server.workers.link import Link
from jobcast_server.workers.seat import Seat


def main() -> None:
    """Serve until the supervisor says so, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the supervisor says when
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)
    told = json.load(sys.stdin)
    settings, seat = Settings.model_validate(told["settings"]), Seat(**told["seat"])
    logs.configure(settings.log_level, settings.log_format, worker=seat.number)
    sys.exit(uvloop.run(_work(settings, seat, end)))


async def _work(settings: Settings, seat: Seat, end: socket.socket) -> int:
    link = Link(seat)
    await link.open(end)
    try:
        await life.serve(settings, link)
    except StartupError as error:
        link.tell("failed", [str(error), isinstance(error, BundleError)])
        return 1
    finally:
        await asyncio.shield(link.close())
    return 0


if __name__ == "__main__":
    main()
