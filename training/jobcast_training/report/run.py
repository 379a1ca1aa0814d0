"""A report's work, log by log: train with every seed, run the baselines and the ablation once, keep what was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobcast_training.fitting import Step
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.pipeline import train
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.report.ablation import GROUPS, ablation
from jobcast_training.report.figures import SeedFigures, baseline_figures, seed_figures
from jobcast_training.report.store import Kept, Store, identity

OnPart = Callable[[str], Step]
"""Hears which part of a log is worked at; what it returns hears of the steps of that part."""


@dataclass(frozen=True)
class LogFigures:
    """All figures of a log.

    Attributes:
        jobs: usable jobs; the last `test_jobs` of them were submitted from `start` to `stop` (dates, UTC).
        seeds: by seed, the lowest first.
        baselines: metrics by baseline.
        ablation: metrics with all features and without each group; empty when it was not asked for.
        seconds: by part, what it took when it was made.
    """

    name: str
    jobs: int
    test_jobs: int
    start: str
    stop: str
    seeds: Mapping[int, SeedFigures]
    baselines: Mapping[str, Mapping[str, float]]
    ablation: Mapping[str, Mapping[str, float]]
    seconds: Mapping[str, float]

    @property
    def first(self) -> SeedFigures:
        """Figures of the lowest seed."""
        return self.seeds[min(self.seeds)]


def log_figures(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    *,
    seeds: int,
    ablate: bool,
    state: Path,
    on_part: OnPart,
) -> LogFigures:
    """Return the figures of a log, those that are kept in the folder `state` without any work.

    Args:
        predictor: what to predict.
        records: one log.
        hyper: hyper-parameters.
        seeds: seeds 1 to so many are trained with.
        ablate: whether to leave out each group of features in turn.
        state: folder of kept figures; each log has a folder of its own in it.
        on_part: hears of progress.

    Raises:
        TrainingError: there are too few jobs.
    """
    store = Store(state / records.source, identity(records, hyper))
    kept: dict[str, Kept] = {}

    def trained(seed: int) -> None:
        step = on_part(f"seed {seed} of {seeds}")

        def make() -> dict[str, object]:
            result = train(predictor, records, hyper, seed=seed, step=step)
            test_rows = result.candidate.about["training_data"]["test_rows"]
            return {"test_rows": test_rows, **seed_figures(predictor, records, result).plain()}

        kept[f"seed {seed}"] = store.get(f"seed-{seed}", make)

    trained(1)
    test_jobs = kept["seed 1"].figures["test_rows"]
    step = on_part("baselines")
    kept["baselines"] = store.get("baselines", lambda: _baselines(records, test_jobs, step))
    if ablate:
        step = on_part("ablation")
        kept["ablation"] = store.get("ablation", lambda: _ablation(predictor, records, hyper, step))
    for seed in range(2, seeds + 1):
        trained(seed)
    submit = records.frame["submit_time"]
    return LogFigures(
        name=records.source,
        jobs=records.frame.height,
        test_jobs=test_jobs,
        start=_day(submit[-test_jobs]),
        stop=_day(submit[-1]),
        seeds={seed: _seed(kept[f"seed {seed}"]) for seed in range(1, seeds + 1)},
        baselines=kept["baselines"].figures,
        ablation=kept["ablation"].figures if ablate else {},
        seconds={part: one.seconds for part, one in kept.items()},
    )


def _baselines(records: Records, test_jobs: int, step: Step) -> dict[str, dict[str, float]]:
    done = step("fitting baselines", 1)
    found = baseline_figures(records, test_jobs)
    done()
    return found


def _ablation(
    predictor: Predictor, records: Records, hyper: Hyperparameters, step: Step
) -> dict[str, dict[str, float]]:
    return ablation(predictor, records, hyper, step("leaving out groups of features", len(GROUPS) + 1))


def _seed(kept: Kept) -> SeedFigures:
    return SeedFigures.of_plain({key: value for key, value in kept.figures.items() if key != "test_rows"})


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
