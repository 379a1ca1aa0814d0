"""Goes back to an earlier version by a pin in the model's configuration. No version's folder is ever touched.

The version is verified first, and the configuration changes in one rename: a server sees the old one or the new one.
"""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jobcast_server.errors import BundleError
from jobcast_server.models import configuration
from jobcast_server.models.versions import NotThereError, Repository
from jobcast_server.repository.folder import Home
from jobcast_server.repository.pin import CONFIG

READABLE = 0o644


@dataclass(frozen=True)
class Change:
    """What a rollback did.

    Attributes:
        before, after: versions that a server serves with the old and the new configuration, newest first.
        pinned: the version that is pinned now.
        changed: whether the configuration changed.
    """

    before: list[int]
    after: list[int]
    pinned: int | None
    changed: bool


def roll_back(repository: Repository, name: str, version: int | None = None) -> Change:
    """Pin `version`, or the one before the version that answers now.

    Raises:
        NotThereError: there is no such model or version.
        BundleError: the version is refused, and nothing was written; names those that are good.
    """
    home = repository.home(name)
    served = repository.served(home)
    target = version if version is not None else _previous(repository, home, served)
    folder = repository.folder(name, target)
    try:
        repository.verify(folder)
    except BundleError as error:
        good = ", ".join(map(str, repository.good(home))) or "none"
        raise BundleError(f"model {name}: version {target} is refused: {error}; good versions: {good}") from None
    changed = _write(home, configuration.pin(_text(home), target, home.policy))
    return Change(served, repository.served(repository.home(name)), target, changed)


def release(repository: Repository, name: str) -> Change:
    """Take the pin away; the policy that held before holds again.

    Raises:
        NotThereError: there is no such model.
        BundleError: its configuration cannot be edited.
    """
    home = repository.home(name)
    served = repository.served(home)
    changed = _write(home, configuration.release(_text(home)))
    return Change(served, repository.served(repository.home(name)), None, changed)


def _previous(repository: Repository, home: Home, served: list[int]) -> int:
    name = home.path.name
    if not served:
        good = ", ".join(map(str, repository.good(home))) or "none"
        raise NotThereError(f"model {name}: no version is served; name one with --to; good versions: {good}")
    older = [version for version in home.versions if version < served[0]]
    if not older:
        have = ", ".join(map(str, sorted(home.versions)))
        raise NotThereError(f"model {name}: there is no version before {served[0]}, which is served; there are: {have}")
    return max(older)


def _text(home: Home) -> str:
    path = home.path / CONFIG
    return path.read_bytes().decode() if path.exists() else ""


def _write(home: Home, text: str) -> bool:
    """Write the configuration in one rename, or remove it when nothing is left in it; whether it changed."""
    path = home.path / CONFIG
    if text == _text(home):
        return False
    if not text.strip():
        path.unlink()
        return True
    mode = path.stat().st_mode & 0o777 if path.exists() else READABLE  # the server may be another user
    descriptor, name = tempfile.mkstemp(dir=home.path, prefix=f".{CONFIG}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return True
