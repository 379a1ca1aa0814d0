"""Hyper-parameters: read once from a TOML file over the defaults beside this module; an unknown key is an error."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from jobcast_training import families
from jobcast_training.calibration import jobs_needed

_TABLES = ("split", "statistics", "history", "fitting", "quantiles", "calibration", "censoring")
"""Every other table is a family's."""


class HyperparameterError(ValueError):
    """A hyper-parameter is unknown or out of range; the message names file, key, rule and value."""


@dataclass(frozen=True)
class Split:
    """Shares of the records in order of submission; what is left is the test period."""

    statistics: float
    fit: float
    tune: float
    calibrate: float


@dataclass(frozen=True)
class Quantiles:
    """Levels that are trained and served."""

    trained: tuple[float, ...]
    levels: tuple[float, ...]
    interval: tuple[float, float]
    limit: float


@dataclass(frozen=True)
class Hyperparameters:
    """Everything a training run can be told. `families` holds each family's own parameters by its name."""

    split: Split
    prior_jobs: float
    max_keys: int
    hidden: float
    half_life_days: float
    quantiles: Quantiles
    applied: float
    group_jobs: int
    max_groups: int
    censoring_rounds: int
    families: Mapping[str, Mapping[str, Any]]


def load(path: Path | None = None, *, walk: bool = False) -> Hyperparameters:
    """Return the defaults, those of a rolling `walk` or of one training, overridden by the keys of a TOML file.

    Raises:
        HyperparameterError: a key is unknown, has the wrong type or a value outside its range.
    """
    tree = _own("hyperparameters.toml")
    if walk:
        _merge(tree, _own("walk.toml"), "walk.toml")
    if path is not None:
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise HyperparameterError(f"{path}: {error}") from error
        _merge(tree, given, str(path))
    return _checked(tree, str(path or "hyperparameters.toml"))


def refuse_unfit(path: Path, hyper: Hyperparameters) -> None:
    """Refuse what the libraries refuse of the hyper-parameters that a file told.

    Raises:
        FamilyError: a library does; the message names file and table.
    """
    packaged = load().families
    for name, parameters in hyper.families.items():
        if parameters != packaged[name]:
            families.refuse_parameters(f"{path} [{name}]", name, "regression", parameters)


def _own(name: str) -> dict[str, Any]:
    return tomllib.loads(files("jobcast_training").joinpath(name).read_text(encoding="utf-8"))


def _merge(tree: dict[str, Any], given: Mapping[str, Any], where: str) -> None:
    for table, values in given.items():
        if table not in tree:
            raise HyperparameterError(f"{where}: unknown table [{table}]{_hint(table, tree)}")
        if not isinstance(values, dict):
            raise HyperparameterError(f"{where}: {table} must be a table [{table}], got {values!r}")
        for key, value in values.items():
            if key not in tree[table]:
                raise HyperparameterError(f"{where}: unknown key {table}.{key}{_hint(key, tree[table])}")
            default = tree[table][key]
            if not _fits(value, default):
                kind = "a list of numbers" if isinstance(default, list) else f"of type {type(default).__name__}"
                raise HyperparameterError(f"{where}: {table}.{key} must be {kind}, got {value!r}")
            if isinstance(value, float) and not math.isfinite(value):
                raise HyperparameterError(f"{where}: {table}.{key} must be finite, got {value!r}")
            tree[table][key] = value


def _fits(value: object, default: object) -> bool:
    if isinstance(default, list):
        return isinstance(value, list) and all(_fits(item, 0.5) for item in value)
    kinds = (int, float) if isinstance(default, float) else type(default)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _hint(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _checked(tree: Mapping[str, Any], where: str) -> Hyperparameters:
    def rule(holds: bool, key: str, text: str, value: object) -> None:
        if not holds:
            raise HyperparameterError(f"{where}: {key} must {text}, got {value!r}")

    split = Split(**tree["split"])
    shares = tree["split"]
    for key, share in shares.items():
        rule(0 < share < 1, f"split.{key}", "lie between 0 and 1", share)
    rule(sum(shares.values()) < 1, "split", "leave a share for the test period", sum(shares.values()))
    quantiles = Quantiles(
        trained=tuple(tree["quantiles"]["trained"]),
        levels=tuple(tree["quantiles"]["levels"]),
        interval=tuple(tree["quantiles"]["interval"]),
        limit=tree["quantiles"]["limit"],
    )
    for key, levels in (("trained", quantiles.trained), ("levels", quantiles.levels), ("interval", quantiles.interval)):
        rule(
            all(0 < level < 1 for level in levels) and list(levels) == sorted(set(levels)) and len(levels) > 1,
            f"quantiles.{key}",
            "be ascending numbers between 0 and 1",
            list(levels),
        )
    needed = {*quantiles.interval, quantiles.limit, 0.1, 0.5, 0.9}
    rule(needed <= set(quantiles.levels), "quantiles.levels", f"hold {sorted(needed)}", list(quantiles.levels))
    rule(len(quantiles.interval) == 2, "quantiles.interval", "be two levels", list(quantiles.interval))
    for key, least in (("prior_jobs", 0), ("max_keys", 1)):
        rule(tree["statistics"][key] >= least, f"statistics.{key}", f"be >= {least}", tree["statistics"][key])
    rule(0 <= tree["history"]["hidden"] < 1, "history.hidden", "lie between 0 and 1", tree["history"]["hidden"])
    half_life = tree["fitting"]["half_life_days"]
    rule(half_life >= 0, "fitting.half_life_days", "be >= 0 (0 = no weighting)", half_life)
    applied = tree["calibration"]["applied"]
    rule(0 <= applied <= 1, "calibration.applied", "lie between 0 and 1", applied)
    group_jobs, max_groups = tree["calibration"]["group_jobs"], tree["calibration"]["max_groups"]
    least = jobs_needed(quantiles.levels)
    rule(group_jobs == 0 or group_jobs >= least, "calibration.group_jobs", f"be 0 or >= {least}", group_jobs)
    rule(max_groups >= 1, "calibration.max_groups", "be >= 1", max_groups)
    rule(tree["censoring"]["rounds"] >= 0, "censoring.rounds", "be >= 0", tree["censoring"]["rounds"])
    named = [table for table in tree if table not in _TABLES]
    for name in named:
        for key in ("rounds", "early_stopping_rounds"):
            rule(tree[name][key] >= 1, f"{name}.{key}", "be >= 1", tree[name][key])
    return Hyperparameters(
        split=split,
        prior_jobs=tree["statistics"]["prior_jobs"],
        max_keys=tree["statistics"]["max_keys"],
        hidden=tree["history"]["hidden"],
        half_life_days=tree["fitting"]["half_life_days"],
        quantiles=quantiles,
        applied=applied,
        group_jobs=group_jobs,
        max_groups=max_groups,
        censoring_rounds=tree["censoring"]["rounds"],
        families={name: tree[name] for name in named},
    )
