"""The most accurate ensemble within a latency budget: what is chosen, and what is shown, was measured, not predicted.

members at growing numbers of rounds -> a line for the cost of a tree, from measured anchors -> options with losses
    -> those that could be best are measured -> the choice -> fitted anew, measured again -> taken, or the next
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jobcast_export.forest import Forest, ForestBuilder, merge
from jobcast_export.model import Head, served_model
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.families import Fitted
from jobcast_training.fitting import TARGETS, Choice, Ensemble, Period, Step, seconds_lost
from jobcast_training.latency import TURNS, Row, latencies, machine, single_row_session
from jobcast_training.options import BLEND, Cost, Option, all_options, predicted, unbeaten
from jobcast_training.periods import TrainingError
from jobcast_training.prefixes import Staged, ladder, staged

T = TypeVar("T")

NEAR, CLOSE = 0.1, 20
"""Latencies predicted this close to the budget are not trusted: so many on either side of it are measured."""

NO_TREES = Choice({}, {}, 0.0)


@dataclass(frozen=True)
class Point:
    """An option whose whole served graph was measured: median latency of a single row in us."""

    option: Option
    latency_us: float


@dataclass(frozen=True)
class Frontier:
    """What was measured, and what was made of it.

    Attributes:
        budget_us: what a single row may take.
        fixed_us: what features and head take without trees.
        points: everything that was measured, fastest first.
        whole: what would be served without a budget.
        served: what is served, as it was measured before it was fitted anew.
        served_us: the same, fitted anew.
        machine: what it was measured on.
    """

    budget_us: float
    fixed_us: float
    points: Sequence[Point]
    whole: Point
    served: Point
    served_us: float
    machine: str

    def best(self) -> list[Point]:
        """Return the points that lose less than every faster one, fastest first."""
        kept: list[Point] = []
        for point in self.points:
            if not kept or point.option.loss < kept[-1].option.loss:
                kept.append(point)
        return kept


@dataclass
class LatencyBudget:
    """Chooses the most accurate ensemble whose served graph answers a single row in time; a `fitting.Chooser`.

    Attributes:
        budget_us: median latency of a single row that is not to be exceeded.
        graph: raw columns to features.
        head: of the served graph; its offsets and share are replaced by those at hand.
        rows: single rows that are predicted to measure.
        levels: that the members are fitted to.
        seed: of the order in which graphs take turns.
        step: hears of progress.
        frontier: what was measured, once an ensemble was chosen.
    """

    budget_us: float
    graph: ModelProto
    head: Head
    rows: Sequence[Row]
    levels: Sequence[float]
    seed: int
    step: Step
    frontier: Frontier | None = field(default=None, init=False)

    def __call__(
        self,
        members: Mapping[str, Fitted],
        best: Choice,
        tune: Period,
        y: NDArray[np.float64],
        anew: Callable[[Choice], Ensemble],
    ) -> Ensemble:
        """Return the ensemble that loses least on `tune` of those that keep the budget, fitted anew.

        Raises:
            TrainingError: none keeps the budget; the message holds the least that was measured.
        """
        stages = staged(members, tune.x, self.step("cutting members to their first rounds", len(members)))
        fixed, cost = self._cost(stages)
        if self.budget_us < fixed:
            raise TrainingError(
                f"the latency budget must be above {fixed:.1f} us, what features and head take on this machine "
                f"without a tree, got {self.budget_us:g} us"
            )
        options = all_options(stages, tune, y, self.levels, cost, self.step)
        whole = Option(best, seconds_lost(predicted(best, stages, tune), tune, self.levels), cost.of(best))
        fixed, points = self._points(worth_measuring(options, whole, self.budget_us), stages)

        def measured_anew(choice: Choice) -> tuple[Ensemble, float]:
            ensemble = anew(choice)
            graph = merge(ensemble.forests, ensemble.weights), ensemble.head(self.head)
            return ensemble, float(self._latencies([graph], "measuring what is served")[0])

        point, ensemble, served_us = within(points, self.budget_us, measured_anew)
        unbound = next(one for one in points if one.option is whole)
        self.frontier = Frontier(self.budget_us, fixed, points, unbound, point, served_us, machine())
        return ensemble

    def _cost(self, stages: Mapping[str, Staged]) -> tuple[float, Cost]:
        """Return what a graph without trees takes, and the line through it and the members, small, whole and merged."""
        anchors = [NO_TREES, replace(NO_TREES, share=1.0)]
        for name, member in stages.items():
            share = TARGETS[name.split("-")[1]]
            anchors += [Choice({name: own}, {name: 1.0}, share) for own in dict.fromkeys(ladder(member.most)[::3])]
            anchors.append(Choice({name: member.most}, {name: 1.0}, share))
        for place in (0, -1):
            rounds = {name: ladder(member.most)[place] for name, member in stages.items()}
            anchors.append(Choice(rounds, dict.fromkeys(rounds, 1 / len(rounds)), BLEND))
        measured = self._latencies([self._graph(one, stages) for one in anchors], "measuring the cost of a tree")
        return float(measured[0]), Cost.fitted(anchors, measured)

    def _points(self, options: Sequence[Option], stages: Mapping[str, Staged]) -> tuple[float, list[Point]]:
        """Return what a graph without trees takes, and the options measured beside it, fastest first."""
        graphs = [self._graph(choice, stages) for choice in (NO_TREES, *(option.choice for option in options))]
        fixed, *found = self._latencies(graphs, f"measuring {len(options)} ensembles").tolist()
        points = [Point(option, own) for option, own in zip(options, found, strict=True)]
        return fixed, sorted(points, key=lambda point: (point.latency_us, point.option.loss))

    def _graph(self, choice: Choice, stages: Mapping[str, Staged]) -> tuple[Forest, Head]:
        forests = {name: stages[name].forest(rounds) for name, rounds in choice.rounds.items()}
        forest = merge(forests, choice.weights) if forests else _no_trees(len(self.levels))
        return forest, replace(self.head, share=choice.share)

    def _latencies(self, graphs: Sequence[tuple[Forest, Head]], name: str) -> NDArray[np.float64]:
        on_done = self.step(name, len(graphs) + TURNS)
        sessions = []
        for forest, head in graphs:
            sessions.append(single_row_session(served_model(self.graph, forest, head)))
            on_done()
        return latencies(sessions, self.rows, self.seed, on_done)


def worth_measuring(options: Sequence[Option], whole: Option, budget_us: float) -> list[Option]:
    """Return the options that are on the frontier as predicted, those that could be the best in budget, and `whole`.

    The second are the `CLOSE` that lose least of those predicted to within `NEAR` of the budget, on either
    side of it.
    """
    close = []
    for low, high in ((1 - NEAR, 1.0), (1.0, 1 + NEAR)):
        side = [one for one in options if low * budget_us < one.expected <= high * budget_us]
        close += sorted(side, key=lambda one: one.loss)[:CLOSE]
    return list({tuple(one.choice.rounds.items()): one for one in (*unbeaten(options), *close, whole)}.values())


def within(
    points: Sequence[Point], budget_us: float, anew: Callable[[Choice], tuple[T, float]]
) -> tuple[Point, T, float]:
    """Return the point that loses least of those within the budget, and what it is fitted anew with its latency.

    One that exceeds the budget once it is fitted anew makes room for one that was faster in proportion.

    Args:
        points: what was measured.
        budget_us: not to be exceeded.
        anew: fits a choice anew and measures it, us.

    Raises:
        TrainingError: none keeps the budget; the message holds the least that was measured.
    """
    measured: list[float] = []
    allowed = budget_us
    while fast := [point for point in points if point.latency_us <= allowed]:
        point = min(fast, key=lambda point: (point.option.loss, point.latency_us))
        fitted, latency = anew(point.option.choice)
        if latency <= budget_us:
            return point, fitted, latency
        measured.append(latency)
        allowed = point.latency_us * budget_us / latency
    raise TrainingError(
        f"no ensemble keeps the latency budget of {budget_us:g} us on this machine: the least that was measured "
        f"{'once fitted to all known jobs ' if measured else ''}is "
        f"{min(measured or [point.latency_us for point in points]):.1f} us; name a larger one"
    )


def _no_trees(outputs: int) -> Forest:
    builder = ForestBuilder([0.0] * outputs)
    builder.start_tree()
    builder.leaf([0.0] * outputs)
    return builder.build()
