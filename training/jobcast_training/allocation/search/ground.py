"""The ground a search stands on: the links of the chain, encoded once, and the records of the training period alone.

The records are cut where the test period begins before anything else is done with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from jobcast_training.allocation.chain import Chained, Link, links, pooled, predicted, prepared
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.pipeline import LEAST_ROWS, Plan, known_rows
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.search.loss import decided_loss


@dataclass(frozen=True)
class Task:
    """One link for one trial: the member, and what it is told."""

    link: int
    member: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Scored:
    """What a member says of the rows of a link, and what the rule decided on these rows alone loses there."""

    loss: float
    chained: Chained


@dataclass(frozen=True)
class Ground:
    """What every task needs, and no process changes.

    Attributes:
        predictor: that is trained.
        frame: records of the training period, in order of time.
        links: of the chain.
        plan: of the training that the search is for.
        seed: of the fits.
    """

    predictor: Predictor
    frame: pl.DataFrame
    links: Sequence[Link]
    plan: Plan
    seed: int

    def score(self, task: Task) -> Scored:
        """Fit a member to the rows before a link, and score what it says of the link's rows."""
        own = self.plan.settings
        settings = replace(own, parameters={**own.parameters, task.member: task.told})
        chained = predicted(self.links[task.link], (task.member,), settings, self.seed, lambda name: None)
        return Scored(decided_loss(self.predictor, self.frame, chained, task.member, self.plan), chained)

    def pooled_loss(self, member: str, found: Sequence[Scored]) -> float:
        """Return what the rule loses that is decided on the rows of all links."""
        chained = pooled([one.chained for one in found])
        return decided_loss(self.predictor, self.frame, chained, member, self.plan)


def prepare(
    predictor: Predictor,
    records: AllocationRecords,
    plan: Plan,
    seed: int,
    on_link: Callable[[int, int], None] = lambda done, total: None,
) -> Ground:
    """Return the ground of a search on records; `on_link` hears of each encoded link.

    Raises:
        RecordError: there are too few records.
    """
    if records.frame.height < LEAST_ROWS:
        raise RecordError(f"{records.source}: needs at least {LEAST_ROWS} usable records, got {records.frame.height}")
    frame = before_test(records)
    past = Past.of(predictor, frame).rows(np.arange(frame.height))
    blocks, found = links(frame.height, plan.settings), []
    for block in blocks:
        found.append(prepared(predictor, frame, past, block, plan.settings, seed))
        on_link(len(found), len(blocks))
    return Ground(predictor, frame, found, plan, seed)


def before_test(records: AllocationRecords) -> pl.DataFrame:
    """Return the records that a run may learn from."""
    return records.frame[known_rows(records.frame)]
