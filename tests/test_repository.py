"""What holds for the repository as a whole: small plain models, no registry addresses, imports one way and declared."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))
LARGEST_MODEL_BYTES = 8_000_000
MODEL_FILES = {"model.onnx", "manifest.json", "golden.json", "config.pbtxt", "model-settings.json", "README.md"}
REGISTRIES = [
    re.escape(".".join(parts))
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("crates", "io"),
        ("npmjs", "org"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
    )
]
ADDRESS = re.compile("|".join([*REGISTRIES, r"--(extra-)?index[-_]url", r"--find[-]links"]), re.IGNORECASE)
NAMES_ITS_INDEX = {"Cargo.lock"}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that git keeps or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: which files belong to the repository is not known")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_model_file_is_large() -> None:
    sizes = {path: path.stat().st_size for path in (ROOT / "models").rglob("*") if path.is_file()}
    assert sizes
    assert {path.name: size for path, size in sizes.items() if size > LARGEST_MODEL_BYTES} == {}


def test_models_are_data_of_the_five_known_kinds() -> None:
    found = [path for path in (ROOT / "models").rglob("*") if path.is_file()]
    assert {path.name for path in found} <= MODEL_FILES
    # a pickle begins with PROTO (0x80), an archive that may hold one with PK or the gzip magic
    assert [path for path in found if path.read_bytes().startswith((b"\x80", b"PK", b"\x1f\x8b"))] == []


def test_no_file_names_a_package_registry(files: list[Path]) -> None:
    found = []
    for path in files:
        if path.name in NAMES_ITS_INDEX:
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in ADDRESS.finditer(text)]
    assert found == []


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Top-level modules that a package imports, each with the place."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in names:
                yield name.split(".")[0], f"{path.relative_to(ROOT)}:{node.lineno}"


def plain(requirement: str) -> str:
    """Name of a requirement without version and marker."""
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def packages_of(home: Path, settings: dict[str, Any]) -> list[Path]:
    """Folders of the packages that a project brings."""
    if maturin := settings["tool"].get("maturin"):
        return [home / maturin["python-source"] / maturin["module-name"].split(".")[0]]
    return [home / folder for folder in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


@pytest.mark.parametrize("home", PACKAGES, ids=lambda home: home.name)
def test_every_import_is_declared(home: Path) -> None:
    settings = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"].get("optional-dependencies", {}).values()
    declared = {
        plain(requirement) for one in (settings["project"].get("dependencies", []), *extras) for requirement in one
    }
    declared.add(plain(settings["project"]["name"]))
    workspace = {"rt_predictor_pb2": "jobcast-proto", "rt_predictor_pb2_grpc": "jobcast-proto"}
    for other in PACKAGES:
        about = tomllib.loads((other / "pyproject.toml").read_text(encoding="utf-8"))
        for folder in packages_of(other, about):
            workspace[folder.name] = plain(about["project"]["name"])
    distributions = packages_distributions()
    missing = []
    for folder in packages_of(home, settings):
        for module, place in imported(folder):
            # What runs in a peer's own environment takes what that one pins.
            if module in sys.stdlib_module_names or "/peers/runtimes/" in place:
                continue
            owners = {workspace[module]} if module in workspace else {plain(d) for d in distributions.get(module, [])}
            if not owners & declared:
                missing.append(f"{place}: {module} comes from {sorted(owners) or 'nowhere'}, which is not declared")
    assert missing == []
