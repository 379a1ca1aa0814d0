"""What a command line asks for: its options as typed objects, and which of them were given."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import click
from click.core import ParameterSource

from jobcast_training.allocation.command.reading import Data


@dataclass(frozen=True)
class Judging:
    """The options of every command: records, and what their allocations are judged by.

    Attributes:
        given: names of the options that were given; the others have their defaults.
    """

    given: frozenset[str]
    data: tuple[Path, ...]
    format: str
    mapping: Path | None
    assumed_hours: float | None
    name: str | None
    skip_preprocessing: bool
    objective: str
    failure_weight: float
    failed_cost: float
    wasted_cost: float
    failed_job_cost: float
    failure_share: float
    retry_factor: float
    as_json: bool

    @classmethod
    def of(cls, ctx: click.Context) -> Self:
        """Read the options of a context."""
        default = ParameterSource.DEFAULT
        given = frozenset(name for name in ctx.params if ctx.get_parameter_source(name) is not default)
        values: dict[str, Any] = {one.name: ctx.params[one.name] for one in fields(cls) if one.name != "given"}
        return cls(given=given, **values)

    @property
    def records(self) -> Data:
        """The records."""
        return Data(self.data, self.format, self.mapping, self.assumed_hours, self.name, again=self.skip_preprocessing)


@dataclass(frozen=True)
class Asked(Judging):
    """The options of `jobcast train`."""

    task_type: str | None
    model_families: tuple[tuple[str, ...], ...]
    ensemble: str
    bins: int | None
    strategy: str | None
    config: Path | None
    seed: int
    max_under: float | None
    promise: float
    preset: str | None
    safety_factor: float
    confidence_threshold: float | None
    run_search: bool
    use_defaults: bool
    trials: int
    timeout: float | None
    jobs: int
    storage: str
    out: Path
    run_folder: Path | None
    save_models: bool
    report: bool
    evaluate_only: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """Names of families, as they were given."""
        return tuple(word for words in self.model_families for word in words)

    @property
    def searching(self) -> bool:
        """Whether hyper-parameters are searched."""
        return self.run_search and not self.use_defaults
