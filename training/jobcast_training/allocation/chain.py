"""Forward chaining: every block of the training period is predicted by a fit to everything before it.

The pooled predictions choose members and weights, calibrate the quantiles and decide the allocation. They lie later
than the fits that made them, as all calibration must, yet all rows are left to the last fit (rolling-origin evaluation:
Tashman, 2000; its residuals as conformal scores: Xu and Xie, "Conformal prediction for time series", 2023).
The last fit knows more than the chained ones, so that the offsets err to the careful side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobcast_training.allocation.binning import BinnedModel
from jobcast_training.allocation.declaration import TIME, Predictor
from jobcast_training.allocation.encoding import Encoded, training_rows
from jobcast_training.allocation.fitting import LEAST_FIT, QuantileModel, Step, fitted_members
from jobcast_training.allocation.history import Past, ended_before
from jobcast_training.allocation.records import RecordError
from jobcast_training.allocation.settings import SERVED, Settings
from jobcast_training.censoring import draw_above


@dataclass(frozen=True)
class Chained:
    """Predictions of rows later than the fit that made them.

    Attributes:
        row: of the records, ascending, shape [m].
        log_anchor: shape [m].
        log_amount: shape [m]; of a censored row a draw above what it was seen to use.
        served: ln(amount / anchor) at the served levels by member, not calibrated, shape [m, served] each.
        edges: ln(amount / anchor) that the threshold of a classification takes bins to, by member, shape [m] each.
    """

    row: NDArray[np.int64]
    log_anchor: NDArray[np.float64]
    log_amount: NDArray[np.float64]
    served: Mapping[str, NDArray[np.float64]]
    edges: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Link:
    """A block of rows, and the rows it is predicted by.

    Attributes:
        row: of the block, in the records, ascending.
        fit: rows that had ended when the block began, as a fit should see them.
        held: the block.
    """

    row: NDArray[np.int64]
    fit: Encoded
    held: Encoded


def links(rows: int, settings: Settings) -> Sequence[tuple[int, int]]:
    """Return [start, stop) of each predicted block of `rows` rows in order of time."""
    edges = np.linspace(settings.first_share * rows, rows, settings.links + 1).astype(int)
    return [(int(start), int(stop)) for start, stop in pairwise(edges) if start < stop]


def chain(
    predictor: Predictor,
    frame: pl.DataFrame,
    past: Past,
    names: Sequence[str],
    settings: Settings,
    seed: int,
    step: Step,
) -> Chained:
    """Predict the later blocks of `frame`, each by a fit to the rows that had ended when the block began.

    Args:
        predictor: what to predict.
        frame: records of the training period in order of time.
        past: of these records.
        names: members, such as `xgboost_regression`.
        settings: of the fits.
        seed: of everything random.
        step: hears of each fitted member.
    """
    parts = []
    for block in links(frame.height, settings):
        link = prepared(predictor, frame, past, block, settings, seed)
        parts.append(predicted(link, names, settings, seed, step))
    return pooled(parts)


def prepared(
    predictor: Predictor, frame: pl.DataFrame, past: Past, block: tuple[int, int], settings: Settings, seed: int
) -> Link:
    """Encode a block [start, stop) of `frame`, and the rows before it that had ended when it began.

    Raises:
        RecordError: too few had.
    """
    start, stop = block
    before = ended_before(frame, start)
    if len(before) < LEAST_FIT:
        raise RecordError(
            f"only {len(before)} jobs had ended when record {start + 1} was submitted, at {frame[TIME][start]:.0f} s; "
            f"it takes {LEAST_FIT} to predict the later ones by: give records of a longer time"
        )
    encoder, rows = training_rows(predictor, frame[before], past.rows(before), settings, seed)
    at = np.arange(start, stop)
    return Link(at, rows, encoder.rows(frame[at], past.rows(at)))


def predicted(link: Link, names: Sequence[str], settings: Settings, seed: int, step: Step) -> Chained:
    """Predict a block by the members fitted to the rows before it."""
    members, held = fitted_members(link.fit, names, settings, seed, step), link.held
    served = {name: own.served(held.x) for name, own in members.items()}
    edges = _edges(members, held, settings.threshold)
    return Chained(link.row, held.log_anchor, _uncensored(held, served, seed), served, edges)


def pooled(parts: Sequence[Chained]) -> Chained:
    """Join the predictions of blocks in order."""

    def joined(own: Callable[[Chained], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate([own(part) for part in parts])

    first = parts[0]
    return Chained(
        np.concatenate([part.row for part in parts]),
        joined(lambda part: part.log_anchor),
        joined(lambda part: part.log_amount),
        {name: np.concatenate([part.served[name] for part in parts]) for name in first.served},
        {name: np.concatenate([part.edges[name] for part in parts]) for name in first.edges},
    )


def _edges(
    members: Mapping[str, QuantileModel | BinnedModel], held: Encoded, threshold: float | None
) -> dict[str, NDArray[np.float64]]:
    if threshold is None:
        return {}
    return {name: own.log_edge(held.x, threshold) for name, own in members.items() if isinstance(own, BinnedModel)}


def _uncensored(held: Encoded, served: Mapping[str, NDArray[np.float64]], seed: int) -> NDArray[np.float64]:
    """The amounts, those of censored rows drawn from what the members say lies above them."""
    at = np.flatnonzero(held.censored)
    log_amount = held.log_amount.copy()
    if len(at):
        mean = np.mean([own[at] for own in served.values()], axis=0) + held.log_anchor[at, None]
        log_amount[at] = draw_above(log_amount[at], mean, SERVED, seed)
    return log_amount
