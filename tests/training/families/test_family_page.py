"""The page "Add a model family": its code as it is printed, as a package that is found through its entry point."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jobcast_training import families

PAGE = Path(__file__).parents[3] / "docs" / "extend" / "family.md"


def block(title: str) -> str:
    found = re.findall(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package as an installer leaves it: the module, and what its pyproject says in a dist-info."""
    project = tomllib.loads(block("pyproject.toml"))["project"]
    (tmp_path / "extra_trees.py").write_text(block("extra_trees.py"))
    about = tmp_path / f"jobcast_extra_trees-{project['version']}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    about.joinpath("entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("extra_trees", None)


def test_the_family_of_the_page_is_found_and_passes_the_proof_of_the_page(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "extra_trees" in families.names()
    assert families.chosen(["extra_trees"]) == [(families.load("extra_trees"), "regression")]
    exec(compile(block("prove.py"), "prove.py", "exec"), {})  # noqa: S102 (the page's own code)
    difference, shares = capsys.readouterr().out.splitlines()
    assert float(difference.split()[-1]) < 1e-5
    below = np.array(re.findall(r"\d\.\d+", shares), dtype=float)
    assert np.abs(below - [0.1, 0.5, 0.9]).max() < 0.07


def test_without_the_package_there_is_no_such_family() -> None:
    assert "extra_trees" not in families.names()
    with pytest.raises(families.FamilyError, match="unknown model family 'extra_trees'"):
        families.load("extra_trees")
