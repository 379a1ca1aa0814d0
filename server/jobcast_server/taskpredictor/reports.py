"""POST /outcomes: what tasks really took, checked, put beside what was forecast of them, written, then acknowledged."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jobcast_server.errors import RequestError, UnknownModelError, shorten
from jobcast_server.gathering import MOST_ROWS
from jobcast_server.rest.json import kind_of, wrong
from jobcast_server.taskpredictor.ledger import Ledger, Prediction, prediction_of
from jobcast_server.taskpredictor.others import Others
from jobcast_server.taskpredictor.outcomes import Outcome, Outcomes
from jobcast_server.taskpredictor.plane import Item, Plane
from jobcast_server.taskpredictor.task import DURATION, duration, key_of, of_trace

IDENTITY = "prediction_id"


class Reports:
    """Takes reports of outcomes."""

    def __init__(self, plane: Plane, ledger: Ledger, store: Outcomes, most_rows: int, others: Others) -> None:
        self._plane = plane
        self._ledger = ledger
        self._store = store
        self._most_rows = most_rows
        self._others = others

    def recall(self, outcomes: Sequence[Outcome]) -> None:
        """Take what was reported before the server started into the account of its key."""
        for one in outcomes:
            self._count(one)

    async def take(self, told: Any) -> dict[str, Any]:
        """Take one report, a list of them, or an object with a list `outcomes`.

        Raises:
            RequestError: a single one is wrong, or every one of a list.
        """
        if type(told) is dict and "outcomes" in told:
            told = told["outcomes"]
        reports = told if type(told) is list else [told]
        if not 1 <= len(reports) <= self._most_rows:
            raise wrong("outcomes", f"must hold 1 to {self._most_rows} reports (max_batch_rows), got {len(reports)}")
        elsewhere = await self._elsewhere(reports)
        found = []
        for place, one in enumerate(reports):
            found.append(await self._read(one, place, elsewhere, alone=type(told) is dict))
            if place % MOST_ROWS == MOST_ROWS - 1:
                await asyncio.sleep(0)  # others go in between
        good = [one for one in found if isinstance(one, Outcome)]
        if not good:
            raise next(one for one in found if isinstance(one, RequestError))
        news = dict(zip(map(id, good), await self._store.report(good), strict=True))
        for one in good:
            if news[id(one)]:
                self._count(one)
        results = [_acknowledged(one, news[id(one)]) if isinstance(one, Outcome) else _refused(one) for one in found]
        failed = len(found) - len(good)
        return {
            "status": "partial" if failed else "success", "accepted": len(good), "failed": failed, "results": results
        }  # fmt: skip

    async def _elsewhere(self, reports: Sequence[Any]) -> Mapping[str, Prediction]:
        """Predictions that the reports name and other workers made."""
        told = (one.get(IDENTITY) for one in reports if type(one) is dict)
        named = {one for one in told if type(one) is str}
        missing = [one for one in named if self._ledger.prediction(one) is None]
        return await self._others.recall(missing) if missing else {}

    async def _read(
        self, told: Any, place: int, elsewhere: Mapping[str, Prediction], *, alone: bool
    ) -> Outcome | RequestError:
        where = "" if alone else f"outcomes[{place}]."
        try:
            if type(told) is not dict:
                raise wrong(where.rstrip(".") or "outcome", f"must be an object, got {kind_of(told)}")
            took = duration(told.get(DURATION), f"{where}{DURATION}")
            identity = told.get(IDENTITY)
            if identity is None:
                prediction = await self._predict(told, where)
            elif type(identity) is not str:
                raise wrong(f"{where}{IDENTITY}", f"must be a text, got {kind_of(identity)}")
            else:
                prediction = elsewhere.get(identity) or self._known(identity, f"{where}{IDENTITY}")
            return _outcome(identity, took, prediction)
        except RequestError as error:
            return error

    def _known(self, identity: str, where: str) -> Prediction:
        known = self._ledger.prediction(identity)
        if known is None:
            raise UnknownModelError(
                f"{where}: {shorten(identity)} is not known, or not any more; report the five identity fields and the "
                "features instead"
            )
        return known

    async def _predict(self, told: dict[str, Any], where: str) -> Prediction:
        """What would be forecast now for a task that is told by its key and features."""
        key = key_of(told, where, whole=True)
        task = of_trace({name: value for name, value in told.items() if name != DURATION}, key, where + "outcome")
        with self._plane.open(key) as answering:
            (made,) = await answering.make([task])
        if isinstance(made, RequestError):
            raise made
        return prediction_of(task, made.forecast, made.method, made.source)

    def _count(self, one: Outcome) -> None:
        scored = one.low_ms, one.median_ms, one.high_ms
        self._ledger.account(one.key).accuracy.add(one.duration_ms, scored, (one.source, one.source_version))


def _outcome(identity: str | None, took: float, prediction: Prediction) -> Outcome:
    return Outcome(identity, time.time_ns() // 1_000_000, *prediction[:6], took, *prediction[6:])


def _acknowledged(one: Outcome, new: bool) -> Item:
    return {
        "status": "success", "new": new, "model_key": one.key.label, "predicted_ms": one.median_ms,
        "error_ms": one.duration_ms - one.median_ms, "inside_80": one.low_ms <= one.duration_ms <= one.high_ms,
        "message": "" if new else "this prediction's outcome was reported before; the first report stands",
    }  # fmt: skip


def _refused(error: RequestError) -> Item:
    return {"status": "error", "message": str(error)}
