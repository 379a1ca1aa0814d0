"""What the micro-benchmarks share: the shipped bundle, loaded and verified once."""

import sys
from pathlib import Path

import pytest
from jobcast_bench.inprocess import newest_bundle
from jobcast_server import forest
from jobcast_server.native import Builder
from jobcast_server.repository.bundle import Bundle, load

sys.path.insert(0, str(Path(__file__).parent))  # for three_forests: pytest imports the files of this folder one by one


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the bundles are."""
    parser.addoption("--models", default="models", help="repository of bundles")


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config) -> Path:
    """Folder of the newest hpc-runtime bundle."""
    models = Path(pytestconfig.getoption("--models"))
    found = newest_bundle(models)
    if found is None:
        pytest.fail(f"{models}: holds no bundle of hpc-runtime; name the repository with --models")
    return found


@pytest.fixture(scope="session")
def bundle(folder: Path) -> Bundle:
    """The bundle as the server loads it."""
    return load(folder, trees="auto")


@pytest.fixture(scope="session")
def native(folder: Path) -> Bundle:
    """The bundle with the core's engine and the core's trees."""
    try:
        forest.core()
    except forest.ForestError as error:
        pytest.skip(str(error))
    return load(folder, trees="native", builder=Builder("native", 10_000, contract=True))
