"""What a fault must leave behind: a measure, how it compares, and the promise in plain words.

A measure that was not taken breaks its rule: a promise that nobody looked at was not kept.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobcast_bench.slo import COMPARISONS


@dataclass(frozen=True)
class Rule:
    """One bound on one measure of a fault."""

    measure: str
    comparison: str
    bound: float
    words: str

    def broken(self, measures: Mapping[str, float]) -> str | None:
        """How the measures break it; None when they keep it."""
        found = measures.get(self.measure)
        if found is None or math.isnan(found):
            return f"{self.words}: {self.measure} was not measured"
        if COMPARISONS[self.comparison](found, self.bound):
            return None
        return f"{self.words}: {self.measure} must be {self.comparison} {self.bound:g}, got {found:g}"


def judge(rules: Iterable[Rule], measures: Mapping[str, float]) -> list[str]:
    """Every rule that the measures break, in words; empty when all promises were kept."""
    return [told for rule in rules if (told := rule.broken(measures)) is not None]


def calm(normal_s: float, worst_s: float = 2.0) -> tuple[Rule, ...]:
    """What holds for good callers through every fault: nothing wrong, nothing unexpected, soon as before."""
    return (
        Rule("calls", ">=", 1, "good callers called"),
        Rule("wrong", "==", 0, "no answer is wrong"),
        Rule("unexpected", "==", 0, "no call of good callers ends otherwise than promised"),
        Rule("worst_us", "<=", worst_s * 1e6, f"no answer takes longer than {worst_s:g} s"),
        Rule("normal_after_s", "<=", normal_s, f"as before within {normal_s:g} s"),
    )


LOADED = (
    Rule("load_wrong", "==", 0, "no answer to the load is wrong"),
    Rule("load_unexpected", "==", 0, "no call of the load ends otherwise than promised"),
)
"""What holds for the load beside the good callers."""
