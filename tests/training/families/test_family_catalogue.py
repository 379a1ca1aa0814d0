"""What families there are, how words choose among them, and what is said of one that cannot be had."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jobcast_training import families
from jobcast_training.families import Family, FamilyError, Task
from jobcast_training.families.interface import Fit

SHIPPED = ("catboost", "gradient_boosting", "lightgbm", "logistic_regression", "random_forest", "xgboost")
SIMPLE = """
from jobcast_training.families import Family
FAMILY = Family(name="{name}", title="", regression=None, classification=None)
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def add(package: str, module: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(module)
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        text = "".join(f"{name} = {value}\n" for name, value in points.items())
        about.joinpath("entry_points.txt").write_text(f"[jobcast.families]\n{text}")
        monkeypatch.syspath_prepend(tmp_path)

    return add


def test_the_shipped_families_are_found_and_are_what_they_are_called() -> None:
    assert tuple(families.names()) == SHIPPED
    for name in SHIPPED:
        assert families.load(name).name == name
    assert [name for name in SHIPPED if not families.load(name).regression] == ["logistic_regression"]
    assert all(families.load(name).classification for name in SHIPPED)


def test_listing_imports_no_library() -> None:
    told = (
        "import sys; from jobcast_training import families; families.names(); "
        "print([one for one in ('catboost', 'lightgbm', 'sklearn', 'xgboost') if one in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True).stdout == "[]\n"


def test_a_module_beside_the_shipped_ones_is_found_by_its_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobcast_training").mkdir()
    copy = tmp_path / "jobcast_training" / "families"
    copy.mkdir()
    for file in Path(families.__file__).parent.glob("*.py"):
        (copy / file.name).write_text(file.read_text())
    (tmp_path / "jobcast_training" / "__init__.py").write_text("")
    (copy / "new_kind.py").write_text(SIMPLE.format(name="new_kind"))
    (copy / "helping.py").write_text("def helping() -> None: ...\n")
    told = "from jobcast_training import families; print(families.load('new_kind').name, *families.names())"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True, cwd=tmp_path)
    assert run.stdout.split() == ["new_kind", *sorted([*SHIPPED, "new_kind"])]


def test_an_installed_family_is_one_of_them(install: Install) -> None:
    install("foreign_one", SIMPLE.format(name="foreign"), foreign="foreign_one:FAMILY")
    assert "foreign" in families.names()
    assert families.load("foreign").name == "foreign"


def test_two_families_of_one_name_are_both_named(install: Install) -> None:
    install("foreign_two", SIMPLE.format(name="xgboost"), xgboost="foreign_two:FAMILY")
    for ask in (families.names, lambda: families.load("lightgbm")):
        with pytest.raises(FamilyError) as raised:
            ask()
        assert str(raised.value) == (
            "two model families are named 'xgboost': jobcast_training.families.xgboost_family:FAMILY and "
            "foreign_two:FAMILY (package foreign_two 1.0); rename or remove one"
        )


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            "import no_such_library",
            "model family 'broken' cannot be loaded from broken_kind:FAMILY (package broken_kind 1.0): "
            "ModuleNotFoundError: No module named 'no_such_library'",
        ),
        ("1 / 0", "(package broken_kind 1.0): ZeroDivisionError: division by zero"),
        ("FAMILY = 3", "broken_kind:FAMILY (package broken_kind 1.0) must be a Family, got int"),
        (SIMPLE.format(name="other"), "(package broken_kind 1.0) calls itself 'other'; the two must be alike"),
    ],
)
def test_a_broken_family_is_told_to_whoever_asks_for_it_only(install: Install, module: str, said: str) -> None:
    sys.modules.pop("broken_kind", None)
    install("broken_kind", module, broken="broken_kind:FAMILY")
    assert tuple(families.names()) == tuple(sorted([*SHIPPED, "broken"]))
    assert families.load("random_forest").name == "random_forest"
    with pytest.raises(FamilyError) as raised:
        families.load("broken")
    assert said in str(raised.value)


def test_a_name_that_is_no_word_is_refused(install: Install) -> None:
    install("foreign_three", "", **{"my-family": "foreign_three:FAMILY"})
    with pytest.raises(FamilyError, match=r"small letters, digits and _, got 'my-family'"):
        families.names()


@pytest.mark.parametrize(
    ("words", "task_type", "expected"),
    [
        (["xgboost"], "regression", ["xgboost regression"]),
        (["xgboost"], None, ["xgboost regression", "xgboost classification"]),
        (
            ["lightgbm_classification", "xgboost_regression"],
            None,
            ["lightgbm classification", "xgboost regression"],
        ),
        (["logistic_regression"], None, ["logistic_regression classification"]),
        (["logistic_regression_classification"], "classification", ["logistic_regression classification"]),
        (["catboost", "catboost_regression"], "regression", ["catboost regression"]),
        ([], None, []),
    ],
)
def test_words_choose_families_and_tasks(words: list[str], task_type: str | None, expected: list[str]) -> None:
    assert [f"{family.name} {task}" for family, task in families.chosen(words, task_type)] == expected


@pytest.mark.parametrize(
    ("words", "task_type", "said"),
    [
        (["xgbost"], None, "unknown model family 'xgbost', did you mean 'xgboost'?; families: catboost, gradient_boo"),
        (["lightgbm_regresion"], None, "did you mean 'lightgbm_regression'?"),
        (["ghost"], None, "each alone or followed by _regression or _classification"),
        (["xgboost", "logistic_regression"], "regression", "model family 'logistic_regression' has no regression; oth"),
        (["logistic_regression_regression"], None, "model family 'logistic_regression' has no regression"),
        (["xgboost_regression"], "classification", "'xgboost_regression' names regression, but the task type is clas"),
        (["xgboost"], "ranking", "task type must be one of regression, classification, got 'ranking'"),
    ],
)
def test_a_word_that_chooses_nothing_is_named(words: list[str], task_type: str | None, said: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the text is compared)
        families.chosen(words, task_type)
    assert said in str(raised.value)


def test_a_task_is_had_by_the_name_of_its_family() -> None:
    assert families.regression("lightgbm") is families.load("lightgbm").regression
    assert families.classification("lightgbm") is families.load("lightgbm").classification
    with pytest.raises(FamilyError, match="'logistic_regression' has no regression"):
        families.regression("logistic_regression")
    nothing = Family("nothing", "", None, None)
    assert nothing.classification is None


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"depth": (7, 9, "int")}, r"search_space\['depth'\]: the default must lie in 7 .. 9, got 6"),
        ({"width": (1, 2, "int")}, r"search_space\['width'\]: the default must lie in 1 .. 2, it has none"),
        ({"depth": (1, 9, "whole")}, "must be of kind 'int', 'float' or 'log', got 'whole'"),
    ],
)
def test_a_range_without_its_default_is_refused(space: dict[str, tuple[float, float, str]], said: str) -> None:
    task = families.regression("lightgbm")
    with pytest.raises(ValueError, match=said):
        Task[Fit](task.fit, {"depth": 6}, space)
