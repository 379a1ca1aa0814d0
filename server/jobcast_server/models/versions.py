"""What lies in a repository, and what a server would make of it: accepted and refused by the very code that serves."""

import difflib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobcast_proto.manifest import Manifest

from jobcast_server.admission import Admission
from jobcast_server.errors import BundleError, StartupError
from jobcast_server.model import made
from jobcast_server.policy import Policy
from jobcast_server.repository.bundle import Bundle, read_manifest
from jobcast_server.repository.folder import Home, scan
from jobcast_server.settings import Settings


class NotThereError(StartupError):
    """The repository has no model or version of that name; the text says what there is."""


class State(StrEnum):
    """What a server that starts now would do with a version."""

    SERVE = "serve"
    KEPT = "kept"
    REFUSED = "refused"


@dataclass(frozen=True)
class Version:
    """One version on disk.

    Attributes:
        version: its folder's name; empty when the model as a whole is refused.
        reason: why it is not served.
        manifest: None where it cannot be read.
        size: bytes of its files.
        pinned: the model's configuration names it.
    """

    name: str
    version: str
    state: State
    reason: str = ""
    manifest: Manifest | None = None
    size: int = 0
    pinned: bool = False


@dataclass(frozen=True)
class Repository:
    """A repository folder, read as a server with these settings would.

    Attributes:
        policy: holds for models whose configuration has none.
        settings: of the server.
    """

    root: Path
    policy: Policy
    settings: Settings

    def homes(self) -> dict[str, Home]:
        """Every model folder by name.

        Raises:
            BundleError: the repository is not a folder.
        """
        return scan(self.root)

    def home(self, name: str) -> Home:
        """One model's folder.

        Raises:
            NotThereError: there is none of this name.
            BundleError: it cannot be trusted, or its configuration cannot be read.
        """
        homes = self.homes()
        if name not in homes:
            have = ", ".join(homes) or "none"
            raise NotThereError(f"model {name!r}: not in {self.root}{_suggestion(name, homes)}; there are: {have}")
        if "" in homes[name].refused:
            raise BundleError(f"model {name}: {homes[name].refused['']}")
        return homes[name]

    def folder(self, name: str, version: int | None = None) -> Path:
        """A version's folder; without a version the one that would answer, or else the newest.

        Raises:
            NotThereError: there is no such model or version.
            BundleError: the model's folder cannot be trusted.
        """
        home = self.home(name)
        if version is None:
            served = self.served(home)
            version = max(served or home.versions, default=None)
        if version is None or version not in home.versions:
            wanted = f"version {version}" if version else "a version"
            have = ", ".join(map(str, sorted(home.versions))) or "none"
            refused = f"; {home.refused[str(version)]}" if str(version) in home.refused else ""
            raise NotThereError(f"model {name}: {wanted} is not in {self.root}{refused}; there are: {have}")
        return home.path / str(version)

    def verify(self, folder: Path) -> Bundle:
        """Read and check a version as the server does before it serves it, and let it answer once.

        Raises:
            BundleError: why it is refused.
        """
        try:
            own = self.settings.model_copy(update={"engine": "python", "forest": "stock", "otlp_endpoint": ""})
            return made(folder, own, "cpu", Admission(own), lambda seconds: None).bundle
        except BundleError as error:
            raise BundleError(str(error).removeprefix(f"bundle {folder}: ")) from None
        except (OSError, MemoryError) as error:
            raise BundleError(f"cannot be read: {error}") from None

    def trial(self, home: Home) -> tuple[list[int], dict[int, str]]:
        """Versions that would serve, newest first, and why others would be refused: those that a server tries."""
        policy = home.policy or self.policy
        good: list[int] = []
        refused: dict[int, str] = {}
        for version in policy.candidates(home.versions):
            if policy.enough(len(good)):
                break
            try:
                self.verify(home.path / str(version))
            except BundleError as error:
                refused[version] = str(error)
            else:
                good.append(version)
        return good, refused

    def served(self, home: Home) -> list[int]:
        """Versions that would serve, newest first; the first one answers whoever names none."""
        return self.trial(home)[0]

    def good(self, home: Home) -> list[int]:
        """Every version that passes, newest first, whatever the policy."""
        return Repository(self.root, Policy(latest=0), self.settings).served(Home(home.path, home.versions))

    def versions(self, home: Home) -> list[Version]:
        """Every version of a model, oldest first, and then what is no version."""
        name = home.path.name
        good, refused = self.trial(home)
        policy = home.policy or self.policy
        pins = home.policy.specific if home.policy is not None else None
        lines = []
        for version in sorted(home.versions):
            folder = home.path / str(version)
            state, reason = State.KEPT, f"not among the versions served ({policy})"
            if version in good:
                state, reason = State.SERVE, ""
            elif version in refused:
                state, reason = State.REFUSED, refused[version]
            manifest = _manifest_or_none(folder)
            size = sum(stamp[1] for stamp in home.versions[version])
            lines.append(Version(name, str(version), state, reason, manifest, size, version in (pins or ())))
        lines += [Version(name, folder, State.REFUSED, reason) for folder, reason in sorted(home.refused.items())]
        return lines


def _manifest_or_none(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except (BundleError, OSError):
        return None


def _suggestion(name: str, known: dict[str, Home]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
