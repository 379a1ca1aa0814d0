"""A bundle as a Python object: what it takes, what it refuses, and that a bundle is believed only when it is whole."""

import json
import math
import shutil
import subprocess
import sys
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import onnxruntime
import pandas
import polars
import pytest
from jobcast import BadBundle, DeployableModel, InputError, InvalidInput, NotFound

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"build_profile": "linuxx86_64-gcc-debug", "time": 1_000_000_000, "jobs": 500, "memreq_mib": 2048}


@pytest.fixture(scope="module")
def model(memory_bundle):
    return DeployableModel.load(memory_bundle)


def test_a_path_means_a_version_or_the_highest_of_a_model(memory, tmp_path):
    for version in (2, 10):
        memory.make(tmp_path / "models", version, scale=version)
    assert DeployableModel.load(tmp_path / "models" / "toy-memory" / "2").manifest.version == 2
    newest = DeployableModel.load(str(tmp_path / "models" / "toy-memory"))
    assert newest.get_model_info()["version"] == 10
    one = DeployableModel.load(tmp_path / "models" / "toy-memory" / "2").predict([GOOD])
    assert newest.predict([GOOD])[0] == pytest.approx(5 * one[0], rel=1e-6)
    for path, text in (
        (tmp_path / "models", "is a repository of toy-memory: name one of them"),
        (tmp_path / "models" / "toy-memry", "there is no such folder, did you mean 'toy-memory'?"),
        (tmp_path, "is no bundle: it has no versions"),
        (tmp_path / "nowhere" / "else", "there is no such folder"),
    ):
        with pytest.raises(NotFound) as caught:
            DeployableModel.load(path)
        assert text in str(caught.value)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "models").iterdir() if path.is_dir()))
def test_every_shipped_bundle_answers_its_golden_rows_from_raw_records(name):
    model = DeployableModel.load(ROOT / "models" / name)
    golden = json.loads((model.folder / "golden.json").read_bytes())
    specs = {spec.name: spec for spec in model.manifest.inputs}
    records = {
        key: [value if specs[key].shape[-1] == 1 else [item for item in value if item is not None] for value in values]
        for key, values in golden["inputs"].items()
        if key != "since_last"
    }
    if "since_last" in golden["inputs"]:
        records["since_last"] = golden["inputs"]["since_last"]  # the places of its values have meanings of their own
    forecast = model.predict_distribution(records)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more would add the trees' leaves in another order
    session = onnxruntime.InferenceSession(model.folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    kinds = {"float64": float, "int64": np.int64, "string": object}
    feeds = {
        key: np.array(golden["inputs"][key], kinds[spec.type]).reshape(-1, *spec.shape[1:])
        for key, spec in specs.items()
    }
    for key, values in zip(forecast.outputs, session.run(list(forecast.outputs), feeds), strict=True):
        assert np.array_equal(forecast.outputs[key], values.astype(float)), key


def test_model_info_is_plain_data(model):
    info = json.loads(json.dumps(model.get_model_info()))
    assert {key: info[key] for key in ("predictor", "version", "model_type", "task_type", "unit")} == {
        "predictor": "toy-memory", "version": 1, "model_type": "a fixed rule",
        "task_type": "classification and regression", "unit": "GiB",
    }  # fmt: skip
    assert info["families"]["lightgbm_regression"] == 0.6
    assert info["quantile_levels"] == [0.1, 0.5, 0.95]
    assert info["metrics"] == {"validation": {"mae": 1.1}, "test": {"mae": 1.2}}
    assert info["training_data"]["rows"] == 1000
    assert info["allocation"]["failed_per_job"] == 5.0
    assert [one["name"] for one in info["inputs"]][:2] == ["build_profile", "make_type"]


WRONG = {
    "missing column": ([{"jobs": 1, "time": 5}], "column build_profile: must be given (or buildProfile), got no such"),
    "unknown category": ([GOOD, GOOD | {"make_type": "Dbgg"}], "row 1, column make_type: must be one of 'opt', 'rel', "
                         "'dbg', or empty where it is not known, got 'Dbgg'; did you mean 'dbg'?"),
    "negative value": ([GOOD | {"memreq_mib": -512}], "row 0, column memreq_mib: must be finite and >= 0, or NaN where "
                       "it is not known, got -0.5 GiB from -512 as memreq_mib"),
    "mixed units": ({"build_profile": ["a"] * 3, "time": [1] * 3, "memreq_mib": [512, "16 GiB", 300]},
                    "row 1, column memreq_mib: must be a number without a unit in GiB, or in another unit as "
                    "memreq_mib, got text '16 GiB'"),
    "wrong type": ([GOOD | {"jobs": "many"}], "row 0, column jobs: must be a number in jobs, got text 'many'"),
    "missing value": ([GOOD, GOOD | {"build_profile": None}], "row 1, column build_profile: must be given, got"),
    "below the minimum": ([GOOD | {"cores": 0}], "row 0, column cores: must be finite and > 0"),
    "above the maximum": ([GOOD | {"jobs": 10**7}], "row 0, column jobs: must be <= 1e+06, got 10000000.0"),
    "not finite": ([GOOD | {"jobs": math.inf}], "row 0, column jobs: must be finite and >= 0"),
    "text too long": ([GOOD | {"build_profile": "é" * 40}], "row 0, column build_profile: must be at most 64 by"),
    "too many values": ([GOOD | {"recent_peaks": [1.0] * 11}], "row 0, column recent_peaks: must hold at most 10"),
    "given twice": ([GOOD | {"requested_memory": 3.0}], "row 0, column requested_memory: must be given once, got 3.0 "
                    "as requested_memory and 2048 as memreq_mib"),
    "misspelt column": ([GOOD | {"Make-Type": "opt"}], "column Make-Type: must be written 'make_type', got 'M"),
    "misspelt in one row": ([GOOD | {"make_type": "opt"}, GOOD | {"Make-Type": "opt"}],
                            "row 1, column Make-Type: must be written 'make_type', got 'Make-Type'"),
    "no records": ([], "records: must hold at least one, got none"),
    "not a table": ({"jobs": 5}, "records: column jobs: must be a list of values, got 5; for a single record give"),
}  # fmt: skip


@pytest.mark.parametrize("reason", WRONG)
def test_wrong_records_are_refused_by_name(model, reason):
    records, text = WRONG[reason]
    with pytest.raises(InputError) as caught:
        model.predict(records)
    assert text in str(caught.value)
    assert isinstance(caught.value, InvalidInput)
    assert list(caught.value.counts) == [reason if reason != "misspelt in one row" else "misspelt column"]


@pytest.mark.parametrize(
    ("field", "value", "got"),
    [
        ("jobs", True, "boolean True"),
        ("jobs", "500", "text '500'"),
        ("jobs", [1.0], "[1.0]"),
        ("jobs", date(2020, 1, 1), "datetime.date(2020, 1, 1)"),
        ("jobs", np.array([1.0, 2.0]), "array([1., 2.])"),
        ("build_profile", 5, "5"),
        ("build_profile", True, "boolean True"),
        ("build_profile", "\ud800", "text"),
        ("recent_peaks", 5.0, "5.0"),
        ("recent_peaks", "1,2", "text '1,2'"),
        ("recent_peaks", [1.0, "2"], "text '2'"),
        ("time", 1.5j, "1.5j"),
        ("time", "soon", "text 'soon'"),
    ],
)
def test_nothing_is_taken_for_what_it_is_not(model, field, value, got):
    with pytest.raises(InputError) as caught:
        model.predict([GOOD | {field: value}])
    (problem,) = caught.value.problems
    assert (problem.row, problem.column, problem.reason) == (0, field, "wrong type")
    assert f"got {got}" in problem.text


def test_every_problem_is_told_with_counts_and_nothing_is_predicted(model):
    rows = [dict(GOOD) for _ in range(200)]
    for row in range(0, 60, 2):
        rows[row]["jobs"] = -1
    for row in range(50, 55):
        rows[row]["make_type"] = "never"
    with pytest.raises(InputError) as caught:
        model.predict(rows)
    error = caught.value
    assert error.counts == {"negative value": 30, "unknown category": 5}
    assert (len(error.problems), len(error.violations), error.rows) == (35, 20, 200)
    shown = str(error).splitlines()
    assert shown[0] == "32 of 200 records cannot be read: negative value 30, unknown category 5"
    assert shown[1].startswith("row 0, column jobs: must be finite and >= 0, or NaN where it is not known, got -1")
    assert (len(shown), shown[-1]) == (22, "and 15 more problems")


def test_numbers_of_other_libraries_and_what_is_not_known(model):
    plain = model.predict([GOOD])
    for changed in (
        {"jobs": np.float32(500)},
        {"jobs": np.int16(500)},
        {"jobs": Decimal(500)},
        {"time": np.datetime64(1_000_000_000, "s")},
        {"time": np.datetime64(10**18, "ns")},
        {"time": pandas.Timestamp(1_000_000_000, unit="s", tz="Asia/Tokyo")},
        {"time": 1_000_000_000.7},
        {"time": "2001-09-09T01:46:40"},
        {"has_dist": None},
        {"has_dist": pandas.NA},
        {"has_dist": float("nan")},
        {"has_dist": np.float32("nan")},
        {"recent_peaks": []},
        {"recent_peaks": np.array([])},
        {"make_type": ""},
        {"cores": None},
        {"cores": 4},
        {"requested_memory": 2.0},
        {"requested_memory": None},
    ):
        assert model.predict([GOOD | changed]) == plain, changed
    with pytest.raises(InputError, match="column time: must be given in Unix seconds"):
        model.predict([GOOD | {"time": pandas.NaT}])


def test_a_time_without_a_zone_is_utc_wherever_this_runs(model, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        told = model.predict([GOOD | {"time": moment} for moment in (10**9, datetime(2001, 9, 9, 1, 46, 40))])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told[0] == told[1]


def test_frames_that_are_none(model):
    for frame, text in (
        (polars.LazyFrame([GOOD]), "got a lazy frame; call collect"),
        ("jobs", "must be a data frame, a mapping of columns or a list of mappings, got str"),
        ({"jobs": [1], "time": [1, 2]}, "every column must have as many rows"),
        ([GOOD, 5], "row 1 must be a mapping"),
        (pandas.DataFrame([[1, 2]], columns=["jobs", "jobs"]), "must have each column once, got jobs again"),
    ):
        with pytest.raises(InputError, match=r"^records: ") as caught:
            model.predict(frame)
        assert text in str(caught.value)


def spoil_model(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def spoil_golden(folder):
    golden = (folder / "golden.json").read_text()
    (folder / "golden.json").write_text(golden.replace("linux", "Linux", 1))


def add_pickle(folder):
    (folder / "model.pkl").write_bytes(b"\x80\x04.")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (spoil_model, "model.onnx: SHA-256 is"),
        (spoil_golden, "golden.json: SHA-256 is"),
        (add_pickle, "model.pkl: is not listed in manifest.json"),
    ],
    ids=["model", "golden", "pickle"],
)
def test_a_bundle_that_was_altered_is_refused(memory_bundle, tmp_path, spoil, text):
    folder = tmp_path / "toy-memory" / "1"
    shutil.copytree(memory_bundle, folder)
    spoil(folder)
    with pytest.raises(BadBundle) as caught:
        DeployableModel.load(folder)
    assert text in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_bundle_that_answers_otherwise_than_when_exported_is_refused(memory, tmp_path):
    folder = memory.make(tmp_path)
    other = memory.make(tmp_path / "other", scale=1.001)
    manifest = json.loads((other / "manifest.json").read_text())
    files = json.loads((folder / "manifest.json").read_text())["files"]
    shutil.copy(folder / "golden.json", other / "golden.json")
    manifest["files"]["golden.json"] = files["golden.json"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadBundle, match="float32 steps apart, 4 allowed: it does not answer as when exported"):
        DeployableModel.load(other)


@pytest.mark.parametrize("absent", ["onnxruntime", "numpy"])
def test_without_the_extra_the_error_names_it(absent):
    program = f"import sys; sys.modules[{absent!r}] = None\nimport jobcast\njobcast.InputError\njobcast.DeployableModel"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: {absent} is missing: a bundle runs in this process with the extra `local`; "
        "install it with: pip install 'jobcast[local]'"
    )


def test_the_command_needs_no_library_of_arrays_or_frames():
    program = (
        "import sys\nfor name in ('numpy', 'onnxruntime', 'pandas', 'polars'): sys.modules[name] = None\n"
        "import jobcast.command.model"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_telemetry_is_off():
    program = "import os, jobcast\njobcast.DeployableModel\nprint(os.environ['ORT_DISABLE_TELEMETRY'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "1\n"
