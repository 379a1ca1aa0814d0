"""What is remembered of each key while the server runs: predictions by method, and how good they were."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import orjson

from jobcast_server.taskpredictor.accuracy import Accuracy
from jobcast_server.taskpredictor.forecast import Forecast
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.task import Task

MOST_KEYS = 1000
"""Keys remembered; the one that was not used for longest goes."""

MOST_BYTES = 48 * 2**20
"""Bytes of all predictions that are remembered."""


@dataclass(slots=True)
class Account:
    """What is known of one key.

    Attributes:
        predictions: by method.
    """

    predictions: Counter[str] = field(default_factory=Counter)
    accuracy: Accuracy = field(default_factory=Accuracy)


Prediction = tuple[str, str, str, str, str, str, float, float, float, str, str, int]
"""What is kept of a prediction: key, features as JSON, quantiles at `forecast.SCORED`, method, and the bundle or table
with its version."""


def prediction_of(task: Task, forecast: Forecast, method: str, source: tuple[str, int]) -> Prediction:
    """What is kept of an answer."""
    return (*task.key, orjson.dumps(task.features).decode(), *forecast.scored, method, *source)


class Ledger:
    """Accounts by key, and the latest predictions by their id; changed on the event loop only.

    Tens of thousands of predictions are kept, so each is a few hundred bytes in a ring, and nothing for the garbage
    collector to look at; its id tells its place. Where callers give many facts, fewer are kept: `MOST_BYTES` in all.
    """

    def __init__(self, run: str, most_predictions: int) -> None:
        self._run = run
        self._most = most_predictions
        self._number = 0
        self._oldest = 0
        self._bytes = 0
        self._ring: list[str] = []
        self._accounts: OrderedDict[Key, Account] = OrderedDict()

    def predicted(self, key: Key, method: str, prediction: Prediction) -> str:
        """Count a prediction; gives its id."""
        self.account(key).predictions[method] += 1
        number = self._number
        self._number += 1
        # As text, which is a copy of just its length: the bytes that orjson gives hold on to some 4 KiB of buffer.
        kept = orjson.dumps(prediction).decode()
        if number < self._most:
            self._ring.append(kept)
        else:
            self._bytes -= len(self._ring[number % self._most])
            self._ring[number % self._most] = kept
            self._oldest = max(self._oldest, number - self._most + 1)
        self._bytes += len(kept)
        while self._bytes > MOST_BYTES and self._oldest < number:
            self._bytes -= len(self._ring[self._oldest % self._most])
            self._ring[self._oldest % self._most] = ""
            self._oldest += 1
        return f"{self._run}-{number:x}"

    def prediction(self, identity: str) -> Prediction | None:
        """The prediction of an id, unless it is forgotten."""
        _, _, text = identity.rpartition("-")
        try:
            number = int(text, 16)
        except ValueError:
            return None
        if identity != f"{self._run}-{number:x}" or not self._oldest <= number < self._number:
            return None
        return cast(Prediction, tuple(orjson.loads(self._ring[number % self._most])))

    def account(self, key: Key) -> Account:
        """The account of a key, made where there is none."""
        known = self._accounts.get(key)
        if known is None:
            known = self._accounts[key] = Account()
            if len(self._accounts) > MOST_KEYS:
                self._accounts.popitem(last=False)
        else:
            self._accounts.move_to_end(key)
        return known

    def recall(self, identities: Iterable[str]) -> dict[str, Prediction]:
        """Predictions by their ids; those that are forgotten are missing."""
        return {one: known for one in identities if (known := self.prediction(one)) is not None}

    def accounts(self) -> list[tuple[Key, Account]]:
        """Every account, the one used last first."""
        return list(reversed(self._accounts.copy().items()))
