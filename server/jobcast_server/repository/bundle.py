"""A bundle is believed only after it is checked, and loaded from the very bytes that were checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from jobcast_proto import bundle as stored
from jobcast_proto.bundle import LARGEST
from jobcast_proto.fault import BundleFault
from jobcast_proto.manifest import GoldenRows, InputSpec, Manifest
from numpy.typing import NDArray

from jobcast_server import forest
from jobcast_server.errors import BundleError
from jobcast_server.native import Builder, Core, NativeError, NativeSession
from jobcast_server.repository.session import Feeds, Runs, Session

log = structlog.get_logger()

__all__ = ["LARGEST", "Bundle", "Check", "load", "read_manifest", "tensor"]


@dataclass(frozen=True)
class Bundle:
    """A verified version of a predictor, ready to answer.

    Attributes:
        golden_ulps: largest difference to the golden rows; 0 on the kind of machine that exported the bundle.
        example: the first golden row, for warming up.
        forests: how the core computes the graph's trees; empty where onnxruntime's own operator does.
        core: the native engine; None where Python answers.
        fused: which plain operators of the graph the core computes; empty where onnxruntime computes them all.
    """

    manifest: Manifest
    session: Runs
    golden_ulps: int
    example: Feeds
    forests: tuple[str, ...]
    core: Core | None = None
    fused: tuple[str, ...] = ()

    @property
    def forest(self) -> str:
        """`native` or `stock`: whose operator computes the trees."""
        return "native" if self.forests else "stock"

    @property
    def engine(self) -> str:
        """`native` or `python`: who answers what is plainly valid."""
        return "native" if self.core else "python"


PYTHON = Builder("python", max_rows=1, contract=False)
"""Makes no native engine."""

Check = Callable[[Manifest], None]
"""Raises BundleError for a manifest that does not fit what the predictor is served through."""


def load(
    folder: Path, provider: str = "cpu", allowed_ulps: int = 0, check: Check = lambda manifest: None,
    trees: forest.Wanted = "stock", builder: Builder = PYTHON,
) -> Bundle:  # fmt: skip
    """Read and verify one version folder.

    With `auto` trees the native core computes them if it is there and the golden rows come out as they have to; if they
    do with onnxruntime's own operator alone, a warning says why. `builder` makes the native engine.

    Raises:
        BundleError: names the folder, what is wrong with it and how to mend it.
    """
    try:
        files = stored.read(folder)
        reason: Exception | None = None
        if trees != "stock":
            try:
                for native in forest.rewrite(files.model):
                    try:
                        return _verified(files, provider, allowed_ulps, check, builder, native)
                    except Exception as error:
                        reason = error
                if reason is not None:
                    raise reason
            except Exception as error:
                if trees == "native":
                    raise
                reason = error
        bundle = _verified(files, provider, allowed_ulps, check, builder)
        if reason is not None:
            tell = log.info if isinstance(reason, forest.AbsentError) else log.warning
            tell("trees are computed by onnxruntime", bundle=str(folder), reason=str(reason))
        return bundle
    except (BundleError, BundleFault, forest.ForestError, NativeError) as error:
        raise BundleError(f"bundle {folder}: {error}") from None
    except Exception as error:  # whatever else bad data makes numpy or onnxruntime raise: the bundle is at fault
        raise BundleError(f"bundle {folder}: cannot be computed: {error}") from None


def _verified(
    files: stored.Stored, provider: str, allowed_ulps: int, check: Check, builder: Builder,
    native: forest.Native | None = None,
) -> Bundle:  # fmt: skip
    """The bundle, once its schema is the graph's and its golden rows come out."""
    manifest = files.manifest
    before = forest.newest() if native else 0
    session = Session(native.model, provider, native.library) if native else Session(files.model, provider)
    forests, fused = (forest.reports(before), forest.fused(before)) if native else ((), ())
    stored.check_schema(manifest, session.inputs(), session.outputs())
    check(manifest)
    golden = files.golden()
    feeds = {spec.name: tensor(spec, golden) for spec in manifest.inputs}
    example = {name: values[:1] for name, values in feeds.items()}
    session.run(example)  # onnxruntime plans memory for the shapes of the first pass alone: single rows gain most
    outputs = session.run(feeds)
    worst = stored.check_golden(manifest, golden, [output.tolist() for output in outputs], allowed_ulps)
    core = builder.build(manifest, native.model if native else files.model, feeds, outputs)
    runs = session if core is None else NativeSession(core, manifest)
    return Bundle(manifest, runs, worst, example, forests, core, fused)


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
