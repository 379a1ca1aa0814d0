"""A trained model as a Python object: raw records in, amounts out, the same to the bit as a server gives.

Nothing is unpickled and nothing of the bundle is executed but its graph, after its hashes and golden rows were checked.
Needs the extra `local`: onnxruntime and numpy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobcast_proto.manifest import Manifest

from jobcast.errors import BadBundle, NotFound
from jobcast.graph import Graph
from jobcast.job import suggestion
from jobcast.records import Records

import numpy as np  # isort: skip - the line before says which extra is missing
from numpy.typing import NDArray  # isort: skip

GOLDEN_STEPS = 4
"""Float32 steps by which golden rows may differ: as many as a server allows unless told otherwise."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The predictive distribution of n records, all amounts in `unit`; float32 values as float64, unchanged.

    Attributes:
        quantiles: [n, levels], ascending in every row. levels: in (0, 1), ascending.
        point: the point prediction [n].
        allocation: the recommended amount [n]; None where the bundle recommends none.
        interval: [n, 2], lower and upper. interval_levels: the levels of the two.
        outputs: everything that the graph answered, by name.
        ignored: columns of the records that stand for no input.
    """

    quantiles: Floats
    levels: tuple[float, ...]
    point: Floats
    allocation: Floats | None
    interval: Floats
    interval_levels: tuple[float, float]
    unit: str
    outputs: Mapping[str, Floats]
    ignored: tuple[str, ...]

    @property
    def recommended(self) -> Floats:
        """The allocation where the bundle recommends one, else the point prediction [n]."""
        return self.point if self.allocation is None else self.allocation


class DeployableModel:
    """A verified bundle in this process. Threads may share it.

    Attributes:
        folder: of the version. manifest: what it says of itself.
    """

    def __init__(self, folder: Path, graph: Graph) -> None:
        self.folder = folder
        self.manifest = graph.manifest
        self._graph = graph
        self._records = Records(self.manifest.inputs)
        self._units = {spec.name: spec.unit for spec in self.manifest.outputs}
        if not {"quantiles", "point"} <= self._units.keys():
            raise BadBundle(f"bundle {folder}: must have the outputs quantiles and point, has {sorted(self._units)}")

    @classmethod
    def load(cls, path: str | Path, *, golden_ulps: int = GOLDEN_STEPS) -> "DeployableModel":
        """Load a bundle.

        Args:
            path: folder of a version such as `models/build-memory/3`, or of a model, whose highest version is taken.
            golden_ulps: float32 units in the last place by which an answer may differ from the golden rows.

        Raises:
            NotFound: there is no bundle at the path; says what is there.
            BadBundle: it is damaged, altered, or does not answer as when it was exported.
        """
        folder = version_folder(Path(path))
        return cls(folder, Graph(folder, golden_ulps))

    def predict(self, raw_frame: Any) -> Floats:
        """The recommended amount [n] in the manifest's unit: `allocation` where the bundle has it, else the point.

        Args:
            raw_frame: n raw records: a polars or pandas frame, a mapping of columns, or a list of mappings.

        Raises:
            InputError: at least one record cannot be read; tells every problem by row, and nothing is predicted.
        """
        return self.predict_distribution(raw_frame).recommended

    def predict_distribution(self, raw_frame: Any) -> Forecast:
        """Quantiles, point, allocation and interval of n raw records, as `predict` takes them. Raises as it does."""
        batch = self._records.read(raw_frame)
        answers = self._graph.run(batch.columns, batch.rows)
        outputs = {name: values.astype(np.float64) for name, values in answers.items()}
        manifest, quantiles = self.manifest, outputs["quantiles"]
        places = [manifest.quantile_levels.index(level) for level in manifest.interval_levels]
        return Forecast(
            quantiles=quantiles,
            levels=tuple(manifest.quantile_levels),
            point=outputs["point"].reshape(-1),
            allocation=outputs["allocation"].reshape(-1) if "allocation" in outputs else None,
            interval=quantiles[:, places],
            interval_levels=manifest.interval_levels,
            unit=self._units["point"],
            outputs=outputs,
            ignored=batch.ignored,
        )

    def get_model_info(self) -> dict[str, Any]:
        """What the bundle says of itself, as plain data."""
        told = self.manifest.model_dump(mode="json")
        return {
            "model_type": told["model_type"],
            "task_type": task_type(self.manifest),
            "predictor": told["predictor"],
            "version": told["version"],
            "created": told["created"],
            "unit": self._units["point"],
            "inputs": told["inputs"],
            "outputs": told["outputs"],
            "quantile_levels": told["quantile_levels"],
            "interval_levels": told["interval_levels"],
            "allocation": told["allocation"],
            "training_data": told["training_data"],
            "metrics": {"validation": told["validation"], "test": told["test"]},
            "calibration": told["calibration"],
            "families": told["ensemble_weights"],
            "features": told["feature_names"],
            "libraries": told["libraries"],
        }


def task_type(manifest: Manifest) -> str:
    """`classification` where every family with a weight tells classes, `regression` where none does, else both."""
    kinds = {
        "classification" if name.endswith("_classification") else "regression"
        for name, weight in manifest.ensemble_weights.items()
        if weight > 0
    }
    return " and ".join(sorted(kinds)) or "regression"


def version_folder(path: Path) -> Path:
    """The folder of the version that a path means.

    Raises:
        NotFound: there is none; says what is there instead.
    """
    if (path / "manifest.json").is_file():
        return path
    if not path.is_dir():
        beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
        near = suggestion(path.name, sorted(beside)) if beside else ""
        raise NotFound(f"{path}: there is no such folder{near}; name a model such as models/build-memory, or a version")
    versions = [int(one.name) for one in path.iterdir() if one.name.isdecimal() and (one / "manifest.json").is_file()]
    if versions:
        return path / str(max(versions))
    models = sorted({one.parent.parent.name for one in path.glob("*/*/manifest.json")})
    what = f"a repository of {', '.join(models)}: name one of them" if models else "no bundle: it has no versions"
    raise NotFound(f"{path}: is {what}, such as models/build-memory")
