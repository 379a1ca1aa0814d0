"""How two versions answer the same rows: the golden inputs of both, each row once.

A row counts where both versions would take it; an input that one version does not have is filled as for a caller who
left it out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jobcast_proto.manifest import GoldenRows, Manifest
from numpy.typing import NDArray

from jobcast_server.openinference.schema import Input
from jobcast_server.repository.bundle import Bundle, tensor
from jobcast_server.repository.session import Feeds


@dataclass(frozen=True)
class Spread:
    """Relative differences |new - old| / |old| over rows, and the signed one in the middle.

    Attributes:
        rows: rows whose old value is not 0.
    """

    rows: int
    median: float
    p95: float
    largest: float
    median_change: float

    @classmethod
    def of(cls, old: NDArray[np.float64], new: NDArray[np.float64]) -> "Spread | None":
        """Of two columns [N]; None when there is nothing to divide by."""
        usable = np.isfinite(old) & np.isfinite(new) & (old != 0)
        if not usable.any():
            return None
        change = (new[usable] - old[usable]) / np.abs(old[usable])
        size = np.abs(change)
        values = (np.median(size), np.quantile(size, 0.95), size.max(), np.median(change))
        return cls(int(usable.sum()), *map(float, values))


@dataclass(frozen=True)
class Comparison:
    """The answers of two versions.

    Attributes:
        rows: rows that both answered. left_out: rows that one of them would refuse.
        reason: why nothing was compared.
        point, interval_width: None where it cannot be said.
    """

    rows: int = 0
    left_out: int = 0
    reason: str = ""
    point: Spread | None = None
    interval_width: Spread | None = None


def compare(old: Bundle, old_folder: Path, new: Bundle, new_folder: Path) -> Comparison:
    """Answer the golden rows of both with both."""
    answers: list[tuple[dict[str, Any], dict[str, Any]]] = []
    seen: set[str] = set()
    total = rows = 0
    reason = ""
    for bundle, folder in ((old, old_folder), (new, new_folder)):
        golden = GoldenRows.model_validate_json((folder / "golden.json").read_bytes())
        fresh = _fresh(golden, seen)
        if not fresh:
            continue
        total += len(fresh)
        source = {spec.name: tensor(spec, golden)[fresh] for spec in bundle.manifest.inputs}
        try:
            feeds = [_feeds(side.manifest, bundle.manifest, source, len(fresh)) for side in (old, new)]
        except ValueError as error:
            reason = reason or str(error)
            continue
        taken = _accepted(old.manifest, feeds[0]) & _accepted(new.manifest, feeds[1])
        if taken.any():
            rows += int(taken.sum())
            answers.append((_answer(old, feeds[0], taken), _answer(new, feeds[1], taken)))
    if not answers:
        return Comparison(left_out=total, reason=reason or "no golden row is one that both versions would take")
    before, after = ({key: np.concatenate([pair[i][key] for pair in answers]) for key in answers[0][i]} for i in (0, 1))
    both = before.keys() & after.keys()
    return Comparison(
        rows,
        total - rows,
        "",
        Spread.of(before["point"], after["point"]) if "point" in both else None,
        Spread.of(before["width"], after["width"]) if "width" in both else None,
    )


def _fresh(golden: GoldenRows, seen: set[str]) -> list[int]:
    """Numbers of the rows that were not there before."""
    columns = sorted(golden.inputs.items())
    fresh = []
    for row in range(len(columns[0][1])):
        key = repr([(name, values[row]) for name, values in columns])
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return fresh


def _feeds(target: Manifest, source: Manifest, columns: Feeds, rows: int) -> Feeds:
    """Columns for `target` out of rows made for `source`.

    Raises:
        ValueError: an input that `target` needs is not in them, or is of another type.
    """
    kinds = {spec.name: (spec.type, spec.shape[1:]) for spec in source.inputs}
    feeds = {}
    for spec in target.inputs:
        kind = kinds.get(spec.name)
        if kind == (spec.type, spec.shape[1:]):
            feeds[spec.name] = columns[spec.name]
        elif kind is None and (not spec.required or spec.default is not None):
            feeds[spec.name] = Input.of(spec).fill(rows)
        else:
            problem = "needed" if kind is None else f"{spec.type} {spec.shape}"
            raise ValueError(
                f"input {spec.name} is {problem} in version {target.version} and not in version {source.version}"
            )
    return feeds


def _accepted(manifest: Manifest, feeds: Feeds) -> NDArray[np.bool_]:
    good = np.ones(len(next(iter(feeds.values()))), bool)
    for spec in manifest.inputs:
        wrong = Input.of(spec).wrong(feeds[spec.name])
        if wrong is not None:
            good &= ~wrong
    return good


def _answer(bundle: Bundle, feeds: Feeds, taken: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """`point` [N], and `width` [N] of the interval, as far as the version has them."""
    manifest = bundle.manifest
    outputs = bundle.session.run({name: values[taken] for name, values in feeds.items()})
    named = {spec.name: values.astype(float) for spec, values in zip(manifest.outputs, outputs, strict=True)}
    answer = {}
    if "point" in named:
        answer["point"] = named["point"][:, 0]
    if "quantiles" in named:
        low, high = (manifest.quantile_levels.index(level) for level in manifest.interval_levels)
        answer["width"] = named["quantiles"][:, high] - named["quantiles"][:, low]
    return answer
