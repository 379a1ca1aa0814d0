"""The task predictor as a whole: its parts put together, opened when the server starts and closed when it stops."""

import os
import secrets
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path

import structlog

from jobcast_server.admission import Admission
from jobcast_server.errors import StartupError
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.readiness import Readiness
from jobcast_server.repository.repository import Repository
from jobcast_server.rest.body import Bodies
from jobcast_server.settings import Settings
from jobcast_server.taskpredictor import scratch
from jobcast_server.taskpredictor.bundles import Bundles
from jobcast_server.taskpredictor.cache import Cache
from jobcast_server.taskpredictor.directory import Directory
from jobcast_server.taskpredictor.endpoints import TaskEndpoints
from jobcast_server.taskpredictor.ledger import Ledger, Prediction
from jobcast_server.taskpredictor.others import Counts, Nobody
from jobcast_server.taskpredictor.outcomes import Outcomes
from jobcast_server.taskpredictor.plane import Plane
from jobcast_server.taskpredictor.predictions import Predictions
from jobcast_server.taskpredictor.reports import Reports
from jobcast_server.taskpredictor.socket import Socket
from jobcast_server.taskpredictor.tables import Tables
from jobcast_server.taskpredictor.training import Trainer
from jobcast_server.workers.link import Link
from jobcast_server.workers.passing import Passing

log = structlog.get_logger()


class TaskPredictor:
    """Everything behind the contract.

    Attributes:
        bundles: to be refreshed whenever the repository changes.
        predictions, socket, endpoints: what answers requests.
    """

    def __init__(
        self, settings: Settings, repository: Repository[Model], admission: Admission, workers: Executor,
        readiness: Readiness, metrics: Metrics, bodies: Bodies, link: Link | None = None,
    ) -> None:  # fmt: skip
        run = secrets.token_hex(4) + (f"w{link.seat.number}" if link else "")
        others = link or Nobody()
        self._keeps = link is None or link.seat.first
        self._named = bool(settings.tables)
        folder = settings.store.parent / "tables" if not settings.tables else Path(settings.tables)
        cache = Cache(settings.prediction_cache, settings.prediction_cache_ttl)
        self._ledger = ledger = Ledger(run, settings.remembered_predictions)
        self._repository = repository
        self._tables = Tables(folder, settings.default_lookup_table, settings.levels, workers)
        self._store = Outcomes(settings.store, settings.outcome_retention_days)
        self._trainer = Trainer(settings.trainer, settings.models, run, settings.max_trainings, self._load)
        self.bundles = Bundles(repository)
        plane = Plane(
            self.bundles, ledger, cache, admission, workers, levels=settings.levels, distance=settings.lookup_distance
        )
        rows = settings.max_batch_rows
        self._reports = Reports(plane, ledger, self._store, rows, others)
        self._directory = Directory(self.bundles, self._tables, ledger, cache)
        metrics.add(self._directory.collect)
        self.predictions = Predictions(plane, self._tables, metrics, bodies, rows)
        self.socket = Socket(self.predictions, plane, metrics)
        kind = TaskEndpoints if self._keeps else Passing
        self.endpoints = kind(
            plane, self._tables, self._trainer, self._reports, self._store, self._directory, readiness, bodies, rows,
            others,
        )  # fmt: skip

    def open(self) -> None:
        """Read the default table and the outcomes of earlier runs, and clear what killed trainings left.

        Raises:
            StartupError: one of them cannot be read, or lies where no file can be.
        """
        if self._keeps:
            scratch.clear()
            _look("store", self._store.path.parent)
            if not os.path.isdir(self._tables.folder):  # one that is there may be for reading alone
                _look("tables", self._tables.folder)
                if self._named:
                    log.warning("tables are not there: the first makes the folder", path=str(self._tables.folder))
        self._tables.preload()
        if self._keeps:
            self._reports.recall(self._store.recall())

    def recall(self, identities: Iterable[str]) -> dict[str, Prediction]:
        """Predictions made here, by their ids, for another worker that got their outcomes."""
        return self._ledger.recall(identities)

    def counts(self) -> Counts:
        """Predictions made here, by key and method, for the worker that lists them."""
        return self._directory.counts()

    async def stop(self) -> None:
        """End trainings."""
        await self._trainer.close()

    def close(self) -> None:
        """Write the outcomes that wait."""
        self._store.close()

    async def _load(self, name: str) -> int:
        """Load the newest version of a model that was just trained; gives its version."""
        await self._repository.follow(name)
        return self._repository.get(name).bundle.manifest.version


def _look(option: str, folder: Path) -> None:
    """Look at a folder that files will be written to; one that cannot be written to now may be later on.

    Raises:
        StartupError: it is no folder, nor can it be made.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not there.is_dir():
        raise StartupError(f"{option}: {folder} cannot be a folder: {there} is none; name another with --{option}")
    if not os.access(there, os.W_OK | os.X_OK):
        log.warning(f"{option} cannot be written", path=str(folder), reason=f"{there} may not be written to")
