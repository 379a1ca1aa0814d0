"""Model families: how one kind of model is fitted, searched and turned into trees or weights.

A new family is one new module here with a `FAMILY`, or one in an installed package (see `catalogue`); nothing else
names it.
"""

from jobcast_training.families.catalogue import (
    TASK_TYPES,
    FamilyError,
    TaskType,
    chosen,
    classification,
    load,
    names,
    regression,
)
from jobcast_training.families.constant import constant_classes, constant_quantiles
from jobcast_training.families.gaps import every_class
from jobcast_training.families.interface import (
    Classified,
    Family,
    Fit,
    FitClasses,
    Fitted,
    Rows,
    Task,
    normalised,
)
from jobcast_training.families.trial import refuse_parameters

__all__ = [
    "TASK_TYPES",
    "Classified",
    "Family",
    "FamilyError",
    "Fit",
    "FitClasses",
    "Fitted",
    "Rows",
    "Task",
    "TaskType",
    "chosen",
    "classification",
    "constant_classes",
    "constant_quantiles",
    "every_class",
    "load",
    "names",
    "normalised",
    "refuse_parameters",
    "regression",
]
