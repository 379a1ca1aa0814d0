"""Folders that results go to are looked at before anything is computed."""

import os
from pathlib import Path


class UnwritableError(ValueError):
    """A folder cannot be written to."""


def refuse_unwritable(option: str, folder: Path) -> None:
    """Refuse a folder that is none, or that nothing can be written to.

    Raises:
        UnwritableError: names the option, the folder and which of its parents is in the way.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UnwritableError(f"{option} {folder}: cannot be written to: {there} is no folder that may be written to")
