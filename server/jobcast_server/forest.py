"""A graph by the native core: `jobcast.Forest` in the place of its tree ensembles, and `jobcast.Features` in the place
of the plain operators around them, in memory only.

The file stays what it is. What stands in the way of the core is a reason to compute with onnxruntime's own operators,
which give the same answers, unless the core is demanded.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

import structlog

from jobcast_server.errors import StartupError

log = structlog.get_logger()

Wanted = Literal["auto", "native", "stock"]
"""What an operator may ask for; `auto` is `native` where it is there and answers right."""


INTERFACE = 2
"""What this server asks of the core; the core's own number is beside its classes."""


class ForestError(Exception):
    """The core cannot compute a graph's trees; the message says why."""


class AbsentError(ForestError):
    """There is no core, which is no fault."""


@dataclass(frozen=True)
class Native:
    """A graph for the core.

    Attributes:
        model: bytes of the rewritten graph.
        library: path of the library that holds its operators.
    """

    model: bytes
    library: str


def core() -> ModuleType:
    """The native core.

    Raises:
        AbsentError: it is not installed.
        ForestError: it does not load, or was built for another release of the server.
    """
    try:
        found = import_module("jobcast_core")
    except ModuleNotFoundError as error:
        if error.name == "jobcast_core":
            raise AbsentError("jobcast_core is not installed") from None
        raise ForestError(f"jobcast_core does not load: {error}") from None
    except Exception as error:  # a library that is broken may raise anything while it loads
        raise ForestError(f"jobcast_core does not load: {error}") from None
    if (interface := getattr(found, "INTERFACE", 0)) != INTERFACE:
        raise ForestError(f"jobcast_core: its interface must be {INTERFACE}, got {interface}: build it anew")
    return found


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


def rewrite(model: bytes) -> tuple[Native, ...]:
    """The graph for the core, the fastest first; none when it has no tree ensemble.

    The last has the trees alone by the core, the one before it the plain operators too, where any can be.

    Raises:
        ForestError: there is no core, or it refuses the trees.
    """
    native = core()
    try:
        rewritten = native.rewrite(model)
        library = native.library_path()
    except Exception as error:
        raise ForestError(str(error)) from None
    if rewritten == model:
        return ()
    trees = Native(rewritten, library)
    try:
        fused = native.fuse(rewritten)
    except Exception as error:
        log.info("plain operators are computed by onnxruntime", reason=str(error))
        return (trees,)
    return (trees,) if fused == rewritten else (Native(fused, library), trees)


def newest() -> int:
    """Number of the operator that the core made last in this process; 0 while there is none."""
    native = core()
    return max((made.serial for made in (*native.kernels(), *native.features())), default=0)


def reports(after: int) -> tuple[str, ...]:
    """What the forests made after number `after` are, and how they compute."""
    return tuple(kernel.text for kernel in core().kernels() if kernel.serial > after)


def fused(after: int) -> tuple[str, ...]:
    """Which plain operators were fused after number `after`."""
    return tuple(made.text for made in core().features() if made.serial > after)
