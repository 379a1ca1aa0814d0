"""When an open loop intends to send: fixed before the first call, so that no answer can hold back a later request."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

Process = Literal["constant", "poisson"]

CHUNK = 1024


def offsets(process: Process, rate: float, seed: int) -> Iterator[int]:
    """Endless intended send times in ns after the start, ascending, `rate` per second on average.

    `constant` keeps equal gaps; `poisson` draws independent exponential gaps, as many independent callers would make.
    Raises ValueError when `rate` is not above 0.
    """
    if rate <= 0:
        raise ValueError(f"rate: must be > 0 requests per second, got {rate}")
    gap = 1e9 / rate
    if process == "constant":
        position = 0
        while True:
            yield round(position * gap)
            position += 1
    draw = np.random.default_rng(seed)
    elapsed = 0.0
    while True:
        for wait in draw.exponential(gap, CHUNK).tolist():
            elapsed += wait
            yield round(elapsed)
