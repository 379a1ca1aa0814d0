"""The signals that ask a server to drain and end."""

import asyncio
import signal


def heed(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, and on SIGHUP unless whoever started the server keeps that from it (nohup)."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
