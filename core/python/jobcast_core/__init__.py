"""The native core: the forest operator of onnxruntime, and the rewriting of graphs to it."""

from jobcast_core._core import Kernel, kernels, library_path, rewrite
from jobcast_core._core import versions as _versions

__all__ = ["Kernel", "kernels", "library_path", "rewrite", "versions"]


def versions() -> dict[str, str]:
    """Return the core's version, the least C interface of onnxruntime it needs, and the kernels that run here."""
    return dict(_versions())
