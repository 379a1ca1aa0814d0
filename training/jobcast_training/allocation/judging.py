"""A bundle that is there already, judged on records: what `evaluate` and `--evaluate-only` do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from jobcast_proto import bundle
from jobcast_proto.fault import BundleFault
from jobcast_proto.manifest import Manifest
from numpy.typing import NDArray

from jobcast_training.about import fingerprint
from jobcast_training.allocation.assembly import answer
from jobcast_training.allocation.baselines import simple
from jobcast_training.allocation.deciding import Objective, Outcomes
from jobcast_training.allocation.declaration import TIME, Predictor
from jobcast_training.allocation.encoding import feeds_of
from jobcast_training.allocation.history import Past, ended_before
from jobcast_training.allocation.pipeline import outcomes_of
from jobcast_training.allocation.records import AllocationRecords, RecordError
from jobcast_training.allocation.scores import allocation_scores, censored_note, request_scores, scores
from jobcast_training.allocation.settings import SERVED


@dataclass(frozen=True)
class Judged:
    """A bundle beside the request and simple predictors, on the same records.

    Attributes:
        name: of the bundle, with its version.
        outcomes: records and the bundle's quantiles.
        allocated: by the bundle, shape [n].
        scores: of the bundle, see `scores.scores`.
        others: figures of the request, over the records that have one, and of the baselines, by name.
        notes: which rows were judged, in sentences.
    """

    name: str
    outcomes: Outcomes
    allocated: NDArray[np.float64]
    scores: Mapping[str, float]
    others: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = field(default=())


def judge(folder: Path, predictor: Predictor, records: AllocationRecords, objective: Objective) -> Judged:
    """Judge a version's folder on records, with the history that was known of each.

    Of the very records that the bundle was trained from only the test period is judged.

    Raises:
        RecordError: the folder is no bundle of this predictor, or its files were changed; the message names it.
    """
    stored = _stored(folder, predictor)
    manifest = stored.manifest
    frame, past = records.frame, Past.of(predictor, records.frame)
    start, notes = _start(manifest, records)
    at = np.arange(start, frame.height)
    told = answer(stored.model, feeds_of(predictor, frame[at], past.rows(at)))
    outcomes, allocated = outcomes_of(predictor, frame, at, told.quantiles), told.allocation
    simply = simple(predictor, frame, ended_before(frame, start), objective) if start else {}
    others = {name: own[at] for name, own in simply.items()}
    found = {name: allocation_scores(outcomes, own, objective) for name, own in others.items()}
    return Judged(
        f"{folder.parent.name}/{folder.name}",
        outcomes,
        allocated,
        scores(outcomes, allocated, objective),
        request_scores(outcomes, objective) | found,
        (*notes, *censored_note(outcomes, predictor.unit)),
    )


def _stored(folder: Path, predictor: Predictor) -> bundle.Stored:
    try:
        stored = bundle.read(folder)
    except (OSError, BundleFault) as error:
        raise RecordError(f"{folder}: is no bundle: {error}") from error
    manifest = stored.manifest
    declared = {one.name for one in predictor.inputs()}
    if manifest.allocation is None or {one.name for one in manifest.inputs} != declared:
        raise RecordError(f"{folder}: is no bundle of {predictor.name}, but of {manifest.predictor}")
    if tuple(manifest.quantile_levels) != SERVED:
        raise RecordError(
            f"{folder}: serves other quantile levels than this version of {predictor.name}; train it anew"
        )
    return stored


def _start(manifest: Manifest, records: AllocationRecords) -> tuple[int, list[str]]:
    """The first row to judge, and what to say of it."""
    data, frame = manifest.training_data, records.frame
    if data.sha256 == fingerprint(frame):
        left = data.test_rows
        return frame.height - left, [
            f"the bundle was trained from these records: the last {left:,}, its test period, are judged"
        ]
    end = datetime.fromisoformat(data.end).timestamp() if data.end else None
    early = int((frame[TIME] <= end).sum()) if end is not None else 0
    if not early:
        return 0, []
    return 0, [
        f"{early:,} records lie before {data.end}, the end of the bundle's data; if it saw them, this flatters it"
    ]
