"""The native engine: the core answers what is plainly valid, from the request's bytes to the answer's.

Whatever it gives back unanswered goes on to the Python engine with the same bytes, so that every error has one
implementation. It computes in the onnxruntime that Python uses, with a session of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import open_inference_pb2 as pb
import structlog
from jobcast_proto.manifest import InputSpec, Manifest

from jobcast_server import forest
from jobcast_server.errors import StartupError
from jobcast_server.openinference.schema import Input
from jobcast_server.openinference.tensors import encode_texts
from jobcast_server.repository.session import Feeds, Outputs, Runs, admit_library
from jobcast_server.rtpredictor.validate import Rules
from jobcast_server.settings import Engine as Wanted

Seconds = tuple[float, float, float]
"""Decode, compute and encode of one pass."""

KINDS: dict[str, Any] = {"float64": np.dtype("<f8"), "int64": np.dtype("<i8"), "string": None}
"""Numbers of the core by the manifest's types."""

log = structlog.get_logger()


class NativeError(Exception):
    """The core does not answer for a bundle; the message says why."""


class Admitted(Protocol):
    """A request of the Open Inference Protocol that keeps every rule of a bundle."""

    rows: int


class Core(Protocol):
    """What `jobcast_core.Engine` offers; None is for the Python engine to answer."""

    def predict(self, request: bytes) -> tuple[bytes, Seconds] | None:
        """A `PredictRequest`."""

    def predict_many(self, requests: list[bytes]) -> tuple[list[bytes | None], Seconds] | None:
        """Several of them in one pass."""

    def part(self, piece: bytes, most: int) -> tuple[bytes, str, int, Seconds] | None:
        """A piece of a batch of at most `most` jobs: framed answers, batch id, jobs."""

    def run(self, rows: int, columns: list[bytes | list[str]]) -> tuple[list[bytes], Seconds] | None:
        """Rows that Python read and checked."""

    def admit(self, request: Any) -> Admitted | None:
        """Check what `read_infer` read."""

    def infer(self, requests: Sequence[Admitted]) -> tuple[list[bytes], Seconds] | None:
        """Several of them in one pass."""


@dataclass(frozen=True)
class Builder:
    """Makes the native engines of bundles.

    Attributes:
        contract: whether the bundle answers `rtpredictor.v1` too.
    """

    wanted: Wanted
    max_rows: int
    contract: bool

    def build(self, manifest: Manifest, model: bytes, golden: Feeds, outputs: Outputs) -> Core | None:
        """The engine for a graph, once it gives exactly `outputs` for the `golden` rows; None where Python answers.

        Raises:
            NativeError: it is demanded, and there is none or it is refused.
        """
        if self.wanted == "python":
            return None
        try:
            core = self._made(manifest, model)
            for rows in (1, self.max_rows):  # onnxruntime plans memory for the shapes of the first pass alone
                _prove(core, manifest, {name: values[:rows] for name, values in golden.items()}, outputs)
        except Exception as error:  # whatever goes wrong with it, Python can answer
            if self.wanted == "native":
                raise NativeError(f"the native engine is refused: {error}") from None
            tell = log.info if isinstance(error, forest.AbsentError) else log.warning
            tell("requests are answered by Python", model=manifest.predictor, reason=str(error))
            return None
        return core

    def _made(self, manifest: Manifest, model: bytes) -> Core:
        core = forest.core()
        admit_library(core.library_path())
        inputs = [(spec.name, _rule(spec), list(spec.shape[1:])) for spec in manifest.inputs]
        if others := [spec.name for spec in manifest.outputs if spec.type != "float32"]:
            raise NativeError(f"output {others[0]} is not float32")
        outputs = [(spec.name, list(spec.shape[1:])) for spec in manifest.outputs]
        contract = _contract(manifest) if self.contract else None
        made: Core = core.Engine(model, inputs, outputs, str(manifest.version), self.max_rows, contract)
        return made


class NativeSession(Runs):
    """The core's session for what Python answers, so that a bundle has one session only."""

    def __init__(self, core: Core, manifest: Manifest) -> None:
        super().__init__()
        self._core = core
        self._inputs = [(spec.name, KINDS[spec.type]) for spec in manifest.inputs]
        self._tails = [spec.shape[1:] for spec in manifest.outputs]

    def run(self, feeds: Feeds) -> Outputs:
        """The graph's outputs [N, ...] in its own order.

        Raises:
            NativeError: onnxruntime refuses the rows.
        """
        columns: list[bytes | list[str]] = []
        rows = 0
        for name, kind in self._inputs:
            values = feeds[name]
            rows = len(values)
            columns.append(values.reshape(-1).tolist() if kind is None else values.astype(kind, copy=False).tobytes())
        found = self._core.run(rows, columns)
        if found is None:
            raise NativeError("onnxruntime refuses the rows")
        outputs, (_, seconds, _) = found
        self.observe(seconds)
        return tuple(
            np.frombuffer(bytearray(raw), np.float32).reshape(rows, *tail)
            for raw, tail in zip(outputs, self._tails, strict=True)
        )


def reader(wanted: Wanted) -> Callable[[bytes], Any] | None:
    """What reads the structure of an inference request, None for one that is not plain; None where Python does."""
    if wanted == "python":
        return None
    try:
        read: Callable[[bytes], Any] = forest.core().read_infer
        return read
    except forest.ForestError:
        return None


def demand(wanted: Wanted, provider: str) -> None:
    """Check at the start what must be there.

    Raises:
        StartupError: the native engine is demanded, and there is no core, or the provider is none that it has.
    """
    if wanted != "native":
        return
    if provider != "cpu":
        raise StartupError(f"engine: native computes with the provider cpu only, got {provider}; use auto or python")
    try:
        forest.core()
    except forest.ForestError as error:
        raise StartupError(f"engine: native is not available: {error}; build it, or use auto or python") from None


def _rule(spec: InputSpec) -> tuple[Any, ...]:
    """The rule of an input as the core takes it."""
    column = Input.of(spec)
    if spec.type == "string":
        closed = column.rules.closed
        allowed = None if closed is None else {text.encode() for text in closed}
        return spec.required, spec.max_length, allowed, str(spec.default or "").encode()
    if spec.type == "int64":
        if spec.missing is not None:
            raise NativeError(f"input {spec.name}: an integer cannot be not known")
        must = spec.required and spec.default is None
        return int(column.low), int(column.high), None if must else int(spec.default or 0)
    default = float("nan") if spec.default is None else float(spec.default)
    return column.low, column.high, not spec.required, spec.missing, default


def _contract(manifest: Manifest) -> tuple[Any, ...]:
    """What the contract adds: bounds of jobs, and what the outputs are."""
    rules = Rules.of(manifest)
    levels = manifest.quantile_levels
    lower, upper = (levels.index(level) for level in manifest.interval_levels)
    limit = levels.index(manifest.limit_level)
    return list(rules.bounds.values()), list(rules.lengths.values()), rules.times, levels, (lower, upper), limit


def _prove(core: Core, manifest: Manifest, golden: Feeds, outputs: Outputs) -> None:
    """Accept an engine that answers the golden rows with the bits of Python's session.

    Raises:
        NativeError: it does not.
    """
    request = pb.ModelInferRequest(model_name=manifest.predictor)
    for spec in manifest.inputs:
        values = golden[spec.name]
        request.inputs.add(name=spec.name, datatype=Input.of(spec).datatype, shape=values.shape)
        text = spec.type == "string"
        request.raw_input_contents.append(encode_texts(values.reshape(-1).tolist()) if text else values.tobytes())
    read = forest.core().read_infer(request.SerializeToString())
    admitted = core.admit(read) if read is not None else None
    answered = core.infer([admitted]) if admitted is not None else None
    if answered is None:
        raise NativeError("it does not answer the golden rows")
    answer = pb.ModelInferResponse.FromString(answered[0][0])
    rows = len(next(iter(golden.values())))
    for output, raw, expected in zip(manifest.outputs, answer.raw_output_contents, outputs, strict=True):
        if raw != np.ascontiguousarray(expected[:rows]).tobytes():
            raise NativeError(f"it differs from Python in the golden rows' {output.name}")
