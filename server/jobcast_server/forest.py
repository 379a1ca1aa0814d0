"""Trees by the native core: the same graph with `jobcast.Forest` in the place of its tree ensembles, in memory only.

The file stays what it is. What stands in the way of the core is a reason to compute with onnxruntime's own operator,
which gives the same answers, unless the core is demanded.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

from jobcast_server.errors import StartupError

Wanted = Literal["auto", "native", "stock"]
"""What an operator may ask for; `auto` is `native` where it is there and answers right."""


class ForestError(Exception):
    """The core cannot compute a graph's trees; the message says why."""


class AbsentError(ForestError):
    """There is no core, which is no fault."""


@dataclass(frozen=True)
class Native:
    """A graph for the core.

    Attributes:
        model: bytes of the rewritten graph.
        library: path of the library that holds its operator.
    """

    model: bytes
    library: str


def core() -> ModuleType:
    """The native core.

    Raises:
        AbsentError: it is not installed.
        ForestError: it does not load.
    """
    try:
        return import_module("jobcast_core")
    except ModuleNotFoundError as error:
        if error.name == "jobcast_core":
            raise AbsentError("jobcast_core is not installed") from None
        raise ForestError(f"jobcast_core does not load: {error}") from None
    except Exception as error:  # a library that is broken may raise anything while it loads
        raise ForestError(f"jobcast_core does not load: {error}") from None


def demand(wanted: Wanted) -> None:
    """Check at the start what must be there.

    Raises:
        StartupError: the core is demanded and not there.
    """
    if wanted == "native":
        try:
            core()
        except ForestError as error:
            raise StartupError(f"forest: native is not available: {error}; build it, or use auto or stock") from None


def rewrite(model: bytes) -> Native | None:
    """The graph for the core, or None when it has no tree ensemble.

    Raises:
        ForestError: there is no core, or it refuses the graph.
    """
    native = core()
    try:
        rewritten = native.rewrite(model)
        library = native.library_path()
    except Exception as error:
        raise ForestError(str(error)) from None
    return None if rewritten == model else Native(rewritten, library)


def newest() -> int:
    """Number of the forest that was made last in this process; 0 while there is none."""
    return max((kernel.serial for kernel in core().kernels()), default=0)


def reports(after: int) -> tuple[str, ...]:
    """What the forests made after number `after` are, and how they compute."""
    return tuple(kernel.text for kernel in core().kernels() if kernel.serial > after)
