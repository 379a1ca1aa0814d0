"""Bundles on disk: which version of a model a path means."""

from pathlib import Path

from jobcast_training.sources.mapping import suggestion


class BundleError(ValueError):
    """There is no bundle at a path; the message says what is there."""


def version_folder(path: Path) -> Path:
    """Return the folder of a version: the path itself, or the highest version of the model that it is.

    Raises:
        BundleError: there is none.
    """
    if (path / "manifest.json").is_file():
        return path
    if not path.is_dir():
        beside = sorted(one.name for one in path.parent.iterdir() if one.is_dir()) if path.parent.is_dir() else []
        near = f"; {suggestion(path.name, beside)}" if beside else ""
        raise BundleError(f"{path}: there is no such folder{near}")
    versions = [int(one.name) for one in path.iterdir() if one.name.isdecimal() and (one / "manifest.json").is_file()]
    if not versions:
        models = sorted({one.parent.parent for one in path.glob("*/*/manifest.json") if one.parent.name.isdecimal()})
        near = f"is a repository; name one of its models: {', '.join(map(str, models))}"
        raise BundleError(f"{path}: {near if models else 'holds no version of a model'}")
    return path / str(max(versions))
