"""Predictors: named prediction tasks. One file each; `load` finds one by its name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from jobcast_export.graph import Block
from jobcast_proto.manifest import InputSpec

from jobcast_training.statistics import CategoryTable

_MODULES = {"hpc-runtime": "hpc_runtime"}


@dataclass(frozen=True)
class Predictor:
    """What a prediction task is made of.

    Attributes:
        name: such as `hpc-runtime`.
        inputs: raw inputs of the graph, with units.
        target: record column that is predicted, `target_unit` its unit.
        limit: record column that no prediction exceeds.
        categories: text columns that have statistics.
        extra: inputs that many callers cannot give; the trees are also fitted to jobs without them.
        feature_blocks: the features, from the categories' tables and the local time's offset in seconds.
    """

    name: str
    inputs: Sequence[InputSpec]
    target: str
    target_unit: str
    limit: str
    categories: Sequence[str]
    extra: Sequence[str]
    feature_blocks: Callable[[Mapping[str, CategoryTable], int], Sequence[Block]]


def load(name: str) -> Predictor:
    """Return the predictor of that name; raises KeyError when there is none."""
    module = import_module(f"{__name__}.{_MODULES[name]}")
    predictor: Predictor = module.PREDICTOR
    return predictor
