"""What the task predictor asks of the server's other workers; one that is alone has nobody to ask."""

from collections import Counter
from collections.abc import Collection
from typing import Protocol

from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.ledger import Prediction

Counts = dict[Key, Counter[str]]
"""Predictions by key and method; a key of a table that was not asked has none."""


class Others(Protocol):
    """The other workers."""

    async def recall(self, identities: Collection[str]) -> dict[str, Prediction]:
        """Predictions that others made, by their ids; those that nobody remembers are missing."""

    async def counts(self) -> list[Counts]:
        """What each of the others predicted."""


class Nobody:
    """`Others` of a server that is one process."""

    async def recall(self, identities: Collection[str]) -> dict[str, Prediction]:
        """None."""
        return {}

    async def counts(self) -> list[Counts]:
        """None."""
        return []
