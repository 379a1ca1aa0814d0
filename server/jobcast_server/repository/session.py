"""One loaded graph: raw columns in, predictions out. Threads do not spin and providers are never guessed."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # has to stand before onnxruntime loads

import onnxruntime as ort

from jobcast_server.errors import BundleError, StartupError

PROVIDERS = {"cpu": "CPUExecutionProvider", "coreml": "CoreMLExecutionProvider"}

Feeds = dict[str, NDArray[np.generic]]
"""Input columns by name, each [N, ...]."""

Outputs = tuple[NDArray[np.float32], ...]


def choose(provider: str) -> str:
    """The provider to use: `auto` is `cpu`, because tree operators have no CoreML kernel.

    Raises:
        StartupError: this machine's onnxruntime does not have the provider.
    """
    name = "cpu" if provider == "auto" else provider
    if PROVIDERS[name] not in ort.get_available_providers():
        raise StartupError(f"provider: {name} is not available in onnxruntime {ort.__version__} here; use auto or cpu")
    return name


class Runs(ABC):
    """Runs a graph on one thread per call; calls from several threads may overlap.

    Attributes:
        observe: called with the seconds of every run.
    """

    def __init__(self) -> None:
        self.observe: Callable[[float], object] = lambda seconds: None

    @abstractmethod
    def run(self, feeds: Feeds) -> Outputs:
        """The graph's outputs [N, ...] in its own order."""


class Session(Runs):
    """A graph that onnxruntime holds for Python."""

    def __init__(self, model: bytes, provider: str, library: str | None = None) -> None:
        """Take the graph's bytes and the library of operators it needs, if any.

        Raises:
            BundleError: onnxruntime refuses graph or library.
        """
        super().__init__()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 3
        names = [PROVIDERS[provider]] if provider == "cpu" else [PROVIDERS[provider], PROVIDERS["cpu"]]
        try:
            if library:
                options.register_custom_ops_library(library)
            self._session = ort.InferenceSession(model, options, providers=names)
        except Exception as error:  # onnxruntime raises a type of its own per status
            raise BundleError(f"model.onnx: onnxruntime refuses it: {error}") from None
        self._names = [item.name for item in self._session.get_outputs()]

    def inputs(self) -> list[tuple[str, str, list[Any]]]:
        """Name, type and shape of every input, as the graph declares them."""
        return [(item.name, item.type, list(item.shape)) for item in self._session.get_inputs()]

    def outputs(self) -> list[tuple[str, str, list[Any]]]:
        """Name, type and shape of every output."""
        return [(item.name, item.type, list(item.shape)) for item in self._session.get_outputs()]

    def run(self, feeds: Feeds) -> Outputs:
        """The graph's outputs [N, ...] in its own order."""
        start = time.perf_counter()
        outputs = self._session.run(self._names, feeds)
        self.observe(time.perf_counter() - start)
        return cast(Outputs, tuple(outputs))


def admit_library(path: str) -> None:
    """Show a library of operators to onnxruntime, and so onnxruntime to the library."""
    ort.SessionOptions().register_custom_ops_library(path)


def version() -> str:
    """Version of onnxruntime."""
    return str(ort.__version__)
