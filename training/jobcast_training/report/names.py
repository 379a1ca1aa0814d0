"""Names of logs as files and links can hold them."""

import re


def stem(name: str) -> str:
    """Return a log's name with a hyphen for whatever a file's name or a Markdown link cannot hold."""
    return re.sub(r"[^\w.]+", "-", name)
