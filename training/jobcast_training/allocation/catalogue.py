"""The predictors of an amount that there are: found, never listed.

One is a module of `predictors/` that declares a `PREDICTOR` of this kind, or what an installed package names in the
entry point group `jobcast.predictors`. Finding imports nothing.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files

from jobcast_training.allocation.declaration import Predictor

GROUP = "jobcast.predictors"
"""Entry point group of installed packages: `name = "module:PREDICTOR"`."""

_PACKAGE = "jobcast_training.predictors"
_DECLARES = re.compile(r"^from jobcast_training\.allocation\.declaration import ", re.MULTILINE)


class PredictorError(ValueError):
    """A predictor is unknown or cannot be loaded; the message names it."""


def names() -> tuple[str, ...]:
    """Return the names of all predictors of an amount, in alphabetical order.

    Raises:
        PredictorError: two have one name.
    """
    return tuple(_sources())


def load(name: str) -> Predictor:
    """Return a predictor by its name; raises PredictorError when there is none, or it is not what it should be."""
    sources = _sources()
    if name not in sources:
        close = get_close_matches(name, list(sources), 1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise PredictorError(f"unknown predictor {name!r}{hint}; predictors of an amount: {', '.join(sources)}")
    where, get = sources[name]
    try:
        predictor = get()
    except Exception as error:  # whatever a foreign module does when it is imported
        raise PredictorError(f"predictor {name!r} cannot be loaded from {where}: {error}") from error
    if not isinstance(predictor, Predictor) or predictor.name != name:
        said = predictor.name if isinstance(predictor, Predictor) else type(predictor).__name__
        raise PredictorError(f"predictor {name!r}: {where} must be a Predictor of that name, got {said!r}")
    return predictor


def _sources() -> Mapping[str, tuple[str, Callable[[], object]]]:
    found: dict[str, tuple[str, Callable[[], object]]] = {}
    for file in files(_PACKAGE).iterdir():
        if file.name.endswith(".py") and _DECLARES.search(file.read_text(encoding="utf-8")):
            module = f"{_PACKAGE}.{file.name.removesuffix('.py')}"
            found[file.name.removesuffix(".py").replace("_", "-")] = (module, _attribute(module))
    seen = set()
    for point in entry_points(group=GROUP):
        if (point.name, point.value) in seen:  # a package that is installed and in place says the same twice
            continue
        seen.add((point.name, point.value))
        if point.name in found:
            raise PredictorError(f"two predictors are named {point.name!r}: {found[point.name][0]} and {point.value}")
        found[point.name] = (point.value, point.load)
    return dict(sorted(found.items()))


def _attribute(module: str) -> Callable[[], object]:
    return lambda: import_module(module).PREDICTOR
