"""The accuracy report: one command from a folder of logs to a page with pictures, resumable, on any log."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from jobcast_training import hyperparameters
from jobcast_training.command.accuracy import accuracy
from jobcast_training.records import Records
from jobcast_training.report.logs import LogsError, find_logs
from jobcast_training.report.store import Store, identity
from jobcast_training.sources.synthetic import generate

PNG = b"\x89PNG\r\n\x1a\n"


def run(folder: Path, config: Path, out: Path, *more: str) -> Result:
    given = ["--logs", str(folder), "--config", str(config), "--state", str(out.parent / "state"), "--out", str(out)]
    return CliRunner().invoke(accuracy, [*given, *more])


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in a folder of its own, one as a file, one too short, and a file that is none."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "our log").mkdir()
    generate(3_000, 3, folder / "our log" / "jobs.parquet", jobs_per_day=300)
    shutil.copy(Path(__file__).parent / "data" / "small.swf", folder / "short.swf")
    (folder / "notes.txt").write_text("nothing of use\n")
    (folder / "picture.png").write_bytes(PNG)
    return folder


@pytest.fixture(scope="module")
def page(logs: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "figures.md"
    done = run(logs, small, out, "--seeds", "2")
    assert done.exit_code == 0, done.output
    return out


def rows(text: str, title: str) -> dict[str, list[str]]:
    """The table whose heading starts with `title`: cells by the first of each line."""
    lines = text[text.index(f"| {title}") :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def test_every_log_that_suffices_has_a_line_and_a_section_and_the_others_a_reason(page: Path) -> None:
    text = page.read_text()
    assert list(rows(text, "log ")) == ["our log"]
    assert text.count("## our log") == 1
    reasons = text.split("## Not scored")[1].split("##")[0]
    assert "- **short**: needs at least 500 usable jobs" in reasons
    assert "- **notes**: notes.txt: no known format of job records" in reasons
    assert "picture.png" not in text


def test_the_line_of_a_log_is_the_median_of_the_seeds_against_the_best_baseline(page: Path) -> None:
    text = page.read_text()
    line = rows(text, "log ")["our log"]
    table = rows(text, "predictor ")
    assert line[0] == "600"
    for place, column in ((1, 0), (4, 4), (7, 5)):
        own, best, ratio = line[place : place + 3]
        shown, low, high = re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", own).groups()
        losses = {
            name: number(cells[column]) for name, cells in table.items() if not re.search("jobcast|of the seeds", name)
        }
        assert len(losses) == 8
        least = min(losses.values())
        assert shown == table["**jobcast**"][column]
        assert number(low) <= number(shown) <= number(high)
        assert f"{low} to {high}" == table["least to greatest of the seeds"][column]
        named = re.fullmatch(r"\S+ \((.+)\)", best)[1]
        assert losses[named] == least
        assert float(ratio) == pytest.approx(number(shown) / least, rel=0.02)


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_slices_are_parts_of_the_test_jobs(page: Path) -> None:
    text = page.read_text()
    total = rows(text, "share of test jobs")["0.1 to 0.9 range"]
    for title in ("month of submission", "queue", "predicted median", "actual run time"):
        table = rows(text, title)
        jobs = np.array([number(cells[0]) for cells in table.values()])
        inside = np.array([number(cells[1]) for cells in table.values()])
        assert jobs.sum() == 600
        assert np.all((inside >= 0) & (inside <= 1))
        low, high = re.search(r"\((\S+) to (\S+)\)", total[1]).groups()
        assert number(low) - 0.002 <= np.sum(jobs * inside) / 600 <= number(high) + 0.002


def test_pictures_are_there_and_small(page: Path) -> None:
    text = page.read_text()
    linked = set(re.findall(r"\]\((figures/[^)]+\.png)\)", text))
    assert {Path(one).name for one in linked} == {
        "reliability.png",
        "our-log-reliability.png",
        "our-log-predicted.png",
        "our-log-months.png",
    }
    for one in linked:
        content = (page.parent / one).read_bytes()
        assert content.startswith(PNG)
        assert 1_000 < len(content) < 60_000


def test_a_page_is_made_again_from_what_is_kept(logs: Path, small: Path, page: Path) -> None:
    """Figures changed on disk show on the page: nothing was trained, and no other seed either."""
    kept = sorted((page.parent / "state" / "our log").glob("*.json"))
    assert [path.name.rsplit("-", 1)[0] for path in kept] == ["ablation", "baselines", "seed-1", "seed-2"]
    path = next(path for path in kept if path.name.startswith("baselines"))
    before = path.read_text()
    path.write_text(re.sub(r'"mae": [\d.]+', '"mae": 1.25', before))
    again = page.with_name("again.md")
    try:
        done = run(logs, small, again, "--seeds", "2")
    finally:
        path.write_text(before)
    assert done.exit_code == 0, done.output
    assert "1.25 (" in rows(again.read_text(), "log ")["our log"][2]
    assert sorted((page.parent / "state" / "our log").glob("*.json")) == kept


def test_one_seed_and_no_ablation_take_what_is_kept_and_show_no_spread(logs: Path, small: Path, page: Path) -> None:
    quick = page.with_name("quick.md")
    done = run(logs, small, quick, "--seeds", "1", "--no-ablation", "--only", "our log")
    assert done.exit_code == 0, done.output
    text = quick.read_text()
    assert "least to greatest" not in text
    assert "without request sizes" not in text
    assert " to " not in rows(text, "log ")["our log"][1]
    assert "Not scored" not in text


@pytest.mark.parametrize("change", ["log", "timezone", "hyperparameters"])
def test_figures_are_kept_for_the_same_log_and_settings_only(
    log: Records, small: Path, tmp_path: Path, change: str
) -> None:
    hyper = hyperparameters.load(small)
    about = identity(log, hyper)
    other = {
        "log": lambda: identity(Records(log.frame.head(5_999), log.source), hyper),
        "timezone": lambda: identity(replace(log, timezone="Asia/Tokyo"), hyper),
        "hyperparameters": lambda: identity(log, hyperparameters.load()),
    }[change]()
    assert Store(tmp_path, about).get("part", lambda: {"mae": 1.0}).fresh
    assert Store(tmp_path, about).get("part", lambda: {"mae": 2.0}).figures == {"mae": 1.0}
    assert Store(tmp_path, other).get("part", lambda: {"mae": 3.0}).figures == {"mae": 3.0}


def test_what_was_stopped_half_way_is_not_kept(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path, {})
    with pytest.raises(KeyboardInterrupt):
        store.get("part", stop)
    assert store.get("part", lambda: 1).figures == 1


def test_logs_are_found_by_name_and_a_wrong_one_is_named(logs: Path, tmp_path: Path) -> None:
    assert [one.name for one in find_logs(logs)] == ["notes", "our log", "short"]
    assert [one.path.name for one in find_logs(logs, ["short"])] == ["short.swf"]
    assert [one.name for one in find_logs(logs / "our log")] == ["our log"]
    with pytest.raises(LogsError, match=r"no log 'our logs'; there are notes, our log, short"):
        find_logs(logs, ["our logs"])
    with pytest.raises(LogsError, match="no job records; expected files ending in"):
        find_logs(tmp_path)
    for name in ("same.swf", "same.csv.gz"):
        (tmp_path / name).write_text("x")
    with pytest.raises(LogsError, match="both name the log same; rename one"):
        find_logs(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--timezone", "nested"], "expected NAME=ZONE such as my-log=Europe/Berlin, got 'nested'"),
        (["--timezone", "nested=Mars/Base"], "got 'nested=Mars/Base'"),
        (["--seeds", "0"], "0 is not in the range x>=1"),
        (["--only", "nobody"], "no log 'nobody'; there are notes, our log, short"),
    ],
)
def test_a_wrong_option_is_named(logs: Path, small: Path, tmp_path: Path, given: list[str], message: str) -> None:
    done = run(logs, small, tmp_path / "page.md", *given)
    assert done.exit_code != 0
    assert message in re.sub(r"\s*[│\n]\s*", " ", done.output)
    assert not (tmp_path / "page.md").exists()
