"""A walk kept on disk after every refit, so that a stopped one goes on where it was.

Every file is whole or absent. A folder belongs to one log and one setting: another is refused, never mixed in.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

_WHAT = "walk.json"


class WalkStateError(ValueError):
    """A folder holds another walk or a damaged one; the message names what differs, or the file."""


class WalkState:
    """Uncalibrated predictions of each refit; the offsets follow from them.

    Args:
        folder: made when it is missing.
        about: log and settings as plain data; equal only for the same walk.

    Raises:
        WalkStateError: the folder holds a walk of another log or with other settings, or a damaged one.
        OSError: it cannot be made or written to.
    """

    def __init__(self, folder: Path, about: Mapping[str, object]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(about))
        path = folder / _WHAT
        if path.exists():
            found = _read(path)
            different = [key for key in sorted({*wanted, *found}) if wanted.get(key) != found.get(key)]
            if different:
                said = "; ".join(f"{key} was {found.get(key)!r}, now {wanted.get(key)!r}" for key in different)
                raise WalkStateError(f"{folder} holds another walk ({said}): name another folder or empty this one")
        else:
            _write(path, json.dumps(wanted, indent=1).encode())

    def load(self, number: int) -> NDArray[np.float64] | None:
        """Return the predictions of a refit, shape [jobs, levels]; None when it was not reached.

        Raises:
            WalkStateError: the file is damaged.
        """
        path = self._path(number)
        try:
            return pl.read_parquet(path).to_numpy() if path.exists() else None
        except pl.exceptions.PolarsError as error:
            raise WalkStateError(f"{path}: damaged; delete it, and its refit is made again") from error

    def save(self, number: int, raw: NDArray[np.float64]) -> None:
        """Keep the predictions of a refit."""
        path = self._path(number)
        partial = path.with_suffix(".partial")
        pl.DataFrame(raw, schema=[f"q{column}" for column in range(raw.shape[1])]).write_parquet(partial)
        _settle(partial, path)

    def _path(self, number: int) -> Path:
        return self.folder / f"refit-{number:05}.parquet"


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"holds {type(found).__name__}")
    except (ValueError, TypeError) as error:
        raise WalkStateError(f"{path}: damaged; name another folder or empty {path.parent}") from error
    return found


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    _settle(partial, path)


def _settle(partial: Path, path: Path) -> None:
    """Rename once the bytes are on disk: a crash leaves the old state or the new one."""
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)
