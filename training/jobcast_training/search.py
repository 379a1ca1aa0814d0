"""The search for hyper-parameters on a log; see `searching.loop`. Nothing of the test period is read."""

from collections.abc import Callable

import numpy as np

from jobcast_training.search_ground import Features, Ground, Settings, Task
from jobcast_training.searching import loop
from jobcast_training.searching.loop import Budget, Outcome, Standing, Work
from jobcast_training.searching.study import Study


def search(
    ground: Ground,
    features: Features,
    study: Study,
    settings: Settings,
    on_fold: Callable[[Standing], None] = lambda standing: None,
) -> Outcome:
    """Search until enough trials are finished, the time is over, or SIGINT (Ctrl-C) comes.

    Raises:
        SearchError: it was stopped before the defaults were scored, or a process ended before its work did.
        TrainingError: the jobs of a fold do not suffice.
    """
    work = Work(
        ground,
        len(ground.folds),
        task=lambda fold, parameters: Task(fold, parameters, features.files(ground.space.load(parameters))),
        loss=float,
        total=lambda scores: float(np.mean(scores)),
    )
    budget = Budget(settings.trials, settings.timeout_s, settings.jobs)
    return loop.search(work, study, budget, features.folder, on_fold)
