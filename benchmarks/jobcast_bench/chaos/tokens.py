"""Keys made and taken away by `jobcast keys`, as an operator does."""

import subprocess
import sys
from pathlib import Path


def _keys(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("jobcast")), "keys", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - no shell


def new(file: Path, name: str, *more: str, scope: str = "predict") -> str:
    """A token of a new key."""
    return _keys("new", "--file", str(file), "--id", name, "--scope", scope, *more)


def revoke(file: Path, name: str) -> None:
    """Take a key away."""
    _keys("revoke", "--file", str(file), "--id", name)
