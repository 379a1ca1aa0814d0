"""Records as a run read them, kept for later runs from the same files: a table and what was said of it.

They are found by all that reading depends on but the files' content; that a file has changed is told by size and time.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import polars as pl

from jobcast_training.allocation.declaration import Predictor
from jobcast_training.allocation.records import AllocationRecords, RecordError, schema

FOLDER = Path("runs") / "preprocessed"
_TABLE, _SAID = "records.parquet", "records.json"


@dataclass(frozen=True)
class Preprocessed:
    """What is kept of files read by some options; see `sources.read_records`."""

    predictor: Predictor
    paths: Sequence[Path]
    format: str
    mapping: Mapping[str, str]
    assumed_hours: float | None

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        depends = {
            "predictor": repr(self.predictor),
            "files": [str(path.resolve()) for path in self.paths],
            "format": self.format,
            "mapping": dict(self.mapping),
            "assumed_hours": self.assumed_hours,
            "reader": reader_version(),
        }
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
        return FOLDER / f"{self.predictor.name}-{digest[:16]}"

    def seen(self) -> list[Mapping[str, int]]:
        """Return size and time of the files; raises RecordError when one cannot be read."""
        return [_seen(path) for path in self.paths]

    def keep(self, records: AllocationRecords, seen: Sequence[Mapping[str, int]]) -> None:
        """Keep records for `take`, in place of earlier ones; raises RecordError when the folder cannot be written.

        Args:
            records: as they were read.
            seen: of the files before they were read: what grew meanwhile has changed.
        """
        said = {
            "source": records.source,
            "rejected": dict(records.rejected),
            "notes": list(records.notes),
            "files": list(seen),
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as staging:
                table, text = Path(staging) / _TABLE, Path(staging) / _SAID
                records.frame.write_parquet(table)
                text.write_text(json.dumps(said), encoding="utf-8")
                (self.folder / _SAID).unlink(missing_ok=True)  # a table without what was said of it counts as none
                os.replace(table, self.folder / _TABLE)
                os.replace(text, self.folder / _SAID)
        except OSError as error:
            raise RecordError(f"{self.folder}: the records cannot be kept there: {error.strerror}") from error

    def take(self) -> AllocationRecords:
        """Return the kept records; raises RecordError when there are none, or a file has changed since."""
        try:
            said = json.loads((self.folder / _SAID).read_text(encoding="utf-8"))
            frame = pl.read_parquet(self.folder / _TABLE)
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            names = ", ".join(path.name for path in self.paths)
            raise RecordError(
                f"{names}: no preprocessed records of these files by these options in {FOLDER}; run once without "
                "--skip-preprocessing"
            ) from error
        try:
            if frame.schema != pl.Schema(schema(self.predictor)):
                raise ValueError("another table")
            records = AllocationRecords(frame, said["source"], Counter(said["rejected"]), tuple(said["notes"]))
            files = [(path, then, _told(then)) for path, then in zip(self.paths, said["files"], strict=True)]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{self.folder}: damaged; run once without --skip-preprocessing") from error
        for path, then, told in files:
            now = _seen(path)
            if now != then:
                raise RecordError(
                    f"{path.name}: has changed since it was preprocessed: {told} then, {_told(now)} now; run "
                    "once without --skip-preprocessing"
                )
        return records


@cache
def reader_version() -> str:
    """Return the hash of the code that reads records."""
    digest = hashlib.sha256()
    for file in sorted(files("jobcast_training.allocation.sources").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _seen(path: Path) -> Mapping[str, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise RecordError(f"{path.name or path}: cannot be read: {error.strerror}") from error
    return {"bytes": status.st_size, "time_ns": status.st_mtime_ns}


def _told(seen: Mapping[str, int]) -> str:
    moment = datetime.fromtimestamp(seen["time_ns"] / 1e9, UTC)
    return f"{seen['bytes']:,} bytes of {moment:%Y-%m-%d %H:%M:%S.%f} UTC"
