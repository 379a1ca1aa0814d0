"""A verified bundle in memory, with everything that answers from it. Made off the event loop, used on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobcast_proto.manifest import Manifest

from jobcast_server.admission import Admission
from jobcast_server.counting import PYTHON, Kinds
from jobcast_server.errors import BundleError
from jobcast_server.gathering import Gathering
from jobcast_server.native import Builder
from jobcast_server.openinference.engine import Engine as TensorEngine
from jobcast_server.openinference.engine import Request
from jobcast_server.openinference.messages import Heads
from jobcast_server.openinference.native import NativeEngine as NativeTensorEngine
from jobcast_server.repository.bundle import Bundle, Check, load
from jobcast_server.repository.card import card
from jobcast_server.rtpredictor import columns
from jobcast_server.rtpredictor.engine import Engine as JobEngine
from jobcast_server.rtpredictor.native import NativeEngine as NativeJobEngine
from jobcast_server.settings import Settings
from jobcast_server.spans import SpannedGathering, SpannedStatistics
from jobcast_server.statistics import Statistics
from jobcast_server.taskpredictor import engine as tasks

PREDICTOR = "hpc-runtime"
"""The predictor behind the contract `rtpredictor.v1`."""

WARM_UPS = 3


class Model:
    """One loaded version.

    Attributes:
        name, version: as in the repository.
        card: its model card, as it was when the version was loaded.
        statistics: what it did, whoever asked.
        tensors, calls: the engine of inference requests, and those of them that wait. heads: what they look like.
        jobs, predictions: the same for the contract; None for another predictor than `PREDICTOR`.
        tasks: the engine of the task predictor's contract; None for a predictor that does not answer it.
    """

    def __init__(
        self, folder: Path, settings: Settings, provider: str, admission: Admission, observe: Callable[[float], None],
        kinds: Kinds = PYTHON,
    ) -> None:  # fmt: skip
        name = folder.parent.name
        engine = settings.engine if provider == "cpu" else "python"
        builder = Builder(engine, settings.max_batch_rows, contract=name == PREDICTOR)
        self.bundle = load(folder, provider, settings.golden_ulps, check_of(name), settings.forest, builder)
        self.name = name
        self.version = str(self.bundle.manifest.version)
        self.card = card(folder.parent)
        traced = bool(settings.otlp_endpoint)
        self.statistics = SpannedStatistics(kinds) if traced else Statistics(kinds)
        for _ in range(WARM_UPS):
            self.bundle.session.run(self.bundle.example)
        self.bundle.session.observe = observe
        self.tensors = _tensors(self.bundle, self.statistics, settings)
        self.heads = Heads(self.tensors.schema, self.version)
        together, queue = settings.dynamic_batching, self.statistics.queue
        gathering: Any = SpannedGathering if traced else Gathering
        self.calls: Gathering[Request] = gathering(
            self.tensors.one, self.tensors.many, admission, queue, together=together
        )
        self.tasks = tasks.Engine(self.bundle, self.statistics, settings.levels) if tasks.serves(name) else None
        self.jobs: JobEngine | None = None
        self.predictions: Gathering[bytes] | None = None
        if name == PREDICTOR:
            _jobs(self.bundle, settings, Statistics()).warm_up()
            self.jobs = _jobs(self.bundle, settings, self.statistics)
            self.predictions = gathering(self.jobs.predict, self.jobs.predict_many, admission, queue, together=together)


def made(
    folder: Path, settings: Settings, provider: str, admission: Admission, observe: Callable[[float], None],
    kinds: Kinds = PYTHON,
) -> Model:  # fmt: skip
    """A version that would answer.

    Raises:
        BundleError: it is refused, also where it verifies and cannot answer.
    """
    try:
        return Model(folder, settings, provider, admission, observe, kinds)
    except BundleError:
        raise
    except Exception as error:  # whatever a bundle makes an engine raise
        raise BundleError(f"bundle {folder}: cannot be warmed up: {error}") from error


def _tensors(bundle: Bundle, statistics: Statistics, settings: Settings) -> TensorEngine:
    most, piece = settings.max_batch_rows, settings.piece_rows
    if bundle.core is None:
        return TensorEngine(bundle, statistics, most, piece)
    return NativeTensorEngine(bundle, statistics, most, piece, core=bundle.core)


def _jobs(bundle: Bundle, settings: Settings, statistics: Statistics) -> JobEngine:
    most, piece = settings.max_batch_rows, settings.piece_rows
    if bundle.core is None:
        return JobEngine(bundle, most, statistics, piece)
    return NativeJobEngine(bundle, bundle.core, most, statistics, piece)


def check_of(name: str) -> Check:
    """What a version of the model of this name has to be beyond a good bundle: able to answer its contract."""
    return columns.check if name == PREDICTOR else tasks.check if tasks.serves(name) else _any


def _any(manifest: Manifest) -> None:
    """A predictor behind no contract of its own may have any inputs and outputs."""
