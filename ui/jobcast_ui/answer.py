"""What a model says of one record, and what follows from it: interval, suggestion, and the chance to need more."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from jobcast import Batch, InvalidInput, Violation
from jobcast_proto.manifest import Schema

NEEDED = frozenset(("quantiles", "point"))
"""Outputs of a model that these pages can show."""

LIMIT = "wallclock_req"
"""Input that holds what was requested, in models that allocate nothing and predict times."""

NODES = "nodes_req"
"""Input that turns a time into node-hours."""


@dataclass(frozen=True)
class Chance:
    """A probability from quantiles, which know nothing beyond their outermost levels.

    Attributes:
        bound: `` where it is interpolated, `at least` or `at most` where only that is known.
    """

    share: float
    bound: str = ""


@dataclass(frozen=True)
class Answer:
    """One row of a model's answer, in `unit`.

    Attributes:
        levels, quantiles: of the calibrated distribution, ascending.
        limit: the quantile of the model's limit level.
        allocation: what the model recommends; None where it only predicts.
        request: what the record asks for; None where it does not say.
    """

    unit: str
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    point: float
    interval: tuple[float, float]
    interval_levels: tuple[float, float]
    limit: float
    limit_level: float
    allocation: float | None = None
    request: float | None = None
    nodes: float | None = None

    @property
    def suggested(self) -> float:
        """What to request: the recommended allocation, or else the limit."""
        return self.limit if self.allocation is None else self.allocation

    def above(self, value: float) -> Chance:
        """The chance that the job needs as much as `value`, or more; linear between two quantiles.

        Where a model never answers more than what was requested, all that would be more lies on the request itself and
        counts here.
        """
        place = bisect_left(self.quantiles, value)
        if place == len(self.quantiles):
            return Chance(1 - self.levels[-1], "at most")
        if place == 0:
            return Chance(1 - self.levels[0], "" if self.quantiles[0] == value else "at least")
        (low, high), (left, right) = self.levels[place - 1 : place + 1], self.quantiles[place - 1 : place + 1]
        return Chance(1 - low - (high - low) * (value - left) / (right - left))


def requested(schema: Schema) -> str | None:
    """The input that holds what was requested, in the unit of the answer; None when there is none."""
    if schema.allocation is not None:
        return schema.allocation.request
    return next((spec.name for spec in schema.inputs if spec.name == LIMIT and spec.unit == unit(schema)), None)


def unit(schema: Schema) -> str:
    """The unit of the answer."""
    return next((spec.unit for spec in schema.outputs if spec.name == "point"), "")


def check(schema: Schema) -> None:
    """Refuse a model whose answers are no distributions.

    Raises:
        InvalidInput: it lacks an output.
    """
    names = {spec.name for spec in schema.outputs}
    if not names >= NEEDED:
        told = ", ".join(sorted(names))
        raise InvalidInput(Violation("model", f"must answer quantiles and point, {schema.predictor} answers {told}"))


def answer_of(schema: Schema, batch: Batch, outputs: Mapping[str, list[list[float]]], row: int) -> Answer:
    """One row of the server's answer."""
    quantiles = tuple(outputs["quantiles"][row])
    by_level = dict(zip(schema.quantile_levels, quantiles, strict=True))
    low, high = schema.interval_levels
    return Answer(
        unit=unit(schema), levels=tuple(schema.quantile_levels), quantiles=quantiles, point=outputs["point"][row][0],
        interval=(by_level[low], by_level[high]), interval_levels=(low, high), limit=by_level[schema.limit_level],
        limit_level=schema.limit_level, allocation=outputs["allocation"][row][0] if "allocation" in outputs else None,
        request=_known(batch, requested(schema), row), nodes=_known(batch, NODES, row),
    )  # fmt: skip


def _known(batch: Batch, name: str | None, row: int) -> float | None:
    values = batch.columns.get(name or "")
    value = float(values[row]) if values else float("nan")
    return value if value == value else None
