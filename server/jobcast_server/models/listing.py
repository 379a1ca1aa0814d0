"""Lines about every version: what a server would make of it, what a running one says, and whether it passes."""

from collections.abc import Sequence
from typing import Any

import click

from jobcast_server.errors import BundleError
from jobcast_server.models.index import Index
from jobcast_server.models.versions import Repository, Version
from jobcast_server.output import number, percent, print_table, printable, size

ABSENT = "absent"
"""State of a version that a server lists and the folder does not hold."""


def beside(lines: Sequence[Version], index: Index | None = None) -> list[dict[str, Any]]:
    """One JSON object a version; with an index also what the server says, and what only the server knows."""
    rows = [_row(line, index) for line in lines]
    known = {(line.name, line.version) for line in lines}
    for (name, version), (state, reason) in sorted((index or {}).items()):
        if (name, version) not in known:
            rows.append(
                {"name": name, "version": version, "state": ABSENT, "reason": "not in the folder", "pinned": False}
                | {"server": {"state": state, "reason": reason}}
            )
    return sorted(rows, key=lambda row: row["name"])


def print_listing(rows: Sequence[dict[str, Any]], *, served: bool) -> None:
    """Print the table of what `beside` made."""
    if not rows:
        click.echo("no model: the repository is empty")
        return
    header = ["Model", "Version", "State", "Created", "Size", "Test MAE", "Coverage", "Pinned"]
    cells = []
    for row in rows:
        cells.append([row["name"], row["version"], row["state"], *_figures(row), "yes" if row["pinned"] else "no"])
        if served:
            cells[-1].append((row["server"] or {}).get("state", ""))
        cells[-1].append(_reason(row))
    print_table([*header, *(["Server"] if served else []), "Reason"], cells)


def verdicts(repository: Repository, name: str | None = None, version: int | None = None) -> list[dict[str, Any]]:
    """Verify every version, or those of a model, or one.

    Raises:
        NotThereError: there is no such model or version.
        BundleError: the repository is not a folder or holds nothing, or the model's folder cannot be trusted.
    """
    homes = repository.homes().values() if name is None else [repository.home(name)]
    only = repository.folder(name, version).name if name is not None and version is not None else None
    found = []
    for home in homes:
        for number_ in sorted(home.versions):
            if only in (None, str(number_)):
                found.append(_verdict(repository, home.path.name, number_))
        for folder, reason in sorted(home.refused.items()):
            if only is None:
                found.append({"name": home.path.name, "version": folder, "good": False, "reason": reason})
    if not found:
        raise BundleError(f"models: no version found in {repository.root}; train one, or mend --models")
    return found


def print_verdicts(found: Sequence[dict[str, Any]]) -> None:
    """One line a version."""
    for verdict in found:
        place = f"{verdict['name']}/{verdict['version']}".rstrip("/")
        if verdict["good"]:
            click.echo(f"{place}: good, golden rows within {verdict['golden_ulps']} float32 steps")
        else:
            click.echo(f"{place}: refused: {printable(verdict['reason'])}")


def _verdict(repository: Repository, name: str, version: int) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "version": str(version)}
    try:
        bundle = repository.verify(repository.root / name / str(version))
    except BundleError as error:
        return about | {"good": False, "reason": str(error)}
    return about | {"good": True, "reason": "", "golden_ulps": bundle.golden_ulps}


def _row(line: Version, index: Index | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": line.name,
        "version": line.version,
        "state": line.state,
        "reason": line.reason,
        "pinned": line.pinned,
        "size_bytes": line.size,
    }
    if line.manifest is not None:
        manifest, calibration = line.manifest, line.manifest.calibration
        units = {spec.name: spec.unit for spec in manifest.outputs}
        row |= {
            "created": manifest.created,
            "test_mae": manifest.test.get("mae"),
            "unit": units.get("point", ""),
            "test_coverage": calibration.interval_coverage_test,
            "coverage_target": calibration.interval_coverage_target,
        }
    if index is not None:
        said = index.get((line.name, line.version))
        row["server"] = {"state": said[0], "reason": said[1]} if said else None
    return row


def _figures(row: dict[str, Any]) -> list[str]:
    if "created" not in row:
        return ["", size(row["size_bytes"]) if row.get("size_bytes") else "", "", ""]
    mae = number(row["test_mae"])
    coverage = f"{percent(row['test_coverage'])} of {percent(row['coverage_target'])}"
    return [row["created"], size(row["size_bytes"]), f"{mae} {row['unit']}".strip() if mae else "", coverage]


def _reason(row: dict[str, Any]) -> str:
    """Our reason, and the server's where it says another thing."""
    said = (row.get("server") or {}).get("reason", "")
    return (
        row["reason"] if not said or said in row["reason"] else "; server: ".join(filter(None, (row["reason"], said)))
    )
