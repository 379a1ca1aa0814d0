"""What simple predictors would allocate to the same records, from the same knowledge: what a model has to beat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.allocation.deciding import Objective, Outcomes, lost
from jobcast_training.allocation.declaration import AMOUNT, HOURS, Predictor
from jobcast_training.allocation.history import ended_jobs, largest_so_far
from jobcast_training.allocation.records import requests
from jobcast_training.allocation.settings import SERVED

if TYPE_CHECKING:
    from jobcast_training.allocation.pipeline import Result

SINGLE = "lightgbm_regression"
"""Member whose best single quantile is a baseline, where it was trained."""


@dataclass(frozen=True)
class Baseline:
    """A simple predictor's allocations.

    Attributes:
        name: of the predictor.
        validation: to the chain's rows, shape [m].
        test: to the test period, shape [k].
        point: its point prediction of the test period, shape [k].
    """

    name: str
    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    point: NDArray[np.float64]


def baselines(result: "Result") -> list[Baseline]:
    """Return the baselines of a run, judged on the very rows of its models."""
    frame, split, chained = result.records.frame, result.split, result.chained.row
    found = [
        Baseline(name, own[chained], own[split:], own[split:])
        for name, own in simple(result.predictor, frame, result.known, result.plan.objective).items()
    ]
    if SINGLE in result.chained.served:
        found.append(_single(result))
    return found


def simple(
    predictor: Predictor, frame: pl.DataFrame, fitted: NDArray[np.int64], objective: Objective
) -> Mapping[str, NDArray[np.float64]]:
    """Return allocations that need no model, by name, shape [n] each.

    Args:
        predictor: what is predicted.
        frame: records in order of time.
        fitted: rows of them that may be learned from: of jobs that had ended by then.
        objective: what the quantile of all jobs is chosen by.
    """
    amount = frame[AMOUNT].to_numpy()
    known = amount[fitted]
    otherwise = np.full(frame.height, float(np.median(known)))
    asked = requests(predictor, frame)
    otherwise = np.where(np.isnan(asked), otherwise, asked)
    own = predictor.histories[0]
    jobs = ended_jobs(frame, own)
    latest = jobs.rows(0, frame.height, 2)
    shared = " and ".join(own.by)
    found = {
        f"latest of the same {shared}": latest[:, 0],
        f"mean of the latest two of the same {shared}": np.where(
            np.isnan(latest[:, 1]), latest[:, 0], latest.mean(axis=1)
        ),
        f"largest so far of the same {shared}": largest_so_far(jobs),
    }
    found = {name: np.where(np.isnan(value), otherwise, value) for name, value in found.items()}
    return found | {"one quantile of all jobs": np.full(frame.height, _one_quantile(known, frame[fitted], objective))}


def _one_quantile(known: NDArray[np.float64], frame: pl.DataFrame, objective: Objective) -> float:
    """The quantile of the known jobs that would have lost least on them."""
    hours = frame[HOURS].fill_null(np.nan).to_numpy()
    blank = np.full(len(known), np.nan)
    outcomes = Outcomes(np.empty((len(known), 0)), known, hours, blank)
    tried = [float(np.quantile(known, level)) for level in SERVED]
    return min(tried, key=lambda one: lost(objective, outcomes, np.full(len(known), one)))


def _single(result: "Result") -> Baseline:
    """LightGBM at the one level that loses least on the chain's rows: tuned, not calibrated."""
    from jobcast_training.allocation.pipeline import outcomes_of

    chained, frame = result.chained, result.records.frame
    before = np.exp(chained.served[SINGLE] + chained.log_anchor[:, None])
    after = np.exp(result.fit.members[SINGLE].served(result.encoded.x) + result.encoded.log_anchor[:, None])
    outcomes = outcomes_of(result.predictor, frame, chained.row, before)
    objective = result.plan.objective
    column = min(range(len(SERVED)), key=lambda one: lost(objective, outcomes, before[:, one]))
    name = f"LightGBM, one tuned quantile ({SERVED[column]:g})"
    return Baseline(name, before[:, column], after[:, column], after[:, SERVED.index(0.5)])
