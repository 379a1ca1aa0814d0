"""Ensembles that could be served: members and numbers of rounds, their loss on the tune period, what they should cost.

An option is what one target's members give, or the blend of two such; its weights and its loss are found as those of
whole members are (`fitting.choose_members`), so that the losses compare.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from jobcast_training.ensemble import choose_weights
from jobcast_training.fitting import TARGETS, Choice, Period, seconds_lost
from jobcast_training.prefixes import Staged

BLEND = 0.5


@dataclass(frozen=True)
class Option:
    """An ensemble that could be served.

    Attributes:
        choice: its members.
        loss: mean pinball loss on the tune period in s, over the trained levels.
        expected: latency predicted for it in us.
    """

    choice: Choice
    loss: float
    expected: float


@dataclass(frozen=True)
class Cost:
    """Latency as a line, in us: a fixed part, what measuring by the limit adds, and a tree of each member."""

    fixed: float
    measured: float
    tree: Mapping[str, float]

    @classmethod
    def fitted(cls, choices: Sequence[Choice], latencies: NDArray[np.float64]) -> "Cost":
        """Return the line with the least squared relative error over measured choices, no part of it below 0."""
        names = sorted({name for choice in choices for name in choice.rounds})
        table = np.array(
            [
                [1.0, float(choice.share > 0), *(sum(choice.rounds.get(name, ())) for name in names)]
                for choice in choices
            ]
        )
        fixed, measured, *tree = nnls(table / latencies[:, None], np.ones(len(latencies)))[0].tolist()
        return cls(fixed, measured, dict(zip(names, tree, strict=True)))

    def of(self, choice: Choice) -> float:
        """Return the latency of a choice in us."""
        trees = sum(self.tree[name] * sum(rounds) for name, rounds in choice.rounds.items())
        return self.fixed + (self.measured if choice.share else 0.0) + trees


def all_options(
    members: Mapping[str, Staged],
    tune: Period,
    y: NDArray[np.float64],
    levels: Sequence[float],
    cost: Cost,
    step: Callable[[str, int], Callable[..., None]],
) -> list[Option]:
    """Return every set of families at every number of rounds for either target, and the blends of the best of them.

    A blend is made of two options of which none is beaten within its target.

    Args:
        members: every member's predictions of the jobs of `tune`.
        tune: the tune period. y: its targets, log1p s.
        levels: that the members were fitted to.
        cost: for the expected latencies.
        step: hears of progress.
    """
    families = dict.fromkeys(name.split("-")[0] for name in members)
    singles: dict[str, list[Option]] = {}
    for target, power in TARGETS.items():
        steps = {name: [(), *members[f"{name}-{target}"].outputs] for name in families}
        combinations = list(product(*steps.values()))[1:]
        on_option = step(f"weighing ensembles that predict {target}", len(combinations))
        found: dict[tuple[object, ...], Option] = {}
        for combination in combinations:
            rounds = {f"{name}-{target}": own for name, own in zip(steps, combination, strict=True) if own}
            said = {name: members[name].outputs[own] for name, own in rounds.items()}
            weights = choose_weights(y - power * tune.scale, said, levels)
            choice = _choice(rounds, weights, power)
            if (key := tuple(choice.rounds.items())) not in found:
                loss = seconds_lost(predicted(choice, members, tune), tune, levels)
                found[key] = Option(choice, loss, cost.of(choice))
            on_option()
        singles[target] = list(found.values())
    share, time = (unbeaten(options) for options in singles.values())
    on_option = step("weighing blends of the two", len(share) * len(time))
    blends = []
    for pair in product(share, time):
        choice = _blend(*(option.choice for option in pair))
        blends.append(Option(choice, seconds_lost(predicted(choice, members, tune), tune, levels), cost.of(choice)))
        on_option()
    return [*singles["share"], *singles["time"], *blends]


def predicted(choice: Choice, members: Mapping[str, Staged], jobs: Period) -> NDArray[np.float64]:
    """Return what a choice predicts, log1p s, float64 [N, levels]."""
    total = np.zeros(1)
    for name, rounds in choice.rounds.items():
        power = TARGETS[name.split("-")[1]]
        total = total + choice.weights[name] * (members[name].outputs[rounds] + power * jobs.scale[:, None])
    return total


def unbeaten(options: Iterable[Option]) -> list[Option]:
    """Return the options that lose less than every one predicted to be as fast or faster, fastest first."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda option: (option.expected, option.loss)):
        if not kept or option.loss < kept[-1].loss:
            kept.append(option)
    return kept


def _choice(rounds: Mapping[str, tuple[int, ...]], weights: Mapping[str, float], share: float) -> Choice:
    kept = {name: own for name, own in rounds.items() if weights[name] > 0}
    return Choice(kept, {name: weights[name] for name in kept}, share)


def _blend(share: Choice, time: Choice) -> Choice:
    weights = {name: BLEND * own for choice in (share, time) for name, own in choice.weights.items()}
    return Choice({**share.rounds, **time.rounds}, weights, BLEND)
