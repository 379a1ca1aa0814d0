"""The families there are: found, never listed.

A family is a module of this folder that defines `FAMILY`, or what an installed package names in the entry point group
`jobcast.families`. Finding imports nothing: a family that cannot be imported harms only whoever asks for it.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Literal

from jobcast_training.families.interface import Family, Fit, FitClasses, Task

GROUP = "jobcast.families"
"""Entry point group of installed packages: `name = "module:FAMILY"`."""

TaskType = Literal["regression", "classification"]
TASK_TYPES: tuple[TaskType, ...] = ("regression", "classification")

_PACKAGE = "jobcast_training.families"
_DEFINES = re.compile(r"^FAMILY\s*[:=]", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class FamilyError(ValueError):
    """A family is unknown, ambiguous, cannot be loaded or lacks a task; the message names it."""


@dataclass(frozen=True)
class _Source:
    where: str
    load: Callable[[], object]


def names() -> Sequence[str]:
    """Return the names of all families, in alphabetical order.

    Raises:
        FamilyError: two families have one name, or a name is not made of small letters, digits and `_`.
    """
    return tuple(_sources())


def load(name: str) -> Family:
    """Return a family by its name.

    Raises:
        FamilyError: there is none of that name, or its module cannot be imported or is not a family.
    """
    sources = _sources()
    if name not in sources:
        raise FamilyError(f"unknown model family {name!r}{_hint(name, sources)}; families: {', '.join(sources)}")
    source = sources[name]
    try:
        family = source.load()
    except Exception as error:  # whatever a foreign module does when it is imported
        raise FamilyError(
            f"model family {name!r} cannot be loaded from {source.where}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(family, Family):
        raise FamilyError(f"model family {name!r}: {source.where} must be a Family, got {type(family).__name__}")
    if family.name != name:
        raise FamilyError(f"model family {name!r}: {source.where} calls itself {family.name!r}; the two must be alike")
    return family


def regression(name: str) -> Task[Fit]:
    """Return how a family is fitted to quantiles; raises FamilyError when it is unknown or cannot be."""
    task = load(name).regression
    if task is None:
        raise _lacking(name, "regression")
    return task


def classification(name: str) -> Task[FitClasses]:
    """Return how a family is fitted to classes; raises FamilyError when it is unknown or cannot be."""
    task = load(name).classification
    if task is None:
        raise _lacking(name, "classification")
    return task


def chosen(words: Sequence[str], task_type: str | None = None) -> list[tuple[Family, TaskType]]:
    """Return the families and tasks that words such as `xgboost` and `xgboost_regression` stand for, each once.

    Args:
        words: a family's name, which stands for `task_type`, or for each task that it has when that is None; or the
            name with the task behind it.
        task_type: "regression" or "classification"; None = either.

    Raises:
        FamilyError: a word is unknown, names another task than `task_type`, or a task that its family lacks.
    """
    if task_type is not None and task_type not in TASK_TYPES:
        raise FamilyError(f"task type must be one of {', '.join(TASK_TYPES)}, got {task_type!r}")
    wanted = [one for one in TASK_TYPES if task_type in (None, one)]
    found: dict[tuple[str, TaskType], tuple[Family, TaskType]] = {}
    for word in words:
        name, named = _parted(word)
        if named is not None and named not in wanted:
            raise FamilyError(f"{word!r} names {named}, but the task type is {task_type}")
        family = load(name)
        able = [one for one in ([named] if named else wanted) if getattr(family, one) is not None]
        if not able:
            raise _lacking(name, named or str(task_type))
        found |= {(name, one): (family, one) for one in able}
    return list(found.values())


def _parted(word: str) -> tuple[str, TaskType | None]:
    """Part a word into family and task; `logistic_regression` is a family before it is a task."""
    known = names()
    if word in known:
        return word, None
    for task in TASK_TYPES:
        if (name := word.removesuffix(f"_{task}")) != word and name in known:
            return name, task
    words = [*known, *(f"{name}_{task}" for name in known for task in TASK_TYPES)]
    raise FamilyError(
        f"unknown model family {word!r}{_hint(word, words)}; families: {', '.join(known)}, "
        f"each alone or followed by {' or '.join(f'_{task}' for task in TASK_TYPES)}"
    )


def _hint(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(word, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _lacking(name: str, task: str) -> FamilyError:
    others = [one for one in names() if one != name]
    return FamilyError(f"model family {name!r} has no {task}; other families: {', '.join(others)}")


def _sources() -> Mapping[str, _Source]:
    return _found(tuple(sys.path))


@lru_cache(maxsize=4)
def _found(path: tuple[str, ...]) -> Mapping[str, _Source]:
    """Return the families by name; `path` is what they are looked for on."""
    found: dict[str, _Source] = {}
    for name, source in [*_own(), *_installed()]:
        if not _NAME.fullmatch(name):
            raise FamilyError(f"name of {source.where} must be small letters, digits and _, got {name!r}")
        if name in found:
            raise FamilyError(
                f"two model families are named {name!r}: {found[name].where} and {source.where}; rename or remove one"
            )
        found[name] = source
    return dict(sorted(found.items()))


def _own() -> list[tuple[str, _Source]]:
    sources = []
    for file in files(_PACKAGE).iterdir():
        if file.name.endswith(".py") and _DEFINES.search(file.read_text(encoding="utf-8")):
            module = f"{_PACKAGE}.{file.name.removesuffix('.py')}"
            name = file.name.removesuffix(".py").removesuffix("_family")
            sources.append((name, _Source(f"{module}:FAMILY", _module_family(module))))
    return sources


def _module_family(module: str) -> Callable[[], object]:
    return lambda: import_module(module).FAMILY


def _installed() -> list[tuple[str, _Source]]:
    # A package that is found twice on the path (installed and in place) says the same twice.
    points = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    return [(name, _Source(f"{value} ({_package(point)})", point.load)) for (name, value), point in points.items()]


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
