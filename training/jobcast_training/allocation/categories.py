"""The allocation table: how many jobs got less than they used, up to twice as much, and so on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jobcast_training.allocation.objective import amounts
from jobcast_training.allocation.retries import HOURS, known

NAMES = ("under", "1-2x", "2-3x", "3-4x", "4x+")
"""Allocation over use: below 1, from 1 to below 2, from 2 to below 3, from 3 to below 4, 4 and more."""


@dataclass(frozen=True)
class Category:
    """The jobs of one line of the table.

    Attributes:
        name: one of `NAMES`.
        jobs: how many.
        share: of all jobs.
        held_gib_hours: what they were allocated for as long as they ran; the first attempt only.
        unused_gib_hours: of these, what they did not use.
    """

    name: str
    jobs: int
    share: float
    held_gib_hours: float
    unused_gib_hours: float


def allocation_table(used: ArrayLike, allocated: ArrayLike, hours: ArrayLike | None = None) -> tuple[Category, ...]:
    """Return one category for each of `NAMES`, empty ones too.

    A job that used nothing and was allocated nothing counts as allocated what it used; one that used nothing and was
    allocated something as 4x+.

    Args:
        used: what each job used, shape [n], GiB.
        allocated: what it was allocated, shape [n], GiB.
        hours: how long it ran, shape [n]; None or NaN = not known, counted as `retries.HOURS`.

    Raises:
        ValueError: shapes that differ, amounts or hours that are negative or infinite.
    """
    amount = amounts("used", used)
    given = amounts("allocated", allocated, len(amount))
    length = known("hours", hours, len(amount), HOURS)
    column = np.sum([given >= times * amount for times in range(1, len(NAMES))], axis=0)
    column[given == amount] = 1
    held, unused = given * length, np.maximum(given - amount, 0) * length
    return tuple(
        Category(name, int(own.sum()), float(own.mean()), float(held[own].sum()), float(unused[own].sum()))
        for name, own in ((name, column == place) for place, name in enumerate(NAMES))
    )
