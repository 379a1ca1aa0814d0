"""The native core: operators of onnxruntime, the rewriting of graphs to it, and the engine of requests."""

from jobcast_core._core import (
    INTERFACE,
    Admitted,
    Counter,
    Engine,
    Features,
    Histogram,
    InferRequest,
    Kernel,
    Listener,
    Panicked,
    Passes,
    Places,
    Rate,
    features,
    fuse,
    kernels,
    library_path,
    read_infer,
    rewrite,
    split,
)
from jobcast_core._core import versions as _versions

__all__ = [
    "INTERFACE",
    "Admitted",
    "Counter",
    "Engine",
    "Features",
    "Histogram",
    "InferRequest",
    "Kernel",
    "Listener",
    "Panicked",
    "Passes",
    "Places",
    "Rate",
    "features",
    "fuse",
    "kernels",
    "library_path",
    "read_infer",
    "rewrite",
    "split",
    "versions",
]


def versions() -> dict[str, str]:
    """Return the core's version, the least C interface of onnxruntime it needs, and the kernels that run here."""
    return dict(_versions())
