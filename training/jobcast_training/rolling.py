"""A log walked in time, as an operator would have lived it: refit, predict, learn of the outcome, go on.

At a moment only jobs that had ended strictly before it are known. Every job submitted after the start of the walk is
predicted exactly once, by the model of the latest refit and the offsets of its own submission; its outcome is looked
at when it ends, never before.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from jobcast_export.graph import feature_graph
from jobcast_export.model import mixing_matrix
from numpy.typing import NDArray

from jobcast_training import families
from jobcast_training.about import LIBRARIES, fingerprint, installed_version
from jobcast_training.adaptive import OnlineCalibration, Outcomes
from jobcast_training.columns import input_columns
from jobcast_training.ensemble import choose_weights
from jobcast_training.families import Rows
from jobcast_training.features import CHUNK_ROWS, feature_session
from jobcast_training.history import History, groups
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.localtime import standard_offset
from jobcast_training.periods import TrainingError
from jobcast_training.predictors import Predictor
from jobcast_training.records import Records
from jobcast_training.statistics import fit_statistics
from jobcast_training.targets import limits_hold
from jobcast_training.walk_state import WalkState

DAY = 86_400.0
START_JOBS = 1_000
"""Jobs that must have ended before the first is predicted; no refit ever uses fewer."""

TUNE_SHARE = 0.1
GROUPS = (("partition",), ("user",), ("user", "processors_req", "wallclock_req"))
"""Columns whose values together have offsets of their own, besides those of all jobs."""

STEPS = (0.003, 0.003, 0.01, 0.01)
"""Moves of the offsets of all jobs, then of each of `GROUPS`, at level 0.5, in log1p seconds."""

LIMIT_MARGIN = 0.06
"""Share of the suggested limit's allowed misses that its offset saves up: outcomes of long jobs come late, which leaves
every level a little low."""


@dataclass(frozen=True)
class Settings:
    """How a log is walked.

    Attributes:
        cadence_days: days from one refit to the next.
        window_days: a refit uses jobs submitted in the latest so many days.
        rows: most jobs of a refit; of more, a random sample is taken.
        families: names of the model families, weighed against each other at every refit.
        seed: of everything random.
        online: how the offsets move, see `adaptive.ONLINE`.
    """

    cadence_days: float = 7.0
    window_days: float = 100.0
    rows: int = 60_000
    families: tuple[str, ...] = ("lightgbm",)
    seed: int = 1
    online: str = "tracking"


@dataclass(frozen=True)
class Forecasts:
    """What a walk predicted for the records from `first` on, each made when the job was submitted.

    Attributes:
        first: row of the first predicted job.
        levels: quantile levels, ascending.
        quantiles: served quantiles in the target's unit, shape [jobs, levels].
        uncalibrated: the same before the online offsets.
        cap: what each was capped at, infinity where limits are unknown or do not hold, shape [jobs].
        refits: number of models; `kept` of them were fitted by an earlier start.
    """

    first: int
    levels: tuple[float, ...]
    quantiles: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    cap: NDArray[np.float64]
    refits: int
    kept: int


OnRefit = Callable[[int, int, NDArray[np.bool_]], None]
"""Hears, after each refit's jobs, how many are predicted, of how many, and which of the new ones stayed below the
0.9 quantile."""


def walk(
    predictor: Predictor,
    records: Records,
    hyper: Hyperparameters,
    settings: Settings,
    *,
    state: WalkState | None = None,
    on_refit: OnRefit = lambda done, total, below: None,
) -> Forecasts:
    """Walk a log and return what was predicted on the way.

    Args:
        predictor: what to predict.
        records: one log.
        hyper: hyper-parameters; the split by shares is not used.
        settings: how to walk.
        state: where the walk is kept, to go on after a stop; None keeps nothing.
        on_refit: hears of progress.

    Raises:
        TrainingError: fewer than `START_JOBS` jobs had ended before the last one was submitted.
    """
    frame = records.frame
    submit, end = frame["submit_time"].to_numpy(), frame["end_time"].to_numpy()
    first, moments = refit_moments(submit, end, settings.cadence_days)
    if not len(moments):
        raise TrainingError(
            f"{records.source}: a walk starts when {START_JOBS:,} jobs have ended; of {frame.height:,} jobs "
            f"{int(np.sum(end < submit[-1])) if frame.height else 0:,} had ended when the last was submitted"
        )
    refit = Refit(
        predictor, records, History.of(records), hyper, settings, standard_offset(records.timezone, submit[-1])
    )
    limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
    run = frame[predictor.target].to_numpy()
    cap, outcome = np.empty_like(limit), np.empty_like(run)
    members = np.stack([groups(frame, keys) for keys in GROUPS], axis=1)
    promised = hyper.quantiles.limit
    aims = {promised: promised + LIMIT_MARGIN * (1 - promised)}
    calibration = OnlineCalibration(hyper.quantiles.levels, members.max(axis=0) + 1, STEPS, aims, settings.online)
    edges = [first, *(int(np.searchsorted(submit, moment)) for moment in moments[1:]), frame.height]
    raw_parts, served_parts, kept = [], [], 0
    for number, (start, stop) in enumerate(pairwise(edges)):
        capped = refit.capped(moments[number], start)
        raw = state.load(number) if state else None
        kept += raw is not None
        if raw is None:
            raw = refit.predict(moments[number], start, stop, capped)
            if state:
                state.save(number, raw)
        rows = slice(start, stop)
        cap[rows] = limit[rows] if capped else np.inf
        outcome[rows] = np.log1p(np.minimum(run[rows], cap[rows]))
        served = calibration.follow(
            raw, Outcomes(submit[rows], end[rows], outcome[rows], np.log1p(cap[rows]), members[rows])
        )
        raw_parts.append(raw)
        served_parts.append(served)
        on_refit(stop - first, frame.height - first, outcome[rows] <= served[:, hyper.quantiles.levels.index(0.9)])
    said = cap[first:, None]
    return Forecasts(
        first,
        hyper.quantiles.levels,
        in_seconds(np.concatenate(served_parts), said),
        in_seconds(np.sort(np.concatenate(raw_parts), axis=1), said),
        cap[first:],
        len(moments),
        kept,
    )


def refit_moments(
    submit: NDArray[np.float64], end: NDArray[np.float64], cadence_days: float
) -> tuple[int, NDArray[np.float64]]:
    """Return the first row that is predicted, and the time of each refit that has a job to predict.

    The first refit lies at the first submission before which `START_JOBS` jobs had ended, the others whole cadences
    later; a cadence without a submission has none.
    """
    if len(submit) < START_JOBS:
        return len(submit), np.empty(0)
    first = int(np.searchsorted(submit, np.sort(end)[START_JOBS - 1], side="right"))
    if first == len(submit):
        return first, np.empty(0)
    numbers = np.unique((submit[first:] - submit[first]) // (cadence_days * DAY))
    return first, submit[first] + numbers * cadence_days * DAY


def in_seconds(quantiles: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles of log1p seconds as seconds within 0 and the limit; at the limit exactly it."""
    return np.where(quantiles >= np.log1p(limit), limit, np.clip(np.expm1(quantiles), 0.0, limit))


@dataclass(frozen=True)
class Refit:
    """Fits the model of a moment and predicts the jobs that come after it."""

    predictor: Predictor
    records: Records
    history: History
    hyper: Hyperparameters
    settings: Settings
    utc_offset_s: int

    def predict(self, moment: float, start: int, stop: int, capped: bool) -> NDArray[np.float64]:
        """Return uncalibrated quantiles of log1p seconds for rows [start, stop), shape [stop - start, levels].

        Category statistics come from the jobs before the window (at least the oldest quarter of what is known), trees
        from those in it. Where limits hold, a job stopped at its limit counts with its limit: no served quantile
        exceeds that, and the quantiles of min(run time, limit) are those of the run time, capped (Powell, 1986).
        """
        frame, predictor, settings = self.records.frame, self.predictor, self.settings
        known, old = self._known(moment, start)
        tables = fit_statistics(
            frame[known[:old]], predictor.categories, prior_jobs=self.hyper.prior_jobs, max_keys=self.hyper.max_keys
        )
        blocks = predictor.feature_blocks(tables, self.utc_offset_s)
        session = feature_session(feature_graph(blocks, predictor.inputs))
        rng = np.random.default_rng([settings.seed, start])
        chosen = known[old:]
        if len(chosen) > settings.rows:
            chosen = np.sort(rng.choice(chosen, settings.rows, replace=False))
        run = frame[predictor.target].to_numpy()
        limit = frame[predictor.limit].cast(pl.Float64).fill_null(np.nan).to_numpy()
        most = limit[chosen] if capped else np.inf
        usual = float(np.median(run[known]))
        scale = np.log1p(np.where(np.isnan(limit), usual, limit))
        rows = Rows(self._features(session, chosen), np.log1p(np.fmin(run[chosen], most)) - scale[chosen])
        held = rng.random(len(chosen)) < TUNE_SHARE
        model = self._fit(rows, held)
        x = self._features(session, np.arange(start, stop))
        return model(x) + scale[start:stop, None]

    def capped(self, moment: float, start: int) -> bool:
        """Whether predictions keep within the requested limit: only where the jobs known by then did."""
        known, _ = self._known(moment, start)
        jobs = self.records.frame[known]
        limit = jobs[self.predictor.limit].cast(pl.Float64).fill_null(np.inf).to_numpy()
        return limits_hold(jobs[self.predictor.target].to_numpy(), limit)

    def _known(self, moment: float, start: int) -> tuple[NDArray[np.int64], int]:
        """The rows of the ended jobs that a refit uses, and how many of them are for the category statistics."""
        submit, end = (self.records.frame[name].to_numpy()[:start] for name in ("submit_time", "end_time"))
        window = self.settings.window_days * DAY
        known = np.flatnonzero(end < moment)
        recent = known[submit[known] >= moment - 2 * window]
        known = recent if len(recent) >= START_JOBS else known[-START_JOBS:]
        old = max(len(known) // 4, int(np.searchsorted(submit[known], moment - window)))
        return known, min(old, len(known) - START_JOBS // 2)

    def _features(self, session: Any, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of ascending rows, computed chunk by chunk over the range they span."""
        parts = []
        for start in range(int(rows[0]), int(rows[-1]) + 1, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, int(rows[-1]) + 1)
            wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            if len(wanted):
                feeds = input_columns(self.records.frame, self.history, self.predictor.inputs, start, stop)
                parts.append(session.run(None, dict(feeds))[0][wanted - start])
        return np.concatenate(parts)

    def _fit(self, rows: Rows, held: NDArray[np.bool_]) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
        trained = self.hyper.quantiles.trained
        fit, tune = Rows(rows.x[~held], rows.y[~held]), Rows(rows.x[held], rows.y[held])
        fitted = {
            name: families.regression(name).fit(
                fit, tune, trained, self.hyper.families[name], self.settings.seed, lambda: None
            )
            for name in self.settings.families
        }
        weights = choose_weights(tune.y, {name: one.predict(tune.x) for name, one in fitted.items()}, trained)
        mixing = mixing_matrix(trained, self.hyper.quantiles.levels)
        return lambda x: (
            sum(weights[name] * one.predict(x) for name, one in fitted.items() if weights[name] > 0) @ mixing
        )


def identity(records: Records, hyper: Hyperparameters, settings: Settings) -> dict[str, object]:
    """Return what a walk's uncalibrated predictions depend on, as plain data: the log, settings, libraries' versions.

    The online calibration follows from them, so that one state serves every way of it.
    """
    settled = {name: value for name, value in asdict(settings).items() if name != "online"}
    return {
        "log": fingerprint(records.frame),
        "timezone": records.timezone,
        **settled,
        "hyperparameters": asdict(hyper),
        "libraries": {
            name: installed_version(name) for name in ("jobcast-training", "numpy", "onnxruntime", *LIBRARIES)
        },
    }
