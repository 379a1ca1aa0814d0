"""The task predictor as a whole: its parts put together, opened when the server starts and closed when it stops."""

import secrets
from concurrent.futures import Executor
from pathlib import Path

from jobcast_server.admission import Admission
from jobcast_server.metrics import Metrics
from jobcast_server.model import Model
from jobcast_server.readiness import Readiness
from jobcast_server.repository.repository import Repository
from jobcast_server.rest.body import Bodies
from jobcast_server.settings import Settings
from jobcast_server.taskpredictor.bundles import Bundles
from jobcast_server.taskpredictor.cache import Cache
from jobcast_server.taskpredictor.directory import Directory
from jobcast_server.taskpredictor.endpoints import TaskEndpoints
from jobcast_server.taskpredictor.ledger import Ledger
from jobcast_server.taskpredictor.outcomes import Outcomes
from jobcast_server.taskpredictor.plane import Plane
from jobcast_server.taskpredictor.predictions import Predictions
from jobcast_server.taskpredictor.reports import Reports
from jobcast_server.taskpredictor.socket import Socket
from jobcast_server.taskpredictor.tables import Tables
from jobcast_server.taskpredictor.training import Trainer


class TaskPredictor:
    """Everything behind the contract.

    Attributes:
        bundles: to be refreshed whenever the repository changes.
        predictions, socket, endpoints: what answers requests.
    """

    def __init__(
        self, settings: Settings, repository: Repository[Model], admission: Admission, workers: Executor,
        readiness: Readiness, metrics: Metrics, bodies: Bodies,
    ) -> None:  # fmt: skip
        run = secrets.token_hex(4)
        folder = settings.store.parent / "tables" if not settings.tables else Path(settings.tables)
        cache = Cache(settings.prediction_cache, settings.prediction_cache_ttl)
        ledger = Ledger(run, settings.remembered_predictions)
        self._repository = repository
        self._tables = Tables(folder, settings.default_lookup_table, settings.levels, workers)
        self._store = Outcomes(settings.store, settings.outcome_retention_days)
        self._trainer = Trainer(settings.trainer, settings.models, run, settings.max_trainings, self._load)
        self.bundles = Bundles(repository)
        plane = Plane(
            self.bundles, ledger, cache, admission, workers, levels=settings.levels, distance=settings.lookup_distance
        )
        rows = settings.max_batch_rows
        self._reports = Reports(plane, ledger, self._store, rows)
        directory = Directory(self.bundles, self._tables, ledger, cache)
        metrics.add(directory.collect)
        self.predictions = Predictions(plane, self._tables, metrics, bodies, rows)
        self.socket = Socket(self.predictions, plane, metrics)
        self.endpoints = TaskEndpoints(
            plane, self._tables, self._trainer, self._reports, self._store, directory, readiness, bodies, rows
        )

    def open(self) -> None:
        """Read the default table and the outcomes of earlier runs.

        Raises:
            StartupError: one of them cannot be read.
        """
        self._tables.preload()
        self._reports.recall(self._store.recall())

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
