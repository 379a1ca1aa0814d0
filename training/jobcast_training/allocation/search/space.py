"""What is searched for one member: the ranges of its family, and of a classification how its bins are laid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from jobcast_training import families
from jobcast_training.allocation.binning import BIN_COUNT, BIN_STRATEGY
from jobcast_training.allocation.settings import STRATEGIES, Bins
from jobcast_training.searching.parameters import distribution, rounded

BIN_COUNTS = (5, 40)
"""Fewest and most bins that are tried, besides those one begins with."""


@dataclass(frozen=True)
class Space:
    """Hyper-parameters to search around those that are given.

    Attributes:
        member: such as `xgboost_regression`.
        given: its parameters that are told, over the family's defaults.
        defaults: value of every searched parameter without a search.
        ranges: of every searched parameter; holds the default.
    """

    member: str
    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    ranges: Mapping[str, BaseDistribution]

    @classmethod
    def around(cls, member: str, given: Mapping[str, Any], bins: Bins, fixed: frozenset[str] = frozenset()) -> "Space":
        """Return the space around the family's defaults as changed by `given`.

        Args:
            member: such as `xgboost_regression`.
            given: parameters that are told.
            bins: of a classification that is told none of its own.
            fixed: parameters that are not searched.

        Raises:
            FamilyError: the family is unknown, cannot be loaded or lacks the task.
        """
        name, task = member.rsplit("_", 1)
        own = families.regression(name) if task == "regression" else families.classification(name)
        told = {**own.defaults, **given}
        defaults = {key: told[key] for key in own.search_space}
        ranges = {key: distribution(*limits, told[key]) for key, limits in own.search_space.items()}
        if task == "classification":
            defaults |= {
                BIN_COUNT: told.get(BIN_COUNT, bins.count),
                BIN_STRATEGY: told.get(BIN_STRATEGY, bins.strategy),
            }
            ranges |= {
                BIN_COUNT: distribution(*BIN_COUNTS, "int", defaults[BIN_COUNT]),
                BIN_STRATEGY: CategoricalDistribution(STRATEGIES),
            }
        kept = [key for key in ranges if key not in fixed]
        return cls(member, given, {key: defaults[key] for key in kept}, {key: ranges[key] for key in kept})

    def rounded(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as a trial takes them."""
        return rounded(parameters, self.defaults)

    def told(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the member is told in a trial."""
        return {**self.given, **self.rounded(parameters)}
