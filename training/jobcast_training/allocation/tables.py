"""Statistics of the words of a record: what earlier jobs of the same process, branch or compiler needed.

A word is a text field or one of its parts. The tables of the served graph are fitted to every row of the fit; a row of
the fit itself is looked up in tables of the other folds, so that no row contributes to a statistic that explains it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.allocation.declaration import AMOUNT, Predictor, Text

STATISTICS = ("mean", "spread", "jobs")
"""Shrunk mean and standard deviation of ln(amount), ln(1 + number of jobs)."""

MISSING, UNKNOWN = 0, 1
"""Rows of every table: text not given (NaN), text never seen (the statistics of all jobs)."""


@dataclass(frozen=True)
class Word:
    """A text that has statistics.

    Attributes:
        name: of its features.
        field: text field that it is of.
        part: place among the field's parts; -1 = the whole text.
    """

    name: str
    field: Text
    part: int = -1


@dataclass(frozen=True)
class Table:
    """Statistics of one word: `keys[i]` has row `i + 2` of `rows`, float32 [keys + 2, 3]."""

    keys: tuple[str, ...]
    rows: NDArray[np.float32]


def words(predictor: Predictor) -> tuple[Word, ...]:
    """Return the words of a predictor's records: every text, and every part of one that is not a number.

    A text without statistics is left out, its parts are not.
    """
    found = []
    for one in predictor.texts:
        if one.statistics:
            found.append(Word(one.name, one))
        found += [
            Word(f"{one.name}_{part}", one, place) for place, part in enumerate(one.parts) if part not in one.numbers
        ]
    return tuple(found)


def word_column(frame: pl.DataFrame, word: Word) -> pl.Series:
    """Return a word of every record; '' where it is not given.

    The graph splits the text by the same rule: all separators count, parts beyond the named ones are left out.
    """
    text = frame[word.field.name].fill_null("")
    if word.part < 0:
        return text
    return text.str.split(word.field.separator).list.get(word.part, null_on_oob=True).fill_null("")


def fit_tables(predictor: Predictor, frame: pl.DataFrame, *, prior_jobs: float, max_keys: int) -> Mapping[str, Table]:
    """Fit one table for each word; the `max_keys` most frequent values are kept.

    A value seen n times has the moments of its own jobs (weight n) and of all jobs (weight `prior_jobs`).
    """
    log = np.log(frame[AMOUNT].to_numpy())
    overall = (float(log.mean()), float((log**2).mean()))
    found = {}
    for word in words(predictor):
        table = pl.DataFrame({"key": word_column(frame, word), "log": log}).filter(pl.col("key") != "")
        groups = table.group_by("key").agg(jobs=pl.len(), mean=pl.col("log").mean(), square=(pl.col("log") ** 2).mean())
        kept = groups.sort(["jobs", "key"], descending=[True, False]).head(max_keys)
        found[word.name] = Table(tuple(kept["key"].to_list()), _rows(kept, overall, prior_jobs))
    return found


def _rows(kept: pl.DataFrame, overall: tuple[float, float], prior_jobs: float) -> NDArray[np.float32]:
    jobs = kept["jobs"].to_numpy().astype(np.float64)
    mean = (kept["mean"].to_numpy() * jobs + overall[0] * prior_jobs) / (jobs + prior_jobs)
    square = (kept["square"].to_numpy() * jobs + overall[1] * prior_jobs) / (jobs + prior_jobs)
    own = np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0.0)), np.log1p(jobs)], axis=1)
    spread = np.sqrt(max(overall[1] - overall[0] ** 2, 0.0))
    first = np.array([[np.nan, np.nan, np.nan], [overall[0], spread, 0.0]])
    return np.vstack([first, own.reshape(-1, 3)]).astype(np.float32)


def tokens(predictor: Predictor, frame: pl.DataFrame, most: int) -> Mapping[str, Sequence[str]]:
    """Return the most frequent words of every text that is a list of words, by field; most frequent first.

    Spaces around a word are no part of it, here and in the graph.
    """
    found = {}
    for one in predictor.texts:
        if one.tokens:
            each = frame[one.name].drop_nulls().str.split(one.tokens).explode().drop_nulls().str.strip_chars(" ")
            counts = each.filter(each != "").value_counts().sort(["count", one.name], descending=[True, False])
            found[one.name] = tuple(counts[one.name].head(most).to_list())
    return found
