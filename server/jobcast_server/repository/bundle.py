"""A bundle is believed only after it is checked, and loaded from the very bytes that were checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jobcast_proto import bundle as stored
from jobcast_proto.bundle import LARGEST
from jobcast_proto.fault import BundleFault
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest
from numpy.typing import NDArray

from jobcast_server.errors import BundleError
from jobcast_server.repository.session import Feeds, Session

__all__ = ["LARGEST", "Bundle", "Check", "load", "read_manifest", "tensor"]


@dataclass(frozen=True)
class Bundle:
    """A verified version of a predictor, ready to answer.

    Attributes:
        golden_ulps: largest difference to the golden rows; 0 on the kind of machine that exported the bundle.
        example: the first golden row, for warming up.
    """

    manifest: Manifest
    session: Session
    golden_ulps: int
    example: Feeds


Check = Callable[[Manifest], None]
"""Raises BundleError for a manifest that does not fit what the predictor is served through."""


def load(folder: Path, provider: str = "cpu", allowed_ulps: int = 0, check: Check = lambda manifest: None) -> Bundle:
    """Read and verify one version folder.

    Raises:
        BundleError: names the folder, what is wrong with it and how to mend it.
    """
    try:
        files = stored.read(folder)
        manifest = files.manifest
        session = Session(files.model, provider)
        stored.check_schema(manifest, session.inputs(), session.outputs())
        check(manifest)
        golden = files.golden()
        feeds = {spec.name: tensor(spec, golden) for spec in manifest.inputs}
        answers = [output.tolist() for output in session.run(feeds)]
        worst = stored.check_golden(manifest, golden, answers, allowed_ulps)
        return Bundle(manifest, session, worst, {name: values[:1] for name, values in feeds.items()})
    except (BundleError, BundleFault) as error:
        raise BundleError(f"bundle {folder}: {error}") from None
    except Exception as error:  # whatever else bad data makes numpy or onnxruntime raise: the bundle is at fault
        raise BundleError(f"bundle {folder}: cannot be computed: {error}") from None


def read_manifest(folder: Path) -> Manifest:
    """A version's manifest, without a look at its other files.

    Raises:
        BundleError: it is not a regular file, too large, or not a manifest.
    """
    try:
        return stored.read_manifest(folder)
    except BundleFault as error:
        raise BundleError(str(error)) from None


def tensor(spec: InputSpec, golden: GoldenRows) -> NDArray[np.generic]:
    """One input of the golden rows [N, ...]."""
    values = golden.inputs.get(spec.name)
    if not values:
        raise BundleError(f"golden.json: inputs: {spec.name} is missing")
    if spec.type == "string":
        return np.array(values, object).reshape(-1, 1)
    kind = np.int64 if spec.type == "int64" else np.float64
    return np.array(values, kind).reshape(-1, *spec.shape[1:])  # null becomes NaN
