"""Simple predictors of task times, to be beaten: medians, the nearest configuration, LightGBM on the plain columns."""

from collections.abc import Mapping

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.tasks.records import NUMBERS, TARGET, TEXTS, TaskRecords

LEVELS = (0.1, 0.5, 0.9)
_ROUNDS = 300
_PARAMETERS = {"num_leaves": 63, "learning_rate": 0.05, "verbosity": -1, "num_threads": 1, "deterministic": True}
_OTHER_TEXT = 10.0
"""Distance of two configurations that differ in a text: more than any difference of sizes."""

_CELLS = 2**24
"""Numbers that are compared at a time: 128 MiB, however many configurations there are."""

Predicted = Mapping[str, NDArray[np.float64]]


def baseline_predictions(train: TaskRecords, test: TaskRecords, seed: int) -> Predicted:
    """Return each baseline's prediction of `test` in ms: a point [n], or `LEVELS` [n, 3].

    - global median (with its 0.1 and 0.9 quantiles);
    - same configuration: median of the tasks with the same texts and numbers, else the global median;
    - nearest configuration: median of the tasks that differ in the fewest texts and then least in the logarithms of
      tokens and sizes;
    - LightGBM L1 and LightGBM quantiles of log1p ms on the plain columns, 300 rounds of 63 leaves, rate 0.05.
    """
    y = train.frame[TARGET].to_numpy()
    overall = np.repeat(np.quantile(y, LEVELS)[None, :], test.frame.height, axis=0)
    nearest, exact = _nearest(train.frame, test.frame, train.extra)
    return {
        "global median": overall,
        "same configuration": np.where(exact, nearest, overall[:, 1]),
        "nearest configuration": nearest,
        **_boosted(train, test, seed),
    }


def _nearest(
    train: pl.DataFrame, test: pl.DataFrame, extra: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Median time of the nearest configuration, and whether it is the same one."""
    names = (*NUMBERS, *extra)
    y = train[TARGET].to_numpy()
    known, asked = (frame.select(names).cast(pl.Float64).fill_null(-1).to_numpy() for frame in (train, test))
    known, asked = (np.sign(part) * np.log1p(np.abs(part)) for part in (known, asked))
    texts, sought = (frame.select(list(TEXTS)).fill_null("").to_numpy() for frame in (train, test))
    configurations, member = np.unique(
        np.concatenate([known, _codes(texts, texts)], axis=1), axis=0, return_inverse=True
    )
    median = np.array([np.median(y[member == number]) for number in range(len(configurations))])
    weight = np.bincount(member)
    wanted = np.concatenate([asked, _codes(texts, sought)], axis=1)
    found, same = np.empty(len(wanted)), np.empty(len(wanted), dtype=np.bool_)
    rows = max(1, _CELLS // configurations.size)
    for start in range(0, len(wanted), rows):
        block = wanted[start : start + rows, None, :]
        size = np.abs(block[:, :, : len(names)] - configurations[None, :, : len(names)]).sum(axis=2)
        other = (block[:, :, len(names) :] != configurations[None, :, len(names) :]).sum(axis=2)
        distance = size + _OTHER_TEXT * other
        least = distance.min(axis=1, keepdims=True)
        for row, near in enumerate(distance <= least + 1e-9):
            found[start + row] = np.median(np.repeat(median[near], weight[near]))
        same[start : start + rows] = least[:, 0] <= 1e-9
    return found, same


def _codes(known: NDArray[np.object_], texts: NDArray[np.object_]) -> NDArray[np.float64]:
    """Texts as numbers by column; one that is not known is -1."""
    columns = []
    for place in range(known.shape[1]):
        codes = {text: float(code) for code, text in enumerate(sorted(set(known[:, place])))}
        columns.append([codes.get(text, -1.0) for text in texts[:, place]])
    return np.array(columns).T


def _boosted(train: TaskRecords, test: TaskRecords, seed: int) -> Predicted:
    names = (*NUMBERS, *train.extra)
    texts, sought = (part.frame.select(list(TEXTS)).fill_null("").to_numpy() for part in (train, test))

    def matrix(part: TaskRecords, own: NDArray[np.object_]) -> NDArray[np.float64]:
        numbers = part.frame.select(names).cast(pl.Float64).fill_null(np.nan).to_numpy()
        codes = _codes(texts, own)
        return np.concatenate([numbers, np.where(codes < 0, np.nan, codes)], axis=1)

    x, asked, y = matrix(train, texts), matrix(test, sought), np.log1p(train.frame[TARGET].to_numpy())
    categories = list(range(len(names), len(names) + len(TEXTS)))

    def predicted(more: Mapping[str, object]) -> NDArray[np.float64]:
        data = lightgbm.Dataset(x, y, categorical_feature=categories)
        booster = lightgbm.train({**_PARAMETERS, "seed": seed, **more}, data, _ROUNDS)
        return np.asarray(np.expm1(booster.predict(asked)))

    quantiles = [predicted({"objective": "quantile", "alpha": level}) for level in LEVELS]
    return {
        "LightGBM L1": predicted({"objective": "regression_l1"}),
        "LightGBM quantiles": np.sort(np.stack(quantiles, axis=1), axis=1),
    }
