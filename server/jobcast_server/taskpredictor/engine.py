"""Tasks to forecasts with one loaded bundle. What its inputs are is read from its manifest; nothing is known here.

Any thread may call it. A number that is not given is the manifest's default, or NaN where it has none: not known.
"""

import math
import time
from collections.abc import Sequence

import numpy as np
from jobcast_proto.manifest import Manifest

from jobcast_server.errors import BundleError, InvalidRequestError, NotReadyError, Violation
from jobcast_server.openinference.schema import Input
from jobcast_server.repository.bundle import Bundle
from jobcast_server.repository.session import Feeds
from jobcast_server.statistics import Statistics
from jobcast_server.taskpredictor.forecast import Forecast, forecasts
from jobcast_server.taskpredictor.key import INPUTS
from jobcast_server.taskpredictor.law import law_of
from jobcast_server.taskpredictor.task import Task

PREDICTOR = "llm-latency"
"""The predictor behind this contract: its own bundles answer for every key, those of `PREDICTOR.x` for one."""

OUTPUTS = ("quantiles", "point", "outside")
UNIT = "ms"


def serves(name: str) -> bool:
    """Whether a model of the repository is one of this contract's."""
    return name == PREDICTOR or name.startswith(f"{PREDICTOR}.")


def check(manifest: Manifest) -> None:
    """Accept a bundle that can answer the contract.

    Raises:
        BundleError: inputs, outputs, unit or key are others.
    """
    names = [spec.name for spec in manifest.outputs]
    if names not in (list(OUTPUTS), list(OUTPUTS[:2])):
        raise BundleError(f"manifest.json: outputs: must be {list(OUTPUTS)}, the last may be absent, got {names}")
    if (unit := manifest.outputs[0].unit) != UNIT:
        raise BundleError(f"manifest.json: outputs: the unit of quantiles must be {UNIT}, got {unit!r}")
    for spec in manifest.inputs:
        text = spec.name in INPUTS
        if spec.type != ("string" if text else "float64") or spec.shape != [-1, 1]:
            words = "a text" if text else "a float64 number"
            raise BundleError(f"manifest.json: inputs: {spec.name} must be {words} of shape [-1, 1], got {spec.type}")
    law_of(tuple(manifest.quantile_levels))
    key, name = manifest.task_key, manifest.predictor
    if (key.model(PREDICTOR) if key else PREDICTOR) != name:
        raise BundleError(
            f"manifest.json: task_key: a bundle for one key lies in {key.model(PREDICTOR)}, not in {name}"
            if key
            else f"manifest.json: task_key: must be given for {name}: only {PREDICTOR} is for every key"
        )


class Engine:
    """Answers for one bundle at the quantile levels `levels`.

    Attributes:
        model: its name in the repository. version: its version. graph: hash of its graph.
    """

    def __init__(self, bundle: Bundle, statistics: Statistics, levels: tuple[float, ...]) -> None:
        self._session = bundle.session
        self._statistics = statistics
        self._levels = levels
        self._law = law_of(tuple(bundle.manifest.quantile_levels))
        columns = [Input.of(spec) for spec in bundle.manifest.inputs]
        self._texts = [(column, INPUTS[column.spec.name]) for column in columns if column.datatype == "BYTES"]
        self._columns = [column for column in columns if column.datatype != "BYTES"]
        self._numbers = {column.spec.name: (place, column) for place, column in enumerate(self._columns)}
        self._absent = [math.nan if c.spec.default is None else float(c.spec.default) for c in self._columns]
        self._required = [(p, c) for p, c in self._numbers.values() if c.spec.required and c.spec.default is None]
        self._tells_outside = len(bundle.manifest.outputs) == len(OUTPUTS)
        self.model = bundle.manifest.predictor
        self.version = bundle.manifest.version
        self.graph = bundle.manifest.files["model.onnx"]

    def unused(self, task: Task) -> list[str]:
        """Names that the task gives and this bundle does not use."""
        numbers = self._numbers
        return [*(name for name in task.features if name not in numbers), *task.ignored]

    def check(self, task: Task) -> None:
        """Accept a task whose values keep the manifest's rules.

        Raises:
            InvalidRequestError: one does not; names field, rule and value.
        """
        found = []
        for name, value in task.features.items():
            known = self._numbers.get(name)
            if known is not None and not known[1].low <= value <= known[1].high and value != known[1].spec.missing:
                found.append(Violation(f"{task.where}[{name}]", known[1].problem(value)))
        for _, column in self._required:
            if column.spec.name not in task.features:
                found.append(Violation(f"{task.where}[{column.spec.name}]", "must be given: this bundle needs it"))
        for column, place in self._texts:
            if problem := column.problem(task.key[place] or str(column.spec.default or "")):
                found.append(Violation(column.spec.name, problem))
        if found:
            raise InvalidRequestError(found)

    def compute(self, tasks: Sequence[Task], requests: int = 1) -> list[Forecast]:
        """One forecast for each task; they were checked.

        Raises:
            NotReadyError: the graph gives no finite time.
        """
        start = time.perf_counter()
        feeds = self._feeds(tasks)
        decoded = time.perf_counter()
        outputs = self._session.run(feeds)
        computed = time.perf_counter()
        stated = outputs[0]
        if not np.isfinite(stated).all():
            raise NotReadyError(f"model {self.model}/{self.version}: gives no finite time for this task")
        outside = outputs[2][:, 0].tolist() if self._tells_outside else [0.0] * len(tasks)
        made = forecasts(self._law, stated, outside, self._levels)
        seconds = time.perf_counter() - computed
        self._statistics.passed(len(tasks), requests, decoded - start, computed - decoded, seconds)
        return made

    def _feeds(self, tasks: Sequence[Task]) -> Feeds:
        rows = []
        for task in tasks:
            row = self._absent.copy()
            for name, value in task.features.items():
                known = self._numbers.get(name)
                if known is not None and value != known[1].spec.missing:
                    row[known[0]] = value
            rows.append(row)
        numbers = np.array(rows, np.float64).reshape(len(tasks), -1)
        feeds: Feeds = {column.spec.name: numbers[:, place, None] for place, column in self._numbers.values()}
        for column, place in self._texts:
            absent = str(column.spec.default or "")
            feeds[column.spec.name] = np.array([[task.key[place] or absent] for task in tasks], object)
        return feeds
