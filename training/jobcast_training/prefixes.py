"""Members cut to their first rounds: a boosted model's first n rounds are the model that n rounds would have grown.

Nothing is fitted again: a forest is cut, and its predictions are summed up round by round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, takewhile

import numpy as np
from jobcast_export.forest import Forest, some_trees
from jobcast_export.parity import tree_outputs
from numpy.typing import NDArray

from jobcast_training.families import Fitted

FIRST_ROUNDS = 5

Rounds = tuple[int, ...]
"""Trees of each of a member's boosters."""


@dataclass(frozen=True)
class Staged:
    """A member at growing numbers of rounds.

    Attributes:
        whole: the forest with all of its rounds.
        most: its rounds.
        outputs: by rounds, ascending, what the member says of the rows, float64 [N, levels].
    """

    whole: Forest
    most: Rounds
    outputs: Mapping[Rounds, NDArray[np.float64]]

    def forest(self, rounds: Rounds) -> Forest:
        """Return the forest with the first rounds only."""
        return between(self.whole, self.most, (0,) * len(rounds), rounds)


def ladder(rounds: Rounds) -> list[Rounds]:
    """Return 5, 7, 10, 14, 20, ... rounds, twice as many every other step, up to all.

    A booster that has fewer keeps its own.
    """
    most = max(rounds)
    steps = takewhile(lambda step: step < most, (round(FIRST_ROUNDS * 2 ** (place / 2)) for place in count()))
    return [tuple(min(step, own) for own in rounds) for step in (*steps, most)]


def staged(
    members: Mapping[str, Fitted], x: NDArray[np.float32], on_member: Callable[[], None]
) -> Mapping[str, Staged]:
    """Return every member's predictions of `x`, float32 [N, features], after each step of its ladder."""
    found = {}
    for name, member in members.items():
        outputs: dict[Rounds, NDArray[np.float64]] = {}
        done: Rounds = (0,) * len(member.rounds)
        total = np.broadcast_to(member.forest.base, (len(x), member.forest.outputs))
        for rounds in ladder(member.rounds):
            grown = replace(between(member.forest, member.rounds, done, rounds), base=np.zeros(member.forest.outputs))
            total = total + tree_outputs(grown, x)
            outputs[rounds] = total
            done = rounds
        found[name] = Staged(member.forest, member.rounds, outputs)
        on_member()
    return found


def between(forest: Forest, rounds: Sequence[int], start: Sequence[int], stop: Sequence[int]) -> Forest:
    """Return the forest with rounds [start, stop) of each booster, whose `rounds` trees follow one another in it."""
    kept = np.concatenate(
        [(np.arange(own) >= low) & (np.arange(own) < high) for own, low, high in zip(rounds, start, stop, strict=True)]
    )
    return some_trees(forest, kept)
