"""Licences of all that the server and the client install: written to docs/licences.md, or checked against it.

Only licences of ALLOWED pass; a distribution that states another, or none, fails until somebody has looked at it. What
the native core is built from, cargo-deny checks (core/deny.toml).
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOTS = ("jobcast-server", "jobcast")
PAGE = Path(__file__).parents[1] / "docs" / "licences.md"

ALLOWED = frozenset(
    ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Zlib")
)

WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
}
"""What distributions without an SPDX expression write."""

HEAD = f"""# Licences

What the server and the client install besides themselves; `make licences` writes this page and `make lint` checks it.
Allowed are {", ".join(sorted(ALLOWED))}. What the native core
is built from, cargo-deny checks.

| distribution | licence |
|---|---|
"""


def installed(names: tuple[str, ...]) -> dict[str, Distribution]:
    """The distributions of these names and all that they need here, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found[name] = distribution(name)
            needs = map(Requirement, found[name].requires or ())
            waiting += [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def licence(found: Distribution) -> str:
    """What a distribution says of its licence, as an SPDX expression where that is known."""
    told = found.metadata.get("License-Expression") or found.metadata.get("License")
    if not told:
        kinds = found.metadata.get_all("Classifier") or []
        told = next((kind.rpartition(" :: ")[2] for kind in kinds if kind.startswith("License")), "not stated")
    return WORDS.get(told, told.partition("\n")[0])


def lines() -> Iterator[tuple[str, str]]:
    """Name and licence of each, but of our own."""
    for name, found in sorted(installed(ROOTS).items()):
        if not name.startswith("jobcast"):
            yield name, licence(found)


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare; other platforms may install less than the page lists."""
    found = list(lines())
    strange = [
        f"{name}: {text}" for name, text in found if not set(re.findall(r"[\w.-]+", text)) - {"AND", "OR"} <= ALLOWED
    ]
    if strange:
        print("not among the allowed licences (.ci/licences.py):", *strange, sep="\n  ", file=sys.stderr)
        return 1
    rows = [f"| {name} | {text} |\n" for name, text in found]
    if arguments != ["--check"]:
        PAGE.write_text(HEAD + "".join(rows))
        return 0
    page = PAGE.read_text()
    missing = [row for row in rows if row not in page]
    print("docs/licences.md: run `make licences`; it lacks", *missing) if missing else None
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
