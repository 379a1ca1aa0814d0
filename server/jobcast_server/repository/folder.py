"""What lies in the repository's folder: `<name>/<version>/` with plain names. Nothing is read here but the listing.

A name comes from the listing, never from a caller, so that no request can reach outside the folder.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from jobcast_server.errors import BundleError
from jobcast_server.policy import Policy
from jobcast_server.repository.pin import pinned

NAME = re.compile(r"(?=.{1,100}$)[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")
VERSION = re.compile(r"[1-9]\d{0,8}")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, size, time of change in ns, and inode of every file of a version; differs when somebody touched it."""


@dataclass(frozen=True)
class Home:
    """The folder of one model.

    Attributes:
        versions: fingerprint by version.
        refused: why a folder in it is no version, by its name; the empty name is the model's own.
        policy: the version policy of its configuration, if any.
    """

    path: Path
    versions: dict[int, Fingerprint] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    policy: Policy | None = None


def scan(root: Path) -> dict[str, Home]:
    """Every model folder by name; hidden folders (exports in progress) and plain files are passed over.

    Raises:
        BundleError: the repository is not a folder.
    """
    if not root.is_dir():
        raise BundleError(f"models: {root} is not a folder; name the repository of bundles with --models")
    paths = sorted(path for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())
    return {path.name: look(root, path) for path in paths}


def look(root: Path, path: Path) -> Home:
    """One model folder."""
    home = Home(path)
    if not NAME.fullmatch(path.name):
        home.refused[""] = f"folder {path.name!r}: a model's name must match {NAME.pattern}"
        return home
    if not path.resolve().is_relative_to(root.resolve()):
        home.refused[""] = f"folder {path.name}: leads outside the repository"
        return home
    try:
        policy = pinned(path)
    except BundleError as error:
        home.refused[""] = str(error)
        return home
    try:
        folders = sorted(one for one in path.iterdir() if not one.name.startswith(".") and one.is_dir())
    except OSError as error:
        home.refused[""] = f"folder {path.name}: cannot be read: {error.strerror}"
        return home
    for folder in folders:
        if not VERSION.fullmatch(folder.name):
            home.refused[folder.name] = f"folder {folder.name!r}: a version must be a positive integer such as 3"
        elif not folder.resolve().is_relative_to(root.resolve()):
            home.refused[folder.name] = f"folder {folder.name}: leads outside the repository"
        else:
            home.versions[int(folder.name)] = fingerprint(folder)
    return Home(path, home.versions, home.refused, policy)


def fingerprint(folder: Path) -> Fingerprint:
    """How the files of a version look from outside; empty when the folder goes away meanwhile."""
    try:
        found = [(path.name, path.lstat()) for path in sorted(folder.iterdir())]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in found)
