"""Figures kept on disk, so that a stopped report goes on and a page can be made again without training.

A figure is taken from the store only when all it depends on is the same: the log, the settings, the libraries and the
code that makes figures. Every file is whole or absent.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import jobcast_export

import jobcast_training
from jobcast_training.about import fingerprint
from jobcast_training.hyperparameters import Hyperparameters
from jobcast_training.records import Records

LIBRARIES = ("catboost", "lightgbm", "numpy", "onnx", "onnxruntime", "polars", "scipy")
_WITHOUT_EFFECT = (
    "allocation/",
    "command/",
    "sources/",
    "tasks/",
    "report/logs.py",
    "report/pages.py",
    "report/pictures.py",
    "report/sections.py",
    "report/spread.py",
    "adaptive",
    "frontier",
    "latency",
    "rolling",
    "search",
    "walk_state",
)
"""Beginnings of the paths of modules that no kept figure depends on: they show figures, measure other things, or read
records, which the log's fingerprint stands for."""


def identity(records: Records, hyper: Hyperparameters) -> dict[str, Any]:
    """Return what the figures of a log depend on, as plain data."""
    return {
        "log": fingerprint(records.frame),
        "timezone": records.timezone,
        "hyperparameters": asdict(hyper),
        "libraries": {name: version(name) for name in LIBRARIES},
        "code": code_digest(),
    }


@cache
def code_digest() -> str:
    """Return the SHA-256 of the modules that make figures."""
    digest = hashlib.sha256()
    for package in (jobcast_training, jobcast_export):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if not name.startswith(_WITHOUT_EFFECT):
                digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Kept:
    """Figures with the seconds it took to make them; `fresh` when they were made just now."""

    figures: Any
    seconds: float
    fresh: bool


@dataclass(frozen=True)
class Store:
    """Figures of one log in a folder, which is made when it is missing."""

    folder: Path
    about: Mapping[str, Any]

    def get(self, part: str, make: Callable[[], Any]) -> Kept:
        """Return the figures of a part, such as `seed-1`, as JSON gives them; made and kept when they are not there."""
        about = json.loads(json.dumps({**self.about, "part": part}))
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{part}-{key}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            return Kept(kept["figures"], kept["seconds"], fresh=False)
        start = perf_counter()
        figures = json.loads(json.dumps(make()))
        seconds = perf_counter() - start
        self._write(path, {"about": about, "seconds": seconds, "figures": figures})
        return Kept(figures, seconds, fresh=True)

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
