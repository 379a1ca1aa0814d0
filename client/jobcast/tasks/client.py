"""The blocking client of the task-time service: one pool of connections, safe to share between threads."""

import time
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, TypeVar, Unpack

import httpx

from jobcast.access import AccessFields
from jobcast.closing import Closing, closed
from jobcast.errors import JobcastError
from jobcast.tasks import call, exchange
from jobcast.tasks.answers import (
    Acknowledgement,
    Acknowledgements,
    BatchPrediction,
    ServiceHealth,
    TaskKey,
    TaskModel,
    TaskPrediction,
    Training,
    WrittenTable,
)
from jobcast.tasks.call import DEFAULT_CONFIDENCE, DEFAULT_RANGE, HARDLY_ANY, Call, Trace
from jobcast.waiting import limit

T = TypeVar("T")


class PredictorClient(Closing):
    """Predicts task times over REST; use it as a context manager, or call `close`. Times are in ms.

    Every method raises `InvalidInput` (with the server's field, rule and value), `NotFound`, `Overloaded`,
    `Unavailable`, `DeadlineExceeded` or `ServerFault` when there is no answer.
    """

    def __init__(
        self, base_url: str = exchange.DEFAULT_URL, *, timeout: float | None = 10.0, retries: int = 2,
        **access: Unpack[AccessFields],
    ) -> None:  # fmt: skip
        """Make the client; nothing is sent before the first call.

        Args:
            base_url: where the service is, `http://HOST:PORT`.
            timeout: seconds to connect, and for each wait for more of an answer; None = no limit.
            retries: how often a broken connection is tried again, after 0.1, 0.2, 0.4 ... s. An answer of any status
                and a timeout never are; what must not happen twice is not, once it was sent.
            **access: `token`, `tls_ca`, `tls_cert` and `tls_key`; see `AccessFields`.

        Raises:
            InvalidInput: an argument breaks its rule.
        """
        self.base_url = exchange.address(base_url)
        self.timeout = limit(timeout)
        self.retries = exchange.tries(retries)
        self._http = httpx.Client(timeout=timeout, **exchange.access(self.base_url, access))

    def is_available(self) -> bool:
        """Whether the service is there and can answer predictions; never raises, never tries again."""
        try:
            return self._send(call.HEALTH, retries=0).ready
        except JobcastError:
            return False

    def health(self) -> ServiceHealth:
        """State of the service."""
        return self._send(call.HEALTH)

    def predict(
        self, model_type: str, metadata: Mapping[str, Any], *, confidence_level: float = DEFAULT_CONFIDENCE
    ) -> TaskPrediction:
        """Predict one task from flat metadata: numbers of the task, and identity fields as texts."""
        return self._send(call.flat(model_type, metadata, confidence_level))

    def get_median_prediction(self, model_type: str, metadata: Mapping[str, Any]) -> float:
        """The time in ms that half of such tasks do not exceed."""
        return call.middle(self.predict(model_type, metadata, confidence_level=HARDLY_ANY))

    def get_prediction_range(
        self, model_type: str, metadata: Mapping[str, Any], confidence_level: float = DEFAULT_RANGE
    ) -> tuple[float, float]:
        """The ends in ms of the central interval that holds the time with this probability."""
        return call.ends(self.predict(model_type, metadata, confidence_level=confidence_level))

    def predict_single(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        trace: Trace, confidence_level: float = DEFAULT_CONFIDENCE, *, lookup_table: bool = False,
        lookup_table_name: str | None = None,
    ) -> TaskPrediction:  # fmt: skip
        """Predict one task of a key, which is given in its five parts or as `*TaskKey(...)`.

        Args:
            trace: `input_feature` (a list of {param_name, val}, or name -> number), `hardware_info` if known.
            confidence_level: of `interval`, in (0, 1).
            lookup_table: look in a table first: `lookup_table_name`, or the one that the service preloads.
        """
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return self._send(call.single(key, trace, confidence_level, lookup_table, lookup_table_name))

    def predict_batch(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        traces: Iterable[Trace], confidence_level: float = DEFAULT_CONFIDENCE, *, lookup_table: bool = False,
        lookup_table_name: str | None = None,
    ) -> BatchPrediction:  # fmt: skip
        """Predict many tasks of a key in one request; a wrong one has `status` `error` and hurts no other."""
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return self._send(call.batch(key, traces, confidence_level, lookup_table, lookup_table_name))

    def predict_table(
        self, model_type: str, model_name: str, hardware: str, software_name: str, software_version: str,
        traces: Iterable[Trace] | PathLike[str], confidence_level: float = DEFAULT_CONFIDENCE, *,
        table_name: str | None = None,
    ) -> WrittenTable:  # fmt: skip
        """Have the service write a lookup table for traces, given as such or as the path of a JSON file."""
        key = TaskKey(model_type, model_name, hardware, software_name, software_version)
        return self._send(call.table(key, traces, confidence_level, table_name))

    def get_available_models(self) -> tuple[TaskModel, ...]:
        """Models by type and name, with what was predicted for each key and how good it was."""
        return self._send(call.MODELS)

    def train(self, config: Mapping[str, Any], *, wait: bool = True) -> Training:
        """Train a bundle for one key; sent once at most.

        Args:
            config: the five identity fields, and `traces` with `duration_ms` or `from_outcomes`.
            wait: return when the new version serves, however long that takes; else at once with a `job`.

        Raises:
            Conflict: the key is being trained already.
        """
        return self._send(call.train(config, wait))

    def training(self, job: str) -> Training:
        """How a training stands."""
        return self._send(call.training(job))

    def report_outcome(self, prediction_id: str, duration_ms: float) -> Acknowledgement:
        """Report what a predicted task really took; returns once it is on the service's disk."""
        report = {"prediction_id": prediction_id, "duration_ms": duration_ms}
        return self._send(call.outcome(report)).results[0]

    def report_outcomes(self, outcomes: Iterable[Mapping[str, Any]]) -> Acknowledgements:
        """Report many: `duration_ms`, with `prediction_id` or with the identity fields and `input_feature`."""
        return self._send(call.outcomes(outcomes))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, asked: Call[T], retries: int | None = None) -> T:
        if self._http.is_closed:
            raise closed()
        request = self._http.build_request(
            asked.method, self.base_url + asked.path, **exchange.options(asked, self.timeout)
        )
        pauses = exchange.pauses(self.retries if retries is None else retries)
        while True:
            try:
                response = self._http.send(request, stream=True)
                break
            except httpx.TransportError as error:
                pause = next(pauses, None) if exchange.again(asked, error) else None
                if pause is None:
                    raise exchange.failed(error, self.base_url, self.timeout) from error
                time.sleep(pause)
        try:
            response.read()
        except httpx.RequestError as error:
            raise exchange.failed(error, self.base_url, self.timeout) from error
        return exchange.told(asked, response, self.base_url)
