"""`llm-latency` against simple predictors: rows left out at random, and whole hardware, models, software left out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.tasks.baselines import LEVELS, baseline_predictions
from jobcast_training.tasks.crossfit import name_folds
from jobcast_training.tasks.pipeline import LEAST_ROWS, actual, fit_model
from jobcast_training.tasks.records import TEXTS, TaskRecords
from jobcast_training.tasks.scores import point_scores, quantile_scores
from jobcast_training.tasks.settings import Settings

TEST_SHARE = 0.2
OWN = "jobcast"
LEFT_OUT = {"hardware": 12, "model_name": 5, "software_name": 8, "num_devices": 8, "request_rate": 8}
"""Fields whose values are left out in turn, and into how many parts at most the values are dealt."""

FOLDS, NAME_FOLDS = 3, 2
"""Of the cross-fits where names are left out: fewer than in training, since there is a model for every part."""

Split = tuple[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Outcome:
    """One way to split a set, all its test parts together.

    Attributes:
        split: what was left out.
        parts: number of test parts; rows: of all of them.
        scores: by predictor.
        outside: share of the test rows with a fact outside what training saw.
        by_part: of each test part: its name, rows, share outside, MAE and coverage of the 80 % interval.
    """

    split: str
    parts: int
    rows: int
    scores: Mapping[str, Mapping[str, float]]
    outside: float
    by_part: tuple[tuple[str, int, float, float, float], ...]


def evaluate_set(
    records: TaskRecords,
    settings: Settings,
    seed: int,
    step: Callable[[str], None],
    fields: Sequence[str] = tuple(LEFT_OUT),
    repeats: int = 1,
) -> tuple[Outcome, ...]:
    """Return the outcomes of a set: rows left out at random, then each of `fields` with two values or more.

    `repeats` test parts with other seeds, all together, say more of a small set than one does.

    Raises:
        TaskSourceError: the set is too small.
    """
    found = [_outcome("rows at random, 80/20", [("", random_test(records, seed))], records, settings, seed, step)]
    if repeats > 1:
        again = [(f"seed {other}", random_test(records, other)) for other in range(seed, seed + repeats)]
        split = f"rows at random, 80/20, {repeats} times"
        found.append(_outcome(split, again, records, settings, seed, step))
    quick = replace(settings, folds=min(settings.folds, FOLDS), name_folds=min(settings.name_folds, NAME_FOLDS))
    for field in fields:
        splits = list(left_out(records, field, LEFT_OUT[field]))
        if splits:
            found.append(_outcome(f"{field} left out", splits, records, quick, seed, step))
    return tuple(found)


def random_test(records: TaskRecords, seed: int) -> NDArray[np.bool_]:
    """Mark a random fifth of the rows: the last of all rows sampled by polars with that seed."""
    rows = records.frame.height
    order = pl.Series(range(rows), dtype=pl.Int64).sample(fraction=1.0, shuffle=True, seed=seed).to_numpy()
    marked = np.zeros(rows, dtype=np.bool_)
    marked[order[int(rows * (1 - TEST_SHARE)) :]] = True
    return marked


def left_out(records: TaskRecords, field: str, parts: int) -> Iterator[Split]:
    """Yield the values of a field, dealt into parts, and the rows that have them."""
    values = records.frame[field]
    names = values.drop_nulls().unique().sort().to_list()
    if len(names) < 2:
        return
    if field in TEXTS and len(names) > parts:
        folds = name_folds(records.frame, field, parts)
        chosen = [(", ".join(values.filter(folds == n).unique().sort()), folds == n) for n in range(parts)]
    else:
        chosen = [
            (f"{name:g}" if isinstance(name, float) else name, (values == name).fill_null(False).to_numpy())
            for name in names
        ]
    yield from (one for one in chosen if (~one[1]).sum() >= LEAST_ROWS and one[1].any())


def _outcome(
    split: str,
    splits: list[Split],
    records: TaskRecords,
    settings: Settings,
    seed: int,
    step: Callable[[str], None],
) -> Outcome:
    predicted: dict[str, list[NDArray[np.float64]]] = {}
    times, flags, by_part = [], [], []
    for name, marked in splits:
        train, test = (replace(records, frame=records.frame.filter(part)) for part in (~marked, marked))
        quantiles, outside = fit_model(train, settings, seed, lambda text: None).predict(test)
        y = actual(test)
        own = quantile_scores(y, quantiles)
        by_part.append((name, len(y), float(np.mean(outside > 0)), own["mae"], own["coverage_80"]))
        for key, values in ({OWN: quantiles} | dict(baseline_predictions(train, test, seed))).items():
            predicted.setdefault(key, []).append(values)
        times.append(y)
        flags.append(outside > 0)
        step(f"{split} {name}: {len(y)} rows, MAE {own['mae']:,.0f} ms")
    every = np.concatenate(times)
    scores = {}
    for key, parts in predicted.items():
        joined = np.concatenate(parts)
        levels = {} if key == OWN else {"levels": LEVELS}
        scores[key] = point_scores(every, joined) if joined.ndim == 1 else quantile_scores(every, joined, **levels)
    return Outcome(split, len(splits), len(every), scores, float(np.mean(np.concatenate(flags))), tuple(by_part))
