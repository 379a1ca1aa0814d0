"""Files of hyper-parameters: what a search writes, and what `--config` reads. An unknown name is an error."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobcast_training import families
from jobcast_training.allocation.binning import BIN_COUNT, BIN_STRATEGY
from jobcast_training.allocation.settings import STRATEGIES
from jobcast_training.searching.parameters import toml_text
from jobcast_training.sources.mapping import suggestion

Parameters = Mapping[str, Mapping[str, Any]]

_LEAST = {BIN_COUNT: 2, "rounds": 1}
_BINS: Mapping[str, Any] = {BIN_COUNT: 1, BIN_STRATEGY: ""}
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}


class ParameterError(ValueError):
    """A hyper-parameter is unknown or of the wrong kind; the message names file, key, rule and value."""


def write_parameters(path: Path, parameters: Parameters) -> None:
    """Write the parameters of members, for `read_parameters`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(toml_text(parameters), encoding="utf-8")


def read_parameters(path: Path) -> Parameters:
    """Return what members are told over their families' defaults, by name such as `xgboost_regression`.

    Raises:
        ParameterError: the file cannot be read, is no TOML, names a member or a parameter that there is not, or gives
            one another kind of value.
        FamilyError: a family cannot be loaded.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ParameterError(f"{path}: cannot be read: {cause.strerror}") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise ParameterError(f"{path}: not valid TOML: {cause}") from cause
    for member, told in tables.items():
        if not isinstance(told, dict):
            raise ParameterError(f"{path}: {member} must be a table such as [xgboost_regression], got {told!r}")
        known = _defaults(path, member)
        for key, value in told.items():
            told[key] = _checked(f"{path} [{member}]", key, value, known)
    return tables


def refuse_unfit(place: str, member: str, told: Mapping[str, Any]) -> None:
    """Refuse what the library of a member refuses; raises FamilyError, which begins with the place."""
    name, task = _parted(member)
    own = families.regression(name) if task == "regression" else families.classification(name)
    known = {key: value for key, value in told.items() if key not in _BINS}
    families.refuse_parameters(place, name, task, {**own.defaults, **known})


def _parted(member: str) -> tuple[str, families.TaskType]:
    """Family and task of a member that there is."""
    name, task = member.rsplit("_", 1)
    return name, "regression" if task == "regression" else "classification"


def _defaults(path: Path, member: str) -> Mapping[str, Any]:
    """The parameters of a member with their defaults."""
    members = [f"{name}_{task}" for name in families.names() for task in families.TASK_TYPES]
    if member not in members:
        raise ParameterError(
            f"{path}: unknown table [{member}], {suggestion(member, members)} A table is a family and its task"
        )
    name, task = _parted(member)
    if task == "regression":
        return families.regression(name).defaults
    return {**families.classification(name).defaults, **_BINS}


def _checked(place: str, key: str, value: Any, known: Mapping[str, Any]) -> Any:
    """The value as the library takes it: whole numbers as such, also where they are written 20.0."""
    if key == "early_stopping_rounds":
        raise ParameterError(f"{place}: {key} has no effect, as no rows are held back to stop on; rounds are all grown")
    if key not in known:
        raise ParameterError(f"{place}: unknown parameter {key!r}; {suggestion(key, known)}")
    default = known[key]
    kind = _KINDS.get(type(default))
    if kind is not None and _KINDS.get(type(value)) != kind:
        raise ParameterError(f"{place}: {key} must be {kind} such as {default!r}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{place}: {key} must be a finite number, got {value}")
    if isinstance(default, int) and not isinstance(default, bool):
        if value != int(value):
            raise ParameterError(f"{place}: {key} must be a whole number such as {default}, got {value}")
        value = int(value)
    if key in _LEAST and value < _LEAST[key]:
        raise ParameterError(f"{place}: {key} must be at least {_LEAST[key]}, got {value}")
    if key == BIN_STRATEGY and value not in STRATEGIES:
        raise ParameterError(f"{place}: unknown {key} {value!r}; {suggestion(value, STRATEGIES)}")
    return value
