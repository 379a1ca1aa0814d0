"""The folder of bundles: `models/<name>/<version>`, highest version first in line. A refused bundle is never served."""

from dataclasses import dataclass, field
from pathlib import Path

from jobcast_server.bundle import Bundle, load
from jobcast_server.errors import BundleError


@dataclass(frozen=True)
class Repository:
    """Bundles by predictor, and why others were refused."""

    bundles: dict[str, Bundle] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def find(root: Path) -> dict[str, Path]:
    """Folder of the highest integer version of every predictor.

    Raises:
        BundleError: the repository is not a folder.
    """
    if not root.is_dir():
        raise BundleError(f"models: {root} is not a folder; name the repository of bundles with --models")
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        versions = [path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
        if versions:
            found[folder.name] = max(versions, key=lambda path: int(path.name))
    return found


def open_repository(root: Path, provider: str, allowed_ulps: int) -> Repository:
    """Load and verify the newest bundle of every predictor; a refused one is recorded with its reason."""
    repository = Repository()
    for name, folder in find(root).items():
        try:
            repository.bundles[name] = load(folder, provider, allowed_ulps)
        except BundleError as error:
            repository.refused[name] = str(error)
    return repository
