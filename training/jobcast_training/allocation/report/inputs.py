"""What the report is told. All arrays are in order of time and in the unit of the amount; NaN = not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jobcast_training.allocation.costs import Costs
from jobcast_training.allocation.objective import WEIGHT, amounts
from jobcast_training.allocation.pareto import LOW_UNDER_BOUND, UNDER_BOUND, Setting
from jobcast_training.allocation.retries import Rules, known

Kind = Literal["model", "preset"]


@dataclass(frozen=True)
class Jobs:
    """Jobs of one period, shape [n] each.

    Attributes:
        used: what they used.
        time: when they were submitted, Unix s, not descending.
        request: what was asked for; NaN = not known.
        hours: how long they ran; NaN = not known, counted as 1.
        exact: of which jobs `used` is all they needed, bool, as others failed for want of more; None = of all.
    """

    used: NDArray[np.float64]
    time: NDArray[np.float64]
    request: NDArray[np.float64]
    hours: NDArray[np.float64]
    exact: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        count = len(amounts("used", self.used))
        known("request", self.request, count, 0.0)
        known("hours", self.hours, count, 1.0)
        if self.time.shape != (count,) or not bool((np.diff(self.time) >= 0).all()):
            raise ValueError(f"time: needs {count} times that do not descend, got shape {list(self.time.shape)}")


@dataclass(frozen=True)
class Allocator:
    """Something that allocates: a model, or a preset.

    Attributes:
        name: unique; that of a preset is the preset's.
        kind: which of the two.
        validation: its allocations to the validation jobs, shape [validation jobs].
        test: to the test jobs, shape [test jobs].
        row_us: time of one row's prediction in us, as measured; None = not measured.
    """

    name: str
    kind: Kind
    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    row_us: float | None = None


@dataclass(frozen=True)
class Distribution:
    """Quantiles as predicted, ascending by column.

    Attributes:
        levels: of the quantiles.
        validation: shape [validation jobs, levels].
        test: shape [test jobs, levels].
    """

    levels: Sequence[float]
    validation: NDArray[np.float64]
    test: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse columns that are not the levels."""
        for name, values in (("validation", self.validation), ("test", self.test)):
            if values.ndim != 2 or values.shape[1] != len(self.levels):
                raise ValueError(f"{name} quantiles: needs {len(self.levels)} columns, got {list(values.shape)}")


@dataclass(frozen=True)
class Subject:
    """What the report is about.

    Attributes:
        predictor: such as `build-memory`.
        source: of the jobs, in a few words.
        unit: of the amount.
        facts: more to say at the top, by title.
    """

    predictor: str
    source: str
    unit: str = "GiB"
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Terms:
    """By what allocations are judged.

    Attributes:
        weight: of the under-allocated share in the business score.
        costs: prices of the outcomes.
        rules: of failing and retrying.
        under_bound: under-allocated jobs, in %, that low-waste stays within on validation.
        low_under_bound: the same of low-under-allocation.
    """

    weight: float = WEIGHT
    costs: Costs = field(default_factory=Costs)
    rules: Rules = field(default_factory=Rules)
    under_bound: float = UNDER_BOUND
    low_under_bound: float = LOW_UNDER_BOUND


@dataclass(frozen=True)
class Report:
    """All that a report is made of.

    Attributes:
        subject: what it is about.
        validation: jobs that were selected by.
        test: later jobs, that nothing was selected by.
        allocators: models and presets, in the order in which they are shown.
        sweep: settings that the presets are selected from; () = none, and no preset.
        distribution: whose reliability is shown; None = not shown.
        shown: name of the allocator in the picture of jobs; "" = the first preset, else the first of all.
        terms: what they are judged by.
    """

    subject: Subject
    validation: Jobs
    test: Jobs
    allocators: Sequence[Allocator]
    sweep: Sequence[Setting] = ()
    distribution: Distribution | None = None
    shown: str = ""
    terms: Terms = field(default_factory=Terms)
