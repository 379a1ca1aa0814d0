"""Category statistics: what earlier jobs of the same partition, user, account ... did.

Fitted on the oldest part of the training period only; the trees are fitted on the later part, so that no job
contributes to a statistic that is then used to predict it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

STATISTICS = ("log_runtime_mean", "log_runtime_std", "limit_share", "log_jobs")
"""Mean and standard deviation of log1p(run time in s), mean of run time over limit, log1p(number of jobs)."""

MISSING, UNKNOWN = 0, 1
"""Rows of every table: text not given (all NaN), text never seen in training (the statistics of all jobs)."""


@dataclass(frozen=True)
class CategoryTable:
    """Statistics of one category column.

    Attributes:
        keys: the category's values that have a row of their own; `keys[i]` has row `i + 2`.
        rows: shape [len(keys) + 2, len(STATISTICS)], float32.
    """

    keys: tuple[str, ...]
    rows: NDArray[np.float32]


def fit_statistics(
    frame: pl.DataFrame, columns: Sequence[str], *, prior_jobs: float, max_keys: int
) -> Mapping[str, CategoryTable]:
    """Fit one table for each column.

    A value seen n times has the mean of its own jobs (weight n) and of all jobs (weight `prior_jobs`): the shrinkage
    of an empirical Bayes estimate. The `max_keys` most frequent values are kept, the others count as unknown.

    Args:
        frame: records with the columns of `records.SCHEMA`.
        columns: names of text columns.
        prior_jobs: weight of the mean of all jobs.
        max_keys: most values kept for a column.
    """
    measured = frame.with_columns(
        log_runtime=pl.col("run_time").log1p(),
        share=(pl.col("run_time") / pl.col("wallclock_req")).clip(0, 2),
    )
    overall = _moments(measured.select(pl.lit(1).alias("key"), "log_runtime", "share"), "key")
    prior = overall.row(0, named=True)
    return {column: _table(measured, column, prior, prior_jobs, max_keys) for column in columns}


def _moments(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    return frame.group_by(key).agg(
        jobs=pl.len(),
        mean=pl.col("log_runtime").mean(),
        square=(pl.col("log_runtime") ** 2).mean(),
        share=pl.col("share").mean(),
        limited=pl.col("share").count(),
    )


def _table(
    frame: pl.DataFrame, column: str, prior: Mapping[str, float], prior_jobs: float, max_keys: int
) -> CategoryTable:
    known = frame.filter(pl.col(column).is_not_null() & (pl.col(column) != ""))
    groups = _moments(known, column).sort(["jobs", column], descending=[True, False]).head(max_keys)
    jobs = groups["jobs"].to_numpy().astype(np.float64)
    weight = jobs + prior_jobs
    mean = (groups["mean"].to_numpy() * jobs + prior["mean"] * prior_jobs) / weight
    square = (groups["square"].to_numpy() * jobs + prior["square"] * prior_jobs) / weight
    limited = groups["limited"].to_numpy().astype(np.float64)
    share_prior = prior["share"] if prior["share"] is not None else np.nan
    share = groups["share"].fill_null(0.0).to_numpy()
    share = (share * limited + share_prior * prior_jobs) / (limited + prior_jobs)
    own = np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0.0)), share, np.log1p(jobs)], axis=1)
    spread = np.sqrt(max(prior["square"] - prior["mean"] ** 2, 0.0))
    rows = np.vstack([np.full(4, np.nan), [prior["mean"], spread, share_prior, 0.0], own.reshape(-1, 4)])
    return CategoryTable(keys=tuple(groups[column].to_list()), rows=rows.astype(np.float32))
