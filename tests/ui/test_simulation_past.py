"""History inputs of a replay equal those of training number for number, and know nothing that lies ahead."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import numpy as np
import polars as pl
from jobcast_training.allocation import catalogue
from jobcast_training.allocation.declaration import AMOUNT, END, TIME
from jobcast_training.allocation.history import Past as Trained
from jobcast_training.history import History
from jobcast_training.records import Records
from jobcast_training.sources import read
from jobcast_training.sources.synthetic import generate
from jobcast_ui.simulation.past import PEAKS, RUNTIMES, Histories, Job, Past, histories_of

WIDTHS = {"recent_runtimes": 10, "similar_runtimes": 10, "named_runtimes": 10, "running_elapsed": 5, "since_last": 4}
WIDTHS |= {"runtime_quantiles": 9}


def past(histories: Histories, jobs: Sequence[Job], widths: dict[str, int]) -> dict[str, np.ndarray]:
    own = Past(histories, widths)
    told = [own.submitted(job) for job in jobs]
    return {name: np.array([row[name] for row in told]) for name in histories.names}


def test_runtimes_are_those_of_training(tmp_path: Path) -> None:
    generate(3_000, 4, tmp_path / "jobs.parquet")
    records: Records = read([tmp_path / "jobs.parquet"])
    frame = records.frame
    names = ("user", "processors_req", "wallclock_req", "job_name")
    jobs = [
        Job({name: "" if row[name] is None else row[name] for name in names}, row["submit_time"], row["end_time"],
            row["run_time"])
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    found, expected = past(RUNTIMES, jobs, WIDTHS), History.of(records)
    for name, width in WIDTHS.items():
        trained = expected.rows(name, 0, frame.height, width)
        assert np.isfinite(trained).any(), name
        np.testing.assert_array_equal(found[name], trained, err_msg=name)


def test_peaks_are_those_of_training() -> None:
    random = np.random.default_rng(2)
    rows = 400
    submit = np.sort(random.integers(0, 20_000, rows)).astype(float)
    frame = pl.DataFrame(
        {
            **{name: [None if random.random() < 0.1 else f"{name}_{random.integers(3)}" for _ in range(rows)]
               for name in ("branch", "build_profile", "location")},
            TIME: submit, END: submit + random.integers(0, 3000, rows), AMOUNT: random.gamma(3, 20, rows),
        }
    )  # fmt: skip
    jobs = [
        Job(
            {name: row[name] or "" for name in ("branch", "build_profile", "location")},
            row[TIME],
            row[END],
            row[AMOUNT],
        )
        for row in frame.iter_rows(named=True)
    ]
    widths = {**dict.fromkeys(PEAKS.ended, 10), "since_last": 4}
    trained = Trained.of(catalogue.load("build-memory"), frame)
    for name, values in past(PEAKS, jobs, widths).items():
        np.testing.assert_array_equal(values, trained.inputs[name], err_msg=name)


def test_a_job_is_not_known_before_its_end() -> None:
    def job(submit: float, end: float) -> Job:
        return Job({"user": "ada"}, submit, end, end - submit)

    own = Past(RUNTIMES, WIDTHS)
    assert isnan(own.submitted(job(0, 100))["recent_runtimes"][0])
    running = own.submitted(job(100, 300))
    assert isnan(running["recent_runtimes"][0])  # it ends at this very moment, not before
    assert running["running_elapsed"][0] == 100
    told = own.submitted(job(101, 102))
    assert told["recent_runtimes"][0] == 100
    assert isnan(told["recent_runtimes"][1])
    assert (told["since_last"][0], told["since_last"][2]) == (1, 1)


def test_models_are_known_by_their_inputs() -> None:
    assert histories_of([*WIDTHS, "user"]) is RUNTIMES
    assert histories_of([*PEAKS.names, "time"]) is PEAKS
    older = histories_of([name for name in WIDTHS if name != "runtime_quantiles"])
    assert older is not None
    assert set(older.names) == set(WIDTHS) - {"runtime_quantiles"}
    assert histories_of(["input_tokens"]) is None
