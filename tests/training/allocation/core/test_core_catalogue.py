"""What predictors of an amount there are, how an installed package adds one, and what is said of one that is wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jobcast_training.allocation import catalogue
from jobcast_training.allocation.catalogue import PredictorError
from jobcast_training.allocation.declaration import Predictor

SHIPPED = ("build-memory", "workflow-memory")
SIMPLE = """
from jobcast_training.allocation.declaration import History, Number, Predictor, Text
PREDICTOR = Predictor(
    name="{name}",
    title="Disk of jobs",
    amount=Number(name="disk", unit="GiB", description="Disk."),
    fields=(Text(name="kind", description="Kind."),),
    histories=(History("recent_disks", ("kind",)),),
)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with entry points on the path."""

    def add(package: str, module: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(module)
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        text = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in points.items())
        about.joinpath("entry_points.txt").write_text(f"[{catalogue.GROUP}]\n{text}")
        monkeypatch.syspath_prepend(tmp_path)

    return add


def test_the_shipped_predictors_are_found_and_are_what_they_are_called() -> None:
    assert catalogue.names() == SHIPPED
    for name in SHIPPED:
        assert catalogue.load(name).name == name


def test_listing_imports_no_predictor() -> None:
    told = (
        "import sys; from jobcast_training.allocation import catalogue; names = catalogue.names(); "
        "print(names, [one for one in sys.modules if one.startswith('jobcast_training.predictors.')])"
    )
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)
    assert run.stdout == f"{SHIPPED} []\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("build-memroy", ", did you mean 'build-memory'?"),
        ("workflow_memory", ", did you mean 'workflow-memory'?"),
        ("frobnicate", ""),
        ("hpc-runtime", ""),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(name: str, said: str) -> None:
    with pytest.raises(PredictorError) as raised:
        catalogue.load(name)
    wanted = f"unknown predictor {name!r}{said}; predictors of an amount: build-memory, workflow-memory"
    assert str(raised.value) == wanted


def test_an_installed_predictor_is_one_of_them(install: Install) -> None:
    install("foreign_disk", SIMPLE.format(name="disk-use"), disk_use="foreign_disk:PREDICTOR")
    assert catalogue.names() == (SHIPPED[0], "disk-use", SHIPPED[1])
    found = catalogue.load("disk-use")
    assert isinstance(found, Predictor)
    assert [spec.name for spec in found.inputs()] == [
        "kind", "time", "recent_disks", "since_last",
    ]  # fmt: skip
    with pytest.raises(PredictorError, match="did you mean 'disk-use'"):
        catalogue.load("disk-us")


def test_a_package_that_is_found_twice_says_the_same_twice(install: Install, tmp_path: Path) -> None:
    install("foreign_twice", SIMPLE.format(name="twice"), twice="foreign_twice:PREDICTOR")
    again = tmp_path / "foreign_again-1.0.dist-info"
    again.mkdir()
    again.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: foreign_again\nVersion: 1.0\n")
    again.joinpath("entry_points.txt").write_text("[jobcast.predictors]\ntwice = foreign_twice:PREDICTOR\n")
    assert catalogue.load("twice").name == "twice"


def test_two_predictors_of_one_name_are_both_named(install: Install) -> None:
    install("foreign_builds", SIMPLE.format(name="build-memory"), build_memory="foreign_builds:PREDICTOR")
    for ask in (catalogue.names, lambda: catalogue.load("workflow-memory")):
        with pytest.raises(PredictorError) as raised:
            ask()
        assert str(raised.value) == (
            "two predictors are named 'build-memory': jobcast_training.predictors.build_memory and "
            "foreign_builds:PREDICTOR"
        )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import no_such_library", "cannot be loaded from {0}:PREDICTOR: No module named 'no_such_library'"),
        ("x = 1 / 0", "cannot be loaded from {0}:PREDICTOR: division by zero"),
        ("x = 1", "cannot be loaded from {0}:PREDICTOR: module '{0}' has no attribute 'PREDICTOR'"),
        ("PREDICTOR = 5", "{0}:PREDICTOR must be a Predictor of that name, got 'int'"),
        (SIMPLE.format(name="other"), "{0}:PREDICTOR must be a Predictor of that name, got 'other'"),
    ],
)
def test_a_predictor_that_is_wrong_harms_only_whoever_asks_for_it(
    install: Install, request: pytest.FixtureRequest, module: str, said: str
) -> None:
    package = f"foreign_wrong_{request.node.callspec.indices['module']}"
    install(package, module, wrong=f"{package}:PREDICTOR")
    assert "wrong" in catalogue.names()
    assert catalogue.load("build-memory").name == "build-memory"
    with pytest.raises(PredictorError) as raised:
        catalogue.load("wrong")
    assert str(raised.value).startswith("predictor 'wrong'")
    assert said.format(package) in str(raised.value)
