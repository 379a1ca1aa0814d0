"""What scores the folds of a search: this process, or several others.

Other processes start clean, and get what they need through a file.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Any, Protocol, TypeVar

Task_contra = TypeVar("Task_contra", contravariant=True)
Found_co = TypeVar("Found_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")


class Ground(Protocol[Task_contra, Found_co]):
    """What every task needs, and no process changes; it can be pickled."""

    def score(self, task: Task_contra, /) -> Found_co:
        """Fit and score one fold."""


@contextmanager
def crew(
    ground: Ground[T, R], jobs: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[Callable[[T], "Future[R]"]]:
    """Give what takes tasks: this process, or as many others as `jobs`, ended at once when the search is.

    The ground goes through a file: what is written into the pipe of a process that dies while it starts waits for ever.

    Args:
        ground: what tasks need.
        jobs: processes; 1 = this one.
        folder: for that file.
        environment: variables that the libraries of the other processes read as they load.
    """
    if jobs == 1:
        yield lambda task: _here(ground, task)
        return
    kept = folder / "ground"
    kept.write_bytes(pickle.dumps(ground))
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, (kept, dict(environment))) as pool:
        try:
            yield lambda task: pool.submit(_there, task)
        except BaseException:
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _here(ground: Ground[T, R], task: T) -> "Future[R]":
    future: Future[R] = Future()
    future.set_result(ground.score(task))
    return future


_grounds: list[Ground[Any, Any]] = []


def _start(kept: Path, environment: Mapping[str, str]) -> None:
    """Keep what every task needs; Ctrl-C is for the process that searches, and however that ends, this one does too."""
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    _grounds.append(pickle.loads(kept.read_bytes()))  # noqa: S301 - written a moment ago, into a folder of our own


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _there(task: Any) -> Any:
    return _grounds[0].score(task)
