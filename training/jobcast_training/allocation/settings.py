"""How an allocation predictor is fitted and calibrated, and which levels are served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobcast_export.allocation import Spread

TRAINED = (0.05, 0.25, 0.5, 0.75, 0.9, 0.96, 0.99)
SERVED = (
    *(0.025, 0.05, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85),
    *(0.9, 0.925, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99, 0.995),
)
INTERVAL = (0.025, 0.975)
LIMIT = 0.95
TEST_SHARE = 0.2
SPREAD = Spread(lower=0.5, upper=0.9, least=0.1, most=1.0)
ENSEMBLE_GAIN = 0.01
"""Share of the loss that an ensemble has to save over its best member to be taken: less is within what a seed moves."""

STRATEGIES = ("uniform", "quantile", "kmeans")


@dataclass(frozen=True)
class Bins:
    """Memory bins of a classification: how many, and how their edges are laid.

    Attributes:
        count: of the bins, the open one at the top included.
        strategy: one of `STRATEGIES`.
    """

    count: int = 15
    strategy: str = "quantile"


@dataclass(frozen=True)
class Settings:
    """What a training run can be told.

    Attributes:
        prior_jobs: weight of the moments of all jobs in a word's statistics.
        max_keys: most values kept for a word.
        max_tokens: most words of a list that have a feature of their own.
        table_folds: folds in which rows of the fit are looked up in tables of the others.
        hidden: share of the rows fitted to once more without any history.
        first_share: part of the training period that the first link of the chain is fitted to.
        links: blocks of the rest, each predicted by a fit to everything before it.
        bins: of classifications.
        threshold: probability up to which a classification takes bins, where it is not the optimum that counts.
        parameters: of families, over their defaults, by name and task such as `xgboost_regression`.
    """

    prior_jobs: float = 10.0
    max_keys: int = 2000
    max_tokens: int = 6
    table_folds: int = 8
    hidden: float = 0.25
    first_share: float = 0.5
    links: int = 6
    bins: Bins = field(default_factory=Bins)
    threshold: float | None = None
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
