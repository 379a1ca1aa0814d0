"""A log and what the server says of it: each job is predicted with what was known when it was submitted.

Predictions are kept: the same job at the same moment has the same answer, so that going back asks nothing anew.
"""

from typing import Any

import numpy as np
from jobcast import Batch, InferenceClient
from jobcast.values import Value
from jobcast_proto.manifest import Schema
from numpy.typing import NDArray

from jobcast_ui.simulation.log import Log
from jobcast_ui.simulation.past import Job, Past, histories_of

LARGEST = 1000
"""Jobs of one request at most: more would hold up the page."""

Floats = NDArray[np.float64]


class Replay:
    """Predictions of the first jobs of a log, as many as were asked for.

    Attributes:
        done: how many.
        quantiles: of all jobs, shape [n, levels]. points, allocations: shape [n]. NaN where not predicted; allocations
            all NaN where the model recommends nothing.
        histories: history inputs that are filled from the log itself.
    """

    def __init__(self, log: Log, schema: Schema, most_rows: int) -> None:
        """`most_rows`: that one request to the server may have."""
        self.log = log
        self.schema = schema
        self.done = 0
        self.quantiles: Floats = np.full((log.jobs, len(schema.quantile_levels)), np.nan)
        self.points: Floats = np.full(log.jobs, np.nan)
        self.allocations: Floats = np.full(log.jobs, np.nan)
        self._most = max(1, min(most_rows, LARGEST))
        self._widths = {spec.name: int(np.prod(spec.shape[1:])) for spec in schema.inputs}
        histories = histories_of(list(self._widths))
        self._past = Past(histories, self._widths) if histories else None
        self.histories = tuple(name for name in (histories.names if histories else ()) if name not in log.given)

    def predict(self, client: InferenceClient, jobs: int) -> None:
        """Have the first `jobs` jobs predicted; those that are already are not asked for again.

        Raises:
            JobcastError: no answer, or a row was refused; what was answered before is kept.
        """
        while self.done < min(jobs, self.log.jobs):
            stop = min(self.done + self._most, jobs, self.log.jobs)
            batch = self._batch(self.done, stop)
            try:
                outputs = client.infer(self.schema, batch)
            except BaseException:
                self._begin_anew()
                raise
            chosen = slice(self.done, stop)
            self.quantiles[chosen] = outputs["quantiles"]
            self.points[chosen] = np.ravel(outputs["point"])
            if "allocation" in outputs:
                self.allocations[chosen] = np.ravel(outputs["allocation"])
            self.done = stop

    def batch(self, first: int, stop: int) -> Batch:
        """The inputs with which jobs [first, stop) are predicted, their histories included; for looking closer."""
        other = Replay(self.log, self.schema, self._most)
        other._batch(0, first)
        return other._batch(first, stop)

    def _batch(self, first: int, stop: int) -> Batch:
        log, columns = self.log, dict[str, list[Value]]()
        for name, values in log.batch.columns.items():
            width = self._widths[name]
            columns[name] = values[first * width : stop * width]
        if self._past is not None and self.histories:
            told = [self._past.submitted(self._job(place)) for place in range(first, stop)]
            for name in self.histories:
                columns[name] = [value for row in told for value in row[name]]
        return Batch(stop - first, columns)

    def _job(self, place: int) -> Job:
        log = self.log
        groups: dict[str, Any] = {
            name: values[place] for name, values in log.batch.columns.items() if self._widths[name] == 1
        }
        return Job(groups, float(log.submit[place]), float(log.end[place]), float(log.actual[place]))

    def _begin_anew(self) -> None:
        """Bring the past back to where the predictions are, after a request that failed."""
        histories = histories_of(list(self._widths))
        if histories is not None:
            self._past = Past(histories, self._widths)
            for place in range(self.done):
                self._past.submitted(self._job(place))
