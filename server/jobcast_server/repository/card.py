"""The model card: `README.md` of a model's folder, told to callers as it is, for people to read."""

from pathlib import Path

NAME = "README.md"
LONGEST = 64 * 1024
"""Bytes of a card that are told."""


def card(home: Path) -> str:
    """The card in a model's folder; '' when there is none, or it is no regular file."""
    path = home / NAME
    try:
        if path.is_symlink() or not path.is_file():  # a link could lead outside the repository
            return ""
        with path.open("rb") as file:
            return file.read(LONGEST).decode(errors="ignore")
    except OSError:
        return ""
