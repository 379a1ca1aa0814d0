"""`--search` of `jobcast train`: its options, and the file of what it found."""

from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from jobcast_training.command.finite import Finite
from jobcast_training.command.log_options import Command
from jobcast_training.command.search_output import COLUMNS, comparison, reporter

if TYPE_CHECKING:
    from jobcast_training.hyperparameters import Hyperparameters
    from jobcast_training.records import Records

TRIALS, FOLDS, OBJECTIVE = 50, 5, "pinball"
STORAGE = Path("runs") / "search.db"


@dataclass(frozen=True)
class Search:
    """A search as a command line asks for it.

    Attributes:
        out: TOML file for the best parameters; None = beside the candidate.
    """

    trials: int
    timeout_s: float | None
    storage: Path
    objective: str
    jobs: int
    folds: int
    out: Path | None

    def run(
        self,
        console: Console,
        predictor: str,
        records: "Records",
        config: Path | None,
        seed: int,
        candidate: Path,
    ) -> "Hyperparameters":
        """Search, say what was found, write it as a `--config` file and return it.

        Raises:
            ValueError: the storage cannot be used, the log is too short, or the search came to nothing.
        """
        from jobcast_training import hyperparameters, predictors
        from jobcast_training.pipeline import parted
        from jobcast_training.search import search
        from jobcast_training.search_ground import Settings, prepare
        from jobcast_training.search_objectives import objective_named
        from jobcast_training.search_space import Space
        from jobcast_training.search_study import identity, opened
        from jobcast_training.searching.loop import Budget
        from jobcast_training.searching.workplace import workplace

        space, task = Space.around(config), predictors.load(predictor)
        parted(task, records, space.load({}).split)  # what is found is trained with, or nothing is looked for
        settings = Settings(self.trials, self.objective, self.timeout_s, self.jobs, self.folds, seed)
        about = identity(records, space, settings)
        self.storage.parent.mkdir(parents=True, exist_ok=True)
        with (
            opened(self.storage, predictor, about, space, settings) as study,
            workplace() as folder,
            Progress(*COLUMNS, console=console) as bars,
        ):
            found = len(study.finished)
            console.print(f"study {study.name}: {found} of {settings.trials} trials finished so far in {self.storage}")
            ground, features = prepare(task, records, space, settings, folder)
            budget = Budget(settings.trials, settings.timeout_s, settings.jobs)
            outcome = search(ground, features, study, settings, reporter(bars, budget, settings.objective, found))
        if outcome.interrupted:
            console.print("search stopped; the best so far is what training goes on with (Ctrl-C again to leave)")
        objective = objective_named(self.objective)
        console.print(comparison(outcome, objective.title, objective.direction))
        out = self.out or candidate.with_name(f"{candidate.name}.toml")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(space.toml(outcome.best), encoding="utf-8")
        console.print(f"best parameters in {out}")
        return hyperparameters.load(out)


def search_options(command: Command) -> Command:
    """Give a command the options of a search, as its argument `search`, which is None without --search."""
    options = (
        click.option("--search", "wanted", is_flag=True, help="Search for hyper-parameters, then train with the best."),
        click.option(
            "--trials",
            type=click.IntRange(min=1),
            help=f"Trials in all, those of a stopped run included.  [default: {TRIALS}]",
        ),
        click.option("--timeout", type=Finite(min=0), help="Seconds after which no trial begins.  [default: none]"),
        click.option(
            "--objective", help=f"pinball, pinball-log, mae or r2-log, on held-out jobs.  [default: {OBJECTIVE}]"
        ),
        click.option("--jobs", type=click.IntRange(min=1), help="Trials at a time, in processes.  [default: 1]"),
        click.option(
            "--folds", type=click.IntRange(2, 20), help=f"Held-out blocks before the test period.  [default: {FOLDS}]"
        ),
        click.option(
            "--search-storage",
            "storage",
            metavar="FILE",
            help=f"SQLite file or sqlite:///FILE that keeps the trials of stopped runs.  [default: {STORAGE}]",
        ),
        click.option(
            "--search-out",
            type=click.Path(dir_okay=False, path_type=Path),
            help="TOML file for the best parameters, for --config.  [default: beside the candidate]",
        ),
    )

    @wraps(command)
    def with_search(
        wanted: bool,
        trials: int | None,
        timeout: float | None,
        objective: str | None,
        jobs: int | None,
        folds: int | None,
        storage: str | None,
        search_out: Path | None,
        **others: Any,
    ) -> None:
        given = (trials, timeout, objective, jobs, folds, storage, search_out)
        if not wanted and any(value is not None for value in given):
            raise click.UsageError(
                "--trials, --timeout, --objective, --jobs, --folds, --search-storage and --search-out belong to "
                "--search; add it or leave them out"
            )
        search = None
        if wanted:
            search = Search(
                trials or TRIALS,
                timeout,
                _storage(storage),
                _objective(objective or OBJECTIVE),
                jobs or 1,
                folds or FOLDS,
                search_out,
            )
        command(search=search, **others)

    decorated: Command = with_search
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _storage(text: str | None) -> Path:
    from jobcast_training.searching.study import StorageError, storage_file

    try:
        return storage_file(text) if text is not None else STORAGE
    except StorageError as error:
        raise click.BadParameter(str(error), param_hint="--search-storage") from error


def _objective(name: str) -> str:
    from jobcast_training.search_objectives import ObjectiveError, objective_named

    try:
        return objective_named(name).name
    except ObjectiveError as error:
        raise click.BadParameter(str(error), param_hint="--objective") from error
