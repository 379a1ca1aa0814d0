"""Spoilt versions that arrive while the server follows its repository: each is refused, and what served goes on."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from jobcast_bench.chaos.ground import (
    AFTER_S,
    CALM_S,
    FAULT_S,
    PREDICTOR,
    Fault,
    Ground,
    Record,
    endings,
    loaded,
    moment,
)
from jobcast_bench.chaos.rule import LOADED, Rule, calm
from jobcast_bench.chaos.timeline import figures

POLL_S = 0.2
GOLDEN_SHIFT = 1.001


def cut(folder: Path) -> None:
    """Half of the graph."""
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])


def flip(folder: Path) -> None:
    """One bit of the graph."""
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def rehash(folder: Path) -> None:
    """Another hash in the manifest."""
    _edit(folder, lambda files: files | {"model.onnx": "0" * 64})


def misremember(folder: Path) -> None:
    """A golden row that the graph does not give, signed as if it were right."""
    golden = json.loads((folder / "golden.json").read_text())
    golden["outputs"]["point"] = [value * GOLDEN_SHIFT for value in golden["outputs"]["point"]]
    (folder / "golden.json").write_text(json.dumps(golden))
    signed = hashlib.sha256((folder / "golden.json").read_bytes()).hexdigest()
    _edit(folder, lambda files: files | {"golden.json": signed})


def _edit(folder: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = change(manifest["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest))


SPOILS: tuple[Callable[[Path], None], ...] = (cut, flip, rehash, misremember)


def arrive(home: Path, source: Path, version: int, spoil: Callable[[Path], None] | None) -> None:
    """Put a version into a repository in one step."""
    staged = home.parent / f".staged-{version}"
    shutil.copytree(source, staged)
    manifest = json.loads((staged / "manifest.json").read_text()) | {"version": version}
    (staged / "manifest.json").write_text(json.dumps(manifest))
    if spoil is not None:
        spoil(staged)
    staged.rename(home / str(version))


def bring(ground: Ground) -> Record:
    """Let each kind of spoilt version arrive under calls, then a good one."""
    models = ground.copied()
    server = ground.serve("--model-control", "poll", "--poll-interval", str(POLL_S), models=models)
    source = ground.place(server).bundle
    home, served = models / PREDICTOR, int(source.name)
    load, callers = ground.load(server, versions_change=True), ground.callers(server)
    ground.last(CALM_S)
    brought, notes, slowest = moment(), [], 0.0
    for version, spoil in enumerate(SPOILS, start=served + 1):
        position, begin = server.position(), moment()
        arrive(home, source, version, spoil)
        refused = server.wait("bundle refused", position, model=PREDICTOR, version=version)
        slowest = max(slowest, (moment() - begin) / 1e9)
        notes.append(f"version {version}, {spoil.__name__}: {refused['reason'].replace(str(models), 'models')}")
    ground.last(FAULT_S)
    spoilt, good = moment(), served + len(SPOILS) + 1
    arrive(home, source, good, None)
    server.wait("model serving", position, model=PREDICTOR, version=good)
    cleared = moment()
    ground.last(AFTER_S)
    timeline = callers.finish()
    strangers = sum(count for version, count in timeline.versions.items() if version not in (str(served), str(good)))
    measures = figures(timeline, brought, spoilt, since=cleared) | loaded(load)
    measures |= {
        "spoilt": len(SPOILS),
        "refused_versions": len(notes),
        "answers_of_spoilt": strangers,
        "answers_of_old": timeline.versions[str(served)],
        "answers_of_good": timeline.versions[str(good)],
        "refused_within_s": slowest,
        "takes_over_s": (cleared - spoilt) / 1e9,
    }
    return Record(measures, notes + endings(timeline, load))


BUNDLE = Fault(
    "corrupt-bundle",
    "spoilt versions arrive",
    "each spoilt version is refused with its reason and answers nothing; the old one goes on without a failed or wrong "
    "answer; a good one that comes later takes over",
    bring,
    (
        *calm(normal_s=5.0),
        *LOADED,
        Rule("refused_versions", "==", len(SPOILS), "every spoilt version is refused"),
        Rule("answers_of_spoilt", "==", 0, "no spoilt version answers"),
        Rule("answers_of_good", ">=", 1, "the good version takes over"),
        Rule("takes_over_s", "<=", 10.0, "the good version takes over within 10 s"),
    ),
)
