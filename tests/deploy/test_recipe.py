"""The recipe of the images keeps the rules that a security review asks for, and its helpers do what it relies on."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "Dockerfile.arm64"
CONTAINER = ROOT / "deploy" / "container"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions and their arguments, with continued lines joined."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def recipe() -> list[tuple[str, str]]:
    return instructions(RECIPE.read_text())


@pytest.fixture(scope="module")
def final(recipe: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Instructions of the last stage, which a build makes unless it names another."""
    begins = max(index for index, (name, _) in enumerate(recipe) if name == "FROM")
    return recipe[begins:]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint_has_no_complaint() -> None:
    assert HADOLINT is not None
    told = subprocess.run([HADOLINT, RECIPE], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_base_is_an_argument_with_a_version(recipe: list[tuple[str, str]]) -> None:
    arguments = dict(value.split("=", 1) for name, value in recipe if name == "ARG" and "=" in value)
    stages = {value.split(" AS ")[1] for name, value in recipe if name == "FROM" and " AS " in value}
    bases = {value.split()[0] for name, value in recipe if name == "FROM"} - stages - {"scratch"}
    assert bases == {"${BASE}", "${RUST}"}
    for base in ("BASE", "RUST"):
        assert re.fullmatch(r"[a-z]+:\d+\.\d+-slim-[a-z]+", arguments[base]), (
            f"{base} has no version: {arguments[base]}"
        )


def test_the_server_has_no_shell_no_root_and_exact_commands(final: list[tuple[str, str]]) -> None:
    said = dict(final)
    assert said["FROM"].startswith("scratch ")
    assert said["USER"] == "10001:10001"
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(said["ENTRYPOINT"]) == ["jobcast", "serve"]
    assert json.loads(said["HEALTHCHECK"].split(" CMD ")[1]) == ["python", "/opt/jobcast/bin/probe.py"]
    assert not [value for name, value in final if name in ("RUN", "ADD")]


def test_nothing_is_fetched_by_address(recipe: list[tuple[str, str]]) -> None:
    files = [RECIPE, *CONTAINER.glob("*.py"), *(ROOT / "deploy").glob("compose*.yaml")]
    found = {path.name: re.findall(r"https?://(?!127\.0\.0\.1|server:)\S+", path.read_text()) for path in files}
    assert not any(found.values()), found
    assert not [value for name, value in recipe if name == "ADD"]


def test_what_is_installed_is_pinned(recipe: list[tuple[str, str]]) -> None:
    installs = [value for name, value in recipe if name == "RUN" and "/pip " in value]
    assert len(installs) == 4
    assert all("--constraint constraints.txt" in value for value in installs)
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {"pip", "maturin", "hatchling"} <= pinned


def test_the_context_holds_what_the_recipe_copies(recipe: list[tuple[str, str]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for name, value in recipe
        if name == "COPY" and not value.startswith("--")
        for source in value.split()[:-1]
    }
    assert copied == let_in
    assert "core/target" in lines


def test_a_repository_is_filled_once(tmp_path: Path) -> None:
    def seed() -> str:
        command = [sys.executable, CONTAINER / "seed.py", ROOT / "models", tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (tmp_path / "lost+found").mkdir()
    assert "filled" in seed()
    shipped = {path.relative_to(ROOT / "models") for path in (ROOT / "models").glob("*/*/*")}
    assert {path.relative_to(tmp_path) for path in tmp_path.glob("*/*/*")} == shipped
    shutil.rmtree(tmp_path / "llm-latency")
    assert "left as it is" in seed()
    assert not (tmp_path / "llm-latency").exists()


def test_a_filling_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    """It stopped as the first of the staged models had moved."""
    shutil.copytree(ROOT / "models", tmp_path / ".seeding")
    (tmp_path / ".seeding" / "build-memory").rename(tmp_path / "build-memory")
    command = [sys.executable, CONTAINER / "seed.py", ROOT / "models", tmp_path]
    assert "filled" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shipped = {path.relative_to(ROOT / "models") for path in (ROOT / "models").glob("*/*/*")}
    assert {path.relative_to(tmp_path) for path in tmp_path.glob("*/*/*")} == shipped
    assert not (tmp_path / ".seeding").exists()


def test_of_several_fillings_at_once_one_fills(tmp_path: Path) -> None:
    command = [sys.executable, CONTAINER / "seed.py", ROOT / "models", tmp_path]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [one.communicate(timeout=120)[0] for one in several]
    assert [one.returncode for one in several] == [0] * 4
    assert sum("filled" in one for one in told) == 1
    shipped = {path.relative_to(ROOT / "models") for path in (ROOT / "models").rglob("*")}
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.name != ".seeding.lock"}
    assert found == shipped


def test_the_probe_says_why_nobody_answers() -> None:
    told = subprocess.run(
        [sys.executable, CONTAINER / "probe.py"],
        env={**os.environ, "JOBCAST_PORT": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert "127.0.0.1:1 does not answer: " in told.stderr


GATHERED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import gather
root = gather.Root(Path(sys.argv[2]))
root.add(Path(sys.argv[3]), gather.UNUSED)
print(len(gather.libraries(gather.linked(root.folder))))
"""


@pytest.mark.skipif(shutil.which("ldd") is None, reason="ldd is not on this machine")
def test_gathering_keeps_links_and_leaves_out_what_serving_never_reads(tmp_path: Path) -> None:
    package = tmp_path / "really" / "package"
    for name in ("code.py", "tests/test_it.py", "include/it.h", "stub.pyi"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    shutil.copy(sys.executable, package / "program")
    (tmp_path / "link").symlink_to("really")
    target = tmp_path / "target"
    command = [sys.executable, "-c", GATHERED, CONTAINER, target, tmp_path / "link" / "package"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    gathered = target / tmp_path.relative_to("/")
    assert (gathered / "link").readlink() == Path("really")
    assert sorted(path.name for path in (gathered / "link" / "package").iterdir()) == ["code.py", "program"]
    assert int(told.stdout) >= 2, "a program is linked with the C library and the loader"
