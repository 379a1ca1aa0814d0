"""A search as a command line asks for it: one study a model, its bar, its table, and the file of what was found."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from jobcast_training.allocation.command.asked import Asked
from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.pipeline import Plan
from jobcast_training.allocation.records import AllocationRecords
from jobcast_training.allocation.search.ground import Ground, Scored, Task, prepare
from jobcast_training.allocation.search.loss import title
from jobcast_training.allocation.search.parameters import read_parameters, write_parameters
from jobcast_training.allocation.search.space import Space
from jobcast_training.allocation.search.study import identity, study_name
from jobcast_training.command.search_output import COLUMNS, comparison, reporter
from jobcast_training.searching.loop import Budget, Outcome, StoppedError, Work, search
from jobcast_training.searching.study import StorageError, opened, storage_file
from jobcast_training.searching.workplace import workplace


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        trials: of each model in all, those of stopped runs included.
        timeout_s: after which no trial begins, of all models together; None = never.
        jobs: trials at a time, in processes.
        storage: SQLite file of the trials.
        fixed: parameters that are not searched.
    """

    trials: int
    timeout_s: float | None
    jobs: int
    storage: Path
    fixed: frozenset[str]

    @classmethod
    def of(cls, asked: Asked) -> "Search":
        """Return the search that options ask for; raises BadParameter when its storage cannot be used."""
        file = Path(asked.storage)
        if "storage" in asked.given:
            try:
                file = storage_file(asked.storage)
            except StorageError as error:
                raise click.BadParameter(str(error), param_hint="--storage") from error
        fixed = asked.given & {"bins", "strategy"}
        return cls(asked.trials, asked.timeout, asked.jobs, file, fixed)

    def run(
        self,
        console: Console,
        predictor: Predictor,
        records: AllocationRecords,
        plan: Plan,
        seed: int,
        out: Path,
    ) -> Plan:
        """Search every model's parameters, say what was found, write it, and return the plan that has it.

        Args:
            console: for bars and tables.
            predictor: that is trained.
            records: of which nothing of the test period is read.
            plan: to begin with.
            seed: of fits and draws.
            out: TOML file for the parameters.

        Raises:
            ValueError: the storage cannot be used, records are too few, or nothing was scored before a stop.
        """
        self.storage.parent.mkdir(parents=True, exist_ok=True)
        spaces = [
            Space.around(name, plan.settings.parameters.get(name, {}), plan.settings.bins, self.fixed)
            for name in plan.names
        ]
        found: dict[str, Mapping[str, Any]] = {}
        with Progress(*COLUMNS, console=console) as bars, workplace() as folder:
            bar = bars.add_task("encoding the links", total=None, said="")
            ground = prepare(
                predictor, records, plan, seed, lambda done, total: bars.update(bar, completed=done, total=total)
            )
            start = time.monotonic()
            for place, space in enumerate(spaces):
                left = None if self.timeout_s is None else max(0.0, self.timeout_s - (time.monotonic() - start))
                budget = Budget(self.trials, None if left is None else left / (len(spaces) - place), self.jobs)
                try:
                    outcome = self._member(bars, ground, space, budget, folder)
                    found[space.member] = space.told(outcome.best)
                    console.print(comparison(outcome, title(plan.objective), of=space.member))
                    stopped = outcome.interrupted
                except (StoppedError, KeyboardInterrupt):  # also between the searches of two models
                    if not found:
                        raise
                    stopped = True
                if stopped:
                    console.print("search stopped; training goes on with the best so far (Ctrl-C again to leave)")
                    break
        write_parameters(out, {**plan.settings.parameters, **found})
        console.print(f"parameters in {out}")
        return replace(plan, settings=replace(plan.settings, parameters=read_parameters(out)))

    def _member(self, bars: Progress, ground: Ground, space: Space, budget: Budget, folder: Path) -> Outcome:
        plan, seed, count = ground.plan, ground.seed, len(ground.links)
        about = identity(ground.predictor, ground.frame, count, plan, space, seed)
        name = study_name(ground.predictor, space.member, plan)
        with opened(self.storage, name, about, space, "minimize", seed) as study:
            done = len(study.finished)
            bars.console.print(
                f"study {study.name}: {done} of {budget.trials} trials finished so far in {self.storage}"
            )
            on_fold = reporter(bars, budget, title(plan.objective), done, space.member)
            return search(_work(ground, space, budget.jobs), study, budget, folder, on_fold)


def _work(ground: Ground, space: Space, jobs: int) -> Work[Task, Scored]:
    """The trials of a member: scored by all its predictions together, given up by those of single links."""
    return Work(
        ground,
        len(ground.links),
        task=lambda link, parameters: Task(link, space.member, space.told(parameters)),
        loss=lambda scored: scored.loss,
        total=lambda links: ground.pooled_loss(space.member, links),
        environment={"OMP_NUM_THREADS": str(max(1, _cores() // jobs))},
    )


def _cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
