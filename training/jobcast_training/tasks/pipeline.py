"""From task records to a candidate: cross-fit for weights and calibration, then one fit to every row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jobcast_export.forest import Forest, merge_levels
from jobcast_export.model import mixing_matrix
from jobcast_export.parity import Reference, threshold_rows
from jobcast_export.scaled import ScaledCandidate, ScaledHead, scaled_model
from jobcast_proto.manifest import TaskKey
from numpy.typing import NDArray
from onnx import ModelProto

from jobcast_training.predictors.llm_latency import OWN_GROUPS
from jobcast_training.tasks.about import about_tasks
from jobcast_training.tasks.card import task_card
from jobcast_training.tasks.crossfit import (
    Weights,
    cross_fit,
    group_offsets,
    honest_quantiles,
    novel_misses,
    row_folds,
    weights_of,
)
from jobcast_training.tasks.fitting import Fit, fit
from jobcast_training.tasks.golden import golden_inputs
from jobcast_training.tasks.matrices import feeds_of, run
from jobcast_training.tasks.records import TARGET, TaskRecords, TaskSourceError
from jobcast_training.tasks.scores import quantile_scores
from jobcast_training.tasks.settings import SERVED, TRAINED, Settings

LEAST_ROWS = 20
_PARITY_ROWS = 2_000

Step = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """A fitted and calibrated predictor.

    Attributes:
        fit: to all records.
        weights: of the families at each trained level.
        head: from the trees' sums to the answer.
        served: the whole graph.
        scores: out-of-fold, offsets from the other folds.
    """

    fit: Fit
    weights: Weights
    head: ScaledHead
    served: ModelProto
    scores: Mapping[str, float]

    @property
    def forests(self) -> dict[str, Forest]:
        """Trees by family."""
        return {name: own.forest for name, own in self.fit.fitted.items()}

    def predict(self, records: TaskRecords) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quantiles in ms [n, served] and the number of facts outside [n], from the served graph itself."""
        feeds = feeds_of(records.frame, self.fit.known.extra)
        quantiles, outside = run(self.served, ["quantiles", "outside"], feeds)
        return quantiles.astype(np.float64), outside[:, 0].astype(np.float64)


def fit_model(records: TaskRecords, settings: Settings, seed: int, step: Step) -> Model:
    """Fit and calibrate on all records.

    Args:
        records: task records.
        settings: of the fits.
        seed: of folds and trees.
        step: hears of each finished fit.

    Raises:
        TaskSourceError: there are too few records.
    """
    rows = records.frame.height
    if rows < LEAST_ROWS:
        raise TaskSourceError(f"{records.source}: needs at least {LEAST_ROWS} tasks with a time, got {rows}")
    misses = cross_fit(records, row_folds(rows, settings.row_folds(rows), seed), settings, seed, step)
    weights = weights_of(misses)
    novel = novel_misses(records, settings, seed, step)
    own = fit(records, settings.families(rows), seed)
    step("all rows")
    groups = own.known.groups
    count = max(int(groups.max()) + 1, OWN_GROUPS)
    group = own.rows(records.frame).group
    offsets = group_offsets(misses, novel, weights, group, count)
    quantiles = honest_quantiles(misses, weights, group, count)
    scores = quantile_scores(np.exp(misses.log_time), quantiles) | {"outside": float(np.mean(misses.outside > 0))}
    head = ScaledHead(mixing_matrix(TRAINED, SERVED), offsets, SERVED.index(0.5))
    forests = {name: one.forest for name, one in own.fitted.items()}
    return Model(own, weights, head, scaled_model(own.graph, merge_levels(forests, weights), head), scores)


def fits(records: TaskRecords, settings: Settings) -> int:
    """Number of fits that `fit_model` makes, each a step."""
    from jobcast_training.tasks.crossfit import LEFT_OUT, name_folds

    folds = [name_folds(records.frame, field, settings.name_folds).max() + 1 for field in LEFT_OUT]
    return settings.row_folds(records.frame.height) + int(sum(folds)) + 1


def train(
    records: TaskRecords, settings: Settings, *, seed: int, key: TaskKey | None, name: str | None, step: Step
) -> tuple[ScaledCandidate, Model]:
    """Fit, calibrate and describe.

    Args:
        records: task records.
        settings: of the fits.
        seed: of everything random.
        key: the one key that the model is for; None = all.
        name: of the data in the manifest.
        step: hears of each finished fit.

    Raises:
        TaskSourceError: there are too few records.
    """
    model = fit_model(records, settings, seed, step)
    about = about_tasks(records, model, seed=seed, key=key, name=name)
    x = model.fit.rows(records.frame).x
    held = x[np.random.default_rng(seed).permutation(len(x))[:_PARITY_ROWS]]
    checked = np.concatenate([held, *(threshold_rows(forest, held) for forest in model.forests.values())])
    predictions = {family: own.predict(checked) for family, own in model.fit.fitted.items()}
    candidate = ScaledCandidate(
        feature_graph=model.fit.graph,
        forests=model.forests,
        weights=model.weights,
        head=model.head,
        reference=Reference(checked, len(held), predictions),
        golden_inputs=golden_inputs(model.fit.known, seed),
        about=about,
        card=task_card(about, model, records),
    )
    return candidate, model


def actual(records: TaskRecords) -> NDArray[np.float64]:
    """Times in ms."""
    return records.frame[TARGET].to_numpy()
