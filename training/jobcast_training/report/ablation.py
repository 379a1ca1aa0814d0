"""What each group of features adds: every group left out in turn, and LightGBM alone fitted anew without it.

The fits are cheaper than a training: the newest `FIT_JOBS` jobs that had ended when the test period began, two levels,
no calibration, no cap, run times as they are. No draw is random. A feature that divides by the limit belongs to what it
divides, so that leaving out the sizes of the request does not hide the limit altogether.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import lightgbm
import numpy as np
from numpy.typing import NDArray

from jobcast_training.features import feature_matrix
from jobcast_training.history import History
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.metrics import pinball_loss, point_metrics
from jobcast_training.periods import split_rows
from jobcast_training.pipeline import features_of
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records

GROUPS: Mapping[str, str] = {
    "request sizes": r"(processors|nodes|mem|wallclock|gpus)_(req|per_\w+)|limit_(per|whole)_\w+"
    r"|(processor|node|gpu|mem)_seconds|single_(processor|node)|no_gpus",
    "calendar": r"(day|week|year)_(sin|cos)|hour_of_day|day_of_week|day_of_year|hour|weekday|year_day"
    r"|is_(night|workday|first_half_year)",
    "category statistics": r"(partition|qos|user|account|job_name)_(log_runtime_(mean|std)|limit_share|log_jobs)",
    "job name": r"name_is_\w+",
    "user's history": r"recent_\w+",
    "similar history": r"similar_(?!ended_)\w+",
    "named history": r"named_(?!ended_)\w+",
    "quantiles of all ended": r"(all|similar|named)_ended_\w+",
    "running jobs": r"running_\w+",
    "time since": r"since_\w+",
}
"""Groups of features, each with the pattern that the names of its features match."""

WHOLE = "all features"
FIT_JOBS = 100_000
ROUNDS = 100
SETTINGS = {
    "objective": "quantile",
    "num_leaves": 31,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_LEVELS = (0.5, 0.9)


def group_of(feature: str) -> str:
    """Return the group of a feature.

    Raises:
        ValueError: it is in none, or in several.
    """
    found = [group for group, pattern in GROUPS.items() if re.fullmatch(pattern, feature)]
    if len(found) != 1:
        raise ValueError(f"feature {feature!r} must match one pattern of GROUPS, matches {found or 'none'}")
    return found[0]


def ablation(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    on_fit: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Return MAE, pinball-90 and R2 of log1p on the test jobs with all features and without each group.

    `on_fit` hears of each of the `len(GROUPS) + 1` pairs of fits.
    """
    frame = records.frame
    graph, described, _ = features_of(predictor, records, hyper)
    groups = [group_of(feature.name) for feature in described]
    x = feature_matrix(predictor, graph, frame, History.of(records))
    periods = split_rows(frame.height, hyper.split)
    known = frame["end_time"].to_numpy()[periods.fit : periods.test] <= frame["submit_time"][periods.test]
    rows = periods.fit + np.flatnonzero(known)[-FIT_JOBS:]
    run = frame[predictor.target].to_numpy()
    figures: dict[str, dict[str, float]] = {}
    for left_out in (WHOLE, *GROUPS):
        kept = [column for column, group in enumerate(groups) if group != left_out]
        figures[left_out] = _refitted(x[:, kept], run, rows, periods.test)
        on_fit()
    return figures


def _refitted(x: NDArray[np.float32], run: NDArray[np.float64], rows: NDArray[np.int64], test: int) -> dict[str, float]:
    median, high = _quantiles(x[rows], np.log1p(run[rows]), x[test:], _LEVELS)
    actual = run[test:]
    point = point_metrics(actual, median)
    return {
        "mae": point["mae"],
        "r2_log": point["r2_log"],
        "pinball_90": pinball_loss(actual, high, 0.9),
    }


def _quantiles(
    x: NDArray[np.float32], y: NDArray[np.float64], asked: NDArray[np.float32], levels: Sequence[float]
) -> list[NDArray[np.float64]]:
    """Quantiles in seconds of `asked`, one array a level, neither below 0 nor crossing."""
    data = lightgbm.Dataset(x, y, params=SETTINGS, free_raw_data=False)
    each = [lightgbm.train({**SETTINGS, "alpha": level}, data, ROUNDS).predict(asked) for level in levels]
    return list(np.maximum(np.expm1(np.sort(np.stack(each), axis=0)), 0.0))
